"""Which word vectors? Candidates are judged by what a classifier makes of them on labelled texts."""

from __future__ import annotations

from ..training.labelled import read_labelled, split_rows
from .compare import compare
from .result import Candidate, Comparison, Result

__all__ = ["Candidate", "Comparison", "Result", "compare", "read_labelled", "split_rows"]

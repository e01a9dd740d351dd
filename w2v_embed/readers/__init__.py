"""Files → vectors for the words that are wanted: formats, compression, damage."""

from . import plain
from .fasttext import NGrams
from .hot import hot_loops, threads_for
from .keys import WordSet
from .load import load_vectors
from .relay import in_threads
from .select import HeldRows, Selection, has_ngrams

__all__ = [
    "HeldRows",
    "NGrams",
    "Selection",
    "WordSet",
    "has_ngrams",
    "hot_loops",
    "in_threads",
    "load_vectors",
    "plain",
    "threads_for",
]

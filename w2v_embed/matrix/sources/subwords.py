"""A `SubwordModel` as a source: it has no word, and makes a row for nearly any."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...readers.damage import DamageReport
from .base import BaseSource

if TYPE_CHECKING:
    from ..._types import Bools, Floats, Ids
    from ...subwords.model import SubwordModel


class SubwordSource(BaseSource):
    """Rows out of n-grams, as the last of all fallbacks finds them: marked as such, and never exact."""

    has_ngrams: bool = True
    only_ngrams: bool = True

    def __init__(self, name: str, model: SubwordModel, report: DamageReport) -> None:
        super().__init__(name, model.vector_size, report)
        self._model = model

    def has(self, words: Sequence[str]) -> Bools:
        return np.zeros(len(words), np.bool_)

    def lend(self, words: Sequence[str]) -> Iterable[tuple[Ids, Floats]]:
        return ()

    def made(self, words: Sequence[str]) -> Iterable[tuple[Ids, Floats]]:
        rows, found = self._model.vectors_for(words)
        yield np.flatnonzero(found), rows[found]

    def word_keys(self) -> list[Ids]:
        """List of int64 arrays: the keys of its words, of which there are none."""
        return []

    def ngrams(self) -> Any:
        return self._model

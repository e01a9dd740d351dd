"""A static sentence model as a source: the row of a word is the mean of the rows of its pieces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...readers.damage import DamageReport
from ...readers.scan.hot import hot_loops
from ...readers.static_models import StaticModel
from ..blocks import blocks_of
from .base import BaseSource

if TYPE_CHECKING:
    from ..._types import Bools, Floats, Ids, OnError


class StaticSource(BaseSource):
    """A folder of model2vec or of sentence-transformers' StaticEmbedding, or WordLlama's weights.

    It has each word all of whose pieces are known. Rows are as long as the model makes them, not normalised.

    Args:
        path: the folder, or the weights.
        on_error: as for `build_matrix`.
    """

    def __init__(self, path: Path, *, on_error: OnError = "raise") -> None:
        self._model = StaticModel(path)
        name = path.name or path.resolve().name
        super().__init__(name, self._model.dim, DamageReport(str(path), on_error))

    def has(self, words: Sequence[str]) -> Bools:
        return self._model.pieces(words)[0]

    def lend(self, words: Sequence[str]) -> Iterable[tuple[Ids, Floats]]:
        found, counts, ids = self._model.pieces(words)
        pieces, places = np.unique(ids, return_inverse=True)
        rows, numbers, bounds = self._model.rows(pieces), np.flatnonzero(found), np.cumsum([0, *counts])
        for some in blocks_of(len(numbers), self.dim):
            means = np.zeros((some.stop - some.start, self.dim), np.float32)
            lent = places[bounds[some.start] : bounds[some.stop]] + len(
                means
            )  # those of `rows` are behind those of `means`
            begins = bounds[some.start : some.stop + 1] - bounds[some.start]
            hot_loops(rows.nbytes)[0].mean_rows(means, rows, lent, begins, np.arange(len(means)))
            yield self._finite(words, numbers[some], means)

    def close(self) -> None:
        self._model.close()

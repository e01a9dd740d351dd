"""Rows that lie in memory, by their words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np

from ...readers.damage import DamageReport
from ..blocks import blocks_of
from .base import BaseSource

if TYPE_CHECKING:
    from ..._types import Bools, Floats, Ids
    from .base import Frequent


class HeldRows(BaseSource):
    """Rows in memory.

    Args:
        name: of the source.
        row_of: dict word → its row.
        rows: array `(rows, dim)`.
        report: the `DamageReport` for rows that are not finite.
    """

    def __init__(self, name: str, row_of: Mapping[str, int], rows: Floats, report: DamageReport) -> None:
        super().__init__(name, rows.shape[1], report)
        self._row_of, self._rows = row_of, rows

    def frequent(self, most: int) -> Frequent:
        numbers = np.fromiter(self._row_of.values(), np.int64, len(self._row_of))
        first, words = np.argsort(numbers, kind="stable")[:most], list(self._row_of)
        good = [k for k in first.tolist() if isinstance(words[k], str) and words[k]]
        return [words[k] for k in good], self._rows[numbers[good]]

    def has(self, words: Sequence[str]) -> Bools:
        return np.fromiter(map(self._row_of.__contains__, words), np.bool_, len(words))

    def lend(self, words: Sequence[str]) -> Iterable[tuple[Ids, Floats]]:
        rows = np.fromiter(map(self._row_of.get, words, repeat(-1)), np.int64, len(words))
        numbers = np.flatnonzero(rows >= 0)
        for some in blocks_of(len(numbers), self.dim):
            yield self._finite(words, numbers[some], self._rows[rows[numbers[some]]])

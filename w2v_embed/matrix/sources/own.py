"""A user's own `Source`, of which nothing is taken on trust."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from ...checks import whole
from ...contents import crc32
from ...readers.damage import DamageReport
from ...shown import quoted
from ..blocks import blocks_of
from .base import BaseSource

if TYPE_CHECKING:
    from ..._types import Bools, Floats, Ids, OnError, Source
    from ...readers.ngrams import NGrams


class OwnSource(BaseSource):
    """A user's source, whose answers are checked: their shapes and types, that rows are finite (others are damage, and count as
    not there), and that it writes no other rows than those of the words that it says it found.

    Args:
        source: the `Source`, which may have more, see `BaseSource`.
        on_error: as for `build_matrix`.
    """

    def __init__(self, source: Source, on_error: OnError) -> None:
        kind = type(source).__name__
        if not isinstance(source.name, str) or not source.name:
            raise ValueError(f"{kind}.name must be a text that is not empty, received {quoted(source.name)}")
        own = getattr(source, "report", None)
        report = own if isinstance(own, DamageReport) else DamageReport(source.name, on_error)
        super().__init__(source.name, whole(f"{kind}.dim", source.dim), report)
        self._source, self._ngrams, self._close = source, *(getattr(source, n, None) for n in ("ngrams", "close"))
        self.has_ngrams: bool = self.ngrams() is not None
        if hasattr(source, "word_keys"):
            self.word_keys: Callable[[], list[Ids]] = source.word_keys

    def fill(
        self,
        words: Sequence[str],
        matrix: Floats,
        places: Ids,
        candidates: Callable[[Sequence[str]], Collection[str]] | None = None,
    ) -> Bools:
        others = np.ones(len(matrix), np.bool_)
        others[places] = False
        before = _crc_of(matrix, others)
        found = self._bools("fill", self._source.fill(list(words), matrix, places.copy(), candidates), len(words))
        for some in blocks_of(len(words), self.dim):
            rows, there = matrix[places[some]], found[some]
            if len(wrong := np.flatnonzero(~there & rows.any(axis=1))):
                raise ValueError(
                    f"{self.name}.fill must write the rows of the words alone that it says it found, received numbers for "
                    f"{quoted(words[some.start + int(wrong[0])])}"
                )
            numbers = some.start + np.flatnonzero(there)
            good, _ = self._finite(words, numbers, rows[there])
            if len(good) < len(numbers):
                bad = np.setdiff1d(numbers, good)
                found[bad], matrix[places[bad]] = False, 0
        if _crc_of(matrix, others) != before:
            raise ValueError(f"{self.name}.fill must write rows at places[k] alone, received changes of others")
        return found

    def has(self, words: Sequence[str]) -> Bools:
        return self._bools("has", self._source.has(list(words)), len(words))

    def lend(self, words: Sequence[str]) -> Iterable[tuple[Ids, Floats]]:
        lent = self._source.lend(list(words))
        parts = [self._part(part, len(words)) for part in (lent if isinstance(lent, Iterable) else [lent])]
        if parts:
            numbers, rows = map(np.concatenate, zip(*parts))
            if len(np.unique(numbers)) < len(numbers):
                raise ValueError(f"{self.name}.lend must give the row of each word once, received one again")
            yield self._finite(words, numbers, rows)

    def ngrams(self) -> NGrams | None:
        return self._ngrams() if self._ngrams else None

    def close(self) -> None:
        if self._close:
            self._close()

    def _part(self, part, n):
        """(numbers, rows) that `lend` gave."""
        with suppress(TypeError, ValueError):
            numbers, rows = map(np.asarray, part)
            numbers = numbers.astype(np.int64) if not numbers.size else numbers
            good = numbers.dtype.kind in "iu" and ((numbers >= 0) & (numbers < n)).all()
            if good and rows.shape == (*numbers.shape, self.dim) and rows.ndim == 2 and rows.dtype.kind in "fiu":
                return numbers, rows
        raise ValueError(
            f"{self.name}.lend must give pairs of numbers from 0 to {n - 1}, (k,), and rows (k, {self.dim}), "
            f"received {quoted(part)}"
        )

    def _bools(self, call, answer, n):
        found = np.array(answer)
        if found.shape != (n,) or (found.dtype != np.bool_ and n):
            raise ValueError(
                f"{self.name}.{call} must return bools of shape {(n,)}, received {found.dtype} of shape {found.shape}"
            )
        return found.astype(np.bool_)


def _crc_of(matrix, rows):
    """The CRC-32 of some rows."""
    crc, numbers = 0, np.flatnonzero(rows)
    for some in blocks_of(len(numbers), matrix.shape[1]):
        crc = crc32(matrix[numbers[some]], crc)
    return crc

"""Vectors that come as a table with its words, not as a stream: fastText's .bin, gensim's own files, and our artifacts."""

from __future__ import annotations

from dataclasses import replace
from itertools import repeat
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..contents import PackedWords
from .blocks import Block
from .damage import Damage, Damages
from .formats.base import Layout
from .ngrams import NGrams
from .scan.keys import WordSet, stretches_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._types import Floats, Ids
    from .relay import InOrder

    class Rows(Protocol):
        """What gives rows when it is sliced: an array, or one that is still in a file (`summed.NamedRows`)."""

        @property
        def shape(self) -> tuple[int, ...]: ...

        def __getitem__(self, rows: slice, /) -> Floats: ...


_ROWS = 4096  # a block


class TableReader:
    """A table → blocks, as the other readers give them.

    Args:
        words: the words, in the order of the rows.
        rows: what gives rows when it is sliced; its `shape` is (rows, dim).
        wanted: list of the words that are looked for, or None for all.
        ids: for each word its row in the file, ascending; None where row i is that of word i.
        count: how many rows the file has, where `rows` are those of `words` alone.
        odd: dict row in the file → the `Damage` that it has.
        kv: the object that the table was taken from, or None: gensim's, or `FastTextVectors`.
    """

    unit: str = "row"
    has_bytes: bool = False  # places are told without the byte
    first_record: int = 1
    least_bytes: int = 4
    room: object = None  # that of `BlockReader`: here the rows have theirs

    def __init__(
        self,
        words: Sequence[str],
        rows: Rows,
        wanted: Sequence[str] | None,
        ids: Sequence[int] | Ids | None = None,
        *,
        count: int | None = None,
        odd: dict[int, Damage] | None = None,
        kv: Any = None,
    ) -> None:
        self.words: Sequence[str] = words
        self.rows: Rows = rows
        self.kv: Any = kv
        self.dim: int = int(rows.shape[1])
        self.ids: Ids = np.arange(len(words)) if ids is None else np.asarray(ids, np.int64)
        self._wanted: Sequence[str] = wanted or ()
        self._hits: tuple[Ids, Ids] | None = None if wanted is None else _look_up(wanted, words)
        self._next, self._odd = 0, odd or {}
        self._count, self._alone = (rows.shape[0], False) if count is None else (count, True)

    def scratch(self) -> _Span:
        """Nothing: the rows lie there already."""
        return _Span()

    def fill(self, span: _Span) -> bool:
        """The next rows."""
        span.begin, span.stop = self._next, min(self._next + _ROWS, self._count)
        self._next = span.stop
        return span.stop > span.begin

    def read(self, span: _Span, in_order: InOrder) -> Block:
        """The block of these rows."""
        first, last = np.searchsorted(self.ids, (span.begin, span.stop))
        if self._hits is None:
            at, targets = np.arange(first, last), np.zeros(last - first, np.int64)
            names = list(self.words[first:last])
        else:
            some = slice(*np.searchsorted(self._hits[0], (first, last)))
            at, targets = (numbers[some] for numbers in self._hits)
            names = [self._wanted[k] for k in targets.tolist()]
        where = self.ids[at] - span.begin
        with np.errstate(over="ignore"):
            if self._alone:
                rows = self.rows[first:last][at - first].astype(np.float32)
            else:
                rows = self._some(self.ids[at], span).astype(np.float32, copy=False)
        finite = np.asarray(np.isfinite(rows).all(axis=1))
        damage = Damages()
        for row, wrong in self._odd.items():
            if span.begin <= row < span.stop:
                damage.add(replace(wrong, record=row - span.begin))
        odd = set(np.flatnonzero(~finite).tolist())
        if "" in names:
            odd.update(k for k, name in enumerate(names) if name == "")
        for k in sorted(odd):
            if finite[k]:
                damage.add(Damage("empty word", "expected a word, got ''", int(where[k])))
            else:
                message = (
                    f"expected finite numbers in the vector of {names[k]!r}, got {rows[k][~np.isfinite(rows[k])][0]}"
                )
                damage.add(Damage("not finite", message, int(where[k])))
        good: Any = slice(None)
        if odd:
            good = [k for k in range(len(names)) if k not in odd]
            names = [names[k] for k in good]
        words = None if self._hits is not None else names
        where = where[good]
        return Block(
            span.begin,
            span.stop - span.begin,
            0,
            where,
            np.zeros_like(where),
            targets[good],
            words,
            rows[good],
            damage,
        )

    def _some(self, numbers, span):
        """The rows of these numbers, which are of the span."""
        some = getattr(self.rows, "some", None)
        if some:
            return some(numbers, span.begin, span.stop)
        return np.asarray(self.rows[span.begin : span.stop])[numbers - span.begin]


def _look_up(wanted, words):
    """(the numbers of those of `words` that are wanted, ascending; of each the number of the wanted one)"""
    number_of = {word: k for k, word in enumerate(wanted)}
    maybe = np.arange(len(words))
    if isinstance(words, PackedWords):  # which are made strings only where their keys say that they may be wanted
        maybe = np.flatnonzero(WordSet.of(wanted).has_stretches(*stretches_of(words)))
        words = words.take(maybe)
    targets = np.fromiter(map(number_of.get, words, repeat(-1)), np.int64, len(words))
    there = targets >= 0
    return maybe[there], targets[there]


class _Span:
    begin = stop = 0


def table_of(words: Sequence[str], rows: Rows, ids: Sequence[int] | Ids | None = None, *, kv: Any = None) -> Layout:
    """The layout of a file whose words and rows are there; see `TableReader`."""
    return Layout(
        int(rows.shape[1]),
        table=lambda wanted: TableReader(words, rows, wanted, ids, kv=kv),
        ngrams=NGrams.of(kv) is not None,
        first_words=lambda most: list(words[:most]),
    )

"""Records of known places, fetched one by one and read by the hot loops, for words of which nothing can be said but their rows.

What is odd about a record (its word is another one, or its numbers are to be read the exact way) is left to `Opened.go_back`,
which knows the words for it.
"""

from __future__ import annotations

import os
from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np

from .blocks import Block
from .damage import Damages
from .excerpt import read_at
from .relay import relay
from .scan import plain
from .scan.hot import threads_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from .._types import Bools, Floats, Ids
    from .compression import Source
    from .opened import Sink
    from .relay import InOrder

_PIECE = 1 << 19  # bytes of records that are read at a time: they stay in the cache, and malloc has such memory at hand


class _Scratch:
    """One worker's memory."""

    def __init__(self, most: int, dim: int) -> None:
        self.hits: Ids = np.zeros((most, 5), np.int64)
        self.rows: Floats = np.empty((most, dim), np.float32)
        self.unsure: Bools = np.empty(most, np.bool_)
        self.part: int = 0


class Fetching:
    """As a reader of `relay`.

    Args:
        source: the file, which is not packed.
        words: list of words, as bytes of the file.
        targets, begins, sizes: of each record, in the order of the file: the number of its word, and where it lies.
        binary: whether a record's numbers are float32 behind one space; else they are text.
        hot: the hot loops.
        dim: numbers a word.

    Attributes:
        left: the numbers of the words that were left, in lists.
    """

    def __init__(
        self,
        source: Source,
        words: Sequence[bytes],
        targets: Ids,
        begins: Ids,
        sizes: Ids,
        *,
        binary: bool,
        hot: ModuleType,
        dim: int,
    ) -> None:
        self._source, self._binary, self._hot, self._dim = source, binary, hot, dim
        self._targets, self._begins, self._sizes = targets, begins, sizes
        self._lengths = np.fromiter(map(len, words), np.int64, len(words))[targets]
        self._starts = [words[k] + b" " for k in targets.tolist()]
        ends = np.cumsum(sizes + 1)  # in one long buffer, a newline behind each
        self.size: int = int(ends[-1]) if len(sizes) else 0
        bounds = np.searchsorted(ends, np.arange(_PIECE, self.size, _PIECE), "right")
        self._bounds: list[int] = np.unique([0, *bounds.tolist(), len(sizes)]).tolist()
        self._next = 0
        self.left: list[Ids] = []

    def scratch(self) -> _Scratch:
        """Memory for one worker."""
        return _Scratch(int(np.diff(self._bounds).max(initial=0)), self._dim)

    def fill(self, scratch: _Scratch) -> bool:
        """The next records."""
        scratch.part = self._next
        self._next += 1
        return scratch.part + 1 < len(self._bounds)

    def read(self, scratch: _Scratch, in_order: InOrder) -> Block:
        """The rows of those that are as they should be."""
        some = slice(*self._bounds[scratch.part : scratch.part + 2])
        sizes, n = self._sizes[some], some.stop - some.start
        records = self._load(sizes.tolist(), self._begins[some].tolist())
        buf = np.frombuffer(b"\n".join([*records, bytes(plain.PADDING)]), np.uint8)
        ends = np.cumsum(sizes + 1)
        hits, rows, unsure = scratch.hits[:n], scratch.rows[:n], scratch.unsure[:n]
        hits[:, 2], hits[:, 4] = ends - sizes - 1, ends - 1
        hits[:, 3] = hits[:, 2] + self._lengths[some]
        good = np.fromiter(map(bytes.startswith, records, self._starts[some]), np.bool_, n)
        good &= self._lengths[some] > 0
        if self._binary:
            good &= sizes == self._lengths[some] + 1 + 4 * self._dim
        if not good.all():
            hits, rows, unsure = hits[good], rows[: int(good.sum())], unsure[: int(good.sum())]
        (self._hot.parse_binary if self._binary else self._hot.parse_text)(buf, hits, rows, unsure)
        numbers, sure = np.flatnonzero(good), ~unsure
        if not sure.all():
            numbers, rows = numbers[sure], rows[sure]
        targets, none = self._targets[some], np.zeros(len(numbers), np.int64)
        if len(numbers) < n:
            self.left.append(np.delete(targets, numbers))
        return Block(0, len(numbers), 0, numbers, none, targets[numbers], None, rows, Damages())

    def _load(self, sizes, begins):
        """The records, as a list of bytes."""
        if not hasattr(os, "pread"):  # Windows
            return [read_at(self._source, begin, size) for begin, size in zip(begins, sizes)]
        records = list(map(os.pread, repeat(self._source.fileno()), sizes, begins))  # a third of the time of a loop
        for k in np.flatnonzero(np.fromiter(map(len, records), np.int64, len(records)) != sizes).tolist():
            records[k] = read_at(self._source, begins[k], sizes[k])
        return records


def fetch(fetching: Fetching, sink: Sink, threads: int) -> None:
    """Hand all rows to `sink`, as `Opened.run` does, as long as it takes some."""
    relay(fetching, lambda block: sink.add(block)[0] is not None, min(threads, threads_for(fetching.size)))

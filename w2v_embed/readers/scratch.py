"""What a worker that reads has for itself: memory for a block, and its notes of where records lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .scan import plain

if TYPE_CHECKING:
    from .._types import Bools, Bytes, Floats, Ids
    from .damage import Damage

_NOTES = 1 << 16  # in an array of `Notes`
_PAGE = 4096


class Notes:
    """Where records lie, as one worker notes them in passing: arrays `(2, n)` of the words' keys, and of the records' spans.

    A span is the first byte and the length in one number, see `kernels.scan_text`.
    """

    def __init__(self) -> None:
        self._arrays, self._used = [np.empty((2, 0), np.int64)], 0

    def room(self, n: int) -> tuple[Ids, Ids]:
        """Room for `n` more, at least: for their keys, and for their spans."""
        if self._used + n > self._arrays[-1].shape[1]:
            self._arrays[-1] = self._arrays[-1][:, : self._used]
            self._arrays.append(np.empty((2, max(n, _NOTES)), np.int64))
            self._used = 0
        keys, spans = self._arrays[-1][:, self._used :]
        return keys, spans

    def take(self, n: int, offset: int) -> None:
        """Keep the first `n` of what was written there, about a block that begins at the byte `offset`."""
        if n:
            self._arrays[-1][1, self._used : self._used + n] += offset << plain.LENGTH_BITS
            self._used += n

    def arrays(self) -> list[Ids]:
        """All of them, in a list of arrays."""
        return [*self._arrays[:-1], self._arrays[-1][:, : self._used]]


class Scratch:
    """One worker's memory: room for a piece of the file, and before it for the begin of its first record.

    Args:
        dim, least_bytes: numbers, and bytes at least, of a record.
        size: of a piece.
        begin: where in the file the first piece begins.

    Attributes:
        piece: where a piece goes; got: the bytes of it that came; at: where it lies in the file, for `InPlace`; last: whether
            it is the last one, for `Streamed`.
        bytes, start: the memory, and where in it the block begins.
        buf: the block, as an array from its first byte on; filled: its bytes; end: those of its whole records.
    """

    at: int = 0
    got: int = 0
    last: bool = False
    start: int = 0
    offset: int = 0
    filled: int = 0
    end: int = 0
    records: int = 0
    blank: int = 0
    n_hits: int = 0
    broken: Damage | None = None

    def __init__(self, dim: int, least_bytes: int, size: int, begin: int) -> None:
        self._record = dim, least_bytes
        self._size, self._begin = size, begin
        self.allocate(size >> 3)
        self.notes: Notes = Notes()

    def allocate(self, room: int) -> None:
        """Memory with `room` bytes before the piece; what was in it is gone."""
        dim, least_bytes = self._record
        self.bytes: bytearray = bytearray(room + _PAGE + self._size + plain.PADDING)
        self.buf: Bytes = np.frombuffer(self.bytes, np.uint8)
        self._whole = self.buf
        # As far into a page as in the file: moved forward by a few bytes, copying takes some processors five times as long.
        self._room = room + (self._begin - self.buf.ctypes.data - room) % _PAGE
        size = self._room + self._size
        self.piece: memoryview = memoryview(self.bytes)[self._room : size]
        most = size // least_bytes + 1
        self.hits: Ids = np.empty((most, 5), np.int64)
        self.odd: Ids = np.empty((size // 2 + 2, 3), np.int64)
        self.rows: Floats = np.empty((most, dim), np.float32)
        self.unsure: Bools = np.empty(most, np.bool_)

    def put_before(self, left: bytearray) -> None:
        """Make a block of `left` and the piece behind it."""
        if len(left) > self._room:
            piece = bytes(self.piece[: self.got])
            self.allocate(2 * len(left))
            self.piece[: self.got] = piece
        self.start = self._room - len(left)
        self.bytes[self.start : self._room] = left
        self.buf = self._whole[self.start :]
        self.filled = len(left) + self.got

"""Records that lie apart in a file that is not packed, one after another as a stream."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from .._types import Ids
    from .compression import Source
    from .remote import Place

_SEEKING = threading.Lock()


class Excerpt:
    """Stretches of a file, a newline after each, as a stream for a `BlockReader`.

    Args:
        source: the `Source`, of a file that is not packed.
        begins, sizes: int64 arrays: the first byte of each stretch in the file, and its length.

    Attributes:
        path: of the file.
        size: bytes of the whole stream.
    """

    damage: str | None = None  # as that of `Source`

    def __init__(self, source: Source, begins: Ids, sizes: Ids) -> None:
        self.path: Path | Place = source.path
        self._source, self._begins, self._sizes = source, begins, sizes
        self._bounds = np.cumsum(np.concatenate([[0], sizes + 1]))  # of the stretches, in the stream
        self.size: int = int(self._bounds[-1])
        self._next, self._ready = 0, bytearray()

    def readinto(self, view: memoryview) -> int:
        """As `Source.readinto`."""
        n, first = min(len(self._ready), len(view)), self._next
        view[:n] = self._ready[:n]
        del self._ready[:n]
        start = self._bounds[first] - n
        last = max(first, int(np.searchsorted(self._bounds, start + len(view), "right")) - 1)
        places = self._bounds[first : last + 1] - start  # in the view, of the stretches that fit into it
        for at, size, begin in zip(
            *(a[first:last].tolist() for a in (self._bounds - start, self._sizes, self._begins))
        ):
            _read_at(self._source, begin, view[at : at + size])
        np.frombuffer(view, np.uint8)[places[1:] - 1] = ord("\n")
        n, self._next = int(places[-1]), last
        if n < len(view) and last < len(self._sizes):
            self._ready = bytearray(read_at(self._source, int(self._begins[last]), int(self._sizes[last])) + b"\n")
            self._next += 1
            return n + self.readinto(view[n:])
        return n

    def in_file(self, byte: int) -> int:
        """Where in the file a byte of the stream lies."""
        k = min(int(np.searchsorted(self._bounds, byte, "right")), len(self._sizes)) - 1
        return int(self._begins[k] + byte - self._bounds[k])


def read_at(source: Source, begin: int, size: int) -> bytes:
    """A stretch of a file that is not packed."""
    data = bytearray(size)
    _read_at(source, begin, memoryview(data))
    return bytes(data)


def read_into(source: Source, begin: int, view: memoryview) -> int:
    """Fill `view` with what lies at a byte of a file that is not packed, as far as the file goes. Returns the bytes written."""
    n = _preadv(source.fileno(), [view], begin)
    while 0 < n < len(view) and (more := _preadv(source.fileno(), [view[n:]], begin + n)):
        n += more
    return n


def _read_at(source, begin, view):
    if read_into(source, begin, view) < len(view):
        raise has_shrunk(source)


def has_shrunk(source: Source) -> ValueError:
    """The error that a file ends where it went on before."""
    return ValueError(f"{source.path} has become shorter while it was read. Wait until it is written, and try again.")


def _seek_and_read(file, views, at):
    """As `os.preadv`, for Windows.

    A lock that another thread holds at a fork is never given back in the child. But Windows, which has no pread, does not fork.
    """
    with _SEEKING:
        os.lseek(file, at, os.SEEK_SET)
        data = os.read(file, len(views[0]))
    views[0][: len(data)] = data
    return len(data)


_preadv = getattr(os, "preadv", _seek_and_read)

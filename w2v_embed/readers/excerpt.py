"""Records that lie apart in a file that is not packed, as if they lay one behind the other."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from .._types import Ids
    from .compression import Source
    from .remote import Place

_SEEKING = threading.Lock()


class Excerpt:
    """Stretches of a file, one behind the other, a newline behind each: what a `BlockReader` reads of it.

    Args:
        source: the `Source`, of a file that is not packed.
        begins, sizes: int64 arrays: the first byte of each stretch in the file, and its length.
        hot: the hot loops.

    Attributes:
        path: of the file.
        size: bytes of all of it.
        reached: how much of it has been read.
    """

    reached: int = 0

    def __init__(self, source: Source, begins: Ids, sizes: Ids, hot: ModuleType) -> None:
        self.path: Path | Place = source.path
        self._source, self._begins, self._sizes, self._hot = source, begins, sizes, hot
        source.have(begins, sizes)
        self._bounds = np.cumsum(np.concatenate([[0], sizes + 1]))  # of the stretches
        self.size: int = int(self._bounds[-1])

    def read_into(self, at: int, view: memoryview) -> int:
        """Fill `view` with what lies at a byte, as far as there is something. Returns the bytes written."""
        stop = min(at + len(view), self.size)
        if at >= stop:
            return 0
        first = int(np.searchsorted(self._bounds, at, "right")) - 1
        last = int(np.searchsorted(self._bounds, stop, "right")) - 1  # with which the view ends, or before which
        begins, sizes = self._begins[first : last + 1].copy(), self._sizes[first : last + 1].copy()
        skipped = at - int(self._bounds[first])
        begins[0] += skipped
        sizes[0] -= skipped
        n, buf = last - first, np.frombuffer(view, np.uint8)
        starts = self._bounds[first : last + 1] - at
        starts[0] = 0
        for k in range(self._hot.read_stretches(self._source.fileno(), begins[:n], sizes[:n], buf), n):
            _read_at(self._source, int(begins[k]), view[starts[k] : starts[k] + sizes[k]])
            buf[starts[k] + sizes[k]] = ord("\n")
        if starts[n] < stop - at:
            _read_at(self._source, int(begins[n]), view[starts[n] : stop - at])
        return stop - at

    def in_file(self, byte: int) -> int:
        """Where in the file a byte of the stream lies."""
        k = min(int(np.searchsorted(self._bounds, byte, "right")), len(self._sizes)) - 1
        return int(self._begins[k] + byte - self._bounds[k])


def read_at(source: Source, begin: int, size: int) -> bytes:
    """A stretch of a file that is not packed."""
    source.have(np.array([begin]), np.array([size]))
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


def has_shrunk(source: Source | Excerpt) -> ValueError:
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

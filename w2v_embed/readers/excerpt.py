"""Records that lie apart in a file that is not packed, one after another as a stream."""

from __future__ import annotations

import os
import threading
from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from .._types import Ids
    from .compression import Source

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
        self.path: Path = source.path
        self._source, self._begins, self._sizes = source, begins, sizes
        self._starts = np.concatenate([[0], np.cumsum(sizes + 1)])  # of each, and of the end, in the stream
        self.size: int = int(self._starts[-1])
        self._position = self._next = 0  # in the stream; of the stretch to read next
        self._ready = b""  # what is left of those before

    def readinto(self, view: memoryview) -> int:
        """As `Source.readinto`."""
        end = min(self._position + len(view), self.size)
        some = slice(self._next, max(self._next, int(np.searchsorted(self._starts, end))))
        data = self._ready + read_apart(self._source, self._begins[some].tolist(), self._sizes[some].tolist())
        n = end - self._position
        view[:n] = data[:n]
        self._position, self._next, self._ready = end, some.stop, data[n:]
        return n

    def in_file(self, byte: int) -> int:
        """Where in the file a byte of the stream lies."""
        k = int(np.searchsorted(self._starts, byte, "right")) - 1
        return int(self._begins[k] + byte - self._starts[k])


def read_apart(source: Source, begins: list[int], sizes: list[int]) -> bytes:
    """Stretches of a file that is not packed, a newline after each."""
    data = b"\n".join([*map(_pread, repeat(source.fileno()), sizes, begins), b""])
    if len(data) < sum(sizes) + len(sizes):
        raise ValueError(
            f"{source.path} has become shorter while it was read. Wait until it is written, and try again."
        )
    return data


def _seek_and_read(file, size, at):
    """As `os.pread`, for Windows.

    A lock that another thread holds at a fork is never given back in the child. But Windows, which has no pread, does not fork.
    """
    with _SEEKING:
        os.lseek(file, at, os.SEEK_SET)
        return os.read(file, size)


# Of a file it gives all that is asked for, or up to the file's end: a stretch is far below the 2 GB that Linux gives at a time.
_pread = getattr(os, "pread", _seek_and_read)

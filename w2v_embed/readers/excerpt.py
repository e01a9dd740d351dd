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
        self._begins, self._ends = begins, np.cumsum(sizes + 1)  # in the file; in the stream
        self.size: int = int(self._ends[-1]) if len(sizes) else 0
        self._stretches = (read_at(source, begin, size) + b"\n" for begin, size in zip(begins.tolist(), sizes.tolist()))
        self._ready = b""

    def readinto(self, view: memoryview) -> int:
        """As `Source.readinto`."""
        n = 0
        while n < len(view) and (self._ready or (more := next(self._stretches, b""))):
            data = self._ready or more
            part = data[: len(view) - n]
            view[n : n + len(part)] = part
            self._ready = data[len(part) :]
            n += len(part)
        return n

    def in_file(self, byte: int) -> int:
        """Where in the file a byte of the stream lies."""
        k = int(np.searchsorted(self._ends, byte, "right"))
        return int(self._begins[k] + byte - (self._ends[k - 1] if k else 0))


def read_at(source: Source, begin: int, size: int) -> bytes:
    """A stretch of a file that is not packed."""
    data = _pread(source.fileno(), size, begin)
    if len(data) < size:
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

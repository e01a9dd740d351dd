"""A file as pieces of one length, each into the memory of the worker that takes it, whatever records begin and end where.

A worker takes a piece (`take`, one thread at a time), loads it (`load`, many at a time), and says so when the pieces before it
have been dealt with (`follow`, in the order of the file), and hears whether it was the last one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .excerpt import has_shrunk

if TYPE_CHECKING:
    from collections.abc import Callable

    from .compression import Source
    from .encodings import Stream
    from .excerpt import Excerpt
    from .scratch import Scratch

# Of a stream, in bytes; then twice as many, up to a whole piece. What is looked for often stands in the first lines.
_FIRST_PIECE = 1 << 18


class Pieces(Protocol):
    """What gives a file's pieces."""

    def take(self, scratch: Scratch, /) -> bool:
        """Make the next piece that of this worker; False behind the last one."""
        ...

    def load(self, scratch: Scratch, /) -> None:
        """Have it in `scratch.piece`, and in `scratch.got` how much that is."""
        ...

    def follow(self, scratch: Scratch, /) -> tuple[bool, str | None]:
        """(whether it is the last piece, what is wrong with the stream there or None)"""
        ...


class Streamed:
    """Pieces of a stream: whoever takes one reads it.

    Args:
        stream: what is read.
        head: bytes before it, which were read already.
    """

    def __init__(self, stream: Stream, head: bytes) -> None:
        self._stream, self._head, self._ended, self._size = stream, head, False, _FIRST_PIECE

    def take(self, scratch: Scratch) -> bool:
        """The next piece."""
        if self._ended:
            return False
        view = scratch.piece[: self._size]
        self._size = 2 * len(view)
        n = min(len(self._head), len(view))
        view[:n] = self._head[:n]
        self._head = self._head[n:]
        scratch.got = n + self._stream.readinto(view[n:])
        self._ended = scratch.last = scratch.got < len(view)
        return True

    def load(self, scratch: Scratch) -> None:
        """Nothing: it is there."""

    def follow(self, scratch: Scratch) -> tuple[bool, str | None]:
        """As of all `Pieces`."""
        return scratch.last, self._stream.damage if scratch.last else None


class InPlace:
    """Pieces of a file that is not packed, or of an excerpt: each worker reads its own, wherever others read.

    Args:
        source: the file.
        begin: where in it the first piece begins.
        read: fills a view with what lies at a byte, and returns the bytes written.
    """

    def __init__(self, source: Source | Excerpt, begin: int, read: Callable[[int, memoryview], int]) -> None:
        self._source, self._begin, self._next, self._read = source, begin, begin, read

    def take(self, scratch: Scratch) -> bool:
        """Say which piece it is."""
        scratch.at = self._next
        self._next += len(scratch.piece)
        return scratch.at < self._source.size or scratch.at == self._begin

    def load(self, scratch: Scratch) -> None:
        """Read the piece, up to where the file ended when it was opened: one that grows may be longer for each who looks."""
        left = max(self._source.size - scratch.at, 0)
        scratch.got = self._read(scratch.at, scratch.piece[:left])

    def follow(self, scratch: Scratch) -> tuple[bool, str | None]:
        """As of all `Pieces`; and how far the file has been read.

        Raises:
            ValueError: the file has become shorter.
        """
        self._source.reached = scratch.at + scratch.got
        last = self._source.reached >= self._source.size
        if not last and scratch.got < len(scratch.piece):
            raise has_shrunk(self._source)
        return last, None

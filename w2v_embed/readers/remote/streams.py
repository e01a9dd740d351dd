"""Bytes of something that is no local file, as a file: read forward, kept as long as somebody may want to begin anew."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import TypeVar

from ...shown import logger

_TRIES = 5  # for what broke, one after another without a byte between
_WAIT = 0.2  # seconds before the second try; then twice as long
_DISCARDED = 1 << 16
_Got = TypeVar("_Got")


class DroppedError(OSError):
    """A connection ended before the file did."""


class Stream(io.RawIOBase):
    """Base of the streams. `pull` of a subclass reads on where the last one ended.

    Attributes:
        size: bytes in all; None where nobody says.
        failed: why no more came, for those behind a library that takes such an error for something else.
    """

    size: int | None = None
    failed: DroppedError | None = None

    def __init__(self) -> None:
        super().__init__()
        self._at = 0  # of what has been handed out
        self._ready = bytearray()  # what comes next, before what `pull` gives
        self._kept: bytearray | None = bytearray()  # what has been handed out, until `forget`

    def pull(self, view: memoryview) -> int:
        """Read some bytes into `view`; 0 at the end."""
        raise NotImplementedError

    def jump(self, byte: int) -> None:
        """Let `pull` read on from a byte; only of those that are `seekable`."""
        raise io.UnsupportedOperation

    def readable(self) -> bool:
        return True

    def readinto(self, view: memoryview) -> int:  # type: ignore[override]
        n = min(len(self._ready), len(view))
        if n:
            view[:n] = self._ready[:n]
            del self._ready[:n]
        elif len(view):
            n = self.pull(view)
        if self._kept is not None:
            self._kept += view[:n]
        self._at += n
        return n

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte, if it is `seekable`; back to the first one also while nothing was forgotten."""
        if whence == io.SEEK_CUR:
            offset += self._at
        elif whence == io.SEEK_END:
            if self.size is None:
                raise io.UnsupportedOperation("nobody says how long it is")
            offset += self.size
        if offset == self._at:
            return offset
        if offset == 0 and self._kept is not None:
            self._ready[:0] = self._kept
            self._kept.clear()
        elif self.seekable():
            self.forget()
            self._ready.clear()
            self.jump(offset)
        else:
            raise io.UnsupportedOperation("it can be read once, from its beginning on")
        self._at = offset
        return offset

    def forget(self) -> None:
        """Keep no more of what is handed out: nobody will begin anew."""
        self._kept = None


class Resumed(Stream):
    """A stream over a connection, which may break: it is made anew where it broke.

    Args:
        name: of the file, for messages; without credentials.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name: str = name
        self._next, self._elsewhere = 0, False  # the byte that `fill` reads on from, once there is a connection for it

    def fill(self, view: memoryview) -> int:
        """As `pull`, of the connection as it is.

        Raises:
            OSError and others: it broke.
        """
        raise NotImplementedError

    def stretch(self, byte: int, size: int) -> bytes:
        """So many bytes from `byte` on, by a request of its own; fewer where it broke. Several threads ask at a time.

        Raises:
            DroppedError: that cannot be had, now or ever; says why.
            OSError and others: it broke.
        """
        raise NotImplementedError

    def known(self) -> dict[str, str] | None:
        """By what a change of the file is known for certain; None where nobody tells."""
        raise NotImplementedError

    @property
    def begun(self) -> bool:
        """Whether it was opened for its first part."""
        return False

    def is_same(self) -> bool:
        """Whether the file is what it was when this was opened; of those whose answers do not say so themselves."""
        return True

    def at(self, byte: int, size: int) -> bytes:
        """What lies at a byte, whatever has been read. Several threads may ask.

        Raises:
            DroppedError: it cannot be had, or is that of another file.
        """

        def attempt(tries: int) -> bytes | None:
            data = self.stretch(byte, size)
            return data if len(data) == size else None

        return self._tried(
            attempt, lambda why: f"{size:,} bytes from byte {byte:,} on did not come, {_TRIES} times ({why})"
        )

    def _tried(self, attempt: Callable[[int], _Got | None], failed: Callable[[str], str]) -> _Got:
        """What `attempt(how often it was tried)` returns, anew where it breaks or returns None; `failed(why)` is the error."""
        wrong = ""
        for tries in range(_TRIES):
            if tries:
                time.sleep(_WAIT * 2 ** (tries - 1))
            try:
                got = attempt(tries)
                if got is not None:
                    return got
                wrong = "it was closed"
            except DroppedError:
                raise
            except Exception as error:  # each library has its own ways to say so
                wrong = self.told(error)
        raise DroppedError(f"{self.name}: {failed(wrong)}")

    def reconnect(self, byte: int) -> None:
        """Make a connection that gives what lies from `byte` on.

        Raises:
            DroppedError: that cannot be had, now or ever; says why.
        """
        raise NotImplementedError

    def pull(self, view: memoryview) -> int:
        try:
            return self._pulled(view)
        except DroppedError as error:
            self.failed: DroppedError | None = error
            raise

    def _pulled(self, view):
        def attempt(tries):
            if tries or self._elsewhere:
                self.reconnect(self._next)
                self._elsewhere = False
            n = self.fill(view)
            if not n and self.size is not None and self._next < self.size:
                return None
            if tries:
                logger.info("%s: the connection broke at byte %d and was made anew", self.name, self._next)
            self._next += n
            return n

        def failed(why):
            of = "" if self.size is None else f" of {self.size:,}"
            return (
                f"the connection broke at byte {self._next:,}{of}, and {_TRIES - 1} times again ({why}). "
                "Try again later, or download the file first"
            )

        return self._tried(attempt, failed)

    def jump(self, byte: int) -> None:
        self._next, self._elsewhere = byte, True

    def told(self, error: Exception) -> str:
        """An error in words that give nobody's secrets away."""
        return type(error).__name__


class OfObject(Stream):
    """What an object gives that has `read`: standard input, an open file, a member of an archive.

    Args:
        file: an object with `read(n)`.
        size: bytes in all, if known.
        close: what is called when the stream is closed.
    """

    def __init__(self, file: object, size: int | None = None, close: Callable[[], object] | None = None) -> None:
        super().__init__()
        self._file, self._close = file, close
        self.size: int | None = size
        self._seekable = size is not None and bool(getattr(file, "seekable", bool)())
        self._begin = file.tell() if self._seekable else 0  # type: ignore[attr-defined]

    def pull(self, view: memoryview) -> int:
        data = self._file.read(len(view))  # type: ignore[attr-defined]
        if not isinstance(data, (bytes, bytearray, memoryview)):
            kind = "nothing yet" if data is None else type(data).__name__
            raise TypeError(f'an open file must give bytes, received {kind}. Open it with mode "rb"')
        view[: len(data)] = data
        return len(data)

    def seekable(self) -> bool:
        return self._seekable

    def jump(self, byte: int) -> None:
        self._file.seek(self._begin + byte)  # type: ignore[attr-defined]

    def close(self) -> None:
        if not self.closed and self._close:
            self._close()
        super().close()


def skip(stream: io.RawIOBase, n: int) -> None:
    """Read `n` bytes and drop them, or as many as there are."""
    while n > 0 and (data := stream.read(min(n, _DISCARDED))):
        n -= len(data)

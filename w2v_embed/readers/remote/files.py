"""All other URLs, by fsspec: s3://, gs://, az://, ssh://, memory://, github:// …"""

from __future__ import annotations

import io
from contextlib import suppress
from typing import Any

from .streams import DroppedError, Resumed
from .urls import shown_url

_BLOCK = 1 << 23  # bytes of a request, of file systems that read ahead
_STAMPS = (
    "ETag",
    "etag",
    "LastModified",
    "last_modified",
    "mtime",
    "modified",
    "updated",
    "created",
    "sha",
    "md5",
    "checksum",
    "version_id",
    "generation",
)


class FsspecStream(Resumed):
    """A file of a file system that fsspec knows.

    Args:
        url: where it is.

    Raises:
        ImportError: fsspec, or what it needs for this scheme, is not installed.
        FileNotFoundError, OSError: there is no such file, or it cannot be opened.
    """

    def __init__(self, url: str) -> None:
        super().__init__(shown_url(url))
        self._url = url
        self._system, self._path = system_of(url)
        try:
            if self._system.isdir(self._path):
                raise IsADirectoryError(
                    f"{self.name} is a folder; expected a file of word vectors. Name the file inside it."
                )
            self._known = self._told()  # before it is opened: what is read may be newer, never older
            self._file = self._open()
            size = getattr(self._file, "size", None)
            self.size: int | None = int(size) if isinstance(size, int) else self._system.size(self._path)
        except FileNotFoundError:
            raise FileNotFoundError(f"{self.name}: no such file") from None
        except (IsADirectoryError, ImportError):
            raise
        except Exception as error:
            raise OSError(
                f"{self.name} cannot be opened ({self.told(error)}). Look at the URL and what it needs"
            ) from None

    def _told(self) -> dict[str, str] | None:
        with suppress(Exception):  # who opens it says what is wrong
            return identity_of(self._url)
        return None

    def _open(self) -> Any:
        file = self._system.open(self._path, "rb", block_size=_BLOCK)
        if isinstance(file, io.BytesIO):  # memory:// gives everybody the same one, with one place to read on from
            return io.BytesIO(file.getvalue())
        return file

    def seekable(self) -> bool:
        return self.size is not None and bool(self._file.seekable())

    def fill(self, view: memoryview) -> int:
        data = self._file.read(len(view))
        view[: len(data)] = data
        return len(data)

    def reconnect(self, byte: int) -> None:
        if byte == self._next and not self.seekable() and byte:
            raise DroppedError(
                f"{self.name}: the connection broke at byte {byte:,}, and cannot be made anew there. Try again, or download "
                "the file first"
            )
        try:
            self._file.seek(byte)
        except Exception:  # what broke may be beyond that
            self._file = self._open()
            self._file.seek(byte)

    def known(self) -> dict[str, str] | None:
        return self._known

    def is_same(self) -> bool:
        return self._told() == self._known

    def stretch(self, byte: int, size: int) -> bytes:
        data: bytes = self._system.cat_file(self._path, start=byte, end=byte + size)
        return data

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def system_of(url: str) -> tuple[Any, str]:
    """fsspec's file system for a URL, and the path in it."""
    try:
        import fsspec
    except ImportError as error:
        raise ImportError(f'{shown_url(url)}: URLs need fsspec: pip install "w2v-embed[remote]"') from error
    try:
        return fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise ImportError(f"{shown_url(url)}: {error}") from None
    except ValueError as error:  # a scheme that nobody knows
        told = str(error).replace(url, shown_url(url))
        raise ValueError(
            f"{shown_url(url)}: {told}. Download the file and give its path, or install what makes the scheme known to fsspec"
        ) from None


def identity_of(url: str) -> dict[str, str] | None:
    """What a file system says by which a changed file is known: its size and its times or sums; None where it says none."""
    system, path = system_of(url)
    with suppress(Exception):  # what it remembers of a folder is what was there
        system.invalidate_cache()
    try:
        info = system.info(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{shown_url(url)}: no such file") from None
    stamps = {name: str(info[name]) for name in _STAMPS if info.get(name) is not None}
    with suppress(Exception):  # many know no such time
        stamps["modified"] = str(system.modified(path))
    return {"size": str(info.get("size")), **stamps} if stamps else None

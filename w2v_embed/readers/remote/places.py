"""What a user's path is: a local file, a URL, standard input, an open file, a member of an archive."""

from __future__ import annotations

import io
import os
import re
import shutil
import stat
import sys
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote, urlsplit

from ...shown import quoted
from .streams import OfObject, Stream
from .urls import is_url, shown_url

if TYPE_CHECKING:
    from ..._types import AnyFile, Ids

    Opened: TypeAlias = "io.FileIO | Stream"

_FETCHED = 1 << 20  # bytes at a time
# Where the system shows what a process has open: a pipe there has somebody at its other end.
_OPEN_ALREADY = re.compile(r"/dev/stdin|/dev/fd/\d+|/proc/(self|\d+)/fd/\d+")


class Place:
    """Something that is no local file.

    Attributes:
        name: what it is called, without where it is.
        shown: the same with where it is, for messages: no credentials in it.
        elsewhere: whether other processes can open it, too.
    """

    elsewhere: bool = True

    def __init__(self, shown: str, name: str) -> None:
        self.shown: str = shown
        self.name: str = name

    def open(self) -> Opened:
        """Its bytes, from the first on."""
        raise NotImplementedError

    def identity(self) -> list[str] | None:
        """What differs once it holds something else; None where nobody can tell."""
        return None

    def have(self, begins: Ids, sizes: Ids) -> None:
        """Let stretches of it be where they are read from: only what is fetched piece by piece has to do something."""

    def __str__(self) -> str:
        return self.shown

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.shown}>"


class Url(Place):
    """A file at a URL.

    Args:
        url: where it is.
        first: as of `HttpStream`.
    """

    def __init__(self, url: str, first: int = 0) -> None:
        super().__init__(
            shown_url(url), PurePosixPath(unquote(urlsplit(url).path)).name or urlsplit(url).netloc.rpartition("@")[2]
        )
        self.url: str = url
        self._first = first

    def _is_http(self):
        return re.match(r"https?://", self.url, re.IGNORECASE)

    def open(self) -> Opened:
        if self._is_http():
            from .http import HttpStream

            return HttpStream(self.url, self._first)
        from .files import FsspecStream

        return FsspecStream(self.url)

    def identity(self) -> list[str] | None:
        if self._is_http():
            stream = self.open()
            stream.close()
            found = getattr(stream, "identity", {})
            found = found if found.keys() & {"ETag", "Last-Modified"} else None
        else:
            from .files import identity_of

            found = identity_of(self.url)
        return None if found is None else [self.shown, *(f"{name}: {found[name]}" for name in sorted(found))]


class HubFile(Place):
    """A file of a repository on the Hugging Face Hub: `hf://owner/repo/file@revision`, `hf://datasets/owner/repo/file`.

    Where huggingface_hub is installed, its cache has the file; else it comes by https, each time.
    """

    def __init__(self, url: str) -> None:
        found = re.fullmatch(r"hf://(?:(models|datasets|spaces)/)?([^/@]+/[^/@]+)/([^@]+?)(?:@([^@]+))?", url)
        if found is None:
            raise ValueError(f"expected hf://owner/repo/file, maybe with @revision behind it, received {quoted(url)}")
        self.kind: str = found[1] or "models"
        self.repo: str = found[2]
        self.file: str = found[3]
        self.revision: str | None = found[4]
        super().__init__(url, PurePosixPath(self.file).name)

    def open(self) -> Opened:
        try:
            import huggingface_hub
        except ImportError:
            from .http import HttpStream

            return HttpStream(self.link())
        try:
            path = huggingface_hub.hf_hub_download(
                self.repo, self.file, revision=self.revision, repo_type=self.kind.removesuffix("s")
            )
        except Exception as error:  # many, of its own and of what it uses
            missing = type(error).__name__.endswith("NotFoundError")
            raise (FileNotFoundError if missing else OSError)(
                f"{self.shown}: the Hugging Face Hub does not give it ({type(error).__name__}). Look at the names of the "
                "repository, the file and the revision, and whether you are logged in"
            ) from None
        return open(path, "rb", buffering=0)

    def link(self) -> str:
        """Where the Hub has it."""
        home = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
        kind = "" if self.kind == "models" else f"{self.kind}/"
        return f"{home}/{kind}{self.repo}/resolve/{self.revision or 'main'}/{self.file}"

    def identity(self) -> list[str] | None:
        with self.open() as file:
            path = getattr(file, "name", None)
            if isinstance(file, Stream):
                return Url(self.link()).identity()
        return [self.shown, os.path.realpath(str(path))]  # whose name is the hash of what it holds


class Given(Place):
    """An open binary file that a user handed over; it stays open."""

    elsewhere = False

    def __init__(self, file: Any) -> None:
        name = getattr(file, "name", None)
        name = os.path.basename(name) if isinstance(name, str) and name else f"<{type(file).__name__}>"
        super().__init__(name, name)
        if isinstance(file, io.TextIOBase):
            raise TypeError(
                f'an open file must give bytes, received the text file {quoted(name)}. Open it with mode "rb"'
            )
        self._file, self._begin, self._used = file, None, False
        if callable(getattr(file, "seekable", None)) and file.seekable():
            self._begin = file.tell()

    def open(self) -> Opened:
        if self._begin is None:
            if self._used:
                raise OSError(f"{self.shown} can be read once, and this asks for it again. Save it as a file first")
            self._used = True
            return OfObject(self._file)
        self._file.seek(0, io.SEEK_END)
        size = self._file.tell() - self._begin
        self._file.seek(self._begin)
        return OfObject(self._file, max(size, 0))


class StandardInput(Given):
    """What is piped into this process."""

    def __init__(self) -> None:
        if sys.stdin is None:
            raise OSError("standard input is closed, so nothing can be read from -")
        super().__init__(getattr(sys.stdin, "buffer", sys.stdin))
        self.shown = self.name = "standard input"
        self._begin = None  # a file, too, is read on from where it is


class Pipe(Place):
    """A pipe that this process has open already: what a shell makes of <(command)."""

    elsewhere = False

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), path.name)
        self._path, self._used = path, False

    def open(self) -> Opened:
        if self._used:
            raise OSError(
                f"{self.shown} is a pipe, which can be read once, and this asks for it again. Save it as a file first"
            )
        self._used = True
        file = open(self._path, "rb", buffering=0)  # noqa: SIM115 (closed by the stream)
        return OfObject(file, close=file.close)


class Fetched(Place):
    """A place whose bytes have been fetched into a temporary file, which goes with this object.

    Args:
        place: what it was.
        file: its bytes, from where the file is on.
    """

    elsewhere = False

    def __init__(self, place: Path | Place, file: io.RawIOBase) -> None:
        super().__init__(str(place), place.name)
        number, self._path = tempfile.mkstemp(prefix="w2v_embed.")
        weakref.finalize(self, remove_quietly, self._path)
        with open(number, "wb") as out:
            shutil.copyfileobj(file, out, _FETCHED)

    def open(self) -> Opened:
        return open(self._path, "rb", buffering=0)


def remove_quietly(path: str) -> None:
    """Remove a file, if it can be."""
    with suppress(OSError):
        os.unlink(path)


def place_of(value: AnyFile) -> Path | Place:
    """What a user's path is: a `Path` where it is a local file, or nothing that is known.

    >>> place_of("data/vectors.bin"), place_of("https://me:secret@host/v.zip?token=t#v.txt")
    (PosixPath('data/vectors.bin'), <Member https://host/v.zip?…#v.txt>)
    """
    if isinstance(value, Place):
        return value
    if not isinstance(value, (str, os.PathLike)):
        return Given(value)
    text = os.fspath(value)
    if isinstance(text, bytes):
        raise TypeError(f"a path must be a str, received the bytes {quoted(text)}")
    if text == "-" and isinstance(value, str):
        return StandardInput()
    if is_url(text):
        home, mark, member = text.rpartition("#")
        if mark:
            return _member(place_of(home), unquote(member))
        return HubFile(text) if text.startswith("hf://") else Url(text)
    path = Path(value)
    if _OPEN_ALREADY.fullmatch(text) and path.exists() and stat.S_ISFIFO(path.stat().st_mode):
        return Pipe(path)
    if "#" in text and not path.exists():
        home, _, member = text.rpartition("#")
        if member and Path(home).is_file():
            return _member(Path(home), member)
    return path


def is_file(value: object) -> bool:
    """Whether a value says where a file is, or is an open one."""
    return isinstance(value, (str, os.PathLike, Place)) or (
        callable(getattr(value, "read", None)) and not isinstance(value, type)
    )


def _member(place, name):
    from .members import Member

    return Member(place, name)

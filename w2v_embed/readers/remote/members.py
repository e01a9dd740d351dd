"""Members of archives: `archive.zip#member`, `archive.tar.gz#folder/member`, at any place that an archive can be at.

Of a zip archive that can be read at any place only its list and the member are read; a tar archive is gone through up to the
member. What is in a member may be packed again.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from .places import Place
from .streams import OfObject

if TYPE_CHECKING:
    from ..compression import Source
    from .places import Opened

_TOLD = 8  # members in a message
_RARE = "is packed in a rare way ({}). Unpack it first."


class Member(Place):
    """A file in an archive.

    Args:
        archive: where that is.
        member: its name there.
    """

    def __init__(self, archive: Path | Place, member: str) -> None:
        super().__init__(f"{archive}#{member}", Path(member).name)
        self.archive: Path | Place = archive
        self.member: str = member
        self.elsewhere: bool = not isinstance(archive, Place) or archive.elsewhere

    def open(self) -> Opened:
        from ..compression import Source

        with ExitStack() as stack:
            source = stack.enter_context(Source(self.archive, members=True, keeps=True))
            if source.compression == "zip" and not source.file.seekable():
                source = stack.enter_context(source.fetched(members=True))
            source.settle()
            stream = self._in_zip(source) if source.compression == "zip" else self._in_tar(source)
            kept = stack.pop_all()
        return OfObject(stream, close=kept.close)

    def identity(self) -> list[str] | None:
        if isinstance(self.archive, Place):
            found = self.archive.identity()
            return found and [*found, self.member]
        status = self.archive.stat()
        return [
            str(self.archive.resolve()),
            *map(str, (status.st_size, status.st_ino, status.st_dev)),
            str(status.st_mtime_ns),
            str(status.st_ctime_ns),
            self.member,
        ]

    def _in_zip(self, source):
        from ..compression import Buffered, refuse_dropped

        try:
            archive = zipfile.ZipFile(Buffered(source.file))
        except Exception as error:  # zipfile lets seek, struct and decoding errors through
            refuse_dropped(source.file)
            raise ValueError(f"{self.archive} is a damaged zip archive ({error}). Download it again.") from error
        names = [name for name in archive.namelist() if name[-1:] != "/"]
        if self.member not in names:
            raise self._missing(names)
        info = archive.getinfo(self.member)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{self} {_RARE.format(info.compress_type)}")
        try:
            return _Checked(archive.open(info), self)
        except (RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:  # a password, …
            raise ValueError(f"{self} cannot be unpacked ({error}). Unpack it first.") from error

    def _in_tar(self, source):
        from ..compression import Buffered

        names = []
        try:
            archive = tarfile.open(fileobj=Buffered(_Unpacked(source)), mode="r|")  # noqa: SIM115 (it has nothing open)
            for entry in archive:
                if entry.isfile() and entry.name.removeprefix("./") == self.member.removeprefix("./"):
                    return _Checked(archive.extractfile(entry), self)
                names += [entry.name] if entry.isfile() else []
        except (tarfile.TarError, EOFError) as error:
            if source.damage:
                raise ValueError(f"{self.archive}: {source.damage}. Download it again.") from error
            if names:
                raise ValueError(f"{self.archive} is a damaged tar archive ({error}). Download it again.") from error
            raise ValueError(
                f"{self.archive} is no zip or tar archive ({error}); what stands behind # names a member of one"
            ) from error
        if source.damage:
            raise ValueError(f"{self.archive}: {source.damage}. Download it again.")
        raise self._missing(names)

    def _missing(self, names):
        told = ", ".join(names[:_TOLD]) + (" …" if len(names) > _TOLD else "") or "none"
        return FileNotFoundError(f"{self.archive} has no member {self.member}; it has {told}")


class _Checked:
    """A member as it is read; its errors name it."""

    def __init__(self, file, member):
        self._file, self._member = file, member

    def read(self, n):
        try:
            return self._file.read(n)
        except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
            raise ValueError(f"{self._member} is cut or damaged ({error}). Download it again.") from error
        except Exception as error:
            if type(error).__module__ == "zlib":
                raise ValueError(f"{self._member} is damaged ({error}). Download it again.") from error
            raise


class _Unpacked(io.RawIOBase):
    """A `Source` as a file."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, view: memoryview) -> int:  # type: ignore[override]
        return self._source.readinto(view)

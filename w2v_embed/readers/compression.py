"""Bytes out of a file, whatever it is packed in: found from its first bytes, never from its name, and streamed."""

from __future__ import annotations

import bz2
import io
import lzma
import os
import stat
import struct
import sys
import zipfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .remote import Place, Stream, place_of
from .remote.places import Fetched
from .remote.streams import DroppedError

if TYPE_CHECKING:
    from .._types import AnyFile, Ids

_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"]\0\0": "lzma",  # what came before .xz; as other programs know it
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x50\x2a\x4d\x18": "zstd",  # pzstd writes how long a frame is before it
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",  # an empty archive
}
# What may come out of a packed file for each byte that is in it; only used to tell small files from big ones.
_USUAL_RATIO = 3
# An .xz file says how much memory unpacking it takes: up to 4 GB. `xz -9` makes files that take 65 MB.
_MOST_XZ_MEMORY = 1 << 28
_PIECE = 1 << 16
_UNKNOWN = 1 << 30  # for the size of what says none
# The first bytes to unpack at a time, then twice as many, up to a piece: what comes out together with an error is lost.
_FIRST_PIECE = 1 << 9
_ZIP_ENTRY = struct.Struct("<4s5H3I2H")  # before each file in an archive
_ARTIFACT = {"matrix.npy", "metadata.npy"}  # members of every .npz that EmbeddingMatrix.save wrote


def compression_of(head: bytes) -> str | None:
    """Name of the compression whose magic bytes `head` begins with, or None.

    >>> compression_of(b"BZh91AY&SY")
    'bzip2'
    """
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


def zstd_module() -> Any:
    """Python's zstd."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


class Source:
    """A file as a stream of unpacked bytes.

    Args:
        path: the file, or what else `place_of` knows.
        threads: how many threads may unpack it.
        file: the number of the file where it is open already.
        keeps: whether it may be `fetched` later; until `settle`.
        members: whether a zip archive is left as it is, whatever is in it.

    Attributes:
        path: a `Path`, or a `Place`.
        compression: its name, or None.
        size: bytes, packed as they are; 0 where nobody says.
        damage: what is wrong with the compressed stream, once a read has met it; else None.
        reached: where the file is read at any place, the byte up to which it has been; else None.

    Raises:
        FileNotFoundError, IsADirectoryError, ValueError: there is no file, or nothing in it that can be streamed.
    """

    reached: int | None = None

    def __init__(
        self,
        path: AnyFile,
        threads: int = 1,
        file: int | None = None,
        *,
        keeps: bool = False,
        members: bool = False,
    ) -> None:
        self.path: Path | Place = place_of(path)
        self._threads = threads
        self._file = _opened(self.path, file)
        try:
            self.size: int = self._size()
            self.damage: str | None = None
            self._most = _FIRST_PIECE
            self._file.seek(0)
            self.compression: str | None = compression_of(_beginning(self._file, 8))
            self._file.seek(0)
            self._stream = self._file if members and self.compression == "zip" else self._open(threads)
            if not keeps:
                self.settle()
        except BaseException:
            self._file.close()
            raise

    def _size(self):
        if isinstance(self._file, Stream):
            return self._file.size or 0
        return os.fstat(self._file.fileno()).st_size

    @property
    def local(self) -> bool:
        """Whether it is a file of the system, which can be read at any place."""
        return isinstance(self._file, io.FileIO)

    def fileno(self) -> int:
        """The number of the open file."""
        return self._file.fileno()

    @property
    def file(self) -> Any:
        """The open file, packed as it is: an `io.FileIO` where it is `local`, else a `Stream`."""
        return self._file

    def settle(self) -> None:
        """Nobody will ask for it to be `fetched`: what was read is not kept any longer."""
        if isinstance(self._file, Stream):
            self._file.forget()

    def fetched(self, *, members: bool = False) -> Source:
        """The same from its beginning on, out of a temporary file, which goes when that is closed; this one is closed."""
        with self:
            return Source(self._fetched_place(), self._threads, members=members)

    def _fetched_place(self):
        self._file.seek(0)
        self.settle()
        return Fetched(self.path, self._file)

    def _open(self, threads):
        # Each library is imported by the files that need it: together they would cost more than NumPy.
        if self.compression is None:
            return self._file
        if self.compression == "bzip2" and not self.local:
            return _Streams(self._file, bz2.BZ2Decompressor)
        if self.compression == "bzip2":
            from .bzip2 import Bzip2File

            # Each thread keeps some unpacked blocks, which hold up to 46 MB where somebody wants it so: 4 threads, 0.3 GB.
            return Bzip2File(self._file, min(threads, 4) if self.size > _PIECE else 1)
        if self.compression == "gzip":
            from isal.igzip_lib import DECOMP_GZIP, IgzipDecompressor

            return _Streams(self._file, partial(IgzipDecompressor, DECOMP_GZIP))
        if self.compression in ("xz", "lzma"):
            kind = lzma.FORMAT_XZ if self.compression == "xz" else lzma.FORMAT_ALONE
            return _Streams(self._file, partial(lzma.LZMADecompressor, kind, memlimit=_MOST_XZ_MEMORY))
        if self.compression == "zstd":
            return _Streams(self._file, zstd_module().ZstdDecompressor)
        return self._open_zip()

    def _open_zip(self):
        if not self._file.seekable():  # its list of files stands at its end
            self.path = self._fetched_place()
            self._file = self.path.open()
        try:
            archive = zipfile.ZipFile(self._file if self.local else Buffered(self._file))
        except Exception as error:  # zipfile lets seek, struct and decoding errors through
            refuse_dropped(self._file)
            first = self._open_cut_zip()
            if first:
                return first
            raise ValueError(f"{self.path} is a damaged zip archive ({error}). Download it again.") from error
        # (ZipInfo.is_dir fails where a name is empty)
        members = [m for m in archive.infolist() if m.filename[-1:] != "/" and not m.filename.startswith("__MACOSX/")]
        names = [m.filename for m in members]
        if set(names) >= _ARTIFACT:
            self.compression = None
            self._file.seek(0)
            return self._file
        if len(members) != 1 or names[0].endswith(".npy"):
            if names and all(name.endswith(".npy") for name in names):
                what = "NumPy arrays (.npz), which have no words. Put both together: kv.add_vectors(words, array) of gensim"
            elif any(name.endswith("data.pkl") for name in names):
                what = "a PyTorch file. Export its vectors as word2vec text"
            else:
                inside = f": {', '.join(names[:5])}" if names else ""
                named = f", or name it, as {self.path}#{names[0]}" if names else ""
                many = f"a zip archive of {len(members)} files; expected one file of word vectors"
                what = f"{many}. Unpack the one{inside}{named}"
            raise ValueError(f"{self.path} is {what}.")
        if members[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # zipfile unpacks the rarer methods 4 kB at a time, whatever these turn into: gigabytes, if somebody wants it so.
            raise ValueError(
                f"{self.path}: {names[0]} is packed in a rare way ({members[0].compress_type}). Unpack it first."
            )
        try:
            return archive.open(members[0])
        except Exception as error:  # a password, a damaged entry, or as above
            raise ValueError(f"{self.path}: {names[0]} cannot be unpacked ({error}). Unpack it first.") from error

    def _open_cut_zip(self):
        """The first file of an archive whose list of files, at its end, is lost; None where it cannot be unpacked."""
        self._file.seek(0)
        entry = self._file.read(_ZIP_ENTRY.size)
        if len(entry) < _ZIP_ENTRY.size:
            return None
        magic, _, flags, method, *_, n_name, n_more = _ZIP_ENTRY.unpack(entry)
        name = self._file.read(n_name)
        self._file.seek(n_more, io.SEEK_CUR)
        if magic != b"PK\3\4" or flags & 1 or method != zipfile.ZIP_DEFLATED or name.endswith((b".npy", b".pkl", b"/")):
            return None
        from isal.igzip_lib import DECOMP_DEFLATE, IgzipDecompressor

        return _Streams(
            self._file, partial(IgzipDecompressor, DECOMP_DEFLATE), "the archive's list of files is missing"
        )

    def readinto(self, view: memoryview) -> int:
        """Fill `view` as far as the stream goes. Returns the bytes written: fewer than asked for only at the end of the stream,
        which also comes where the stream is broken; `damage` then says how."""
        n = 0
        while n < len(view) and self.damage is None:
            got = self._read_some(view[n:])
            if not got:
                break
            n += got
        return n

    def _read_some(self, view):
        if self.compression is None:
            return self._file.readinto(view)
        try:
            got = self._stream.readinto(view[: self._most])
        except (MemoryError, DroppedError):  # which is no damage: it may be there the next time
            raise
        except Exception as error:  # each library has its own ways to say so
            self.damage = f"the {self.compression} stream is cut or damaged ({error})"
            return 0
        self._most = min(2 * self._most, _PIECE)
        return got

    def position(self) -> int:
        """Bytes of the file, as it lies on disk, that have been read: what a progress bar should show."""
        if self.compression == "bzip2" and self.local:
            return self._stream.position
        return self._file.tell() if self.reached is None else self.reached

    @property
    def at_any_place(self) -> bool:
        """Whether it can be read from any byte on: it is not packed, nor something that flows by."""
        return self.compression is None and self._file.seekable()

    def go_to(self, byte: int) -> None:
        """Read on from a byte of a file that can be read at any place."""
        self._file.seek(byte)

    def have(self, begins: Ids, sizes: Ids) -> None:
        """Say what will be read at its place: of a file that is fetched piece by piece that must be there first."""
        if isinstance(self.path, Place):
            self.path.have(begins, sizes)

    def usual_unpacked_size(self) -> int:
        """A guess at the unpacked size, in bytes; exact where nothing is packed."""
        if not self.size and not self.local:
            return _UNKNOWN
        return self.size if self.compression is None else self.size * _USUAL_RATIO

    def close(self) -> None:
        """Close the file."""
        if self._stream is not self._file:
            self._stream.close()
        self._file.close()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _opened(path, file):
    """The file at a place, or the one that is open already, without a buffer."""
    if file is not None:
        return open(os.dup(file), "rb", buffering=0)
    if isinstance(path, Place):
        return path.open()
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder{_about_folder(path)}")
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        raise ValueError(
            f"{path} is a pipe or a device; expected a file, which can be looked at first. Write one, or pass - and pipe into "
            "this program."
        )
    return open(path, "rb", buffering=0)


def refuse_dropped(file: io.RawIOBase) -> None:
    """Raise what a stream raised before, where a library took that for another error."""
    if isinstance(file, Stream) and file.failed:
        raise file.failed from None


def _beginning(file, n):
    """The first bytes of a file: a pipe gives them as they come."""
    head = b""
    while len(head) < n and (data := file.read(n - len(head))):
        head += data
    return head


def _about_folder(path):
    """What lies in a folder, and what to do."""
    names = sorted(entry.name for entry in path.iterdir())
    if {"key2row", "vectors"} <= set(names) or (path / "vocab" / "vectors").is_file():
        return (
            " with spaCy vectors. Export them: nlp = spacy.load(folder), then for each key and row of nlp.vocab.vectors a line "
            "`nlp.vocab.strings[key] numbers`"
        )
    if "config.json" in names or "bert_config.json" in names:
        return " with a model, not word vectors. Load it with w2v_embed.contextual.ContextualEncoder.from_pretrained"
    inside = f"It holds {', '.join(names[:5])}{' …' if len(names) > 5 else ''}" if names else "It is empty"
    return f"; expected a file of word vectors. {inside}. Name the file inside it."


class Buffered(io.BufferedReader):
    """A stream, read in larger pieces by who jumps about in it; it stays open."""

    def __init__(self, file: io.RawIOBase) -> None:
        super().__init__(file, 4 * _PIECE)

    def close(self) -> None:
        pass


class OneWay:
    """A source that is read as it flows by, whatever it is: not at any place."""

    def __init__(self, source: Source) -> None:
        self.path: Path | Place = source.path
        self._source = source

    @property
    def damage(self) -> str | None:
        """As that of `Source`."""
        return self._source.damage

    def readinto(self, view: memoryview) -> int:
        """As that of `Source`."""
        return self._source.readinto(view)


class _Streams(io.RawIOBase):
    """The data of packed streams that follow one another; behind the last one there may be zeros.

    Args:
        file: an open binary file.
        make: callable without arguments → a decompressor, as those of `lzma` are.
        missing: what the file lacks behind its first stream, the last one, or None.
    """

    def __init__(self, file, make, missing=None):
        self._file, self._make, self._missing, self._unpack = file, make, missing, None

    def readable(self):
        return True

    def readinto(self, view):
        packed = b""
        while True:
            if self._unpack is None or self._unpack.eof:
                if self._unpack and self._missing:
                    raise EOFError(self._missing)
                packed = self._unpack.unused_data.lstrip(b"\0") if self._unpack else self._file.read(_PIECE)
                while not packed:
                    packed = self._file.read(_PIECE)
                    if not packed:
                        return 0
                    packed = packed.lstrip(b"\0")
                self._unpack = self._make()
            ended = False
            if not packed and self._unpack.needs_input:
                packed = self._file.read(_PIECE)
                ended = not packed
            data = self._unpack.decompress(packed, len(view))
            packed = b""
            if data:
                view[: len(data)] = data
                return len(data)
            if ended and not self._unpack.eof:  # isal before 1.9 asks for input while it still has data to give
                raise EOFError("it ends in the middle of a stream")

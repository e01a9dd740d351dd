"""Bytes out of a file, whatever it is packed in: found from its first bytes, never from its name, and streamed."""

from __future__ import annotations

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

if TYPE_CHECKING:
    from .._types import StrPath

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
        path: the file.
        threads: how many threads may unpack it.
        file: the number of the file where it is open already.

    Attributes:
        compression: its name, or None.
        size: bytes on disk.
        damage: what is wrong with the compressed stream, once a read has met it; else None.
        reached: where the file is read at any place, the byte up to which it has been; else None.

    Raises:
        FileNotFoundError, IsADirectoryError, ValueError: there is no file, or nothing in it that can be streamed.
    """

    reached: int | None = None

    def __init__(self, path: StrPath, threads: int = 1, file: int | None = None) -> None:
        self.path: Path = Path(path)
        if self.path.is_dir():
            raise IsADirectoryError(f"{self.path} is a folder{_about_folder(self.path)}")
        if self.path.exists() and not stat.S_ISREG(self.path.stat().st_mode):
            raise ValueError(
                f"{self.path} is a pipe or a device; expected a file, which can be looked at first. Write one."
            )
        self._file = open(self.path if file is None else os.dup(file), "rb", buffering=0)  # noqa: SIM115 (closed by close)
        try:
            self.size: int = os.fstat(self._file.fileno()).st_size
            self.damage: str | None = None
            self._most = _FIRST_PIECE
            self._file.seek(0)
            self.compression: str | None = compression_of(self._file.read(8))
            self._file.seek(0)
            self._stream = self._open(threads)
        except BaseException:
            self._file.close()
            raise

    def fileno(self) -> int:
        """The number of the open file."""
        return self._file.fileno()

    @property
    def file(self) -> io.FileIO:
        """The open file, as it lies on disk."""
        return self._file

    def _open(self, threads):
        # Each library is imported by the files that need it: together they would cost more than NumPy.
        if self.compression is None:
            return self._file
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
        try:
            archive = zipfile.ZipFile(self._file)
        except Exception as error:  # zipfile lets seek, struct and decoding errors through
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
                what = (
                    f"a zip archive of {len(members)} files; expected one file of word vectors. Unpack the one{inside}"
                )
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
        except MemoryError:
            raise
        except Exception as error:  # each library has its own ways to say so
            self.damage = f"the {self.compression} stream is cut or damaged ({error})"
            return 0
        self._most = min(2 * self._most, _PIECE)
        return got

    def position(self) -> int:
        """Bytes of the file, as it lies on disk, that have been read: what a progress bar should show."""
        if self.compression == "bzip2":
            return self._stream.position
        return self._file.tell() if self.reached is None else self.reached

    @property
    def at_any_place(self) -> bool:
        """Whether it can be read from any byte on: it is not packed."""
        return self.compression is None

    def go_to(self, byte: int) -> None:
        """Read on from a byte of a file that can be read at any place."""
        self._file.seek(byte)

    def usual_unpacked_size(self) -> int:
        """A guess at the unpacked size, in bytes; exact where nothing is packed."""
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
            elif self._unpack.needs_input:
                packed = self._file.read(_PIECE)
                if not packed:
                    raise EOFError("it ends in the middle of a stream")
            data = self._unpack.decompress(packed, len(view))
            packed = b""
            if data:
                view[: len(data)] = data
                return len(data)

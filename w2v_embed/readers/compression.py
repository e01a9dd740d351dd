"""Bytes out of a file, whatever it is packed in: found from its first bytes, never from its name, and streamed."""

import codecs
import lzma
import os
import sys
import zipfile
from pathlib import Path

_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",  # an empty archive
}
# What may come out of a packed file for each byte that is in it; only used to tell small files from big ones.
_USUAL_RATIO = 3


def compression_of(head):
    """Name of the compression whose magic bytes `head` begins with, or None.

    >>> compression_of(b"BZh91AY&SY")
    'bzip2'
    """
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


class Source:
    """A file as a stream of unpacked bytes.

    Args:
        path: the file.
        threads: how many threads may unpack it.

    Attributes:
        compression: its name, or None.
        size: bytes on disk.
        damage: what is wrong with the compressed stream, once a read has met it; else None.

    Raises:
        FileNotFoundError, IsADirectoryError, ValueError: there is no file, or nothing in it that can be streamed.
    """

    def __init__(self, path, threads=1):
        self.path = Path(path)
        if self.path.is_dir():
            raise IsADirectoryError(
                f"{self.path} is a folder; expected a file of word vectors. Name the file inside it."
            )
        self._file = open(self.path, "rb", buffering=0)  # noqa: SIM115 (closed by close)
        try:
            self.size = os.fstat(self._file.fileno()).st_size
            self.damage = None
            self.compression = compression_of(self._file.read(8))
            self._file.seek(0)
            self._stream = self._open(threads)
        except BaseException:
            self._file.close()
            raise

    def _open(self, threads):
        # Each library is imported by the files that need it: together they would cost more than NumPy.
        if self.compression is None:
            return self._file
        if self.compression == "gzip":
            from isal import igzip_threaded

            return igzip_threaded.open(self._file, "rb")
        if self.compression == "bzip2":
            from rapidgzip import IndexedBzip2File

            return IndexedBzip2File(str(self.path), parallelization=threads)
        if self.compression == "xz":
            return lzma.open(self._file)
        if self.compression == "zstd":
            if sys.version_info >= (3, 14):
                from compression import zstd
            else:
                from backports import zstd

            return zstd.open(self._file)
        return self._open_zip()

    def _open_zip(self):
        try:
            archive = zipfile.ZipFile(self._file)
        except zipfile.BadZipFile as error:
            raise ValueError(f"{self.path} is a damaged zip archive ({error}). Download it again.") from error
        members = [m for m in archive.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX/")]
        if len(members) != 1:
            raise ValueError(
                f"{self.path} is a zip archive of {len(members)} files; expected one file of word vectors. "
                f"Unpack the one you want{': ' + ', '.join(m.filename for m in members[:5]) if members else ''}."
            )
        try:
            return archive.open(members[0])
        except (RuntimeError, NotImplementedError) as error:  # a password, or a method that zipfile does not know
            raise ValueError(
                f"{self.path}: {members[0].filename} cannot be unpacked ({error}). Unpack it first."
            ) from error

    def readinto(self, view):
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
            return self._stream.readinto(view)
        except Exception as error:  # each library has its own ways to say so; rapidgzip throws bare RuntimeErrors
            if isinstance(error, MemoryError):
                raise
            self.damage = f"the {self.compression} stream is cut or damaged ({error})"
            return 0

    def position(self):
        """Bytes of the file, as it lies on disk, that have been read: what a progress bar should show."""
        if self.compression == "bzip2":
            return self._stream.tell_compressed() // 8
        return self._file.tell()

    def usual_unpacked_size(self):
        """A guess at the unpacked size, in bytes; exact where nothing is packed."""
        return self.size if self.compression is None else self.size * _USUAL_RATIO

    def close(self):
        """Close the file."""
        if self._stream is not self._file:
            self._stream.close()
        self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Transcoded:
    """A source of text in another encoding, as UTF-8: the readers then know only one encoding.

    Args:
        source: a `Source`.
        encoding: what it is in.
        head: bytes that were read from it already.
    """

    def __init__(self, source, encoding, head=b""):
        self.path = source.path
        self._source, self._encoding, self._head = source, encoding, head
        self._decode = codecs.getincrementaldecoder(encoding)().decode
        self._ready = b""
        self._ended = False
        self._read = 0

    @property
    def damage(self):
        """As `Source.damage`."""
        return self._source.damage

    def readinto(self, view):
        """As `Source.readinto`; the bytes are UTF-8."""
        n = 0
        while n < len(view) and (self._ready or not self._ended):
            if not self._ready:
                self._ready = self._more()
            part = self._ready[: len(view) - n]
            view[n : n + len(part)] = part
            self._ready = self._ready[len(part) :]
            n += len(part)
        return n

    def _more(self):
        raw, self._head = self._head, b""
        if not raw:
            buffer = bytearray(1 << 18)
            raw = bytes(buffer[: self._source.readinto(memoryview(buffer))])
            self._ended = len(raw) < len(buffer)
        try:
            text = self._decode(raw, self._ended and self.damage is None)
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{self.path}: not {self._encoding} near byte {self._read + error.start} of the text ({error.reason}: "
                f"{error.object[error.start : error.start + 4]!r}). Pass the encoding that the file is in."
            ) from error
        self._read += len(raw)
        return text.encode("utf-8", "surrogatepass")

"""A file of word vectors → another format: word2vec text or binary, packed or not, or an artifact for `EmbeddingMatrix.load`.

The file is read twice, and neither time kept: first the words and a checksum of the numbers, which the header needs and which
shows damage before anything is written, then the vectors, which must be those that the checksum is of.
"""

import bz2
import gzip
import lzma
import os
import sys
import zipfile
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from ..output import check_writable, write_atomically
from ..parts import FIRST_SOURCE
from ..shown import plain_errors
from ..store import checksum_of, crc32, metadata_of, safetensors_header
from .damage import Damage, Damages
from .formats.text import read_line
from .load import first_of_equal
from .opened import Opened

_KINDS = {".txt": "text", ".vec": "text", ".bin": "binary", ".safetensors": "safetensors"}
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")


@plain_errors
def convert(source, target, *, encoding="utf-8", on_error="raise", progress=None, trust=False):
    """Write the vectors of `source` to `target`, whose name says how.

    Args:
        source: a path, see `load_vectors`.
        target: a path that ends in .txt or .vec (word2vec text, UTF-8), .bin (word2vec binary), either with .gz, .bz2, .xz,
            .zst or .zip behind it, or in .safetensors (an artifact: word i has id i). It takes its name when it is whole.
        encoding, on_error, progress, trust: as for `load_vectors`. With "skip" also words that `target` cannot hold are left
            out: with a space in a binary file, with a newline.

    Returns:
        (words written, numbers a word, the `DamageReport`)

    Raises:
        FileNotFoundError, ValueError: as `load_vectors`; or the name of `target` says no format, or a word cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     convert("data/vectors.txt.bz2", f"{folder}/vectors.bin")[:2]
        (11000, 100)
    """
    kind, packing = check_target(target)

    with ExitStack() as stack:

        def read(sink, file=None):
            """Both times the same file, though its name may belong to another one meanwhile."""
            with Opened(source, encoding=encoding, on_error=on_error, trust=trust, file=file) as opened:
                if file is None:
                    stack.callback(os.close, file := os.dup(opened.source.fileno()))
                opened.look_for(None)
                sink.dim = opened.dim
                opened.run(sink, progress, log=sink is words)  # what is wrong is told once
            return file, opened.report

        words = _Words(kind)
        file, report = read(words)
        if not words.kept:
            raise ValueError(f"{source} has no word that {target} could hold; nothing was written.")
        shape = len(words.kept), words.dim

        def write(out):
            with _packed(out, packing, Path(target)) as stream:
                if kind == "safetensors":
                    word_index = {word: k for k, word in enumerate(words.kept)}
                    metadata = metadata_of(word_index, [FIRST_SOURCE] * shape[0], [(Path(source).name, None)], None)
                    metadata["checksum"] = checksum_of(metadata, shape, np.float32, words.crc)
                    stream.write(safetensors_header(shape, np.float32, metadata))
                else:
                    stream.write(b"%d %d\n" % shape)
                copy = _Copy(kind, words.kept, stream)
                read(copy, file)
                if (copy.count, copy.dim, copy.crc) != (*shape, words.crc):
                    raise ValueError(
                        f"{source} changed while it was read: of {shape[0]} words {copy.count} came, or other numbers. "
                        "Nothing was written."
                    )

        write_atomically(target, write)
    return *shape, report


def check_target(path):
    """What the name of a file to be written says → (kind, packing or "").

    >>> check_target("sgns.txt.bz2")
    ('text', '.bz2')
    """
    path = Path(path)
    packing = path.suffix if path.suffix in _PACKED else ""
    suffix = Path(path.stem).suffix if packing else path.suffix
    if suffix not in _KINDS or (packing and suffix == ".safetensors"):
        raise ValueError(
            f"the name of the output must end in {', '.join(_KINDS)}; the first three may have {', '.join(_PACKED)} "
            f"behind them; received {str(path)!r}"
        )
    check_writable(path)
    return _KINDS[suffix], packing


@contextmanager
def _packed(file, packing, target):
    """A stream that packs what is written to it into `file`."""
    if packing == ".gz":
        stream = gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=6, mtime=0)
    elif packing == ".bz2":
        stream = bz2.BZ2File(file, "wb")
    elif packing == ".xz":
        stream = lzma.LZMAFile(file, "wb")  # noqa: SIM115 (closed below)
    elif packing == ".zst":
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
        stream = zstd.open(file, "wb", options={zstd.CompressionParameter.checksum_flag: 1})
    elif packing == ".zip":
        with (
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open(target.stem, "w", force_zip64=True) as stream,
        ):
            yield stream
        return
    else:
        yield file
        return
    with stream:
        yield stream


class _Words:
    """The words that the target can hold, in the order of the file, and the CRC-32 of their vectors."""

    def __init__(self, kind):
        self.kind, self.kept, self.crc = kind, {}, 0

    @property
    def count(self):
        return len(self.kept)

    def add(self, block):
        keep, again = first_of_equal(block.words, block, self.kept)
        rows = []
        for k in range(len(block.words)) if keep is None else keep:
            why = _why_not(block.words[k], self.kind, self.dim)
            if why:
                message = f"the word {block.words[k]!r} {why}"
                again.add(Damage("unwritable word", message, int(block.where[k]), int(block.begins[k])))
            else:
                self.kept[block.words[k]] = None
                rows.append(k)
        self.crc = crc32(block.rows[rows].tobytes(), self.crc)
        return None, again


def _why_not(word, kind, dim):
    """Why a file of `kind` cannot hold `word`; None where it can."""
    if kind == "safetensors" or (word.isalnum() and word):
        return None
    try:
        written = word.encode()
    except UnicodeEncodeError:
        return "is not Unicode text"
    if kind == "binary":
        return "holds a space or a newline, which word2vec's binary format cannot" if {32, 10} & set(written) else None
    if min(written) > 32 or (10 not in written and read_line(written + b" 0" * dim, dim)[0] == written):
        return None
    return "would be read back as something else than a word"


class _Copy:
    """Writes the vectors of `words`, which come in the order of the file."""

    def __init__(self, kind, words, stream):
        self.kind, self.stream, self.count, self.crc = kind, stream, 0, 0
        self._words = iter(words)
        self._next = next(self._words)

    def add(self, block):
        rows = []
        for k, word in enumerate(block.words):
            if word == self._next:
                rows.append(k)
                self._next = next(self._words, None)
        self.count += len(rows)
        vectors = block.rows[rows]
        self.crc = crc32(vectors.tobytes(), self.crc)
        if self.kind == "safetensors":
            self.stream.write(vectors.tobytes())
        elif self.kind == "binary":
            for k, vector in zip(rows, vectors):
                self.stream.write(b"%b %b\n" % (block.words[k].encode(), vector.tobytes()))
        else:
            # The shortest decimals that read back as the same float32.
            for k, numbers in zip(rows, vectors.astype("S").tolist()):
                self.stream.write(b"%b %b\n" % (block.words[k].encode(), b" ".join(numbers)))
        return None, Damages()

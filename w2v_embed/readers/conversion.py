"""A file of word vectors → another format: word2vec text or binary, packed or not, or an artifact for `EmbeddingMatrix.load`.

The file is read twice, and neither time kept: first the words and checksums of the numbers, which the header needs and which
shows damage before anything is written, then the vectors, which must be those that the checksums are of.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import zipfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..output import check_writable, write_atomically
from ..shown import plain_errors
from ..summed import Summing
from .blocks import first_of_equal
from .compression import zstd_module
from .damage import Damage, Damages
from .formats import TABLE
from .opened import Opened
from .remote import place_of

if TYPE_CHECKING:
    from .._types import AnyFile, FormatName, OnError, Progress, StrPath
    from .damage import DamageReport
    from .formats import Format

_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")


@plain_errors
def convert(
    source: AnyFile,
    target: StrPath,
    *,
    format: FormatName | None = None,
    encoding: str = "utf-8",
    on_error: OnError = "raise",
    progress: Progress = None,
    trust: bool = False,
) -> tuple[int, int, DamageReport]:
    """Write the vectors of `source` to `target`, whose name says how.

    Args:
        source: a path, see `load_vectors`.
        target: a path that ends in .txt or .vec (word2vec text, UTF-8), .bin (word2vec binary), either with .gz, .bz2, .xz,
            .zst or .zip behind it, or in .safetensors (an artifact: word i has id i). It takes its name when it is whole.
        format, encoding, on_error, progress, trust: as for `load_vectors`. With "skip" also words that `target` cannot hold are
            left out: with a space in a binary file, with a newline.

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
    kind, packing, source = *check_target(target), place_of(source)
    with ExitStack() as stack:

        def read(sink, file=None):
            """Both times the same file, though its name may belong to another one meanwhile."""
            with Opened(source, format, encoding, on_error, trust, file, here=True) as opened:
                if file is None:
                    stack.callback(os.close, file := os.dup(opened.source.fileno()))
                opened.look_for(None)
                sink.dim, sink.summing = opened.dim, Summing(opened.dim, np.float32)
                opened.run(sink, progress, log=sink is words)  # what is wrong is told once
            return file, opened.report

        file, report = read(words := _Words(kind))
        if not words.kept:
            raise ValueError(f"{source} has no word that {target} could hold; nothing was written.")

        def write(out):
            with _packed(out, packing, Path(target)) as stream:
                stream.write(kind.header(words.kept, words.dim, source=source.name, sums=words.summing.sums()))
                copy = _Copy(kind, words.kept, stream)
                read(copy, file)
            same = copy.summing.sums().tobytes() == words.summing.sums().tobytes()
            if (copy.count, copy.dim) != (words.count, words.dim) or not same:
                raise ValueError(
                    f"{source} changed while it was read: of {words.count} words {copy.count} came, or other numbers. "
                    "Nothing was written."
                )

        write_atomically(target, write)
    return words.count, words.dim, report


def check_target(path: StrPath) -> tuple[Format, str]:
    """What the name of a file to be written says → (its format, the suffix of a compression or "").

    >>> target, packing = check_target("sgns.txt.bz2")
    >>> target.name, packing
    ('text', '.bz2')
    """
    path = Path(path)
    formats = {suffix: one for one in reversed(TABLE) for suffix in one.suffixes}
    packing = path.suffix if path.suffix in _PACKED else ""
    found = formats.get(Path(path.stem).suffix if packing else path.suffix)
    if found is None or (packing and not found.packable):
        packable = [suffix for suffix, one in formats.items() if one.packable]
        raise ValueError(
            f"the name of the output must end in {', '.join(formats)}; {', '.join(packable)} may have {', '.join(_PACKED)} "
            f"behind them; received {str(path)!r}"
        )
    check_writable(path)
    return found, packing


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
        zstd = zstd_module()
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
    """The words that the target can hold, in the order of the file, and the sums of their vectors."""

    def __init__(self, format):
        self.format, self.kept, self.dim = format, {}, 0

    @property
    def count(self):
        return len(self.kept)

    def add(self, block):
        keep, wrong = first_of_equal(block.words, block, self.kept)
        rows = []
        for k in range(len(block.words)) if keep is None else keep:
            why = self.format.why_not(block.words[k], self.dim)
            if why:
                message = f"the word {block.words[k]!r} {why}"
                wrong.add(Damage("unwritable word", message, int(block.where[k]), int(block.begins[k])))
            else:
                self.kept[block.words[k]] = None
                rows.append(k)
        self.summing.add(block.rows[rows])
        return None, wrong


class _Copy:
    """Writes the vectors of `words`, which come in the order of the file."""

    def __init__(self, format, words, stream):
        self.format, self.stream, self.count, self.dim = format, stream, 0, 0
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
        self.summing.add(vectors)
        self.stream.write(self.format.rows([block.words[k] for k in rows], vectors))
        return None, Damages()

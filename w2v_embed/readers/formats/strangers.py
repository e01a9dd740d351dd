"""What is no file of word vectors: what it is instead, and the way out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..compression import compression_of
from ..line import is_number

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ..remote import Place

_WEB_PAGE = "a web page. The download failed: fetch the file itself"
_JSON = "JSON. Write one word a line with its numbers behind it, parted by spaces"

# first bytes (in lower case, after white space) → what that is, and what to do
_STRANGERS = (
    (b"<!doctype", _WEB_PAGE),
    (b"<html", _WEB_PAGE),
    (b"<head", _WEB_PAGE),
    (b"<!--", _WEB_PAGE),
    (b"<?xml", "an XML document. The download failed: fetch the file itself"),
    (b"version https://git-lfs", "a Git LFS pointer. Fetch the file it stands for: git lfs pull"),
    (b"{", _JSON),
    (b"[", _JSON),
    (
        b"\x93numpy",
        "a NumPy array without words. Put both together with gensim: kv.add_vectors(words, numpy.load(file))",
    ),
    (b"fifu", "finalfusion's format. Convert it: finalfusion convert -f finalfusion -t word2vec IN OUT"),
    (b"\x89hdf", "an HDF5 file. Export its vectors as word2vec text"),
    (b"sqlite format 3\0", "an SQLite database (Magnitude's format?). Export its vectors as word2vec text"),
    (b"par1", "a Parquet file. Export its vectors as word2vec text"),
    (b"arrow1", "an Arrow file. Export its vectors as word2vec text"),
    (b"%pdf", "a PDF document"),
    (b"\x7felf", "a program"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive. Unpack it (7z x) and name the file inside"),
    (b"rar!", "a RAR archive. Unpack it and name the file inside"),
    (b"\x04\x22\x4d\x18", "an lz4 file. Unpack it first: lz4 -d"),
    (b"\x1f\x9d", "a compress (.Z) file. Unpack it first: uncompress"),
    (b"lzip", "an lzip file. Unpack it first: lzip -d"),
    (b"\xff\xfe\0\0", 'text in UTF-32. Pass encoding="utf-32"'),
    (b"\xff\xfe", 'text in UTF-16. Pass encoding="utf-16"'),
    (b"\xfe\xff", 'text in UTF-16. Pass encoding="utf-16"'),
)
# The header of a .floret: buckets, n, n, dim, hashes, seed, marks of a word's begin and end; then the row of bucket 0.
_FLORET = re.compile(rb"(\d+ ){6}\S+ \S+\s*\n0 ")
SPARSE = re.compile(rb"\d+:[-+.\deE]+")  # a field of the sparse (PPMI) files of Chinese-Word-Vectors


def refuse_archive(head: bytes, path: Path | Place) -> None:
    """Raise where a file is a tar archive, which no format and no encoding has to do with."""
    if _is_tar(head):
        raise ValueError(f"{path} is a tar archive. Unpack it (tar xf) and name the file inside.")


def refuse_empty(head: bytes, path: Path | Place) -> None:
    """Raise where a file that is read block by block holds nothing."""
    content = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not content:
        raise ValueError(f"{path} is empty; expected word vectors. Download it again.")
    if not content.strip(b"\0"):
        raise ValueError(f"{path} holds nothing but zero bytes; expected word vectors. Download it again.")


def refuse_odd_text(content: bytes, path: Path | Place) -> None:
    """Raise where a text, without white space around it, has vectors that belong to no words, or lines of another kind."""
    if b"\r" in content and b"\n" not in content:
        raise ValueError(
            f"{path} has lines that end in carriage returns alone, as on old Macs; expected newlines. Convert it: "
            "tr '\\r' '\\n' < OLD > NEW"
        )
    if _FLORET.match(content):
        raise ValueError(
            f"{path} is a table of floret's, whose rows belong to hashes, not to words. Ask floret for vectors of words "
            "(floret print-word-vectors MODEL.bin < WORDS > VECTORS) and read these."
        )


def what_it_is(head: bytes, lines: Sequence[bytes]) -> str:
    """What a text without vectors is, and what to do."""
    start = head.lstrip()[:32].lower()
    for magic, name in _STRANGERS:
        if start.startswith(magic):
            return f"it is {name}"
    packed = compression_of(head)
    if packed:
        return f"it is packed twice, inside with {packed}. Unpack it once"
    for zeros, name in ((head[1:1000:2], "utf-16-le"), (head[:1000:2], "utf-16-be")):
        if 2 * zeros.count(0) > len(zeros):
            return f'it looks like text in UTF-16. Pass encoding="{name}"'
    line = lines[-1]
    fields = line.split()[1:]
    if fields and all(map(SPARSE.fullmatch, fields)):
        return (
            "its lines are sparse, index:value (PPMI, as Chinese-Word-Vectors has them). Such vectors have as many numbers as "
            "there are contexts: take the dense file (SGNS) of the same corpus"
        )
    if any(is_number(field) for field in line.split(b",")[1:]):
        return f"its fields are parted by commas, {bytes(line[:60])!r}. Write spaces in their place"
    return f"expected lines of a word and numbers, got {bytes(lines[0][:60])!r}"


def _is_tar(head):
    """Whether a file begins with the header of a tar archive of any kind: 512 bytes, of which some are their sum in octal."""
    if head[257:262] == b"ustar":
        return True
    block = head[:512]
    told = block[148:156].strip(b" \0")
    total = sum(block[:148]) + 8 * 32 + sum(block[156:])
    return len(block) == 512 and told.isdigit() and int(told) == int(f"{total:o}")

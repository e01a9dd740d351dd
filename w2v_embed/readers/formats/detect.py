"""What a file is, from its first bytes: text or binary, header or none, numbers a word; or what else it is, and the way out."""

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np

from ..compression import compression_of
from ..line import read_line
from ..scan import plain
from . import fasttext

HEAD = 1 << 18  # bytes (unpacked) that are looked at
_SAMPLE = 64  # lines
_FEW = 16
_MOST_NUMBERS = 1 << 16  # a word; more is a damaged header or no vectors at all
FORMATS = ("text", "binary", "fasttext", "gensim")
ARTIFACTS = ("safetensors", "npz")  # what EmbeddingMatrix.save writes


@dataclass(frozen=True)
class Layout:
    """Where the vectors are. `header`: the words and numbers a word that a first line claims, or None; `begin`: bytes before
    the first vector; `dim`: numbers a word, as the lines have it; `alone`: a number that is all that the first line holds;
    `ngrams`: whether there are n-grams that make vectors for other words."""

    kind: str
    dim: int
    header: tuple[int, int] | None
    begin: int
    alone: int | None = None
    ngrams: bool = False


# first bytes (in lower case, after white space) → what that is, and what to do
_STRANGERS = (
    (b"<!doctype", "a web page. The download failed: fetch the file itself"),
    (b"<html", "a web page. The download failed: fetch the file itself"),
    (b"<head", "a web page. The download failed: fetch the file itself"),
    (b"<!--", "a web page. The download failed: fetch the file itself"),
    (b"<?xml", "an XML document. The download failed: fetch the file itself"),
    (b"version https://git-lfs", "a Git LFS pointer. Fetch the file it stands for: git lfs pull"),
    (b"{", "JSON. Write one word a line with its numbers behind it, parted by spaces"),
    (b"[", "JSON. Write one word a line with its numbers behind it, parted by spaces"),
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
_WHOLE = re.compile(rb"\d{1,18}")
_TEXT_BYTES = bytes({*range(32, 256), *b"\t\n\r\f\v"})
# The header of a .floret: buckets, n, n, dim, hashes, seed, marks of a word's begin and end; then the row of bucket 0.
_FLORET = re.compile(rb"(\d+ ){6}\S+ \S+\s*\n0 ")
_SPARSE = re.compile(rb"\d+:[-+.\deE]+")  # a field of the sparse (PPMI) files of Chinese-Word-Vectors


def kind_of(head):
    """What a file is that no encoding has to do with, from its first bytes: "fasttext", "gensim" (any pickle), "binary", one of
    `ARTIFACTS`, "tar", or None: text, or a stranger."""
    if _is_tar(head):
        return "tar"
    if head.startswith(fasttext.MAGIC) or fasttext.is_old(head):
        return "fasttext"
    # Before pickles: of 2,000 headers one has a length whose bytes are the first of a pickle.
    if head[4:9] == b"\0\0\0\0{":
        return "safetensors"
    if head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return "gensim"
    if head.startswith(b"PK\3\4"):  # `Source` lets no other zip archive pass
        return "npz"
    first, begin = _line(head, 0)
    header = _header(first)
    return "binary" if header and not _is_text(head[begin:], *header) else None


def detect(head, path, size, wanted=None):
    """The layout of a file that begins with `head` (up to `HEAD` unpacked bytes).

    Args:
        head: bytes.
        path: for messages.
        size: bytes of the whole file where known, else None.
        wanted: "text", "binary", "fasttext" or "gensim" where the user says which.

    Returns:
        A `Layout`; or the string "fasttext", "gensim", "safetensors" or "npz" for what is not read block by block.

    Raises:
        ValueError: these are no vectors; says what they are.
    """
    if wanted not in (None, *FORMATS):
        raise ValueError(f"format must be one of {', '.join(map(repr, FORMATS))} or None, received {wanted!r}")
    if _is_tar(head):
        raise ValueError(f"{path} is a tar archive. Unpack it (tar xf) and name the file inside.")
    if wanted in ("fasttext", "gensim"):
        return wanted
    bom = 3 if head.startswith(b"\xef\xbb\xbf") else 0
    content = head[bom:].lstrip()
    if not content:
        raise ValueError(f"{path} is empty; expected word vectors. Download it again.")
    if not content.strip(b"\0"):
        raise ValueError(f"{path} holds nothing but zero bytes; expected word vectors. Download it again.")
    kind = wanted or kind_of(head)
    if kind in ("fasttext", "gensim", *ARTIFACTS):
        return kind
    first, begin = _line(head, bom)
    header = _header(first)
    if kind == "binary":
        return _binary(path, size, header, begin, first)
    return _text(head, path, header, bom, begin)


def sample_words(head, layout):
    """The first words of a file, as bytes."""
    if layout.kind == "binary":
        found = np.empty((_SAMPLE, 5), np.int64)
        buf = np.frombuffer(head, np.uint8)[layout.begin :]
        _, _, n, _ = plain.scan_binary(buf, len(buf), layout.dim, {}, found)
        return [buf[begin:stop].tobytes() for _, _, begin, stop, _ in found[:n].tolist()]
    lines = head[layout.begin :].split(b"\n", _SAMPLE)[:_SAMPLE]
    return [fields[0] for fields in (line.split(None, 1) for line in lines) if len(fields) == 2]


def looks_like(words):
    """The encoding that most of `words` (bytes that are no UTF-8) seem to be in, or None.

    Latin-1 and its kin read anything, so they are never named.

    >>> looks_like(["中国".encode("gbk"), "北京".encode("gbk")]), looks_like([b"caf\\xe9"])
    ('gb18030', None)
    """
    # Of GB18030's characters texts use those of its oldest part; as a whole it would take the bytes of Big5, too.
    for part, name in (("gb2312", "gb18030"), ("big5", "big5")):
        if words and sum(reads_as(word, part) for word in words) > 0.6 * len(words):
            return name
    return None


def reads_as(word, encoding):
    """Whether `word`, bytes, is text in `encoding`."""
    try:
        word.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _line(head, start):
    """The line that begins at `start`, without its newline, and where the next one begins."""
    end = head.find(b"\n", start)
    return (head[start:], len(head)) if end < 0 else (head[start:end], end + 1)


def _header(line):
    """(words, numbers a word) if `line` is two whole numbers."""
    fields = line.split()
    if len(fields) == 2 and all(field.isdigit() and len(field) < 19 for field in fields):
        return int(fields[0]), int(fields[1])
    return None


def _is_text(body, count, dim):
    """Whether what comes after a header of `count` and `dim` is text: most of the first lines have numbers after a word; or
    they are no binary records, and some have numbers or there are no control characters."""
    lines = [line for line in body.rstrip(b"\0").split(b"\n", _FEW)[:_FEW] if line.strip()]
    good = sum(map(_is_line, lines))
    if 2 * good > len(lines):
        return True
    odd = bool(body[:1024].translate(None, _TEXT_BYTES))
    return (good > 0 or not odd) and not _is_binary(body, count, dim)


def _is_line(line):
    fields = line.split()[1:]
    numbers = sum(_is_number(field) or bool(_SPARSE.fullmatch(field)) for field in fields)
    return 2 * numbers >= max(len(fields), 1) and not b"".join(fields).translate(None, _TEXT_BYTES)


def _is_binary(body, count, dim):
    """Whether the first records are a word and `dim` numbers each, one at least: they are `count` and end where the file does,
    or most numbers are of the sizes that vectors have (or not finite), as letters read as floats are not."""
    most = len(body) // (4 * dim + 2) if dim else 0
    if not most:
        return False
    found = np.empty((min(most, _SAMPLE), 5), np.int64)
    buf = np.frombuffer(body, np.uint8)
    position, n = plain.scan_binary(buf, len(buf), dim, {}, found)[:2]
    words = [bytes(buf[begin:stop]) for _, _, begin, stop, _ in found[:n].tolist()]
    whole = n == count and not body[position:].strip(b"\n")
    strange = sum(not word or min(word) < 32 for word in words)
    if not words or (4 * strange > len(words) and not whole):
        return False
    rows = np.empty((n, dim), np.float32)
    plain.parse_binary(buf, found[:n], rows, np.empty(n, np.bool_))
    with np.errstate(invalid="ignore"):
        usual = (rows == 0) | (abs(rows) > 1e-6) & (abs(rows) < 1e6) | ~np.isfinite(rows)
    return whole or usual.mean() > 0.75


def _is_tar(head):
    """Whether a file begins with the header of a tar archive of any kind: 512 bytes, of which some are their sum in octal."""
    if head[257:262] == b"ustar":
        return True
    block = head[:512]
    told = block[148:156].strip(b" \0")
    total = sum(block[:148]) + 8 * 32 + sum(block[156:])
    return len(block) == 512 and told.isdigit() and int(told) == int(f"{total:o}")


def _is_number(field):
    try:
        float(field)
    except ValueError:
        return False
    return b"_" not in field


def _binary(path, size, header, begin, first):
    if header is None:
        raise ValueError(
            f"{path} is not in word2vec's binary format: expected a first line like b'636013 300', got {bytes(first[:40])!r}. "
            'Pass format="text", or none to have it found.'
        )
    dim = header[1]
    if not 0 < dim <= _MOST_NUMBERS:
        raise ValueError(
            f"{path}, line 1: the header says {dim} numbers a word; expected 1 to {_MOST_NUMBERS}. Download the file again."
        )
    if size is not None and begin + 4 * dim + 1 > size:
        raise ValueError(
            f"{path}, line 1: the header says {dim} numbers a word ({4 * dim} bytes), but the whole file has {size} bytes. "
            "It is cut off or holds no word vectors: download it again."
        )
    return Layout("binary", dim, header, begin)


def _text(head, path, header, bom, begin):
    content = head[bom:].strip()
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
    lines = head[bom:].rstrip(b"\0").split(b"\n", _SAMPLE + 1)
    if len(lines) > _SAMPLE or (len(head) >= HEAD and head[-1]):
        lines.pop()  # cut by the end of the head
    lines = [line for line in lines if line.strip()]
    alone = None
    if not header and len(lines) > 1 and _WHOLE.fullmatch(lines[0].strip()):
        alone = int(lines.pop(0))
    widths = Counter(len(line.split()) - 1 for line in lines[1 if header else 0 :])
    # A single line that does not end is what a cut leaves: it tells nothing of the others.
    if header and 0 < header[1] <= _MOST_NUMBERS and len(lines) == 2 and len(head) < HEAD and head[-1:] != b"\n":
        return Layout("text", header[1], header, begin)
    if header and header[1] != 1 and set(widths) == {1}:
        header, widths = None, Counter({1: len(lines)})  # words that are numbers, with one number each
    if not widths:
        if header and len(head) < HEAD:
            raise ValueError(f"{path} holds no vectors, only the line {header[0]} {header[1]}. Download it again.")
        raise ValueError(
            f"{path} holds no word vectors: its first line goes on for {HEAD} bytes. Expected a word and numbers."
        )
    # The most usual width; of equally usual ones the least, for words may hold spaces.
    usual = max(widths, key=lambda width: (widths[width], width > 0, -width))
    body = lines[1 if header else 0 :]
    if not header:
        usual = _readable_width(body, widths, usual)
    endings = [_is_number(line.split()[-1]) for line in body]
    if usual < 1 or not any(endings) or (not header and 2 * sum(endings) < len(endings)):
        raise ValueError(f"{path} holds no word vectors: {_stranger(head[bom:], lines)}.")
    if usual > _MOST_NUMBERS:
        raise ValueError(
            f"{path} has lines of {usual} numbers; expected at most {_MOST_NUMBERS}. It holds no word vectors."
        )
    # A header that lies is the reader's to report; what the lines say counts.
    dim = usual
    if header and header[1] > 0 and (header[1] in widths or _are_lines(lines[1:], header[1])):
        dim = header[1]
    return Layout("text", dim, header, bom if header is None and alone is None else begin, alone)


def _readable_width(lines, widths, usual):
    """As how many numbers most of the first lines can be read, where words may be phrases: `usual`, if nothing is better."""
    first = lines[0].split()
    numbers = next((k for k, field in enumerate(reversed(first)) if not _is_number(field)), 0)
    tried = {usual, numbers, *(width for width, _ in widths.most_common(4))} - {0, -1}  # -1: a line without a field
    if len(tried) < 2 or max(tried) > _MOST_NUMBERS:
        return usual
    good = {width: sum(read_line(line, width)[2] is None for line in lines) for width in tried}
    return max(tried, key=lambda width: (good[width], width == usual, -width))


def _are_lines(lines, dim):
    """Whether all are words, with spaces in them, and `dim` numbers."""
    return all(read_line(line, dim)[2] is None for line in lines)


def _stranger(head, lines):
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
    if fields and all(map(_SPARSE.fullmatch, fields)):
        return (
            "its lines are sparse, index:value (PPMI, as Chinese-Word-Vectors has them). Such vectors have as many numbers as "
            "there are contexts: take the dense file (SGNS) of the same corpus"
        )
    if any(_is_number(field) for field in line.split(b",")[1:]):
        return f"its fields are parted by commas, {bytes(line[:60])!r}. Write spaces in their place"
    return f"expected lines of a word and numbers, got {bytes(lines[0][:60])!r}"

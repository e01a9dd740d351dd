"""What a file is, from its first bytes: text or binary, header or none, numbers a word; or what else it is, and the way out."""

from collections import Counter
from dataclasses import dataclass

HEAD = 1 << 18  # bytes (unpacked) that are looked at
_SAMPLE = 64  # lines
FORMATS = ("text", "binary", "fasttext", "gensim")


@dataclass(frozen=True)
class Layout:
    """Where the vectors are. `header`: the words and numbers a word that a first line claims, or None; `begin`: bytes before
    the first vector; `dim`: numbers a word, as the lines have it."""

    kind: str
    dim: int
    header: tuple[int, int] | None
    begin: int


# first bytes (lower-cased) → what that is, and what to do
_STRANGERS = (
    (b"<!doctype", "a web page. The download failed: fetch the file itself"),
    (b"<html", "a web page. The download failed: fetch the file itself"),
    (b"<?xml", "an XML document. The download failed: fetch the file itself"),
    (b"version https://git-lfs", "a Git LFS pointer. Fetch the file it stands for: git lfs pull"),
    (b"\x93numpy", "a NumPy array without words. Load it with EmbeddingMatrix.load, or numpy.load"),
    (b"\x89hdf", "an HDF5 file. Export its vectors as word2vec text"),
    (b"%pdf", "a PDF document"),
    (b"\x7felf", "a program"),
    (b"\xff\xfe", 'text in UTF-16. Pass encoding="utf-16"'),
    (b"\xfe\xff", 'text in UTF-16. Pass encoding="utf-16"'),
)
_FASTTEXT_MAGIC = (793712314).to_bytes(4, "little")


def detect(head, path, size, wanted=None):
    """The layout of a file that begins with `head` (up to `HEAD` unpacked bytes).

    Args:
        head: bytes.
        path: for messages.
        size: bytes of the whole file where known, else None.
        wanted: "text" or "binary" where the user says which.

    Returns:
        A `Layout`; or the string "fasttext" or "gensim" for the formats that gensim reads.

    Raises:
        ValueError: these are no vectors; says what they are.
    """
    if wanted not in (None, *FORMATS):
        raise ValueError(f"format must be one of {', '.join(map(repr, FORMATS))} or None, received {wanted!r}")
    if wanted in ("fasttext", "gensim"):
        return wanted
    if not head.strip():
        raise ValueError(f"{path} is empty; expected word vectors. Download it again.")
    for magic, name in _STRANGERS:
        if head[: len(magic)].lower() == magic:
            raise ValueError(f"{path} holds no word vectors: it is {name}.")
    if wanted is None and head.startswith(_FASTTEXT_MAGIC):
        return "fasttext"
    if wanted is None and head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        return "gensim"

    bom = 3 if head.startswith(b"\xef\xbb\xbf") else 0
    first, begin = _line(head, bom)
    header = _header(first)
    if wanted == "binary" or (wanted is None and header and not _is_text(head[begin:])):
        return _binary(head, path, size, header, begin, first)
    lines = [line for line in head[bom:].split(b"\n")[: _SAMPLE + 1] if line.strip()]
    if len(head) >= HEAD and len(lines) > 1 and len(lines) <= _SAMPLE:
        lines.pop()  # cut by the end of the head
    return _text(path, header, lines, bom, begin)


def is_binary(head):
    """Whether a file begins as word2vec's binary format does."""
    first, begin = _line(head, 0)
    return _header(first) is not None and not _is_text(head[begin:])


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


def _is_text(body):
    """Whether the record after the header is a line of text: what comes after its word reads as numbers."""
    line, after = _line(body, 0)
    fields = line.split()
    if len(fields) < 2:
        return not body.strip() or (after < len(body) and _is_text(body[after:]))
    whole = fields[1:] if after < len(body) or len(body) < HEAD // 2 else fields[1:-1]
    return any(_is_number(field) for field in whole) and all(
        byte >= 32 or byte in b"\t\r\n\f\v" for byte in line[len(fields[0]) :]
    )


def _is_number(field):
    try:
        float(field)
    except ValueError:
        return False
    return True


def _binary(head, path, size, header, begin, first):
    if header is None:
        raise ValueError(
            f"{path} is not in word2vec's binary format: expected a first line like b'636013 300', got {bytes(first[:40])!r}. "
            'Pass format="text", or none to have it found.'
        )
    dim = header[1]
    if dim == 0:
        raise ValueError(
            f"{path}, line 1: the header says 0 numbers a word; expected 1 or more. Download the file again."
        )
    if size is not None and begin + 4 * dim + 1 > size:
        raise ValueError(
            f"{path}, line 1: the header says {dim} numbers a word ({4 * dim} bytes), but the whole file has {size} bytes. "
            "It is cut off or holds no word vectors: download it again."
        )
    return Layout("binary", dim, header, begin)


def _text(path, header, lines, bom, begin):
    if header:
        lines = lines[1:]
    if not lines:
        raise ValueError(f"{path} holds no vectors, only the line {header[0]} {header[1]}. Download it again.")
    widths = Counter(len(line.split()) - 1 for line in lines)
    usual = widths.most_common(1)[0][0]
    if usual < 1 or not any(_is_number(line.split()[-1]) for line in lines):
        raise ValueError(
            f"{path} holds no word vectors: expected lines of a word and numbers, got {bytes(lines[0][:60])!r}. "
            "If it is word2vec binary without a header, or in another encoding, convert it first or pass encoding=."
        )
    # A header that lies is the reader's to report; what the lines say counts.
    return Layout("text", header[1] if header and header[1] in widths else usual, header, begin if header else bom)

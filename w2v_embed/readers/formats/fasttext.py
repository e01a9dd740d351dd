"""fastText's .bin.

    int32 magic, version (neither in files of before 2017); 12 × int32: dim … model, bucket, minn, maxn …; float64 t
    int32 words and labels, words, labels; int64 tokens; int64 pruned (not in old files)
    a word or label: its bytes, 0, int64 count, int8 type
    pruned × (int32, int32)
    bool quantized (not in old files); int64 rows (words + bucket), dim; float32 × rows × dim
    the output matrix, which is not read

The vector of a word is the mean of its own row and the rows of the n-grams in it. gensim's own reader believes every size that
it is told, and never ends on a file that is cut inside a word.
"""

from __future__ import annotations

import struct
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..compression import Source
from ..damage import Damage, again
from ..ngrams import FastTextVectors
from ..tables import TableReader
from .base import MOST_NUMBERS, Beginning, Format, Layout

if TYPE_CHECKING:
    from collections.abc import Collection

    from ..._types import Ids

MAGIC: bytes = struct.pack("<i", 793712314)
_NEW, _OLD = struct.Struct("<14id"), struct.Struct("<12id")
_COUNTS_NEW, _COUNTS_OLD = struct.Struct("<3i2q"), struct.Struct("<3iq")
_AFTER_WORD = struct.Struct("<qb")
_SHAPE_NEW, _SHAPE_OLD = struct.Struct("<?2q"), struct.Struct("<2q")
_SUPERVISED = 3
_LONGEST_WORD = 1 << 16  # bytes
_LONGEST_NGRAM = 256  # characters; fastText's own default is 6
# Characters in the n-grams of all words together, for each byte of the file and to begin with; usual files have 1 to 10.
_NGRAM_CHARACTERS, _FREE_CHARACTERS = 16, 1 << 24
_PIECE = 1 << 20
# Vectors hardly get smaller when they are packed. A file that gets a thousand times as large fills the memory with zeros.
_USUAL_RATIO, _FREE_BYTES = 64, 1 << 26


@dataclass(frozen=True)
class Header:
    """What the first bytes say. `old`: from before there was a magic number; `size`: bytes of it."""

    old: bool
    size: int
    dim: int
    model: int
    bucket: int
    minn: int
    maxn: int

    @property
    def has_ngrams(self) -> bool:
        """Whether words that are not in the file can get a vector."""
        return self.bucket > 0 and self.maxn >= max(self.minn, 1)


def header_of(head: bytes) -> Header | None:
    """The `Header` of a file that begins with `head`; None where that is too short."""
    old = not head.startswith(MAGIC)
    layout = _OLD if old else _NEW
    if len(head) < layout.size:
        return None
    dim, _, _, _, _, _, _, model, bucket, minn, maxn, _, _ = layout.unpack_from(head)[0 if old else 2 :]
    return Header(old, layout.size, dim, model, bucket, minn, maxn)


def is_old(head: bytes) -> bool:
    """Whether `head` begins a .bin of before there was a magic number: every number of it is one that such a file can have."""
    if len(head) < _OLD.size + _COUNTS_OLD.size:
        return False
    *numbers, sample = _OLD.unpack_from(head)
    dim, window, epochs, least, negative, word_ngrams, loss, model, bucket, minn, maxn, _ = numbers
    entries, words, labels, tokens = _COUNTS_OLD.unpack_from(head, _OLD.size)
    return (
        min(dim, window, epochs, word_ngrams, words) > 0
        and min(least, negative, bucket, minn, maxn, labels, tokens) >= 0
        and dim <= MOST_NUMBERS
        and {loss, model} <= {1, 2, 3}
        and 0 <= sample <= 1
        and entries == words + labels
    )


class FastTextFile:
    """A .bin of which the header has been read.

    Args:
        source: the open `Source`, of which `head` was read already.

    Attributes:
        header: the `Header`.
        words: how many words it has.

    Raises:
        ValueError: its header says what cannot be, or it holds no vectors of words.
    """

    def __init__(self, source: Source, head: bytes) -> None:
        self._data = _Bytes(source, head)
        self.header: Header
        self.words: int
        self.header, self.words, self._pruned = _read_header(self._data)

    def first_words(self, most: int, encoding: str) -> list[str]:
        """Up to `most` of its words, where nothing else is read."""
        return list(_read_words(self._data, min(most, self.words), None, encoding)[0])

    def read(self, wanted: Collection[str] | None, encoding: str) -> tuple[FastTextVectors, Ids, dict[int, Damage]]:
        """All else.

        Args:
            wanted: the words to keep (a dict or set), or None for all.
            encoding: of the words.

        Returns:
            (`FastTextVectors` with these words, in the order of the file, and all n-grams; int64 array of their rows in
            the file; dict row → `Damage` of words that stand there again or are not in `encoding`)

        Raises:
            ValueError: it is cut off or lies about its sizes.
        """
        data, header = self._data, self.header
        words, counts, odd = _read_words(data, self.words, wanted, encoding)
        data.skip(8 * max(self._pruned, 0), "before the vectors")
        _read_shape(data, header, self.words)
        numbers = np.fromiter(words.values(), np.int64, len(words))
        own = _read_rows(data, self.words, header.dim, numbers)
        ngrams = _read_rows(data, header.bucket, header.dim)
        _check_work(data, words, header)
        kv = FastTextVectors(list(words), counts, header.minn, header.maxn, header.bucket, own, ngrams)
        return kv, numbers, odd


class _Bytes:
    """A stream, of which it is known how much has been read, and an end too early is an error."""

    def __init__(self, source, head):
        self.path, self._source, self._ready, self.at = source.path, source, memoryview(head), 0
        self.on_disk = source.size
        self.size = source.size if source.compression is None else None
        self.most = self.size or _USUAL_RATIO * source.size + _FREE_BYTES

    def wrong(self, what):
        spot = f"{self.at:,}".replace(",", " ")
        return ValueError(
            f"{self.path} is a fastText .bin that is cut off or damaged (byte {spot}): {what}. Download it again."
        )

    def readinto(self, view):
        """Fill `view` as far as the file goes; returns the bytes written."""
        n = min(len(self._ready), len(view))
        view[:n] = self._ready[:n]
        self._ready = self._ready[n:]
        if n < len(view):
            n += self._source.readinto(view[n:])
        self.at += n
        if self.size is None and self.at > self.most:
            raise self.wrong(
                f"it unpacks to more than {self.most} bytes, out of {self.on_disk}; expected less of vectors"
            )
        return n

    def take(self, n):
        """The next `n` bytes, or fewer at the end."""
        taken = bytearray(n)
        with memoryview(taken) as view:
            return bytes(taken[: self.readinto(view)])

    def put_back(self, data):
        """The next to be read are once more these bytes."""
        self._ready = memoryview(bytes(data) + bytes(self._ready))
        self.at -= len(data)

    def unpack(self, layout, what):
        """The next numbers, which `layout` describes."""
        data = self.take(layout.size)
        if len(data) < layout.size:
            raise self.wrong(self._end(what))
        return layout.unpack(data)

    def skip(self, n, what):
        while n > 0:
            got = len(self.take(min(n, _PIECE)))
            if not got:
                raise self.wrong(self._end(what))
            n -= got

    def _end(self, what):
        return f"it ends {what}{f' ({self._source.damage})' if self._source.damage else ''}"


def _read_header(data):
    """→ (the `Header`, words, pruned n-grams), each number held against what a file can have."""
    head = data.take(_NEW.size)
    header = header_of(head)
    counts = _COUNTS_OLD if header and header.old else _COUNTS_NEW
    size = (header.size if header else _NEW.size) + counts.size
    head += data.take(max(size - len(head), 0))
    if len(head) < size:
        raise data.wrong(f"expected a header of {size} bytes, got {len(head)}")
    entries, words, labels, _, *pruned = counts.unpack_from(head, header.size)
    pruned = pruned[0] if pruned else 0
    bucket, dim = header.bucket, header.dim
    data.at = 0  # what is wrong in here is wrong in the header
    if header.model == _SUPERVISED or labels > 0:
        raise ValueError(
            f"{data.path} is a fastText classifier; expected word vectors. Export them: fasttext print-word-vectors"
        )
    told = f"the header says {words} words of {entries} entries, {dim} numbers a word, {bucket} buckets"
    if min(words, bucket, header.minn, header.maxn, labels) < 0 or dim < 1 or entries != words or pruned < -1:
        raise data.wrong(f"{told}, n-grams of {header.minn} to {header.maxn} characters, {pruned} pruned")
    if entries * (1 + _AFTER_WORD.size) + 4 * dim * (words + bucket) + 8 * pruned > data.most:
        raise data.wrong(
            f"the header says {words} words and {bucket} buckets of {dim} numbers, {max(pruned, 0)} pruned, but the whole file "
            f"has {data.on_disk} bytes"
        )
    if dim > MOST_NUMBERS:
        raise data.wrong(f"{told}; expected at most {MOST_NUMBERS} numbers a word")
    if header.maxn > _LONGEST_NGRAM:
        raise data.wrong(f"the header says n-grams of {header.maxn} characters; expected at most {_LONGEST_NGRAM}")
    if not words:
        raise data.wrong("the header says 0 words; expected one at least")
    data.at = size
    return header, entries, pruned


def _read_words(data, entries, wanted, encoding):
    """→ (dict word → its row, list of their counts, dict row → `Damage`)"""
    words, counts, odd = {}, [], {}
    special = unread = first = 0
    buf, at = bytearray(), 0
    for row in range(entries):
        end = buf.find(b"\0", at)
        while end < 0 or end + 1 + _AFTER_WORD.size > len(buf):
            if len(buf) - at > _LONGEST_WORD + _PIECE:
                raise data.wrong(f"word {row + 1} of {entries} has more than {_LONGEST_WORD} bytes")
            more = data.take(_PIECE)
            if not more:
                raise data.wrong(data._end(f"in word {row + 1} of {entries}"))
            del buf[:at]
            at = 0
            buf += more
            end = buf.find(b"\0")
        encoded = bytes(buf[at:end])
        if len(encoded) > _LONGEST_WORD:
            raise data.wrong(f"word {row + 1} of {entries} has {len(encoded)} bytes; expected at most {_LONGEST_WORD}")
        count = _AFTER_WORD.unpack_from(buf, end + 1)[0]
        at = end + 1 + _AFTER_WORD.size
        special += not encoded.isascii()
        try:
            word = encoded.decode(encoding)
        except UnicodeDecodeError:
            first = first if unread else row
            unread += 1
            if wanted is None:
                odd[row] = Damage("encoding", f"expected a word in {encoding}, got {encoded[:40]!r}")
            continue
        if wanted is not None and word not in wanted:
            continue
        if word in words:
            odd[row] = again(word)
        else:
            words[word] = row
            counts.append(count)
    data.put_back(buf[at:])
    if (
        wanted is not None and unread > 1 and 2 * unread > special
    ):  # words that are looked for would silently not be found
        told = f"{unread} of the words beyond ASCII, {special} in all, are not in {encoding}"
        odd[first] = Damage("encoding", told)
    return words, counts, odd


def _read_shape(data, header, entries):
    layout = _SHAPE_OLD if header.old else _SHAPE_NEW
    *quantized, rows, width = data.unpack(layout, "before the vectors")
    if quantized and quantized[0]:
        raise ValueError(
            f"{data.path} is a quantized fastText model (.ftz), which gensim cannot read; take the .bin of the same name."
        )
    expected = entries + header.bucket
    if width != header.dim or rows != expected:
        raise data.wrong(f"expected {expected} rows of {header.dim} numbers, got {rows} rows of {width}")
    if data.size is not None and data.at + 4 * rows * width > data.size:
        raise data.wrong(f"expected {4 * rows * width} bytes of vectors, got {data.size - data.at}")


def _read_rows(data, n, dim, kept=None):
    """The next `n` rows, or only those of them with the numbers `kept`, ascending."""
    room = n if kept is None else len(kept)
    rows = np.empty((room if data.size is not None else min(room, _PIECE // dim), dim), "<f4")
    filled, step = 0, max(_PIECE // (4 * dim), 1)
    part = np.empty((min(step, n), dim), "<f4")
    for begin in range(0, n, step):
        some = part[: min(step, n - begin)]
        got = data.readinto(memoryview(some).cast("B"))
        if got < some.nbytes:
            raise data.wrong(data._end(f"in the vectors: expected {4 * dim * (n - begin)} bytes more, got {got}"))
        if kept is not None:
            first, last = np.searchsorted(kept, (begin, begin + len(some)))
            some = some[kept[first:last] - begin]
        if filled + len(some) > len(rows):  # nothing told how much comes out of a packed file
            rows.resize((min(2 * (filled + len(some)), room), dim), refcheck=False)
        rows[filled : filled + len(some)] = some
        filled += len(some)
    return rows[:filled].astype(np.float32, copy=False)


def _check_work(data, words, header):
    """n-grams of long words, where they may be long themselves, would take hours and gigabytes."""
    low, high = max(header.minn, 1), header.maxn
    if not header.bucket or high < low:
        return
    lengths = np.fromiter(map(len, words), np.int64, len(words)) + 2  # characters, with < and >
    total = longest = 0
    for length, count in zip(*np.unique(lengths, return_counts=True)):
        n = np.arange(low, min(high, length) + 1)
        longest = int((n * (length - n + 1)).sum())
        total += longest * int(count)
    most = _NGRAM_CHARACTERS * (data.size or data.at) + _FREE_CHARACTERS
    if total > most or longest > _FREE_CHARACTERS:
        data.at = 0
        raise data.wrong(
            f"its words have n-grams of {low} to {high} characters, as the header says, with {total} characters in all and "
            f"{longest} in the longest word; expected at most {most} and {_FREE_CHARACTERS}"
        )


class FastText(Format):
    """A fastText model, of which its words and n-grams are read."""

    name: str = "fasttext"
    packable: bool = True

    def recognises(self, head: bytes) -> bool:
        return head.startswith(MAGIC) or is_old(head)

    def open(self, file: Beginning) -> Layout:
        model = FastTextFile(file.source, file.head)

        def table(wanted):
            kv, ids, odd = model.read(None if wanted is None else set(wanted), file.encoding)
            return TableReader(kv.index_to_key, kv.vectors, wanted, ids, count=model.words, odd=odd, kv=kv)

        def first_words(most):
            with closing(Source(file.path)) as source:
                return FastTextFile(source, b"").first_words(most, file.encoding)

        return Layout(model.header.dim, table=table, ngrams=model.header.has_ngrams, first_words=first_words)

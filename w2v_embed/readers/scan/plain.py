"""The functions of `kernels.py` in Python and NumPy: for small files, and as their oracle.

What both have in common stands here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..._types import Bools, Bytes, Floats, Ids

_AT_ONCE = 256
TAB: int
NEWLINE: int
SPACE: int
TAB, NEWLINE, SPACE = b"\t\n "
LENGTH_BITS: int = 23  # of a span, see `kernels.scan_text`: more than the longest record takes
# Bytes after a buffer's last usable one: room for a newline, and for kernels that look at 8 bytes at a time.
PADDING: int = 64
NO_NOTES: tuple[Ids, Ids] = (np.empty(0, np.int64), np.empty(0, np.int64))
# A word's key is the FNV-1a hash of its bytes.
FNV_BASIS: np.uint64 = np.uint64(0xCBF29CE484222325)
FNV_PRIME: np.uint64 = np.uint64(0x100000001B3)


def make_table(words: Sequence[bytes]) -> dict[bytes, int]:
    """As `kernels.make_table`."""
    return {word: k for k, word in enumerate(words)}


def keys_of(buf: Bytes, begins: Ids, ends: Ids) -> Ids:
    """As `kernels.keys_of`: the first bytes of all words, then the second ones of those that have one, and so on."""
    keys = np.full(len(begins), FNV_BASIS)
    left, at = np.arange(len(begins)), np.asarray(begins)
    while len(left):
        more = at < ends[left]
        left, at = left[more], at[more]
        keys[left] = (keys[left] ^ buf[at]) * FNV_PRIME
        at = at + 1
    return keys.view(np.int64)


def make_set(keys: Sequence[Ids]) -> Ids:
    """As `kernels.make_set`, for the `are_in` below."""
    return np.unique(np.concatenate(keys))


def are_in(keys: Ids, some: Ids) -> Bools:
    """As `kernels.are_in`."""
    if not len(some):
        return np.zeros(len(keys), np.bool_)
    return some[np.minimum(np.searchsorted(some, keys), len(some) - 1)] == keys


def number_words(texts: bytes, n: int, table: dict[bytes, int], ids: Ids) -> tuple[Ids, Ids, list[bytes]]:
    """As `kernels.number_words`."""
    parts = [text.split() for text in texts.decode("utf-8", "surrogatepass").split("\n")[:-1]]
    if len(parts) != n:
        raise ValueError(f"expected {n} texts that end in a newline each, received {len(parts)} newlines")
    words = [word.encode("utf-8", "surrogatepass") for part in parts for word in part]
    places = np.array([table.get(word, -1) for word in words], np.int64)
    known = places >= 0
    numbers = np.full(len(words), -1, np.int32)
    numbers[known] = ids[places[known]]
    sizes = np.array(list(map(len, parts)), np.int64)
    return numbers, sizes, [words[place] for place in np.flatnonzero(~known)]


def scan_text(
    buf: Bytes,
    end: int,
    dim: int,
    table: dict[bytes, int],
    hits: Ids,
    odd: Ids,
    notes: tuple[Ids, Ids] = NO_NOTES,
) -> tuple[int, int, int, int, int, int]:
    """As `kernels.scan_text`."""
    keys, spans = notes
    block = buf[:end]
    blank_at = np.flatnonzero(block <= SPACE)
    blanks: list[int] = blank_at.tolist()
    newlines: list[int] = np.flatnonzero(
        block[blank_at] == NEWLINE
    ).tolist()  # index into `blanks` of each line's last one
    data = block.tobytes()
    begin = first = line = blank = n_hits = n_odd = n_noted = 0
    for last in newlines:
        if n_hits == len(hits) or n_odd == len(odd) or 0 < len(keys) == n_noted:
            break
        stop = newline = blanks[last]
        inside = last - first
        zero = False
        while stop > begin and data[stop - 1] <= SPACE:
            stop -= 1
            inside -= 1
            zero |= data[stop] == 0
        if zero:
            stop = newline
        word_end = blanks[first]
        if inside == dim and word_end > begin and not zero:
            word = table.get(data[begin:word_end], -1) if table else 0
            if word >= 0:
                hits[n_hits] = word, line, begin, word_end, stop
                n_hits += 1
            if len(keys):
                keys[n_noted], spans[n_noted] = word_end, begin << LENGTH_BITS | (stop - begin)
                n_noted += 1
        elif stop > begin:
            odd[n_odd] = line, begin, stop
            n_odd += 1
        else:
            blank += 1
        line += 1
        begin, first = newline + 1, last + 1
    keys[:n_noted] = keys_of(buf, spans[:n_noted] >> LENGTH_BITS, keys[:n_noted])
    return begin, line, blank, n_hits, n_odd, n_noted


def parse_text(buf: Bytes, hits: Ids, rows: Floats, unsure: Bools) -> None:
    """As `kernels.parse_text`."""
    for k, (_, _, _, word_end, stop) in enumerate(hits.tolist()):
        fields = buf[word_end + 1 : stop].tobytes().split()
        try:
            with np.errstate(over="ignore"):
                rows[k] = np.array([float(field) for field in fields])
            # Python reads 1_000, and numbers next to characters that are white space only to it; the exact way judges those.
            regular = len(fields) == rows.shape[1] and not any(b"_" in field for field in fields)
            regular &= buf[word_end] in (SPACE, TAB)
            unsure[k] = not regular or not np.isfinite(rows[k]).all()
        except ValueError:
            unsure[k] = True


def join_words(buf: Bytes, hits: Ids, out: Bytes) -> int:
    """As `kernels.join_words`."""
    words = b"".join(buf[begin:stop].tobytes() + b"\n" for _, _, begin, stop, _ in hits.tolist())
    out[: len(words)] = np.frombuffer(words, np.uint8)
    return len(words)


def scan_binary(
    buf: Bytes, end: int, dim: int, table: dict[bytes, int], hits: Ids, notes: tuple[Ids, Ids] = NO_NOTES
) -> tuple[int, int, int, int]:
    """As `kernels.scan_binary`."""
    keys, spans = notes
    data = buf[:end].tobytes()
    position = record = n_hits = n_noted = 0
    while n_hits < len(hits) and (n_noted < len(keys) or len(keys) == 0):
        begin = position
        while begin < end and data[begin] == NEWLINE:
            begin += 1
        word_end = data.find(b" ", begin)
        stop = word_end + 1 + 4 * dim
        if word_end < 0 or stop > end:
            break
        word = table.get(data[begin:word_end], -1) if table else 0
        if word >= 0:
            hits[n_hits] = word, record, begin, word_end, stop
            n_hits += 1
        if len(keys):
            keys[n_noted], spans[n_noted] = word_end, begin << LENGTH_BITS | (stop - begin)
            n_noted += 1
        record += 1
        position = stop
    keys[:n_noted] = keys_of(buf, spans[:n_noted] >> LENGTH_BITS, keys[:n_noted])
    return position, record, n_hits, n_noted


def parse_binary(buf: Bytes, hits: Ids, rows: Floats, unsure: Bools) -> None:
    """As `kernels.parse_binary`."""
    for k, (_, _, _, word_end, stop) in enumerate(hits.tolist()):
        rows[k] = np.frombuffer(buf[word_end + 1 : stop].tobytes(), "<f4")
        unsure[k] = not np.isfinite(rows[k]).all()


def read_stretches(file: int, begins: Ids, sizes: Ids, out: Bytes) -> int:
    """As `kernels.read_stretches`: none of them; `Excerpt` reads what is left."""
    return 0


def mean_rows(matrix: Floats, more: Floats, lent: Ids, bounds: Ids, targets: Ids) -> None:
    """As `kernels.mean_rows`, for all floating types; some rows at a time, which stay in the cache."""
    n = len(matrix)
    for start in range(0, len(targets), _AT_ONCE):
        begins = bounds[start : start + _AT_ONCE + 1]
        numbers = np.diff(begins)
        total = np.full((len(numbers), matrix.shape[1]), -0.0)
        for column in range(numbers.max()):
            left = np.flatnonzero(numbers > column)
            these = lent[begins[left] + column]
            inside = these < n
            total[left[inside]] += matrix[these[inside]]
            total[left[~inside]] += more[these[~inside] - n]
        matrix[targets[start : start + _AT_ONCE]] = total / numbers[:, None]

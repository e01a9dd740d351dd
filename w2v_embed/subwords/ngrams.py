"""Words → hashes of their n-grams.

The n-grams of a word, between a mark for its beginning and one for its end, are its parts of `min_n` to `max_n` characters, and
shorter ones that have a Chinese, Japanese or Korean character in them. Each is known by a hash of 64 bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._types import Bools, Ids

    Keys = npt.NDArray[np.uint64]

_START, _PRIME, _MIX = 0xCBF29CE484222325, 0x100000001B3, 0x9E3779B97F4A7C15
_BEGIN, _END = 0x110000, 0x110001  # behind all characters
# Han, kana and Hangul, where a character is about what a syllable is elsewhere: first and last of each range
_DENSE = ((0x3040, 0x30FF), (0x3400, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))
LONGEST = 64  # characters of a word that are looked at


def ngrams_of(words: Sequence[str], min_n: int, max_n: int) -> tuple[Ids, Keys]:
    """(int64: numbers of the words, ascending; uint64: the keys of their n-grams, each once a word).

    Words of a length are worked at together. Of long words only the beginning counts.
    """
    of_length: dict[int, list[int]] = {}
    for number, word in enumerate(words):
        of_length.setdefault(min(len(word), LONGEST), []).append(number)
    numbers, keys = [np.empty(0, np.int64)], [np.empty(0, np.uint64)]
    for length, group in of_length.items():
        text = "".join(words[number][:LONGEST] for number in group)
        codes = np.empty((len(group), length + 2), np.uint64)
        codes[:, 0], codes[:, -1] = _BEGIN, _END
        codes[:, 1:-1] = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").reshape(len(group), length)
        for mask, hashes in _keys_of(codes, min_n, max_n):
            numbers.append(np.array(group, np.int64)[mask])
            keys.append(hashes[mask])
    of, hashes = np.concatenate(numbers), np.concatenate(keys)
    order = np.lexsort((hashes, of))
    of, hashes = of[order], hashes[order]
    new = np.ones(len(of), np.bool_)
    new[1:] = (of[1:] != of[:-1]) | (hashes[1:] != hashes[:-1])
    return of[new], hashes[new]


def known_ngrams(words: Sequence[str], keys: Keys, min_n: int, max_n: int) -> tuple[Ids, Ids]:
    """(int64: numbers of the words, ascending; int64: places of their n-grams in `keys`, ascending for each word), of those
    n-grams that are among the ascending `keys`."""
    numbers, found = ngrams_of(words, min_n, max_n)
    places = np.searchsorted(keys, found)
    known = places < len(keys)
    known[known] = keys[places[known]] == found[known]
    return numbers[known], places[known]


def _keys_of(codes: Keys, min_n: int, max_n: int) -> Iterator[tuple[Bools, Keys]]:
    """For each place and length of an n-gram: (which of the words `(n, characters)` have it, its keys)."""
    dense = np.logical_or.reduce([(codes >= first) & (codes <= last) for first, last in _DENSE])
    size = codes.shape[1]
    for begin in range(size):
        hashes, short = np.full(len(codes), _START, np.uint64), np.zeros(len(codes), np.bool_)
        for n, place in enumerate(range(begin, min(begin + max_n, size)), 1):
            hashes = (hashes ^ codes[:, place]) * np.uint64(_PRIME)
            short |= dense[:, place]
            mask = np.full(len(codes), True) if n >= min_n else short.copy()
            if n == 1 and place in (0, size - 1):  # a mark alone
                continue
            mixed = (hashes ^ (hashes >> np.uint64(32))) * np.uint64(_MIX)
            if mask.any():
                yield mask, mixed ^ (mixed >> np.uint64(29))

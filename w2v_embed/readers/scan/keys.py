"""Sets of many words, by 64-bit keys (the FNV-1a hash of their UTF-8 bytes), made and asked in one go.

The words of a file of 600,000 take a few milliseconds, where a set of Python's strings takes as long as the file's reading.
Two words can have one key, if hardly by chance: a yes is to be confirmed where the word itself is at hand, see `WordSet.deny`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from ...contents import PackedWords
from .hot import hot_loops

if TYPE_CHECKING:
    from ..._types import Bools, Bytes, Ids


class WordSet:
    """A set of words.

    Args:
        keys: list of int64 arrays: the words' keys.
        hot: the hot loops to use; None: by how many keys there are.
    """

    def __init__(self, keys: Sequence[Ids], hot: ModuleType | None = None) -> None:
        self._hot = hot or hot_loops(sum(some.nbytes for some in keys))[0]
        self._set = self._hot.make_set(keys)
        self._denied: set[bytes] = set()

    @classmethod
    def of(cls, words: Iterable[str]) -> WordSet:
        """The set of some strings."""
        return cls([keys_of(list(words))])

    def has(self, words: Sequence[str]) -> Bools:
        """bool array: which of `words`, a list of strings, are in the set."""
        return self.has_stretches(*stretches_of(words))

    def has_stretches(self, buf: Bytes, begins: Ids, ends: Ids) -> Bools:
        """bool array: which of the words `buf[begins[k]:ends[k]]`, of uint8, are in the set."""
        there = self._hot.are_in(self._hot.keys_of(buf, begins, ends), self._set)
        if self._denied:
            for k in np.flatnonzero(there).tolist():
                there[k] = buf[begins[k] : ends[k]].tobytes() not in self._denied
        return there

    def deny(self, words: Iterable[str]) -> None:
        """Say no to these words from now on, which only share their keys with some of the set."""
        self._denied.update(word.encode("utf-8", "surrogatepass") for word in words)


def keys_of(words: Sequence[str], hot: ModuleType | None = None) -> Ids:
    """The keys of a list of strings, as int64, by these hot loops or, where None are given, by how long the words are."""
    buf, begins, ends = stretches_of(words)
    hot = hot or hot_loops(len(buf))[0]
    return hot.keys_of(buf, begins, ends)


def stretches_of(words: Sequence[str]) -> tuple[Bytes, Ids, Ids]:
    """Words as bytes: (uint8 array, where each begins, and ends)."""
    if isinstance(words, PackedWords):
        return words.buf, words.begins, words.ends
    buf = np.frombuffer("\n".join(words).encode("utf-8", "surrogatepass"), np.uint8)
    ends = np.append(np.flatnonzero(buf == ord("\n")), len(buf))
    if len(ends) == len(words):
        return buf, np.concatenate([[0], ends[:-1] + 1]), ends
    each = [word.encode("utf-8", "surrogatepass") for word in words]  # some hold a newline, or there are none
    ends = np.cumsum([0, *map(len, each)])
    return np.frombuffer(b"".join(each), np.uint8), ends[:-1], ends[1:]

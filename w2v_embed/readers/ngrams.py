"""fastText's n-grams: vectors for words that have none of their own, and the vectors of those that have.

The n-grams of a word are the parts of `<word>`, from `minn` to `maxn` characters long, by their first character and then by
their length; the row of each is its hash modulo the number of buckets. Sums run in float32 and in this order, as gensim's do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from .damage import place
from .gensims import gensim_models

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._types import Floats
    from .damage import DamageReport

Hashes: TypeAlias = "Callable[[str, int, int, int], Sequence[int]]"
# FNV-1a of 32 bits
_START, _PRIME, _MASK = 2166136261, 16777619, 0xFFFFFFFF


def hashes_of(word: str, minn: int, maxn: int, buckets: int) -> list[int]:
    """The rows of the n-grams of `word`.

    Raises:
        UnicodeEncodeError: half of a surrogate pair is in it.

    >>> hashes_of("of", 3, 3, 1000)
    [102, 930]
    """
    characters = [character.encode() for character in f"<{word}>"]
    hashes = []
    for begin in range(len(characters)):
        code = _START
        for n, character in enumerate(characters[begin : begin + maxn], 1):
            for byte in character:  # signed, as the C++ has it
                code = (code ^ (byte | 0xFFFFFF00 if byte > 127 else byte)) * _PRIME & _MASK
            if n >= minn and (n > 1 or 0 < begin < len(characters) - 1):
                hashes.append(code % buckets)
    return hashes


def fastest_hashes() -> Hashes:
    """`hashes_of`, or gensim's, which is the same, compiled."""
    try:
        from gensim.models.fasttext import ft_ngram_hashes
    except ImportError:
        return hashes_of
    return ft_ngram_hashes


@dataclass
class FastTextVectors:
    """Words and n-grams of a fastText model; the names are gensim's.

    Attributes:
        index_to_key: list of the words.
        counts: of them.
        vectors_vocab: their own rows `(words, dim)`.
        vectors_ngrams: `(bucket, dim)`.
        vectors: for each word the mean of its own row and those of its n-grams.
        buckets_word: for each word the rows of its n-grams.
    """

    index_to_key: list[str]
    counts: list[int]
    min_n: int
    max_n: int
    bucket: int
    vectors_vocab: Floats
    vectors_ngrams: Floats
    vectors: Floats = field(init=False)
    buckets_word: list[Sequence[int]] = field(init=False)

    def __post_init__(self) -> None:
        self.vectors, self.buckets_word = self.vectors_vocab, [()] * len(self.index_to_key)
        if not self.bucket:
            return
        self.vectors, hashes = self.vectors_vocab.copy(), fastest_hashes()
        with np.errstate(all="ignore"):  # what comes of NaN is looked at later
            for k, word in enumerate(self.index_to_key):
                row, numbers = self.vectors[k], hashes(word, self.min_n, self.max_n, self.bucket)
                for number in numbers:
                    row += self.vectors_ngrams[number]
                row /= len(numbers) + 1
                self.buckets_word[k] = numbers

    def to_gensim(self) -> Any:
        """As gensim's `FastTextKeyedVectors`, which shares the arrays."""
        keyed = gensim_models("the result of load_vectors").fasttext.FastTextKeyedVectors
        kv = keyed(self.vectors_vocab.shape[1], self.min_n, self.max_n, self.bucket)
        kv.index_to_key, kv.key_to_index = self.index_to_key, {word: k for k, word in enumerate(self.index_to_key)}
        kv.vectors, kv.vectors_vocab, kv.vectors_ngrams = self.vectors, self.vectors_vocab, self.vectors_ngrams
        kv.buckets_word = [np.array(numbers, np.uint32) for numbers in self.buckets_word]
        kv.expandos["count"] = np.array(self.counts, np.int64)
        for name in (
            "vectors_lockf",
            "vectors_vocab_lockf",
            "vectors_ngrams_lockf",
        ):  # what training on with them takes
            setattr(kv, name, np.ones(1, np.float32))
        return kv


class NGrams:
    """Vectors out of fastText's n-grams, for words that have none of their own.

    Args:
        kv: `FastTextVectors`, or gensim's `FastTextKeyedVectors`.
        report: where `kv` is nobody else's, the `DamageReport` for rows of n-grams that are not finite, see `clean_ngrams`.
    """

    def __init__(self, kv: Any, report: DamageReport | None = None) -> None:
        self._kv, self._report, self._hashes = kv, report, fastest_hashes()

    @classmethod
    def of(cls, source: object, report: DamageReport | None = None) -> NGrams | None:
        """Those of any object; None where it has none."""
        rows = getattr(source, "vectors_ngrams", None)
        if rows is None or not len(rows) or not 0 < max(source.min_n, 1) <= source.max_n:  # type: ignore[attr-defined]
            return None
        return cls(source, report)

    def _numbers(self, word):
        kv = self._kv
        try:
            return self._hashes(word, kv.min_n, kv.max_n, kv.bucket) if kv.bucket else []
        except UnicodeEncodeError:  # half a surrogate pair
            return []

    def serves(self, word: str) -> bool:
        """Whether there is any n-gram in `word`."""
        return len(self._numbers(word)) > 0

    def row(self, word: str) -> Floats | None:
        """The mean of the n-grams of `word` `(dim,)`, or None where it has none. Summed as gensim does, to the bit."""
        if self._report is not None:
            clean_ngrams(self._kv, self._report)
            self._report = None
        numbers = self._numbers(word)
        if not numbers:
            return None
        total = np.zeros(self._kv.vectors_ngrams.shape[1], np.float32)
        with np.errstate(all="ignore"):
            for number in numbers:
                total += self._kv.vectors_ngrams[number]
        return total / len(numbers)


def clean_ngrams(kv: Any, report: DamageReport) -> None:
    """Put n-gram rows that are not finite into `report`; they then count as zeros, for a row of n-grams cannot be left out."""
    bad = []
    for begin in range(0, len(kv.vectors_ngrams), 4096):
        finite = np.isfinite(kv.vectors_ngrams[begin : begin + 4096]).all(axis=1)
        bad += (begin + np.flatnonzero(~finite)).tolist()
    for number in bad:
        row = kv.vectors_ngrams[number]
        message = f"expected finite numbers in a row of n-grams, got {row[~np.isfinite(row)][0]}"
        report.add("not finite", message, place("n-gram row", number + 1))
        row[:] = 0

"""The rows of other words, for words that no source has: fallbacks say which, the sources lend them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, compress, count, islice, repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from ..readers.relay import in_threads
from ..readers.scan.hot import hot_loops, threads_for
from ..readers.scan.keys import WordSet, keys_of
from .fallbacks import Fallbacks

if TYPE_CHECKING:
    from .._types import FallbackName, Floats, Ids
    from ..readers.ngrams import NGrams
    from .fallbacks import Resolution


class Known(WordSet):
    """A set of the words that have a row, which also knows for which others n-grams make one.

    Args:
        keys: as for `WordSet`.
        ngrams: list of `NGrams`.
    """

    def __init__(self, keys: Sequence[Ids], ngrams: Sequence[NGrams]) -> None:
        super().__init__(keys)
        self._ngrams = ngrams
        self._refused: set[str] = set()

    def makes(self, word: str) -> bool:
        """Whether n-grams make a row for `word`."""
        return word not in self._refused and any(ngrams.serves(word) for ngrams in self._ngrams)

    def refuse(self, words: Iterable[str]) -> None:
        """Say no to these words from now on, whose n-grams are damaged."""
        self._refused.update(words)


def resolve(
    plan: Fallbacks, others: Sequence[FallbackName], missing: list[str], pool: RowPool
) -> tuple[Resolution, Ids, dict[str, Resolution]]:
    """Which of the words `missing` get rows, only from words that a source has under that very name.

    Args:
        plan: the user's `Fallbacks`.
        others: names of further fallbacks, each of which is tried on the words that are left.
        missing: list of words.
        pool: the `RowPool`, which then has the rows.

    Returns:
        (the `Resolution`; the pool's numbers of its lenders; dict name of another fallback → `Resolution`)
    """
    known = pool.words()
    while True:
        resolution = plan.resolve(missing, known)
        left = resolution.missing()
        would: dict[str, Resolution] = {name: Fallbacks([*plan.given, name]).resolve(left, known) for name in others}
        lenders = chain(resolution.lenders(), *(other.lenders() for other in would.values()))
        numbers, nowhere = pool.fetch(lenders)
        spoiled = pool.make(
            missing[k] for loans in resolution.loans if not loans.lenders for k in loans.borrowers
        )  # of n-grams
        if not nowhere and not spoiled:
            return resolution, numbers, would
        known.deny(nowhere)
        known.refuse(spoiled)


class RowPool:
    """The rows that the sources have: those of the vocabulary out of the matrix, others as they are asked for.

    Args:
        matrix: array `(rows, dim)` with the rows of the vocabulary's words.
        word_index: dict word → row.
        sources: list of `Source`s, of which an earlier one wins. One that knows the keys (see `keys`) of all its words, those
            found for the matrix among them, says so: `word_keys() -> list of int64 arrays`; one that has n-grams lends them:
            `ngrams() -> NGrams or None`.
        owners: array `(rows,)`: which of them each row of the matrix is from; negative: it has none.
        candidates: callable → all other words that may be asked for, sorted; it is called where a source must be asked whether
            it has them, once.

    Attributes:
        makers: dict word → the place in the list of sources of the one whose n-grams made its row.
    """

    def __init__(
        self,
        matrix: Floats,
        word_index: Mapping[str, int],
        sources: Sequence[Any],
        owners: Ids,
        candidates: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._matrix, self._word_index, self._sources, self._candidates = matrix, word_index, sources, candidates
        self._numbers: dict[str, int] = defaultdict(count().__next__)  # of words, as they come
        self._rows = np.empty(0, np.int64)  # of each number: the row, those of `_more` counted on from the matrix's
        self._owners: list[Ids] = [owners]  # of the rows of the matrix, then of `_more`
        self._more: list[Floats] = []
        ngrams = [(number, source.ngrams()) for number, source in enumerate(sources) if hasattr(source, "ngrams")]
        self._ngrams = [(number, some) for number, some in ngrams if some]
        self.makers: dict[str, int] = {}

    def words(self) -> Known:
        """All words that have a row, as `Known`."""
        keys = [keys for source in self._sources if hasattr(source, "word_keys") for keys in source.word_keys()]
        asked = [source for source in self._sources if not hasattr(source, "word_keys")]
        if asked:
            index = self._word_index
            others = [word for word in self._candidates() if word not in index]
            there = np.logical_or.reduce([source.has(others) for source in asked])
            placed = compress(index, (self._owners[0][np.fromiter(index.values(), np.int64, len(index))] >= 0).tolist())
            keys.append(keys_of([*placed, *compress(others, there.tolist())]))
        return Known(keys, [ngrams for _, ngrams in self._ngrams])

    def make(self, words: Iterable[str]) -> list[str]:
        """Write the rows of words of the vocabulary that n-grams make into the matrix; returns those whose n-grams are
        damaged."""
        spoiled = []
        for word in words:
            if word not in self.makers and not any(self._made(word, *some) for some in self._ngrams):
                spoiled.append(word)
        return spoiled

    def _made(self, word, number, ngrams):
        row = ngrams.row(word)
        if row is None:
            return False
        if not np.isfinite(row).all():
            self._sources[number].report.add(
                "not finite", "expected finite numbers in the vector that its n-grams make", f"word {word!r}"
            )
            return False
        self._matrix[self._word_index[word]] = row
        self.makers[word] = number
        return True

    def fetch(self, words: Iterable[str]) -> tuple[Ids, list[str]]:
        """Get the rows of `words` that were not asked for before.

        Returns:
            (int64 array of a number for each, by which the pool knows it; list of the new words that no source has)
        """
        numbers = np.fromiter(map(self._numbers.__getitem__, words), np.int64)
        new = list(islice(self._numbers, len(self._rows), None))
        rows = np.fromiter(map(self._word_index.get, new, repeat(-1)), np.int64, len(new))
        left = np.flatnonzero(rows < 0)
        rows[self._owners[0][rows] < 0] = -1  # words of the vocabulary without a row
        for number, source in enumerate(self._sources):
            for got, lent in source.lend([new[k] for k in left.tolist()]):
                first = sum(map(len, self._owners))
                rows[left[got]] = np.arange(first, first + len(got))
                self._owners.append(np.full(len(got), number))
                self._more.append(lent.astype(self._matrix.dtype, copy=False))
            left = left[rows[left] < 0]
        self._rows = np.concatenate([self._rows, rows])
        return numbers, [new[k] for k in np.flatnonzero(rows < 0).tolist()]

    def lend(self, numbers: Ids, counts: Sequence[int], targets: Ids) -> None:
        """Make each row `targets[k]` of the matrix the mean of the rows of the next `counts[k]` words, known by `numbers`."""
        matrix = self._matrix
        more = self._more[0] if len(self._more) == 1 else np.concatenate([matrix[:0], *self._more])
        rows, bounds = self._rows[numbers], np.cumsum([0, *counts])
        size = len(rows) * more.strides[0]
        hot = hot_loops(size)[0]

        def work(part):
            hot.mean_rows(matrix, more, rows, bounds[part.start : part.stop + 1], targets[part])

        in_threads(work, len(targets), threads_for(size))

    def owners(self, numbers: Ids) -> Ids:
        """The places in the list of sources of those that have the rows of these words."""
        return np.concatenate(self._owners)[self._rows[numbers]]

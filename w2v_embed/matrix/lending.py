"""The rows of other words, for words that no source has: fallbacks say which, the sources lend them."""

from collections import defaultdict
from itertools import chain, count, islice, repeat

import numpy as np

from ..readers.relay import in_threads
from ..readers.scan import plain
from ..readers.scan.hot import hot_loops, threads_for
from ..readers.scan.keys import WordSet, keys_of
from .fallbacks import Fallbacks


class Known(WordSet):
    """A set of the words that have a row, which also knows for which others n-grams make one.

    Args:
        keys: as for `WordSet`.
        ngrams: list of `NGrams`.
    """

    def __init__(self, keys, ngrams):
        super().__init__(keys)
        self._ngrams, self._refused = ngrams, set()

    def makes(self, word):
        """Whether n-grams make a row for `word`."""
        return word not in self._refused and any(ngrams.serves(word) for ngrams in self._ngrams)

    def refuse(self, words):
        """Say no to these words from now on, whose n-grams are damaged."""
        self._refused.update(words)


def resolve(plan, others, missing, pool):
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
        would = {name: Fallbacks([*plan.given, name]).resolve(left, known) for name in others}
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
        lenders: list of `Selection`s and the like, of which an earlier one wins.
        owners: array `(rows,)`: which of them each row of the matrix is from; negative: it has none.

    Attributes:
        makers: dict word → the place in the list of lenders of the one whose n-grams made its row.
    """

    def __init__(self, matrix, word_index, lenders, owners, candidates):
        self._candidates = candidates
        self._matrix, self._word_index, self._lenders = matrix, word_index, lenders
        self._numbers = defaultdict(count().__next__)  # of words, as they come
        self._places = np.empty(0, np.int64)  # of each number: the row, those of `_more` counted on from the matrix's
        self._owners, self._more = [owners], []  # of the rows of the matrix, then of `_more`
        self._ngrams = [(number, lender.ngrams()) for number, lender in enumerate(lenders)]
        self._ngrams = [(number, ngrams) for number, ngrams in self._ngrams if ngrams]
        self.makers = {}

    def words(self):
        """All words that have a row, as `Known`."""
        keys = [keys_of([word for word, row in self._word_index.items() if self._owners[0][row] >= 0])]
        for lender in self._lenders:
            if hasattr(lender, "word_keys"):
                keys += lender.word_keys()
            else:
                words = [word for word in self._candidates() if word not in self._word_index]
                keys.append(keys_of([word for word, there in zip(words, lender.has(words).tolist()) if there]))
        return Known(keys, [ngrams for _, ngrams in self._ngrams])

    def make(self, words):
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
            report = self._lenders[number].report
            report.add("not finite", "expected finite numbers in the vector that its n-grams make", f"word {word!r}")
            return False
        self._matrix[self._word_index[word]] = row
        self.makers[word] = number
        return True

    def fetch(self, words):
        """Get the rows of `words` that were not asked for before.

        Returns:
            (int64 array of a number for each, by which the pool knows it; list of the new words that no source has)
        """
        numbers = np.fromiter(map(self._numbers.__getitem__, words), np.int64)
        new = list(islice(self._numbers, len(self._places), None))
        places = np.fromiter(map(self._word_index.get, new, repeat(-1)), np.int64, len(new))
        left = np.flatnonzero(places < 0)
        places[self._owners[0][places] < 0] = -1  # words of the vocabulary without a row
        for number, lender in enumerate(self._lenders):
            for got, rows in lender.lend([new[k] for k in left.tolist()]):
                first = sum(map(len, self._owners))
                places[left[got]] = np.arange(first, first + len(got))
                self._owners.append(np.full(len(got), number))
                self._more.append(rows.astype(self._matrix.dtype, copy=False))
            left = left[places[left] < 0]
        self._places = np.concatenate([self._places, places])
        return numbers, [new[k] for k in np.flatnonzero(places < 0).tolist()]

    def lend(self, numbers, counts, targets):
        """Make each row `targets[k]` of the matrix the mean of the rows of the next `counts[k]` words, known by `numbers`."""
        matrix = self._matrix
        more = self._more[0] if len(self._more) == 1 else np.concatenate([matrix[:0], *self._more])
        places, bounds = self._places[numbers], np.cumsum([0, *counts])
        hot = plain if matrix.dtype == np.float16 else hot_loops(0)[0]  # numba knows no half precision

        def work(part):
            hot.mean_rows(matrix, more, places, bounds[part.start : part.stop + 1], targets[part])

        in_threads(work, len(targets), threads_for(len(places) * more.strides[0]))

    def owners(self, numbers):
        """The places in the list of lenders of those that have the rows of these words."""
        return np.concatenate(self._owners)[self._places[numbers]]

"""The rows of other words, for words that no source has: fallbacks say which, the sources lend them."""

from itertools import chain

import numpy as np

from .fallbacks import Fallbacks
from .readers import WordSet, hot_loops, plain


def resolve(plan, others, missing, pool):
    """Which of the words `missing` get rows, only from words that a source has under that very name.

    Args:
        plan: the user's `Fallbacks`.
        others: names of further fallbacks, each of which is tried on the words that are left.
        missing: list of words.
        pool: the `RowPool`, which then has the rows.

    Returns:
        (the `Resolution`, dict name of another fallback → `Resolution`)
    """
    known = pool.words()
    while True:
        resolution = plan.resolve(missing, known)
        left = resolution.missing()
        would = {name: Fallbacks([*plan.given, name]).resolve(left, known) for name in others}
        nowhere = pool.fetch(chain(resolution.lenders(), *(other.lenders() for other in would.values())))
        if not nowhere:
            return resolution, would
        known.deny(nowhere)


class RowPool:
    """The rows that the sources have: those of the vocabulary out of the matrix, others as they are asked for.

    Args:
        matrix: array `(rows, dim)` with the rows of the vocabulary's words.
        word_index: dict word → row.
        missing: those of its words that have none.
        lenders: list of `Selection`s and the like, of which an earlier one wins.
        owners: array `(rows,)`: which of them each row of the matrix is from.
    """

    def __init__(self, matrix, word_index, missing, lenders, owners):
        self._matrix, self._word_index, self._missing, self._lenders = matrix, word_index, set(missing), lenders
        self._place = {}  # of each word that was fetched: its row, those of `_more` counted on from the matrix's
        self._owners, self._more = [owners], []  # of the rows of the matrix, then of `_more`, an array a lender

    def words(self):
        """The `WordSet` of all words that have a row."""
        return WordSet([keys for lender in self._lenders for keys in lender.word_keys()])

    def fetch(self, words):
        """Get the rows of `words` where they are not yet here; returns the list of those that no source has."""
        words = set(words).difference(self._place)
        left = words.difference(self._word_index)
        inside = words - left
        self._place.update((word, self._word_index[word]) for word in inside - self._missing)
        left = list(left)
        for number, lender in enumerate(self._lenders):
            got, rows = lender.lend(left) if left else ([], self._matrix[:0])
            first = sum(map(len, self._owners))
            self._place.update(zip(got, range(first, first + len(got))))
            self._owners.append(np.full(len(got), number))
            self._more.append(rows)
            left = [word for word in left if word not in self._place]
        return [*left, *(inside & self._missing)]

    def lend(self, words, targets):
        """Make each row `targets[k]` of the matrix the mean of the rows of `words[k]`, tuples of one length."""
        if len(self._more) > 1:
            self._more = [np.concatenate(self._more)]
        places = np.fromiter(map(self._place.__getitem__, chain.from_iterable(words)), np.int64)
        hot = plain if self._matrix.dtype == np.float16 else hot_loops(0)[0]  # numba knows no half precision
        hot.mean_rows(self._matrix, self._more[0], places.reshape(len(words), -1), targets)

    def owners(self, words):
        """The numbers of the lenders that have the rows of `words`, each once."""
        if len(self._owners) > 1:
            self._owners = [np.concatenate(self._owners)]
        return list(dict.fromkeys(int(self._owners[0][self._place[word]]) for word in words))

"""The rows of some words, out of a file that is only streamed."""

from itertools import compress

import numpy as np

from .damage import Damage, Damages
from .opened import Opened

_SIDE_BYTES = 1 << 25  # of the first room for side rows


def select_rows(path, words, matrix_of, places, *, lenders=None, encoding="utf-8", on_error="raise", progress=None):
    """Stream `path`, and write the vectors of `words` into a matrix; stop as soon as all are found.

    Rows of other words, which fallbacks need for the words that are not found, are read too. Where the file can be read at any
    place, it is noted where each word lies, and after the run only the rows that are needed are read. Out of a packed or narrow
    file all rows that might be needed are collected in the same run. Memory for them is bounded by
    what they can still be needed for: where room runs out, rows that only words found by now would have used are dropped.

    Args:
        path: a file of any format that `load_vectors` reads without being told to trust it.
        words: list of str without repetition.
        matrix_of: callable, dim → the array `(rows, dim)` to fill.
        places: for each word its row of the array.
        lenders: callable, list of words not found → set of the other words that may lend them a row.
        encoding, on_error, progress: as for `load_vectors`.

    Returns:
        (the array; bool array `(len(words),)`: which words were found; (list of other words, their rows); the `DamageReport`).
    """
    with Opened(path, words, lenders=lenders, encoding=encoding, on_error=on_error) as opened:
        sink = _Rows(words, matrix_of(opened.reader.dim), np.asarray(places), opened.side, lenders)
        opened.run(sink, progress, log=False)
        lent = sink.side_rows()
        if opened.passed is not None and sink.count < len(words):
            lent = _go_back(opened, list(lenders(sink.missing())), sink.matrix)
    opened.report.log()
    return sink.matrix, sink.found[: len(words)], lent, opened.report


def _go_back(opened, words, like):
    """Those of `words` that were passed over, and their rows, as in the matrix `like`."""
    words, records = opened.passed_over(words)
    sink = _Rows(words, np.empty((len(words), like.shape[1]), like.dtype), np.arange(len(words)))
    if words:
        opened.go_back(words, records, sink)
    return list(compress(words, sink.found.tolist())), sink.matrix[sink.found]


class _Rows:
    """Fills the rows of the wanted words. The first of two equal words counts."""

    def __init__(self, words, matrix, places, side=(), lenders=None):
        self.words, self.matrix, self.places, self.side, self.lenders = words, matrix, places, side, lenders
        self.found = np.zeros(len(words) + len(side), np.bool_)
        self.count = 0
        # Of the side rows: the numbers of their words, and the rows, of which the first `n_kept` are in use.
        dim = matrix.shape[1]
        room = min(len(side), _SIDE_BYTES // (dim * matrix.itemsize) + 1)
        self.kept = np.empty(room, np.int64)
        self.rows = np.empty((room, dim), matrix.dtype)
        self.n_kept = 0

    def add(self, block):
        new = np.flatnonzero(~self.found[block.targets])
        _, first = np.unique(block.targets[new], return_index=True)
        new = np.sort(new[first])
        targets = block.targets[new]
        self.found[targets] = True
        inside = targets < len(self.words)
        self.matrix[self.places[targets[inside]]] = block.rows[new[inside]]
        self.count += int(inside.sum())
        if not inside.all():
            self._keep(targets[~inside] - len(self.words), block.rows[new[~inside]])
        again = Damages()
        if len(new) < len(block.targets):
            for k in np.setdiff1d(np.arange(len(block.targets)), new).tolist():
                message = f"the word {self._word(block.targets[k])!r} stands here again"
                again.add(Damage("duplicate word", message, int(block.where[k]), int(block.begins[k])))
        done = self.count == len(self.words)
        last = new[inside][-1:]
        return (int(block.where[last[0]]) if len(last) else -1) if done else None, again

    def _word(self, target):
        return self.words[target] if target < len(self.words) else self.side[target - len(self.words)]

    def missing(self):
        """List of the words not found so far."""
        return list(compress(self.words, (~self.found[: len(self.words)]).tolist()))

    def _keep(self, numbers, rows):
        if self.n_kept + len(numbers) > len(self.kept):
            needed = self._sweep()
            stay = self._are_in(numbers, needed)
            numbers, rows = numbers[stay], rows[stay]
            room = 2 * (self.n_kept + len(numbers))
            if room > len(self.kept):
                self.kept.resize(room, refcheck=False)
                self.rows.resize((room, self.rows.shape[1]), refcheck=False)
        end = self.n_kept + len(numbers)
        self.kept[self.n_kept : end] = numbers
        self.rows[self.n_kept : end] = rows
        self.n_kept = end

    def _sweep(self):
        """Drop the side rows that no missing word can use; returns the set of the words that are still of use."""
        missing = self.missing()
        needed = self.lenders(missing) if missing else set()
        stay = np.flatnonzero(self._are_in(self.kept[: self.n_kept], needed))
        self.n_kept = len(stay)
        self.kept[: self.n_kept] = self.kept[stay]
        self.rows[: self.n_kept] = self.rows[stay]
        return needed

    def _are_in(self, numbers, needed):
        return np.fromiter((self.side[number] in needed for number in numbers.tolist()), np.bool_, len(numbers))

    def side_rows(self):
        """The side words that were found and kept, and their rows."""
        return [self.side[number] for number in self.kept[: self.n_kept].tolist()], self.rows[: self.n_kept]

"""The rows of some words, out of a file that is only streamed."""

import numpy as np

from .damage import Damage, Damages
from .opened import Opened


def select_rows(path, words, matrix_of, places, *, encoding="utf-8", on_error="raise", progress=None):
    """Stream `path`, and write the vectors of `words` into a matrix; stop as soon as all are found.

    Args:
        path: a file of any format that `load_vectors` reads without being told to trust it.
        words: list of str without repetition.
        matrix_of: callable, dim → the array `(rows, dim)` to fill.
        places: for each word its row of the array.
        encoding, on_error, progress: as for `load_vectors`.

    Returns:
        (the array, bool array `(len(words),)`: which words were found, the `DamageReport`).
    """
    with Opened(path, words, encoding=encoding, on_error=on_error) as opened:
        sink = _Rows(words, matrix_of(opened.reader.dim), np.asarray(places))
        opened.run(sink, progress)
    return sink.matrix, sink.found, opened.report


class _Rows:
    """Fills the rows of the wanted words. The first of two equal words counts."""

    def __init__(self, words, matrix, places):
        self.words, self.matrix, self.places = words, matrix, places
        self.found = np.zeros(len(words), np.bool_)
        self.count = 0

    def add(self, block):
        new = np.flatnonzero(~self.found[block.targets])
        _, first = np.unique(block.targets[new], return_index=True)
        new = np.sort(new[first])
        targets = block.targets[new]
        self.matrix[self.places[targets]] = block.rows[new]
        self.found[targets] = True
        self.count += len(new)
        again = Damages()
        if len(new) < len(block.targets):
            for k in np.setdiff1d(np.arange(len(block.targets)), new).tolist():
                message = f"the word {self.words[block.targets[k]]!r} stands here again"
                again.add(Damage("duplicate word", message, int(block.where[k]), int(block.begins[k])))
        done = self.count == len(self.words)
        return (int(block.where[new[-1]]) if len(new) else -1) if done else None, again

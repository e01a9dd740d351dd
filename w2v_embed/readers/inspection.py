"""What a file of word vectors is, and how it is doing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from ..shown import plain_errors
from .blocks import first_of_equal
from .opened import Opened
from .remote import place_of

if TYPE_CHECKING:
    from .._types import AnyFile, FormatName, OnError, Progress

_FIRST_WORDS = 10
_ENOUGH = 1 << 20  # bytes of rows
_ASKED = 5  # words whose neighbours are looked for
_NEIGHBOURS = 5  # of each
_OUTSIDE = 3  # interquartile ranges beyond the quartiles from which on a norm is an outlier
_EXAMPLES = 5


@plain_errors
def inspect(
    path: AnyFile,
    *,
    format: FormatName | None = None,
    encoding: str = "utf-8",
    on_error: OnError = "skip",
    progress: Progress = None,
    trust: bool = False,
) -> dict[str, Any]:
    """Read the whole of `path` and tell what is in it.

    Args:
        path, format, encoding, progress, trust: as for `load_vectors`.
        on_error: "skip" goes on at what is wrong and counts it; "raise" stops there.

    Returns:
        A dict of JSON values:
        file, bytes, compression, format, encoding, header (words and numbers a word that the first line claims, or None),
        words, dim, first_words, steps (of a matrix: see `EmbeddingMatrix`); then the health: damage (counts by kind), examples
        (the first of each kind, with their places), norms (least, median, greatest), zero_vectors, outlier_norms (count and
        first words: norms far beyond the middle half);
        neighbours (for a few of the first words: the nearest words and their cosines); seconds.

    Raises:
        FileNotFoundError, ValueError: as `load_vectors`.

    Example:
        >>> facts = inspect("data/vectors.bin")
        >>> facts["format"], facts["dim"], facts["compression"], facts["damage"]
        ('binary', 100, None, {})
    """
    start, path = time.perf_counter(), place_of(path)
    with Opened(path, format, encoding, on_error=on_error, trust=trust) as opened:
        opened.look_for(None)
        census = _Census()
        opened.run(census, progress)
    layout, source, report = opened.layout, opened.source, opened.report
    norms = np.concatenate(census.norms) if census.norms else np.zeros(0, np.float32)
    return {
        "file": str(path),
        "bytes": source.size,
        "compression": source.compression,
        "format": opened.format.name,
        "encoding": encoding,
        "header": list(layout.header) if layout.header else None,
        "words": census.count,
        "dim": layout.dim,
        "first_words": census.first_words,
        "steps": list(layout.steps),
        "damage": dict(report.counts),
        "examples": {kind: examples[:_EXAMPLES] for kind, examples in report.examples.items()},
        "norms": [round(float(v), 4) for v in np.quantile(norms, [0, 0.5, 1])] if len(norms) else [],
        "zero_vectors": int((norms == 0).sum()),
        "outlier_norms": _outliers(norms, census.words),
        "neighbours": census.neighbours(),
        "seconds": round(time.perf_counter() - start, 3),
    }


def _outliers(norms, words):
    norms = np.where(norms > 0, norms, np.nan)  # those of zero have their own line
    if np.isnan(norms).all():
        return {"count": 0, "words": []}
    low, high = np.nanquantile(norms, [0.25, 0.75])
    reach = max(_OUTSIDE * (high - low), 0.01 * high)  # of vectors of one length only the last digits differ
    outside = np.flatnonzero((norms < low - reach) | (norms > high + reach)).tolist()
    names = dict(zip(outside[:_EXAMPLES], [None] * _EXAMPLES))
    for k, word in enumerate(words):
        if k in names:
            names[k] = word
    return {"count": len(outside), "words": list(names.values())}


class _Census:
    """Keeps words and norms, and of the vectors the nearest to a few; the others are dropped."""

    def __init__(self):
        self.words = {}  # in the order of the file
        self.norms = []
        self.asked = []
        self._waiting = []  # words, rows and norms, until there are enough of them to choose those that are asked about

    @property
    def count(self):
        return len(self.words)

    @property
    def first_words(self):
        return [word for word, _ in zip(self.words, range(_FIRST_WORDS))]

    def add(self, block):
        keep, again = first_of_equal(block.words, block, self.words)
        names, rows = block.words, block.rows
        if keep is not None:
            names, rows = [names[k] for k in keep], rows[keep]
        norms = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64)).astype(np.float32)
        self.words.update(dict.fromkeys(names))
        self.norms.append(norms)
        if not self.asked:
            self._waiting.append((names, rows.copy(), norms))
            if sum(rows.nbytes for _, rows, _ in self._waiting) >= _ENOUGH:
                self._choose()
        else:
            self._compare(names, rows, norms)
        return None, again

    def _choose(self):
        names = [word for names, _, _ in self._waiting for word in names]
        good = np.flatnonzero(np.concatenate([norms > 0 for _, _, norms in self._waiting])).tolist()
        asked = [k for k in good if len(names[k]) > 1 and names[k].isalpha()] or good
        self.asked = [names[k] for k in asked[:_ASKED]]
        rows = np.concatenate([rows / np.where(norms > 0, norms, 1)[:, None] for _, rows, norms in self._waiting])
        self._queries = rows[asked[:_ASKED]].T.copy()
        self._nearest = [[] for _ in self.asked]
        for part in self._waiting:
            self._compare(*part)
        self._waiting = []

    def _compare(self, names, rows, norms):
        if not len(rows):
            return
        unit = rows / np.where(norms > 0, norms, 1)[:, None]
        cosines = unit @ self._queries
        for q, word in enumerate(self.asked):
            column = cosines[:, q]
            some = (
                np.argpartition(-column, _NEIGHBOURS)[: _NEIGHBOURS + 1]
                if len(column) > _NEIGHBOURS
                else range(len(column))
            )
            found = [(float(column[k]), names[k]) for k in some if names[k] != word]
            best = sorted(self._nearest[q] + found, key=lambda pair: (-pair[0], pair[1]))
            self._nearest[q] = best[:_NEIGHBOURS]

    def neighbours(self):
        if self._waiting:
            self._choose()
        return {
            word: [[other, round(cosine, 4)] for cosine, other in nearest]
            for word, nearest in zip(self.asked, self._nearest if self.asked else [])
        }

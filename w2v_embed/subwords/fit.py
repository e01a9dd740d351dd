"""Vectors → n-grams whose rows make, for each word, what comes nearest to its vector: no corpus is needed.

Nearest by least squares, with a penalty that keeps the rows of rare n-grams short, by conjugate gradients.

Reference: Zhao, Mudgal & Liang 2018, Generalizing Word Embeddings using Bag of Subwords.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import whole
from ..parts import listed
from ..readers.relay import in_threads
from ..readers.scan.hot import hot_loops, threads_for
from ..shown import plain_errors, quoted
from .model import SubwordModel
from .ngrams import LONGEST, ngrams_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._types import Floats, Ids, OneSource
    from .ngrams import Keys

_PENALTY, _ROUNDS = 1.0, 20
_COLUMNS = 32  # that are fitted at a time
_MOST_HELD_OUT = 1000


@plain_errors
def fit_subwords(
    vectors: OneSource,
    *,
    limit: int | None = 200_000,
    ngrams: int = 200_000,
    min_n: int = 3,
    max_n: int = 6,
    seed: int = 0,
) -> SubwordModel:
    """Fit n-grams of characters to word vectors, so that words that nobody has get a row out of their spelling.

    It takes seconds for 50,000 words of 50 numbers, and memory for the words and some times the n-grams.

    Args:
        vectors: a path of word vectors (see `load_vectors`), a gensim KeyedVectors, or an `EmbeddingMatrix`, of which the words
            with vectors of their own count.
        limit: the first so many words, which in most files are the most frequent; None = all.
        ngrams: the most frequent so many n-grams are kept.
        min_n, max_n: characters of an n-gram, the ends of the word counted.
        seed: of which words are held out, to judge it: one of twenty, up to 1,000.

    Returns:
        a `SubwordModel`; the same vectors and options give the same.

    Raises:
        TypeError, ValueError: there are no words to learn from.

    Example:
        >>> from w2v_embed import build_matrix
        >>> from w2v_embed.subwords import fit_subwords
        >>> model = fit_subwords("data/vectors.txt.bz2", limit=2000)
        >>> em = build_matrix(["data/vectors.txt.bz2", model], {"中国": 1, "中国热": 2})
        >>> em.provenance.tolist()
        ['padding', 'vectors.txt.bz2', 'SubwordModel (subwords)']
    """
    limit = None if limit is None else whole("limit", limit, 2, or_none=True)
    ngrams, seed = whole("ngrams", ngrams), whole("seed", seed, 0)
    min_n = whole("min_n", min_n, 1, LONGEST)
    max_n = whole("max_n", max_n, min_n, LONGEST)
    words, rows = _words_of(vectors, limit)
    numbers, keys = ngrams_of(words, min_n, max_n)
    held_out = np.zeros(len(words), np.bool_)
    chosen = np.random.default_rng(seed).permutation(len(words))[: min(len(words) // 20, _MOST_HELD_OUT)]
    held_out[chosen] = True
    kept = _most_frequent(keys[~held_out[numbers]], ngrams)
    if not len(kept):
        raise ValueError(
            f"fit_subwords needs words of {min_n} characters or more, received none: pass a smaller min_n="
        )
    places = np.minimum(np.searchsorted(kept, keys), len(kept) - 1)
    known = (kept[places] == keys) & ~held_out[numbers]
    mean, made = _fitted(rows, numbers[known], places[known], len(kept))
    model = SubwordModel(kept, made, mean, min_n=min_n, max_n=max_n, words=len(words) - len(chosen))
    model.cosine = _mean_cosine(model, [words[k] for k in chosen.tolist()], rows[chosen])
    return model


def _words_of(vectors: Any, limit: int | None) -> tuple[list[str], Floats]:
    """The first words and their finite rows, float32."""
    if isinstance(vectors, (str, os.PathLike)):
        from ..readers.load import load_vectors

        vectors = load_vectors(vectors, limit=limit)
    known = listed(vectors)
    if known is None:
        raise TypeError(
            "vectors must be a path, a gensim KeyedVectors or an EmbeddingMatrix, whose words can be listed, "
            f"received {quoted(vectors)}"
        )
    words, places, matrix = known
    rows = np.asarray(matrix)[places[:limit]].astype(np.float32)
    good = np.flatnonzero(np.isfinite(rows).all(axis=1))
    if len(good) < 2:
        raise ValueError(f"fit_subwords needs two words with vectors at least, received {len(good)}")
    return [words[k] for k in good.tolist()], rows[good]


def _most_frequent(keys: Keys, most: int) -> Keys:
    """The keys that occur most often, ascending; of equally frequent ones those of smaller value."""
    unique, counts = np.unique(keys, return_counts=True)
    if len(unique) > most:
        unique = unique[np.sort(np.argsort(-counts, kind="stable")[:most])]
    return unique


class _Means:
    """Sums of rows: row `k` of the result is the sum of those that `lent[bounds[k] : bounds[k + 1]]` numbers, over the root of
    what `scale` says."""

    def __init__(self, groups: Ids, lent: Ids, count: int) -> None:
        order = np.argsort(groups, kind="stable")
        self.counts = np.bincount(groups, minlength=count)
        self._targets = np.flatnonzero(self.counts)  # those with nothing stay zero
        self._bounds = np.concatenate([[0], np.cumsum(self.counts[self._targets])])
        self._lent, self._count = lent[order] + count, count

    def sums(self, rows: Floats) -> npt.NDArray[np.float32]:
        made = np.zeros((self._count, rows.shape[1]), np.float32)
        hot = hot_loops(self._lent.nbytes * rows.shape[1])[0]

        def work(part: slice) -> None:
            bounds = self._bounds[part.start : part.stop + 1]
            hot.mean_rows(made, rows, self._lent, bounds, self._targets[part])

        in_threads(work, len(self._targets), threads_for(4 * len(self._lent) * rows.shape[1]))
        made *= self.counts[:, None].astype(np.float32)
        return made


def _fitted(
    rows: npt.NDArray[np.float32], numbers: Ids, places: Ids, count: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """(the mean of the words with n-grams, the rows of `count` n-grams), where word `numbers[k]` has the n-gram `places[k]`.

    Each column is a problem of its own, so that some at a time take little memory and the same values.
    """
    of_words, of_ngrams = _Means(numbers, places, len(rows)), _Means(places, numbers, count)
    there = of_words.counts > 0
    scale = (there / np.sqrt(np.maximum(of_words.counts, 1))).astype(np.float32)[:, None]
    mean = rows[there].mean(axis=0, dtype=np.float64).astype(np.float32)
    made = np.empty((count, rows.shape[1]), np.float32)
    for begin in range(0, rows.shape[1], _COLUMNS):
        some = slice(begin, begin + _COLUMNS)
        made[:, some] = _solved(of_words, of_ngrams, scale, np.ascontiguousarray(rows[:, some] - mean[some]))
    return mean, made


def _solved(of_words: _Means, of_ngrams: _Means, scale: Floats, wanted: Floats) -> Floats:
    """The rows that make `wanted`, by conjugate gradients on the normal equations."""
    left = of_ngrams.sums(wanted * scale)
    found, step, size = np.zeros_like(left), left.copy(), _squares(left, left)
    for _ in range(_ROUNDS):
        change = of_ngrams.sums(of_words.sums(step) * (scale * scale))
        change += np.float32(_PENALTY) * step
        length = (size / np.maximum(_squares(step, change), 1e-30)).astype(np.float32)
        found += length * step
        left -= length * change
        before, size = size, _squares(left, left)
        step *= (size / np.maximum(before, 1e-30)).astype(np.float32)
        step += left
    return found


def _squares(a: Floats, b: Floats) -> npt.NDArray[np.float64]:
    return np.einsum("ij,ij->j", a, b, dtype=np.float64)


def _mean_cosine(model: SubwordModel, words: list[str], rows: Floats) -> float | None:
    made, found = model.vectors_for(words)
    lengths = np.linalg.norm(made, axis=1) * np.linalg.norm(rows, axis=1)
    good = found & (lengths > 0)
    return float(((made * rows).sum(axis=1)[good] / lengths[good]).mean()) if good.any() else None

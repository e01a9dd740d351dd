"""The rows of words that no source has: zeros, the mean of the found rows, or drawn like these.

What is drawn for a word depends on nothing but the seed, the word, and mean and standard deviation of the found rows: one more
missing word changes no other word's draw, and the words may come in any order. A hash of seed and word is the key of a Philox
generator, the same on every machine; NumPy makes its bits normal, and promises the same numbers within one version of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from .._types import OovName
from ..checks import one_of
from .blocks import blocks_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._types import Floats, Ids, Oov
    from .embedding_matrix import EmbeddingMatrix


def checked_oov(oov: Oov) -> Oov:
    """`oov`, if it says how to make rows."""
    if not callable(oov):
        one_of("oov", oov, get_args(OovName), or_else="a callable (shape, rng) -> rows")
    return oov


def fill_unknown(em: EmbeddingMatrix, unknown_rows: Sequence[int], oov: Oov, seed: int) -> None:
    """Give the rows of the missing words of `em`, and its `unknown_rows`, their values.

    Sums run in float64 and in the order of the words, so that ids do not matter.
    """
    if oov == "zeros":
        return
    missing, found = sorted(em.coverage.missing), sorted(em.coverage.found)
    places = np.array([*(em.word_index[word] for word in missing), *unknown_rows], np.int64)
    if not len(places) or not (found or callable(oov)):
        return
    if callable(oov):
        shape = len(places), em.vector_size
        rows = np.asarray(oov(shape, np.random.default_rng(seed)))
        if rows.shape != shape or rows.dtype.kind not in "fiu" or not np.isfinite(rows).all():
            raise ValueError(
                f"oov must return finite rows of shape {shape}, received {rows.dtype} of shape {rows.shape}"
            )
        em.matrix[places] = rows
        return
    known = np.array([em.word_index[word] for word in found], np.int64)
    mean = _sum_of(em.matrix, known) / len(known)
    if oov == "mean":
        em.matrix[places] = mean
        return
    std = np.sqrt(_sum_of(em.matrix, known, lambda rows: np.square(rows - mean)) / len(known))
    things: list[str | int] = [*missing, *unknown_rows]
    for some in blocks_of(len(places), len(mean)):
        em.matrix[places[some]] = mean + std * draw(things[some], len(mean), seed)


def draw(things: Iterable[str | int], dim: int, seed: int) -> npt.NDArray[np.float64]:
    """For each word, or id of a row without a word, `dim` numbers that are drawn from the standard normal distribution.

    >>> draw(["cat", "dog"], 3, seed=0).round(2).tolist() == draw(["dog", "cat"], 3, seed=0).round(2).tolist()[::-1]
    True
    """
    import hashlib  # which loads OpenSSL

    texts = (
        b"id %d" % thing if isinstance(thing, int) else b"word " + thing.encode("utf-8", "surrogatepass")
        for thing in things
    )
    seeded = hashlib.blake2b(b"%d " % seed, digest_size=16)
    keys = np.frombuffer(b"".join(_digest(seeded, text) for text in texts), "<u8").reshape(-1, 2)
    bits = np.random.Philox(key=0)
    state, generator, rows = bits.state, np.random.Generator(bits), np.empty((len(keys), dim))
    for key, row in zip(keys, rows):
        state["state"]["key"][:] = key
        bits.state = state  # a tenth of the time that a new generator takes
        generator.standard_normal(out=row)
    return rows


def _digest(seeded, text):
    hashed = seeded.copy()
    hashed.update(text)
    return hashed.digest()


def _sum_of(matrix: Floats, numbers: Ids, change: Callable[[Floats], Floats] | None = None) -> npt.NDArray[np.float64]:
    """The sum in float64 of the rows `numbers`, one after another in this order, each changed by `change`."""
    total = np.zeros(matrix.shape[1])
    for some in blocks_of(len(numbers), len(total)):
        rows: Any = matrix[numbers[some]].astype(np.float64)
        rows = rows if change is None else change(rows)
        rows[0] += total  # so that the order is that of one long sum
        total = np.add.accumulate(rows, axis=0, out=rows)[-1].copy()
    return total

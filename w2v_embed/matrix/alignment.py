"""A map from the space of one source of word vectors into that of another, learned on words that both have.

`learn` fits an affine map to most of these words and judges it on those that it held out; where these are many of all, it then
fits it to all. Either by ridge regression, with the penalty whose generalized cross-validation error is least (Golub, Heath and
Wahba 1979): about the error of leaving out one word after another, in closed form. Or by an orthogonal map and one scale
(Schönemann 1966). All that the fits need of the rows are sums of products.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._types import AlignName, Bools, Floats

    Array = npt.NDArray[np.float64]

LEAST_WORDS = 20  # that both have
_FEW_HELD, _MOST_HELD, _SHARE = 100, 1000, 8
_NEIGHBOURS = 10
_SURE = 3.0  # standard deviations
_PENALTIES: Array = 10.0 ** np.arange(-5, 2.25, 0.25)  # in mean eigenvalues
_ROWS = 2048  # whose products are summed in the dtype of the rows
_ROW_BITS, _EXACT_BITS = 23, 53


class LinearMap:
    """rows → rows @ weights + shift, but for rows of zeros, which say nothing and stay zeros.

    A row's result must not depend on which rows are mapped together with it, and BLAS promises no order of its sums. So the
    numbers of a row are rounded to 23 bits of the greatest of them, and the weights of each result to as many bits as let every
    sum of products be exact in float64: then its order does not matter.

    Args:
        weights: array `(dim, dim of the results)`.
        shift: array `(dim of the results,)`.
    """

    def __init__(self, weights: Array, shift: Array) -> None:
        bits = _EXACT_BITS - _ROW_BITS - (len(weights) - 1).bit_length()
        grid = np.ldexp(1.0, bits - _exponents(weights.T))
        self._weights, self._shift = np.rint(weights * grid) / grid, shift

    def __call__(self, rows: Floats) -> Array:
        """The results for `rows` `(n, dim)`, in float64."""
        grid = np.ldexp(1.0, _ROW_BITS - _exponents(rows))[:, None]
        whole = np.rint(rows * grid)
        mapped: Array = whole @ self._weights
        mapped /= grid
        mapped += self._shift
        mapped[greatest(rows) == 0] = 0
        return mapped


def greatest(rows: Floats) -> Floats:
    """The greatest absolute value in each row."""
    most: Floats = np.maximum(rows.max(axis=1), -rows.min(axis=1))
    return most


def _exponents(rows):
    """Of each row the least power of two that none of its numbers is beyond; as far as its inverse is a number, too."""
    return np.maximum(np.frexp(greatest(rows).astype(np.float64))[1], -990)


@dataclass(frozen=True)
class Judgement:
    """How good rows are that should be those of the same words in another space.

    Attributes:
        cosine: the median cosine to the row of the same word; other: to those of other words.
        kept: of the `neighbours` nearest words of a word how many are so in both, on average; by_chance: how many if words were
            shuffled.
        deviations: how far the mean cosine to the same word lies above that of shuffled words, in standard deviations of these.
    """

    cosine: float
    other: float
    kept: float
    by_chance: float
    neighbours: int
    deviations: float

    @property
    def by_luck(self) -> bool:
        """Whether it is no better than chance."""
        return not self.deviations >= _SURE


@dataclass(frozen=True)
class Learned:
    """What `learn` found.

    Attributes:
        map: the `LinearMap`; None: rows are best left as they are.
        kind: "ridge", "procrustes" or "identity".
        penalty: of the ridge regression, in mean eigenvalues; else None.
        words, held: how many words both have, and how many of them were held out.
        judgement: the `Judgement` on these, of a map that was fitted to the others.
    """

    map: LinearMap | None
    kind: str
    penalty: float | None
    words: int
    held: int
    judgement: Judgement

    def figures(self) -> dict[str, Any]:
        """All of it as JSON values."""
        judged = self.judgement
        return {
            "map": self.kind,
            **({} if self.penalty is None else {"penalty": float(f"{self.penalty:.3g}")}),
            "words": self.words,
            "held_out": self.held,
            "median_cosine": round(judged.cosine, 4),
            "median_cosine_of_others": round(judged.other, 4),
            "neighbours": judged.neighbours,
            "neighbours_kept": round(judged.kept, 2),
            "neighbours_by_chance": round(judged.by_chance, 2),
        }


def learn(rows: Floats, targets: Floats, kind: AlignName, order: npt.NDArray[np.int64]) -> Learned:
    """The map from rows to targets.

    Args:
        rows: array `(n, dim)`, finite, of `n` words, at least `LEAST_WORDS`.
        targets: array `(n, target dim)`: the rows of the same words in the other space.
        kind: "ridge" or "procrustes".
        order: the numbers from 0 to n - 1 in an order that is drawn: the first are held out.
    """
    n = len(rows)
    held = min(max(n // 10, min(_FEW_HELD, n // 2)), _MOST_HELD)
    (x, size), (y, target_size) = map(_to_one, (rows[order], targets[order]))
    center, target_center = x.mean(axis=0, dtype=np.float64), y.mean(axis=0, dtype=np.float64)
    moments = _Moments.of(x[held:], y[held:], center, target_center)
    fit = _ridge if kind == "ridge" else _procrustes
    weights, shift, penalty = fit(moments)
    held_x, held_y = x[:held].astype(np.float64), y[:held].astype(np.float64)
    mapped = (held_x - center) @ weights + shift + target_center
    if x.shape == y.shape:
        as_they_are = np.ldexp(held_x, size - target_size)
        if _error(as_they_are, held_y) <= _error(mapped, held_y):
            return Learned(None, "identity", None, n, held, judge(as_they_are, held_y))
    judged = judge(mapped, held_y)
    if held * _SHARE > n:  # too many to do without
        weights, shift, penalty = fit(moments + _Moments.of(x[:held], y[:held], center, target_center))
    shift = np.ldexp(shift + target_center - center @ weights, target_size)
    return Learned(LinearMap(np.ldexp(weights, target_size - size), shift), kind, penalty, n, held, judged)


def _to_one(rows):
    """(the rows over a power of two, so that none of their numbers is beyond 1 and squares can be summed; its exponent)"""
    exponent = int(_exponents(rows).max())
    return np.ldexp(rows, -exponent), exponent


def _error(rows, targets):
    return float(np.square(rows - targets).sum())


@dataclass(frozen=True)
class _Moments:
    """What the fits need of `n` rows x and y: sums, and sums of products (of y only the squares)."""

    n: int
    x: Array
    y: Array
    xx: Array
    xy: Array
    yy: float

    @classmethod
    def of(cls, x: Floats, y: Floats, center: Array, target_center: Array) -> _Moments:
        """Those about `center` and `target_center`, which are near the means: squares of large numbers would hide the rest."""
        dim, target_dim = x.shape[1], y.shape[1]
        xx, xy = np.zeros((dim, dim)), np.zeros((dim, target_dim))
        total = cls(0, np.zeros(dim), np.zeros(target_dim), xx, xy, 0.0)
        for begin in range(0, len(x), _ROWS):
            a = (x[begin : begin + _ROWS] - center).astype(x.dtype)
            b = (y[begin : begin + _ROWS] - target_center).astype(x.dtype)
            squares = float(np.square(b, dtype=np.float64).sum())
            total += cls(len(a), a.sum(axis=0), b.sum(axis=0), a.T @ a, a.T @ b, squares)
        return total

    def __add__(self, other: _Moments) -> _Moments:
        pairs = ((getattr(self, name), getattr(other, name)) for name in ("n", "x", "y", "xx", "xy", "yy"))
        return _Moments(*(a + b for a, b in pairs))

    def centered(self) -> tuple[Array, Array, float]:
        """The sums of products about the means."""
        xx, xy = self.xx - np.outer(self.x, self.x) / self.n, self.xy - np.outer(self.x, self.y) / self.n
        return xx, xy, self.yy - float(self.y @ self.y) / self.n

    def shift(self, weights: Array) -> Array:
        """What the map with these weights adds, so that mean goes to mean."""
        return (self.y - self.x @ weights) / self.n


def _ridge(moments):
    """→ (weights, shift, penalty)"""
    xx, xy, yy = moments.centered()
    values, vectors = np.linalg.eigh(xx)
    values = np.maximum(values, 0)
    turned = vectors.T @ xy
    strength, n = np.square(turned).sum(axis=1), moments.n
    mean = values.sum() / min(n - 1, len(values))
    if not mean:  # all rows are one
        return np.zeros_like(xy), moments.shift(np.zeros_like(xy)), None
    best = None
    for penalty in _PENALTIES[::-1].tolist():
        inverse = 1 / (values + penalty * mean)
        freedom = float((values * inverse).sum()) + 1
        if best is not None and freedom > 0.9 * n:
            break
        left = yy - float((strength * (2 * inverse - values * inverse**2)).sum())
        error = left / (n - freedom) ** 2
        if best is None or error < best[0]:
            best = error, penalty, inverse
    _, penalty, inverse = best
    weights = vectors @ (turned * inverse[:, None])
    return weights, moments.shift(weights), penalty


def _procrustes(moments):
    """→ (weights, shift, None). Where one space has fewer directions than the other, the others are lost, or stay empty."""
    xx, xy, _ = moments.centered()
    left, values, right = np.linalg.svd(xy, full_matrices=False)
    there = values > 1e-10 * values[0]
    weights = left[:, there] @ right[there]
    size = float(((xx @ weights) * weights).sum())
    weights *= values.sum() / size if size > 0 else 0.0
    return weights, moments.shift(weights), None


def judge(rows: Floats, targets: Floats) -> Judgement:
    """How near `rows` `(n, dim)` are to `targets`, those of the same words."""
    n = len(rows)
    rows, targets = _of_length_one(rows), _of_length_one(targets)
    cosines = rows @ targets.T
    own = cosines.diagonal().copy()
    spread = cosines - cosines.mean(axis=0) - cosines.mean(axis=1, keepdims=True) + cosines.mean()
    # The variance of the sum of cosines to shuffled words, over all shufflings (Hoeffding 1951).
    variance = float(np.square(spread).sum()) / (n - 1)
    deviations = float(spread.trace()) / np.sqrt(variance) if variance > 1e-20 * n else 0.0
    neighbours = min(_NEIGHBOURS, (n - 1) // 2)
    both = _nearest(rows @ rows.T, neighbours) & _nearest(targets @ targets.T, neighbours)
    return Judgement(
        float(np.median(own)),
        float(np.median(cosines[~np.eye(n, dtype=np.bool_)])),
        float(both.sum()) / n,
        neighbours * neighbours / (n - 1),
        neighbours,
        float(deviations),
    )


def median_cosine(rows: Floats, targets: Floats) -> float:
    """The median of the cosines of pairs of rows, none of which is zeros."""
    return float(np.median((_of_length_one(rows) * _of_length_one(targets)).sum(axis=1)))


def usable(rows: Floats) -> Bools:
    """bool array: which of `rows` have a direction, and squares that can be summed."""
    most = greatest(rows).astype(np.float64)
    return (most > 1e-100) & (most < 1e100)


def _of_length_one(rows):
    wide = rows.astype(np.float64)
    lengths = np.sqrt(np.square(wide).sum(axis=1, keepdims=True))
    return wide / np.where(lengths > 0, lengths, 1)


def _nearest(cosines, count):
    """bool array like `cosines`: which are the `count` greatest of their rows, the diagonal left out."""
    np.fill_diagonal(cosines, -np.inf)
    there = np.zeros(cosines.shape, np.bool_)
    np.put_along_axis(there, np.argpartition(-cosines, count - 1, axis=1)[:, :count], True, axis=1)
    return there

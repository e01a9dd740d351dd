"""Statistics that modules share: the directions in which vectors vary, ranks, and what rare words weigh."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from ._types import Floats


def principal_axes(covariance: Floats, least: float = 1e-12) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The principal axes of vectors with this covariance, that of the largest variance first, those of none left out.

    Args:
        covariance: `(dim, dim)`, of each coordinate with each.
        least: of the largest variance: less is rounding, and none.

    Returns:
        (variances `(n,)`, axes `(dim, n)`, of which the columns have length 1)

    >>> variances, axes = principal_axes(np.diag([1.0, 0.0, 4.0]))
    >>> variances.tolist(), axes.T.tolist()
    ([4.0, 1.0], [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    """
    variances, axes = np.linalg.eigh(covariance)
    varies = variances > max(least * variances[-1], 0.0)
    variances, axes = variances[varies][::-1], axes[:, varies][:, ::-1]
    # The sign of an axis is arbitrary: its largest entry is made positive, so that every machine gets the same map.
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    return variances, axes * signs


def average_ranks(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The rank of each of `values` `(n,)`, the least being 1; equal ones share the mean of theirs.

    >>> average_ranks([7, 1, 7, 3]).tolist()
    [3.5, 1.0, 3.5, 2.0]
    """
    _, place, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[place.reshape(-1)]


def sif(share: npt.NDArray[np.float64], a: float) -> npt.NDArray[np.float64]:
    """Smooth inverse frequency (Arora et al. 2017) of words with this share of the text: those far above `a` nearly vanish.

    >>> sif(np.array([0.0, 0.001, 0.999]), 0.001).round(3).tolist()
    [1.0, 0.5, 0.001]
    """
    return a / (a + share)


def idf(holding: npt.NDArray[np.float64], texts: int) -> npt.NDArray[np.float64]:
    """Inverse document frequency of words that so many of the texts hold, smoothed as scikit-learn does it: none is 0.

    >>> idf(np.array([0.0, 9.0]), 9).round(3).tolist()
    [3.303, 1.0]
    """
    return np.log((1 + texts) / (1 + holding)) + 1

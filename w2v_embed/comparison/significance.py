"""Whether one candidate is better than another, or was lucky with the texts that were drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def corrected_t_test(first: Sequence[float], second: Sequence[float], ratio: float) -> float | None:
    """The two-sided p of the corrected resampled t-test: two candidates, trained and tested on the same random splits.

    The training parts of several splits of one file share most of their texts, so that the figures vary less than those of new
    texts would, and a plain t-test finds differences that are none. Here the variance of a mean over n splits is not `1 / n`
    but `1 / n + ratio` of the variance of the differences. A test of one split's texts (McNemar) would not see how much another
    training part changes.

    Args:
        first, second: accuracies, one a split.
        ratio: texts for testing / all others. (Who trains on some of the others only has parts that share less, and not more.)

    Returns:
        p from 0 to 1, or None: one split tells nothing about how much others vary.

    Reference: Nadeau & Bengio 2003, Inference for the Generalization Error.

    >>> corrected_t_test([0.8, 0.82, 0.81], [0.7, 0.73, 0.7], 0.25) < 0.02
    True
    """
    from scipy.stats import t

    differences = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    if len(differences) < 2:
        return None
    mean, variance = float(differences.mean()), float(differences.var(ddof=1))
    if variance <= 1e-18:  # the same difference each time
        return 1.0 if abs(mean) < 1e-12 else 0.0
    value = mean / math.sqrt((1 / len(differences) + ratio) * variance)
    return float(2 * t.sf(abs(value), len(differences) - 1))


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Values of p, raised for there being several of them (Holm's way); None stays None.

    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]
    """
    known = sorted((value, place) for place, value in enumerate(values) if value is not None)
    raised: list[float | None] = [None] * len(values)
    highest = 0.0
    for rank, (value, place) in enumerate(known):
        highest = max(highest, min(1.0, value * (len(known) - rank)))
        raised[place] = highest
    return raised

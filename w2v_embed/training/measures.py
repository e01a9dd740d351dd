"""How good guesses are: accuracy, F1, and what was taken for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._types import Bools

THRESHOLD = 0.5  # from which probability on a text has a label, where it may have several


def guessed(scores: npt.NDArray[np.floating[Any]], several: bool) -> Bools:
    """The guesses, bool `(texts, labels)`: the most probable label, or where a text has several all that are probable."""
    if several:
        return scores >= THRESHOLD
    return np.arange(scores.shape[1]) == scores.argmax(axis=1)[:, None]


def measures(truth: Bools, guesses: Bools, labels: Sequence[str], several: bool) -> dict[str, Any]:
    """What metrics.json says of guesses.

    Args:
        truth, guesses: bool `(texts, labels)`.
        labels: their names.
        several: whether a text may have any number of labels.

    Returns:
        dict of `accuracy` (of texts with several labels: all of them right, and no other), `micro_f1`, `macro_f1`, `labels`
        (name → precision, recall, f1, support) and `confusion` (rows are the true labels; None where a text has several).

    >>> truth, guesses = np.eye(2, dtype=bool)[[0, 0, 1]], np.eye(2, dtype=bool)[[0, 1, 1]]
    >>> told = measures(truth, guesses, ["red", "blue"], False)
    >>> round(told["accuracy"], 3), told["labels"]["red"], told["confusion"]
    (0.667, {'precision': 1.0, 'recall': 0.5, 'f1': 0.6666666666666666, 'support': 2}, [[1, 1], [0, 1]])
    """
    both, said, true = (truth & guesses).sum(axis=0), guesses.sum(axis=0), truth.sum(axis=0)
    f1 = _share(2 * both, said + true)
    columns = zip(_share(both, said).tolist(), _share(both, true).tolist(), f1.tolist(), true.tolist())
    names = ("precision", "recall", "f1", "support")
    return {
        "accuracy": float((truth == guesses).all(axis=1).mean()),
        "micro_f1": float(_share(2 * both.sum(), said.sum() + true.sum())),
        "macro_f1": float(f1.mean()),
        "labels": {label: dict(zip(names, numbers)) for label, numbers in zip(labels, columns)},
        "confusion": None if several else (truth.T.astype(np.int64) @ guesses.astype(np.int64)).tolist(),
    }


def baseline(truth: Bools, train: npt.NDArray[np.int64], test: npt.NDArray[np.int64]) -> float:
    """Accuracy on `test` of guessing what most texts of `train` have."""
    kinds, counts = np.unique(truth[train], axis=0, return_counts=True)
    return float((truth[test] == kinds[counts.argmax()]).all(axis=1).mean())


def _share(part, whole):
    """part / whole, and 0 where there is nothing."""
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) > 0)

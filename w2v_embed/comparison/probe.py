"""The quick probe: pooled vectors → logistic regression. What it needs of scikit-learn is loaded when it runs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._types import Floats

_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # what `C` may be, the most regularised first


def probe(
    vectors: Floats, labels: npt.NDArray[np.object_], train: npt.NDArray[np.int64], test: npt.NDArray[np.int64]
) -> npt.NDArray[np.object_]:
    """Train a logistic regression and let it guess.

    All columns are shifted to mean 0 and scaled by one number, so that the strength of the regularisation means the same for
    each candidate, and columns stay as much larger than others as they were. The strength is the one by which, trained on four
    fifths of the training texts, the labels of the other fifth are the least surprising.

    Args:
        vectors: of all texts `(texts, dim)`.
        labels: of all texts, an array of str.
        train, test: rows.

    Returns:
        the guesses for the rows of `test`.
    """
    scaled = _scaled(vectors, train)
    inner, held = train[len(train) // 5 :], train[: len(train) // 5]
    strength, known = 1e-2, set(labels[inner].tolist())
    held = held[[label in known for label in labels[held]]]
    if len(held) and len(known) > 1:
        fit = _fitter(scaled[inner], labels[inner])
        least = np.inf
        for tried in _STRENGTHS:
            loss = _surprise(fit(tried), scaled[held], labels[held])
            if loss >= least:  # from here on it rises, and the less regularised ones take the longest
                break
            least, strength = loss, tried
    guesses: npt.NDArray[np.object_] = _fitter(scaled[train], labels[train])(strength).predict(scaled[test])
    return guesses


def _scaled(vectors, train):
    centred = vectors.astype(np.float64) - vectors[train].mean(axis=0, dtype=np.float64)
    size = np.sqrt(np.mean(centred[train] ** 2))
    return centred / size if size > 1e-12 else np.zeros_like(centred)


def _surprise(model, x, labels):
    """The mean log loss. Accuracy on few texts is the same for several strengths, and would tell nothing."""
    columns = {label: column for column, label in enumerate(model.classes_)}
    return -model.predict_log_proba(x)[np.arange(len(x)), [columns[label] for label in labels]].mean()


def _fitter(x: Floats, y: Any) -> Callable[[float], Any]:
    """strength → the fitted model; each begins where the one before it ended."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=200, tol=1e-3, warm_start=True)

    def fit(strength):
        model.set_params(C=strength)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits of its weights change no accuracy
            return model.fit(x, y)

    return fit

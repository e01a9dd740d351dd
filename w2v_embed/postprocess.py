"""Refining: functions from an `EmbeddingMatrix` to another, whose rows serve better than those that were read.

Each is fitted to the found rows alone, those that a source gave or that words of it lent, in float64 and in the order of the
words: their ids change no number. What was fitted is then done to these rows, and to those of unknown words that hold
something. Zeros stay zeros: padding, unused rows, unknown words of `oov="zeros"`. The matrix that was given is left as it is;
the new one has its words and its dtype, and tells in `steps` what was done. Beside the two, a few MB are needed.

    from w2v_embed.postprocess import all_but_the_top, pca

    better = pca(100)(all_but_the_top(2)(em))
    same = build_matrix(vectors, word_index, postprocess=["all_but_the_top:2", "pca:100"])

In `build_matrix` unknown words get their rows afterwards, so that these are drawn where the refined rows lie.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from ._types import WeightingName
from .checks import above_zero, one_of, whole
from .figures import average_ranks, sif
from .matrix.coverage import all_counts
from .matrix.refining import Own, Step
from .shown import quoted

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy.typing as npt

    from ._types import Counts
    from .matrix.embedding_matrix import EmbeddingMatrix

    Refining: TypeAlias = "str | Callable[[EmbeddingMatrix], EmbeddingMatrix | npt.ArrayLike]"

# ── the steps ──


def center(em: EmbeddingMatrix) -> EmbeddingMatrix:
    """Take the mean off all rows.

    Raises:
        ValueError: no row is from a source, or one holds NaN. So do all steps.

    Example:
        >>> from w2v_embed import EmbeddingMatrix
        >>> em = EmbeddingMatrix([[0, 0], [1.0, 2.0], [3.0, 6.0]], {"cat": 1, "dog": 2}, padding_row=0)
        >>> center(em).matrix.tolist(), center(em).steps
        ([[0.0, 0.0], [-1.0, -2.0], [1.0, 2.0]], ({'step': 'center', 'rows': 2},))
    """
    return _CENTER(em)


def normalize(em: EmbeddingMatrix) -> EmbeddingMatrix:
    """Make each row 1 long. Rows of zeros stay what they are.

    Example:
        >>> from w2v_embed import EmbeddingMatrix
        >>> normalize(EmbeddingMatrix([[3.0, 4.0], [0.0, 0.0]], {"cat": 0, "dog": 1})).matrix.tolist()
        [[0.6, 0.8], [0.0, 0.0]]
    """
    return _NORMALIZE(em)


def all_but_the_top(n: int) -> Step:
    """Take off the mean, and the `n` directions in which rows differ most: these tell frequent words from rare ones.

    The paper takes a hundredth of the columns for `n`.

    Reference: Mu and Viswanath 2018, All-but-the-Top, https://arxiv.org/abs/1702.01417.

    Example:
        >>> from w2v_embed import EmbeddingMatrix
        >>> em = EmbeddingMatrix([[9.0, 1.0], [-9.0, 1.0], [0.0, 4.0]], {"a": 0, "b": 1, "c": 2})
        >>> (all_but_the_top(1)(em).matrix + 0.0).tolist()
        [[0.0, -1.0], [0.0, -1.0], [0.0, 2.0]]
    """
    n = whole("n", n, 1)
    return Step("all_but_the_top", partial(_fit_all_but_the_top, n), n=n)


def pca(dim: int) -> Step:
    """Take off the mean, and keep the `dim` directions in which rows differ most, that of the largest variance first.

    Raises (when it is done):
        ValueError: the rows do not differ in so many directions.

    Example:
        >>> from w2v_embed import EmbeddingMatrix
        >>> em = EmbeddingMatrix([[5.0, 1.0], [5.0, -1.0], [5.0, 3.0]], {"a": 0, "b": 1, "c": 2})
        >>> pca(1)(em).matrix.tolist()
        [[0.0], [-2.0], [2.0]]
    """
    dim = whole("dim", dim, 1)
    return Step("pca", partial(_fit_axes, "pca", dim), dim=dim)


def whiten(dim: int | None = None) -> Step:
    """As `pca`, and make each of the `dim` directions (None: all that there are) equally strong, of variance 1.

    Example:
        >>> from w2v_embed import EmbeddingMatrix
        >>> em = EmbeddingMatrix([[9.0, 1.0], [-9.0, 1.0], [9.0, -1.0], [-9.0, -1.0]], {"a": 0, "b": 1, "c": 2, "d": 3})
        >>> whiten()(em).matrix.tolist()
        [[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]]
    """
    dim = None if dim is None else whole("dim", dim, 1, or_none=True)
    return Step("whiten", partial(_fit_axes, "whiten", dim), dim=dim)


def frequency_weight(counts: Counts, weighting: WeightingName = "sif", *, a: float = 1e-3) -> Step:
    """Make the rows of frequent words shorter, so that they count for less in sums and means.

    Args:
        counts: how often each word occurs, as for `Coverage.weighted_rate`: in the whole text, words of other matrices, too.
        weighting: "sif", by a / (a + share of the text), 1 for a word without a count; or "zipf", by log(1 + rank), 1 being
            the rank of the most frequent word; equally frequent ones share theirs, words without a count that behind all.
        a: of "sif": words whose share is far above it nearly vanish.

    Raises:
        TypeError, ValueError: the counts are no mapping, or one is negative or no number.

    Reference: Arora et al. 2017, A Simple but Tough-to-Beat Baseline for Sentence Embeddings.

    Example:
        >>> from w2v_embed import EmbeddingMatrix
        >>> em = EmbeddingMatrix([[1.0], [1.0], [1.0]], {"the": 0, "cat": 1, "dog": 2})
        >>> frequency_weight({"the": 999, "cat": 1})(em).matrix.round(3).tolist()
        [[0.001], [0.5], [1.0]]
    """
    import hashlib  # which loads OpenSSL

    one_of("weighting", weighting, get_args(WeightingName))
    a = above_zero("a", a)
    _, told, total = all_counts(counts)
    listed = sorted((str(word), float(count)) for word, count in told.items())
    digest = hashlib.sha256(json.dumps(listed).encode()).hexdigest()
    facts: dict[str, Any] = {"weighting": weighting, **({"a": a} if weighting == "sif" else {})}
    if weighting == "sif":
        weights, other = sif(told.numbers / total, a), 1.0
    else:
        weights, other = np.log1p(average_ranks(-told.numbers)), math.log(2 + len(told))
    fit = partial(_fit_weights, dict(zip(told.words, weights.tolist())), other)
    return Step("frequency_weight", fit, digest=digest, **facts, counted=len(told))


def _fit_center(found):
    mean = found.mean()
    return found.dim, lambda rows, _: rows - mean, {"rows": found.count}


def _fit_normalize(found):
    return found.dim, lambda rows, _: _unit(rows), {}


def _unit(rows):
    # Halved or doubled until the largest number is about 1, which changes no digit: else squares of some would not be numbers.
    rows = np.ldexp(rows, -np.frexp(np.abs(rows).max(axis=1, keepdims=True))[1])
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return rows / np.where(norms > 0, norms, 1.0)[:, None]


def _fit_all_but_the_top(n, found):
    if n >= found.dim:
        raise ValueError(f"all_but_the_top needs an n below the {found.dim} numbers of a row, received {n}")
    mean = found.mean()
    variances, axes = found.axes(mean)
    top, share = axes[:, :n], _share(variances, n)

    def change(rows, _):
        rows -= mean
        return rows - (rows @ top) @ top.T

    return found.dim, change, {"rows": found.count, "removed": share}


def _fit_axes(name, dim, found):
    """For `pca` and `whiten`."""
    mean = found.mean()
    variances, axes = found.axes(mean)
    dim = len(variances) or 1 if dim is None else dim
    if dim > len(variances):
        raise ValueError(
            f"{name} needs a dim of {len(variances)} at most, received {dim}: the {found.count} found rows differ in so many "
            "directions only"
        )
    chosen = axes[:, :dim] / (np.sqrt(variances[:dim]) if name == "whiten" else 1.0)
    facts = {"dim": dim, "of": found.dim, "rows": found.count, "kept": _share(variances, dim)}
    return dim, lambda rows, _: (rows - mean) @ chosen, facts


def _fit_weights(weights, other, found):
    each = np.array([weights.get(word, other) for word in found.words])
    return found.dim, lambda rows, some: rows * each[some, None], {}


def _share(variances, n):
    """How much of all variance the first `n` axes have."""
    return round(float(variances[:n].sum() / (variances.sum() or 1.0)), 6)


_CENTER: Step = Step("center", _fit_center)
_NORMALIZE: Step = Step("normalize", _fit_normalize)


# ── what build_matrix is given ──

_NAMES: dict[str, Callable[..., Step]] = {
    "center": lambda: _CENTER,
    "normalize": lambda: _NORMALIZE,
    "all_but_the_top": all_but_the_top,
    "pca": pca,
    "whiten": whiten,
}
_NUMBERED = {"all_but_the_top": True, "pca": True, "whiten": False}  # whether it must have a number
WEIGHTED: tuple[str, ...] = tuple(f"frequency_weight:{name}" for name in get_args(WeightingName))
NAMED: str = "center, normalize, all_but_the_top:N, pca:DIM, whiten, whiten:DIM"


def steps_of(postprocess: Iterable[Refining]) -> list[Step | Own]:
    """What `build_matrix` is given as `postprocess`, as steps.

    Raises:
        TypeError, ValueError: one is none.
    """
    if isinstance(postprocess, str) or not isinstance(postprocess, Iterable):
        alone = isinstance(postprocess, str) or callable(postprocess)
        raise TypeError(
            f"postprocess must be a list of names or callables, received {quoted(postprocess)}"
            + (f" alone; write [{quoted(postprocess)}]" if alone else "")
        )
    return [_step_of(one) for one in postprocess]


def _step_of(one):
    if isinstance(one, str):
        return step_named(one)
    if isinstance(one, Step):
        return one
    if one in (center, normalize):
        return _CENTER if one is center else _NORMALIZE
    if one in (all_but_the_top, pca, whiten, frequency_weight):
        raise TypeError(f"postprocess has {one.__name__} itself; call it with what it needs, as in all_but_the_top(2)")
    if callable(one):
        return Own(one)
    raise TypeError(f"postprocess must be names ({NAMED}) or callables, received {quoted(one)}")


def by_counts(step: Any, counts: Counts) -> Any:
    """`step`, and where it is one of `WEIGHTED`, which no name alone tells, what weighs rows by these counts.

    >>> by_counts("pca:100", {}), by_counts("frequency_weight:zipf", {"the": 9})
    ('pca:100', frequency_weight(weighting='zipf', counted=1))
    """
    if step not in WEIGHTED:
        return step
    return frequency_weight(counts, step.partition(":")[2])


def step_named(text: str) -> Step:
    """The step that is written as `text`.

    >>> step_named("pca:100")
    pca(dim=100)
    """
    name, colon, number = text.partition(":")
    given = number.isascii() and number.isdecimal() and len(number) < 10
    if name not in _NAMES or (colon and not (given and name in _NUMBERED)) or (not colon and _NUMBERED.get(name)):
        told = ' Weights need counts: pass frequency_weight(counts, "sif")' if name == "frequency_weight" else ""
        raise ValueError(f"each of postprocess must be {NAMED}, or a callable, received {quoted(text)}.{told}")
    return _NAMES[name](*([int(number)] if given else []))

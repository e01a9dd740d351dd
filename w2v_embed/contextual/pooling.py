"""Hidden states → vectors, in NumPy: layers merged into one, tokens pooled into one, vectors made comparable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, get_args

import numpy as np

from .._types import MergeName, PoolingName, SimilarityName
from ..checks import one_of, whole
from ..figures import principal_axes
from ..shown import quoted

if TYPE_CHECKING:
    import numpy.typing as npt

    from .batching import Batch
    from .tokenizers import Tokenizer

MERGES: Final[tuple[str, ...]] = get_args(MergeName)
POOLINGS: Final[tuple[str, ...]] = get_args(PoolingName)
SIMILARITIES: Final[tuple[str, ...]] = get_args(SimilarityName)
_AT_ONCE = 1 << 22  # differences of numbers


@dataclass(frozen=True)
class LayerMerge:
    """Which hidden states make a vector, and how they become one.

    Args:
        indices: of `hidden_states`, none negative.
        merge: one of `MERGES`, or a weight for each index.
    """

    indices: tuple[int, ...]
    merge: str | tuple[float, ...]

    @classmethod
    def checked(cls, layers: int | Iterable[int], merge: str | Sequence[float], num_layers: int) -> LayerMerge:
        """Check `layers` and `merge` as `ContextualEncoder.encode` takes them."""
        indices = tuple(
            layer % (num_layers + 1) for layer in whole_numbers("layers", layers, -num_layers - 1, num_layers)
        )
        if isinstance(merge, str):
            return cls(indices, one_of("merge", merge, MERGES, or_else="a weight for each layer"))
        weights = np.asarray(merge, np.float64)
        if weights.shape != (len(indices),) or not np.isfinite(weights).all():
            raise ValueError(
                f"merge must have one finite weight for each of {len(indices)} layers, received {quoted(merge)}."
            )
        return cls(indices, tuple(weights.tolist()))

    @property
    def parts(self) -> int:
        """How many times wider than a hidden state the result is."""
        return len(self.indices) if self.merge == "concat" else 1

    def __call__(self, states: Mapping[int, npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
        """Merge `{index: (B, T, H)}` into `(B, T, parts · H)`."""
        merge: Any = self.merge
        picked: list[Any] = [states[index] for index in self.indices]
        if self.merge == "concat":
            return np.concatenate(picked, axis=-1)
        if self.merge == "last":
            return picked[-1]
        if self.merge == "first_last":
            return (picked[0] + picked[-1]) / 2
        if self.merge in ("sum", "mean"):
            total = picked[0] if len(picked) == 1 else np.add.reduce(picked)
            return total / np.float32(len(picked)) if self.merge == "mean" else total
        return sum(np.float32(weight) * state for weight, state in zip(merge, picked))


def keras_bert_layers(numbers: int | Iterable[int]) -> list[int]:
    """Translate keras-bert's numbers of outputs into `layers`: there 1 is the embeddings, and 13 the last layer of twelve.

    Args:
        numbers: a number or several, from 1 on.

    >>> keras_bert_layers([12, 13])
    [11, 12]
    """
    return [number - 1 for number in whole_numbers("numbers", numbers, 1, None)]


def whole_numbers(name: str, numbers: int | Iterable[int], least: int, most: int | None) -> list[int]:
    """A number or several, each from `least` to `most`, as a list that is not empty."""
    several = list(numbers) if isinstance(numbers, Iterable) else [numbers]
    if not several:
        raise ValueError(f"{name} must be a number or a list of numbers, received an empty list.")
    return [whole(name, number, least, most) for number in several]


class Pooler:
    """Collects the vectors of `count` texts, whose windows come in any order.

    Args:
        count, width: texts, and the width of a token's vector.
        pooling: one of `POOLINGS`.
        tokenizer: says how many special tokens stand before and after a text.
        special_tokens: whether these count.
        idf: a weight for each id, for pooling "idf".
    """

    def __init__(
        self,
        count: int,
        width: int,
        pooling: str,
        tokenizer: Tokenizer,
        *,
        special_tokens: bool,
        idf: npt.NDArray[np.float32] | None,
    ) -> None:
        self._pooling, self._tokenizer, self._special, self._idf = pooling, tokenizer, special_tokens, idf
        self._total = np.zeros((count, width), np.float32)
        self._weight = np.zeros((count, 1), np.float32)
        self._largest = np.full((count, width), -np.inf, np.float32) if "max" in pooling else None

    def add(self, batch: Batch, x: npt.NDArray[np.float32]) -> None:
        """Add the windows of a batch: x `(B, T, width)`."""
        x = x[: len(batch.windows)]
        texts = np.array([window.text for window in batch.windows])
        counted = self._counted(batch, x.shape[1])
        if self._pooling == "max":
            weights = None
        elif self._idf is not None:
            weights = counted * self._idf[batch.input_ids[: len(texts)]]
        else:
            weights = counted.astype(np.float32)
        if weights is not None:
            np.add.at(self._total, texts, np.matmul(weights[:, None, :], x)[:, 0])
            np.add.at(self._weight, texts, weights.sum(axis=1, keepdims=True))
        if self._largest is not None:
            np.maximum.at(self._largest, texts, np.where(counted[:, :, None], x, -np.inf).max(axis=1))

    def _counted(self, batch, length):
        """Which tokens count, bool `(B, T)`."""
        counted = np.zeros((len(batch.windows), length), bool)
        before, after = len(self._tokenizer.head), len(self._tokenizer.tail)
        for row, (window, column) in enumerate(zip(batch.windows, batch.columns)):
            end = column + window.stop - window.start
            if self._pooling == "cls":
                # BERT's class token is the first of all, XLNet's the last
                if before and window.first:
                    counted[row, column - before] = True
                elif not before and window.last:
                    counted[row, end + after - 1] = True
                continue
            begin = column - window.start
            counted[row, begin + window.keep_from : begin + window.keep_to] = True
            if self._special:
                counted[row, column - before : column] = window.first
                counted[row, end : end + after] = window.last
            elif batch.pairs[row] is not None:
                counted[row, column:end][batch.pairs[row].between] = False
        return counted

    def vectors(self) -> npt.NDArray[np.float32]:
        """Return float32 `(count, width)`, twice as wide for "mean_max"; zeros for a text without tokens."""
        mean = np.divide(self._total, self._weight, out=np.zeros_like(self._total), where=self._weight > 0)
        if self._largest is None:
            return mean
        largest = np.where(np.isneginf(self._largest), np.float32(0), self._largest)
        return largest if self._pooling == "max" else np.concatenate([mean, largest], axis=1)


def checked_idf(idf: npt.ArrayLike | None, pooling: str, vocab_size: int) -> npt.NDArray[np.float32] | None:
    """Return the weights of pooling "idf", a finite one for each id."""
    if (idf is None) != (pooling != "idf"):
        told = 'an array with pooling "idf"' if idf is None else f'None with pooling "{pooling}"'
        raise ValueError(f"idf must be {told}, received {quoted(idf)}.")
    if idf is None:
        return None
    weights = np.asarray(idf, np.float32)
    if weights.shape != (vocab_size,) or not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError(
            f"idf must have {vocab_size} finite weights, one for each id and none negative, received shape "
            f"{weights.shape}: encoder.idf(texts) makes them."
        )
    return weights


@dataclass(frozen=True)
class Projection:
    """A linear map that was fitted to vectors: `(vectors - mean) @ matrix`. Made by `fit_whitening` or `fit_pca`."""

    mean: npt.NDArray[np.float64]
    matrix: npt.NDArray[np.float64]

    def __call__(self, vectors: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Map `(n, dim)` to `(n, new dim)`, float32."""
        return ((np.asarray(vectors, np.float64) - self.mean) @ self.matrix).astype(np.float32)


def fit_whitening(vectors: npt.ArrayLike, dim: int | None = None) -> Projection:
    """Fit the map after which vectors have mean zero, unit variance and no correlation: cosines spread out again.

    Args:
        vectors: `(n, width)`; more rows than columns.
        dim: how many columns to keep, those of the largest variance; None = all.

    Returns:
        a `Projection`.

    Reference: Su et al. 2021, Whitening Sentence Representations, https://arxiv.org/abs/2103.15316.

    >>> import numpy as np
    >>> vectors = np.random.default_rng(0).normal(5, [1, 20, 3], (500, 3))
    >>> white = fit_whitening(vectors)(vectors)
    >>> float(abs(white.mean()).round(3)), white.std(axis=0).round(3).tolist()
    (0.0, [1.0, 1.0, 1.0])
    """
    mean, axes, variances = _principal_axes(vectors, dim)
    return Projection(mean, axes / np.sqrt(variances))


def fit_pca(vectors: npt.ArrayLike, dim: int) -> Projection:
    """Fit the projection on the `dim` directions of largest variance; arguments and result as `fit_whitening`."""
    mean, axes, _ = _principal_axes(vectors, dim)
    return Projection(mean, axes)


def _principal_axes(vectors, dim):
    vectors = np.asarray(vectors, np.float64)
    if vectors.ndim != 2:
        raise ValueError(f"vectors must have shape (n, width), received {vectors.shape}.")
    count, width = vectors.shape
    dim = width if dim is None else whole("dim", dim, 1, width)
    if count <= dim:
        raise ValueError(
            f"vectors must be more than {dim}, as many as columns that are fitted to them, received {count}."
        )
    mean = vectors.mean(axis=0)
    variances, axes = principal_axes(np.cov(vectors.T, bias=True).reshape(width, width))
    usable = len(variances)
    if usable < dim:
        raise ValueError(f"dim must be {usable} at most, received {dim}: the vectors vary in so many directions only.")
    return mean, axes[:, :dim], variances[:dim]


def cosine(a: npt.ArrayLike, b: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Return the cosines of the rows of `a` with those of `b`, `(len(a), len(b))`; 0 where a vector is zero.

    >>> cosine([[1.0, 0.0]], [[2.0, 0.0], [0.0, 3.0], [0.0, 0.0]]).tolist()
    [[1.0, 0.0, 0.0]]
    """
    both: list[Any] = [np.asarray(rows, np.float32) for rows in (a, b)]
    first, second = (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30) for rows in both)
    return first @ second.T


def likeness(name: str, a: npt.ArrayLike, b: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """How alike the rows of `a` and of `b` are, `(len(a), len(b))`, by one of `SIMILARITIES`; more is more alike.

    >>> likeness("euclidean", [[1.0, 0.0]], [[1.0, 0.0], [4.0, 4.0]]).tolist()
    [[0.0, -5.0]]
    """
    if name == "cosine":
        return cosine(a, b)
    first, second = np.asarray(a, np.float32), np.asarray(b, np.float32)
    if name == "dot":
        return first @ second.T
    made = np.empty((len(first), len(second)), np.float32)
    rows = max(1, _AT_ONCE // max(1, second.size))
    for begin in range(0, len(first), rows):
        apart = np.abs(first[begin : begin + rows, None] - second[None])
        made[begin : begin + rows] = apart.sum(-1) if name == "manhattan" else np.sqrt(np.square(apart).sum(-1))
    return np.negative(made, out=made) + np.float32(0)  # no -0.0


@dataclass(frozen=True)
class Ending:
    """What is done to a vector last: it is cut, then made one long.

    Args:
        dim: how many numbers are kept; None = all.
        unit: whether it is made one long.
    """

    dim: int | None
    unit: bool

    def __call__(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        dim = whole("truncate_dim", vectors.shape[1] if self.dim is None else self.dim, 1, vectors.shape[1])
        vectors = vectors[:, :dim]
        return normalized(vectors) if self.unit else vectors

    @property
    def settings(self) -> dict[str, Any]:
        """What it says of a file's vectors, if it does anything."""
        told = {"truncate_dim": self.dim, "normalize": bool(self.unit)}
        return {name: value for name, value in told.items() if value}


def normalized(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Vectors, each one long; zeros stay."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))

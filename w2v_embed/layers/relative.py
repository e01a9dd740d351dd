"""Relative positions: the table of clipped distances, and self-attention that uses it in keys and values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import keras
import numpy as np
from keras import ops

from .._types import RelativeTable
from ..checks import whole
from ..sinusoid import sinusoid_table
from .arguments import even, mode_of, pair, shapes_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .arguments import Config, Named, Shape
    from .backend import Tensor, Variable


@keras.saving.register_keras_serializable(package="w2v_embed")
class RelativePositionEmbedding(keras.layers.Layer):
    """Embeddings of the distances between queries and values: row `i`, column `j` is `E[clip(j − i, −m, m) + m]`.

    `m = (input_dim − 1) // 2` is the largest distance told apart. With an even `input_dim` the last row is never used.

    Masking: the output has no batch, so it never has a mask.

    Args:
        input_dim: Number of rows of the table, `2m + 1`.
        output_dim: Size `d` of an embedding.
        embeddings_initializer: What fills the table. `Sinusoid()` with `trainable=False` is that of NEZHA.
        **kwargs: Those of `keras.layers.Layer`.

    Call arguments:
        inputs: A list of queries `(B, Tq, …)` and values `(B, Tv, …)`; only their lengths are used.

    Returns:
        `(Tq, Tv, d)`, without a batch. Attention does not need it spelled out: see `RelativeSelfAttention`.

    Raises:
        ValueError: A dimension is not a positive integer, or the inputs are not two tensors with a length.

    Example:

    >>> import numpy as np
    >>> from keras import ops
    >>> layer = RelativePositionEmbedding(5, 1, embeddings_initializer=lambda shape, dtype: np.arange(5)[:, None])
    >>> x = np.zeros((1, 4, 8), "float32")
    >>> ops.convert_to_numpy(layer([x, x]))[..., 0].astype(int).tolist()
    [[2, 3, 4, 4], [1, 2, 3, 4], [0, 1, 2, 3], [0, 0, 1, 2]]

    References: Shaw et al., 2018, https://arxiv.org/abs/1803.02155; Wei et al., 2019 (NEZHA),
    https://arxiv.org/abs/1909.00204
    """

    def __init__(self, input_dim: int, output_dim: int, embeddings_initializer: Named = "zeros", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.input_dim: int = whole("input_dim", input_dim)
        self.output_dim: int = whole("output_dim", output_dim)
        self.embeddings_initializer: Any = keras.initializers.get(embeddings_initializer)
        self.supports_masking = True
        # Only the lengths of the inputs are read, and they may be ids.
        self.autocast = False

    def build(self, input_shape: Sequence[Shape]) -> None:
        self.compute_output_shape(input_shape)
        self.embeddings: Variable = self.add_weight(
            shape=(self.input_dim, self.output_dim),
            initializer=self.embeddings_initializer,
            autocast=False,
            name="embeddings",
        )

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        self.compute_output_shape(shapes_of(inputs))
        q_length, v_length = (ops.shape(x)[1] for x in inputs)
        m = (self.input_dim - 1) // 2
        ids = ops.clip(_distances(q_length, v_length), -m, m) + m
        return ops.cast(ops.take(self.embeddings, ids, axis=0), self.compute_dtype)

    def compute_mask(self, inputs: Sequence[Tensor], mask: Tensor = None) -> None:
        return None

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        q, v = pair("[queries (B, Tq, …), values (B, Tv, …)]", input_shape)
        if min(len(q), len(v)) < 2:
            raise ValueError(f"queries and values must have a batch and a length, received shapes {q} and {v}")
        return (q[1], v[1], self.output_dim)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
        }


@keras.saving.register_keras_serializable(package="w2v_embed")
class RelativeSelfAttention(keras.layers.Layer):
    """Multi-head self-attention with relative positions in keys and values, as in NEZHA.

    With `R_ij = table[clip(j − i, −K, K) + K]`, one table for all heads:

        score(i, j) = q_i · (k_j + R_ij) / sqrt(key_dim)
        out(i)      = Σ_j softmax(score)(i, j) · (v_j + R_ij)

    `R` of shape `(T, T, key_dim)` is never made. A query meets only `2K + 1` different rows, so its products with
    them, `(T, 2K + 1)`, are spread over the keys; on the way back the probabilities are collected by distance and
    meet the table once.

    Masking: padded positions are no keys; the mask is passed on. A row that is all padding gives finite numbers.

    Args:
        num_heads: Number of heads `N`.
        key_dim: Size `D` of a head, even for the sinusoid.
        max_distance: The largest distance told apart, `K`.
        positions: `"sinusoid"`, the constant table of NEZHA, which is no weight, or `"learned"`, a weight that starts
            at zero, which is attention without positions.
        dropout: Share of the attention probabilities dropped in training.
        use_bias: Whether the four projections have a bias.
        **kwargs: Those of `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, T, features)`.
        mask: Bool `(B, T)`, False at padding.
        training: Whether to drop.

    Returns:
        `(B, T, features)`.

    Raises:
        ValueError: A size is not a positive integer, `positions` is unknown, or `key_dim` is odd for the sinusoid.

    Example:

    >>> import numpy as np
    >>> layer = RelativeSelfAttention(num_heads=2, key_dim=4, max_distance=3)
    >>> layer(np.ones((1, 5, 6), "float32")).shape == (1, 5, 6)
    True

    References: Shaw et al., 2018, https://arxiv.org/abs/1803.02155; Wei et al., 2019 (NEZHA),
    https://arxiv.org/abs/1909.00204
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        max_distance: int = 64,
        *,
        positions: RelativeTable = "sinusoid",
        dropout: float = 0.0,
        use_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads: int = whole("num_heads", num_heads)
        self.key_dim: int = whole("key_dim", key_dim)
        self.max_distance: int = whole("max_distance", max_distance)
        self.positions: str = mode_of("positions", positions, get_args(RelativeTable))
        self.dropout: float = dropout
        self.use_bias: bool = use_bias
        self.supports_masking = True

        units, dtype = self.num_heads * self.key_dim, self.dtype_policy
        self.query: keras.layers.Dense = keras.layers.Dense(units, use_bias=use_bias, dtype=dtype, name="query")
        self.key: keras.layers.Dense = keras.layers.Dense(units, use_bias=use_bias, dtype=dtype, name="key")
        self.value: keras.layers.Dense = keras.layers.Dense(units, use_bias=use_bias, dtype=dtype, name="value")
        self.drop: keras.layers.Dropout = keras.layers.Dropout(dropout, dtype=dtype, name="drop")

    def build(self, input_shape: Shape) -> None:
        self.compute_output_shape(input_shape)
        for projection in (self.query, self.key, self.value):
            projection.build(input_shape)
        features, units = input_shape[-1], self.num_heads * self.key_dim
        self.output_projection: keras.layers.Dense = keras.layers.Dense(
            features, use_bias=self.use_bias, dtype=self.dtype_policy, name="output_projection"
        )
        self.output_projection.build((*input_shape[:-1], units))
        rows = 2 * self.max_distance + 1
        self.table: Any  # an array or a variable
        if self.positions == "sinusoid":
            self.table = sinusoid_table(np.arange(rows), even("key_dim", self.key_dim))
        else:
            self.table = self.add_weight(
                shape=(rows, self.key_dim), initializer="zeros", autocast=False, name="embeddings"
            )

    def call(self, inputs: Tensor, mask: Tensor = None, training: bool | None = None) -> Tensor:
        self.compute_output_shape(inputs.shape)
        table = ops.cast(ops.convert_to_tensor(self.table), self.compute_dtype)
        q, k, v = (self._split(projection(inputs)) for projection in (self.query, self.key, self.value))
        q = q * ops.cast(self.key_dim**-0.5, self.compute_dtype)
        scores = ops.matmul(q, ops.swapaxes(k, -1, -2)) + spread_by_distance(ops.matmul(q, ops.transpose(table)))
        scores = ops.cast(scores, keras.backend.result_type(self.compute_dtype, "float32"))
        if mask is not None:
            # Large and finite: a row without any key gets equal probabilities, not NaN.
            scores = ops.where(ops.cast(mask, "bool")[:, None, None, :], scores, -1e9)
        probabilities = self.drop(ops.cast(ops.softmax(scores), self.compute_dtype), training=training)
        out = ops.matmul(probabilities, v) + ops.matmul(collect_by_distance(probabilities, self.max_distance), table)
        return self.output_projection(self._merge(out))

    def _split(self, x):
        """`(B, T, N·D)` → `(B, N, T, D)`: head `n` owns the columns `nD … nD + D − 1`."""
        batch, length = ops.shape(x)[:2]
        return ops.swapaxes(ops.reshape(x, (batch, length, self.num_heads, self.key_dim)), 1, 2)

    def _merge(self, x):
        batch, _, length, _ = ops.shape(x)
        return ops.reshape(ops.swapaxes(x, 1, 2), (batch, length, self.num_heads * self.key_dim))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 3 or input_shape[-1] is None:
            raise ValueError(
                "inputs must be (batch, length, features) with a known number of features, "
                f"received shape {tuple(input_shape)}"
            )
        return tuple(input_shape)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "max_distance": self.max_distance,
            "positions": self.positions,
            "dropout": self.dropout,
            "use_bias": self.use_bias,
        }


def spread_by_distance(buckets: Tensor) -> Tensor:
    """Lay what each query has for each distance at the keys that far away: `(…, T, 2K + 1)` → `(…, T, T)`.

    `out[i, j] = buckets[i, clip(j − i, −K, K) + K]`.
    """
    *batch, length, width = ops.shape(buckets)
    K = width // 2
    columns = ops.clip(_distances(length, length), -K, K) + K
    rows = ops.arange(length, dtype="int32")[:, None]
    return ops.take(ops.reshape(buckets, (*batch, length * width)), rows * width + columns, axis=-1)


def collect_by_distance(values: Tensor, max_distance: int) -> Tensor:
    """Sum what each query has for each key by their distance: `(…, T, T)` → `(…, T, 2K + 1)` with `K = max_distance`.

    `out[i, r] = Σ values[i, j]` over the `j` with `clip(j − i, −K, K) + K = r`: the transpose of `spread_by_distance`.
    Every distance inside `±K` has at most one key, so this band is taken, not summed; the first and the last column
    are the sums of what lies before and after it.
    """
    *batch, length, _ = ops.shape(values)
    K = max_distance
    rows = ops.arange(length, dtype="int32")[:, None]
    keys = rows + ops.arange(1 - K, K, dtype="int32")
    flat = ops.reshape(values, (*batch, length * length))
    band = ops.take(flat, rows * length + ops.clip(keys, 0, length - 1), axis=-1)
    band = ops.where(ops.logical_and(keys >= 0, keys < length), band, 0)
    distances = _distances(length, length)
    before = ops.sum(ops.where(distances <= -K, values, 0), axis=-1, keepdims=True)
    after = ops.sum(ops.where(distances >= K, values, 0), axis=-1, keepdims=True)
    return ops.concatenate([before, band, after], axis=-1)


def _distances(q_length, v_length):
    """Value minus query, `(Tq, Tv)`."""
    return ops.arange(v_length, dtype="int32")[None, :] - ops.arange(q_length, dtype="int32")[:, None]

"""Poolings over time that count only what the mask lets through: the mean, the largest, and a mean that is learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
from keras import ops

from ._masked import Pooling, checked_mask, valid_in, weighted_mean
from .backend import backend

if TYPE_CHECKING:
    from typing import Any

    from .arguments import Config, Named, Shape
    from .backend import Tensor


@keras.saving.register_keras_serializable(package="w2v_embed")
class MaskedMeanPooling(Pooling):
    """Mean of the vectors of a sequence, padding left out.

    `keras.layers.GlobalAveragePooling1D` gives NaN for a row that is all padding; here such a row gives zeros,
    and its gradient is zero. Masked positions do not matter even where they hold NaN. Sum and division are done in
    float32 whatever the dtype policy: float16 has no number as small as the 1e-9 in the divisor, and a count in
    bfloat16 ends at 256.

    Masking: uses the mask of its input, without one it is the mean over all positions; returns no mask.

    Input shape: `(batch, time, dim)`. Output shape: `(batch, dim)`.

    Args:
        **kwargs: `name`, `dtype`, as in `keras.layers.Layer`.

    Example:

    >>> import numpy as np
    >>> x = np.array([[[2.0], [4.0], [9.0]]])
    >>> print(np.asarray(MaskedMeanPooling()(x, mask=np.array([[True, True, False]]))))
    [[3.]]
    """

    def call(self, inputs: Tensor, mask: Tensor = None) -> Tensor:
        x = ops.cast(inputs, "float32")
        mask = ops.ones(ops.shape(x)[:2]) if mask is None else checked_mask(x, mask)
        weights = ops.cast(mask, "float32")[..., None]
        # Times zero is not enough: a masked NaN would stay NaN, and so would its gradient.
        total = ops.sum(ops.where(weights != 0, x, 0.0) * weights, axis=1)
        return ops.cast(total / (ops.sum(weights, axis=1) + 1e-9), self.compute_dtype)


@keras.saving.register_keras_serializable(package="w2v_embed")
class MaskedMaxPooling(Pooling):
    """The largest number of each column over the vectors of a sequence, padding left out.

    A row that is all padding, or has no length, gives zeros, and its gradient is zero. Masked positions do not matter
    even where they hold NaN.

    Masking: uses the mask of its input, without one all positions count; returns no mask.

    Input shape: `(batch, time, dim)`. Output shape: `(batch, dim)`.

    Args:
        **kwargs: `name`, `dtype`, as in `keras.layers.Layer`.

    Example:

    >>> import numpy as np
    >>> x = np.array([[[-2.0, 5.0], [-4.0, 6.0], [9.0, 9.0]]])
    >>> print(np.asarray(MaskedMaxPooling()(x, mask=np.array([[True, True, False]]))))
    [[-2.  6.]]
    """

    def call(self, inputs: Tensor, mask: Tensor = None) -> Tensor:
        x = ops.cast(inputs, self.compute_dtype)
        valid = valid_in(x, mask)[..., None]
        # An infinity, for the least number of the dtype would hide a real −inf.
        found = backend.largest(ops.where(valid, x, -float("inf")))
        return ops.where(ops.any(valid, axis=1), found, ops.zeros_like(found))


@keras.saving.register_keras_serializable(package="w2v_embed")
class AttentionPooling(Pooling):
    """A mean in which one learned vector `q` says what counts: position `t` weighs `exp(q · x_t)`, over the sum of these.

    With the default initializer it begins as the mean over the mask. Padding has no weight, and a row that is all
    padding, or has no length, gives zeros with a zero gradient. Masked positions do not matter even where they hold NaN.
    Everything is computed in float32 whatever the dtype policy.

    Masking: uses the mask of its input, without one all positions count; returns no mask.

    Input shape: `(batch, time, dim)`. Output shape: `(batch, dim)`.

    Args:
        query_initializer: what fills `q`.
        query_regularizer: of `q`.
        **kwargs: `name`, `dtype`, `trainable`, as in `keras.layers.Layer`.

    Attributes:
        query: the variable `(dim,)`.

    Example:

    >>> import numpy as np
    >>> layer = AttentionPooling(query_initializer="ones")
    >>> print(np.asarray(layer(np.log(np.array([[[1.0], [3.0]]])))).round(4), np.log(3.0).round(4) * 3 / 4)
    [[0.824]] 0.82395

    Reference: Yang et al. 2016, Hierarchical Attention Networks, whose vector meets `tanh(W x + b)`: put a `Dense` before it.
    """

    def __init__(self, *, query_initializer: Named = "zeros", query_regularizer: Named = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.autocast = False
        self.query_initializer: Any = keras.initializers.get(query_initializer)
        self.query_regularizer: Any = keras.regularizers.get(query_regularizer)

    def build(self, input_shape: Shape) -> None:
        if input_shape[-1] is None:
            raise ValueError(f"the last dimension of inputs must be known, received shape {tuple(input_shape)}")
        self.query: keras.Variable = self.add_weight(
            shape=(input_shape[-1],),
            initializer=self.query_initializer,
            regularizer=self.query_regularizer,
            autocast=False,
            name="query",
        )

    def call(self, inputs: Tensor, mask: Tensor = None) -> Tensor:
        x = ops.cast(inputs, "float32")
        valid = valid_in(x, mask)
        x = ops.where(valid[..., None], x, 0.0)
        scores = ops.where(valid, ops.sum(x * self.query, axis=-1), -float("inf"))
        highest = ops.stop_gradient(backend.largest(scores))[:, None]
        weights = ops.exp(scores - ops.where(ops.isinf(highest), 0.0, highest))
        return ops.cast(weighted_mean(x, weights), self.compute_dtype)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "query_initializer": keras.initializers.serialize(self.query_initializer),
            "query_regularizer": keras.regularizers.serialize(self.query_regularizer),
        }

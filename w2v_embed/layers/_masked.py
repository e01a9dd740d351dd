"""What the poolings share: masks in, none out, and sums over what counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
from keras import ops

if TYPE_CHECKING:
    from typing import Any

    from .arguments import Shape
    from .backend import Tensor


class Pooling(keras.layers.Layer):
    """`(batch, time, dim)` → `(batch, dim)`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def compute_mask(self, inputs: Tensor, mask: Tensor = None) -> None:
        return None

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return (input_shape[0], input_shape[2])


def checked_mask(x: Tensor, mask: Tensor) -> Tensor:
    """`mask` as a tensor, if it is one for the vectors `x`: a single number a position."""
    mask = ops.convert_to_tensor(mask)
    if len(mask.shape) != 2 or differ(mask.shape[1], x.shape[1]):
        raise ValueError(f"mask must have the shape (batch, time), received shape {tuple(mask.shape)}")
    return mask


def valid_in(x: Tensor, mask: Tensor) -> Tensor:
    """bool `(batch, time)`: what counts of the vectors `x`."""
    return ops.ones(ops.shape(x)[:2], "bool") if mask is None else ops.cast(checked_mask(x, mask), "bool")


def differ(one: int | None, other: int | None) -> bool:
    """Whether two sizes are known to be different ones. Keras would stretch a size of 1."""
    return None not in (one, other) and one != other


def weighted_mean(x: Tensor, weights: Tensor) -> Tensor:
    """float32 `(batch, time, dim)` by weights `(batch, time)` from 0 on → `(batch, dim)`, zeros where nothing has a weight."""
    total = ops.sum(weights, axis=1, keepdims=True)
    nothing = total == 0  # and not `total > 0`, which would make zeros of NaN
    shares = ops.where(nothing, 0.0, weights / ops.where(nothing, 1.0, total))
    return ops.sum(x * shares[..., None], axis=1)

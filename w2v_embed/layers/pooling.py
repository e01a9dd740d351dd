"""The mean over time that counts only what the mask lets through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
from keras import ops

if TYPE_CHECKING:
    from typing import Any

    from .arguments import Shape
    from .backend import Tensor


@keras.saving.register_keras_serializable(package="w2v_embed")
class MaskedMeanPooling(keras.layers.Layer):
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

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def call(self, inputs: Tensor, mask: Tensor = None) -> Tensor:
        x = ops.cast(inputs, "float32")
        mask = ops.ones(ops.shape(x)[:2]) if mask is None else ops.convert_to_tensor(mask)
        if len(mask.shape) != 2:
            raise ValueError(f"mask must have the shape (batch, time), received shape {tuple(mask.shape)}")
        weights = ops.cast(mask, "float32")[..., None]
        # Times zero is not enough: a masked NaN would stay NaN, and so would its gradient.
        total = ops.sum(ops.where(weights != 0, x, 0.0) * weights, axis=1)
        return ops.cast(total / (ops.sum(weights, axis=1) + 1e-9), self.compute_dtype)

    def compute_mask(self, inputs: Tensor, mask: Tensor = None) -> None:
        return None

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], input_shape[2])

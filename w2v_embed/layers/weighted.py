"""The mean over time in which each word, or each position, has a weight of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np
from keras import ops

from ..checks import whole
from ._masked import Pooling, differ, valid_in, weighted_mean
from .arguments import dense, pair
from .backend import backend

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    import numpy.typing as npt

    from .arguments import Config, Shape
    from .backend import Tensor


@keras.saving.register_keras_serializable(package="w2v_embed")
class WeightedMeanPooling(Pooling):
    """Mean of the vectors of a sequence in which some count for more: rare words, or whatever has a larger weight.

    Called with `[vectors, ids]` where it was given a weight for each id, for example by `w2v_embed.weights.sif_weights` or
    `idf_weights`; with `[vectors, weights]` where not, and each position then brings its own. The sum of weight × vector is
    divided by the sum of the weights, so that only their ratios matter.

    Padding does not count, whatever its weight. A row in which nothing counts (all padding, no length, or every weight 0)
    gives zeros, and its gradient is zero. Masked positions do not matter even where they hold NaN. Weights and sums are
    float32 whatever the dtype policy.

    Masking: a position counts if all masks of the two inputs let it through; without a mask all do. Returns no mask.

    Input shape: `[(batch, time, dim), (batch, time)]`. Output shape: `(batch, dim)`.

    Args:
        id_weights: `(rows,)`, a finite weight from 0 on for each id. The layer copies them; they travel in the saved weights,
            not in the config, and a clone weighs everything 0 until it gets them.
        input_dim: rows, where the weights come later, out of a file.
        trainable: whether training changes the weights of the ids. They stay from 0 on.
        **kwargs: `name`, `dtype`, as in `keras.layers.Layer`.

    Call arguments:
        inputs: the vectors; and ids, sparse ones are taken, or weights from 0 on. Ids from `rows` on are the caller's error, as
            in Keras' Embedding: TensorFlow and torch raise on a CPU, JAX gives NaN. Those from -1 on count from the end.

    Attributes:
        id_weights: the variable `(rows,)`, or None.

    Raises:
        ValueError: the weights are not one finite number from 0 on for each id, or the two inputs differ in length.

    Example:

    >>> import numpy as np
    >>> x = np.array([[[2.0], [4.0], [9.0]]])
    >>> print(np.asarray(WeightedMeanPooling([0.0, 3.0, 1.0])([x, np.array([[1, 2, 0]])])))
    [[2.5]]
    >>> print(np.asarray(WeightedMeanPooling()([x, np.array([[3.0, 1.0, 0.0]])])))
    [[2.5]]
    """

    def __init__(
        self,
        id_weights: npt.ArrayLike | None = None,
        *,
        input_dim: int | None = None,
        trainable: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(trainable=trainable, **kwargs)
        self.autocast = False  # ids, and weights that float16 has no numbers for
        self.input_spec = None
        values = None if id_weights is None else _checked(id_weights, input_dim)
        if values is not None:
            input_dim = len(values)
        self.input_dim: int | None = None if input_dim is None else whole("input_dim", input_dim, or_none=True)
        self.id_weights: keras.Variable | None = None
        if self.input_dim is not None:
            variable = self.add_weight(
                shape=(self.input_dim,),
                dtype="float32",  # also where the policy is float16, which ends at 6e-8
                initializer="zeros",
                constraint="non_neg",
                autocast=False,
                name="id_weights",
            )
            if values is not None:
                variable.assign(values)
            self.id_weights = variable

    def build(self, input_shape: Sequence[Shape]) -> None:
        self._check_shapes(input_shape)

    def call(self, inputs: Sequence[Tensor], mask: Any = None) -> Tensor:
        x, weights = ops.cast(inputs[0], "float32"), self._weights_of(inputs[1])
        self._check_shapes([x.shape, weights.shape])
        valid = valid_in(x, None)
        for each in mask if isinstance(mask, (list, tuple)) else [mask]:
            valid = ops.logical_and(valid, valid_in(x, each))
        pooled = weighted_mean(ops.where(valid[..., None], x, 0.0), ops.where(valid, weights, 0.0))
        return ops.cast(pooled, self.compute_dtype)

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return super().compute_output_shape(self._check_shapes(input_shape))

    def get_config(self) -> Config:
        # Settings only: the weights of the ids are in the saved weights.
        return {**super().get_config(), "id_weights": None, "input_dim": self.input_dim}

    def _weights_of(self, tensor):
        if self.id_weights is None:
            return ops.cast(tensor, "float32")
        ids = dense(tensor)
        if keras.backend.standardize_dtype(ids.dtype) not in ("int32", "int64"):
            ids = ops.cast(ids, "int32")
        return backend.take_rows(self.id_weights, ids)

    def _check_shapes(self, shapes):
        second = "weights" if self.id_weights is None else "ids"
        x, other = pair(f"[vectors, {second}]", shapes)
        if len(x) != 3 or len(other) != 2 or any(map(differ, x[:2], other)):
            raise ValueError(
                f"inputs must be vectors (batch, time, dim) and {second} (batch, time), received shapes {x} and {other}"
            )
        return x


def _checked(id_weights: npt.ArrayLike, input_dim: int | None) -> npt.NDArray[np.float32]:
    """A copy of the weights, in float32."""
    values = np.asarray(id_weights)
    if values.dtype.kind not in "fiu" or values.ndim != 1 or not len(values):
        raise ValueError(
            "id_weights must be one number for each id, an array of shape (rows,), received "
            f"shape {values.shape} and dtype {values.dtype}. w2v_embed.weights.sif_weights() makes them of counts."
        )
    if input_dim is not None and input_dim != len(values):
        raise ValueError(f"input_dim must be {len(values)}, the number of id_weights, received {input_dim!r}")
    with np.errstate(over="ignore"):
        short = values.astype(np.float32)
    if not (wrong := ~(np.isfinite(short) & (short >= 0))).any():
        return short
    raise ValueError(
        f"id_weights must be finite numbers from 0 on, received {values[wrong][0]} for the id {wrong.argmax()}"
    )

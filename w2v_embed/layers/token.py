"""The tied pair of a language model: a token embedding that hands out its table, and the head that reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from ..checks import whole
from .arguments import dense, pair, shapes_of
from .table import build_with, pretrained_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._types import Table
    from .arguments import Config, Named, Shape
    from .backend import Tensor, Variable


@keras.saving.register_keras_serializable(package="w2v_embed")
class TokenEmbedding(keras.layers.Embedding):
    """`keras.layers.Embedding` that returns `[embedding, table]`, so that an `EmbeddingSimilarity` can be tied to it.

    The table is the layer's variable itself: a head that reads it trains it.

    Masking: with `mask_zero=True` the embedding carries the mask `ids ≠ 0`; the table never carries one.

    Args:
        input_dim: Number of tokens `V`.
        output_dim: Size `d` of an embedding.
        mask_zero: Whether id 0 is padding.
        embeddings_initializer: What fills the table where `weights` is not given.
        weights: Pretrained rows `(V, d)`: an array, an `EmbeddingMatrix`, or Keras' `[array]`. They are copied, and
            travel in the saved weights, not in the config: a layer from `from_config` holds zeros until it gets them.
        **kwargs: Those of `keras.layers.Embedding` and `keras.layers.Layer`.

    Call arguments:
        inputs: Whole numbers `(B, T)`, of any shape and numeric dtype, dense or sparse. Ids outside `0 … V − 1` are the
            caller's error: TensorFlow and torch raise on a CPU, JAX returns NaN.

    Returns:
        A list of the embedding `(B, T, d)` and the table `(V, d)`, both in the compute dtype.

    Raises:
        ValueError: A dimension is not a positive integer, or `weights` has not the shape `(V, d)` or is not finite.

    Example:

    >>> import keras
    >>> ids = keras.Input((None,), dtype="int32")
    >>> x, table = TokenEmbedding(20, 8, mask_zero=True)(ids)
    >>> x.shape, table.shape
    ((None, None, 8), (20, 8))
    >>> probabilities = EmbeddingSimilarity()([x, table])
    >>> probabilities.shape
    (None, None, 20)

    Reference: Press and Wolf, 2017, https://arxiv.org/abs/1608.05859
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        mask_zero: bool = False,
        *,
        embeddings_initializer: Named = "uniform",
        weights: Table | None = None,
        **kwargs: Any,
    ) -> None:
        input_dim, output_dim = whole("input_dim", input_dim), whole("output_dim", output_dim)
        rows = None if weights is None else pretrained_rows(weights)
        if rows is not None and rows.shape != (input_dim, output_dim):
            raise ValueError(
                f"weights must have the shape (input_dim, output_dim) = {(input_dim, output_dim)}, "
                f"received shape {rows.shape}"
            )
        super().__init__(
            input_dim,
            output_dim,
            embeddings_initializer=embeddings_initializer,
            mask_zero=mask_zero,
            **kwargs,
        )
        if rows is not None:
            build_with(self, rows)
        self.supports_masking = True

    def call(self, inputs: Tensor) -> list[Tensor]:
        return [super().call(dense(inputs)), ops.cast(self.embeddings, self.compute_dtype)]

    def compute_mask(self, inputs: Tensor, mask: Tensor = None) -> list[Tensor]:
        return [super().compute_mask(dense(inputs), mask), None]

    def compute_output_shape(self, input_shape: Shape) -> list[Shape]:
        return [(*input_shape, self.output_dim), (self.input_dim, self.output_dim)]

    def compute_output_spec(self, inputs: Tensor) -> list[keras.KerasTensor]:
        return [keras.KerasTensor(s, dtype=self.compute_dtype) for s in self.compute_output_shape(inputs.shape)]

    def get_config(self) -> Config:
        # Settings only: the rows themselves are in the saved weights.
        return {**super().get_config(), "weights": None}


@keras.saving.register_keras_serializable(package="w2v_embed")
class EmbeddingSimilarity(keras.layers.Layer):
    """The tied head of a language model: `activation(x · Eᵀ + b)` over the table `E` it is given.

    The product is computed in float32 also under mixed precision. Probabilities come in the compute dtype; with
    `activation=None` the logits come as they were computed, so that a loss `from_logits` keeps their digits.

    Masking: the output has the mask of `x`.

    Args:
        use_bias: Whether to add `b`, one number a token.
        initializer: Initializer of the bias.
        regularizer: Regularizer of the bias.
        constraint: Constraint of the bias.
        stop_gradient: Whether to stop the gradient into the table. The gradient into `x` always flows.
        activation: `"softmax"` for probabilities, `None` for logits, or another Keras activation.
        **kwargs: Those of `keras.layers.Layer`.

    Call arguments:
        inputs: A list of `x` `(…, d)` and the table `(V, d)`.

    Returns:
        `(…, V)`.

    Raises:
        ValueError: The inputs are not two, the table is not a matrix of known size, or its width is not that of `x`.

    Example:

    >>> import numpy as np
    >>> from keras import ops
    >>> x, table = np.ones((1, 2), "float32"), np.array([[1, 0], [0, 2], [3, 3]], "float32")
    >>> ops.convert_to_numpy(EmbeddingSimilarity(activation=None)([x, table])).tolist()
    [[1.0, 2.0, 6.0]]

    Reference: Press and Wolf, 2017, https://arxiv.org/abs/1608.05859
    """

    def __init__(
        self,
        use_bias: bool = True,
        initializer: Named = "zeros",
        regularizer: Named = None,
        constraint: Named = None,
        stop_gradient: bool = False,
        *,
        activation: Named = "softmax",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.use_bias: bool = use_bias
        self.initializer: Any = keras.initializers.get(initializer)
        self.regularizer: Any = keras.regularizers.get(regularizer)
        self.constraint: Any = keras.constraints.get(constraint)
        self.stop_gradient: bool = stop_gradient
        self.activation: Any = keras.activations.get(activation)
        self.supports_masking = True
        # Inputs that are more exact than the compute dtype stay so until the product is done.
        self.autocast = False

    def build(self, input_shape: Sequence[Shape]) -> None:
        tokens = self.compute_output_shape(input_shape)[-1]
        if self.use_bias:
            self.bias: Variable = self.add_weight(
                shape=(tokens,),
                initializer=self.initializer,
                regularizer=self.regularizer,
                constraint=self.constraint,
                autocast=False,
                name="bias",
            )

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        self.compute_output_shape(shapes_of(inputs))
        dtype = self._product_dtype
        x, table = (ops.cast(each, dtype) for each in inputs)
        if self.stop_gradient:
            table = ops.stop_gradient(table)
        outputs = ops.matmul(x, ops.transpose(table))
        if self.use_bias:
            outputs = outputs + ops.cast(self.bias, dtype)
        return ops.cast(self.activation(outputs), self._output_dtype)

    @property
    def _product_dtype(self):
        return keras.backend.result_type(self.compute_dtype, "float32")

    @property
    def _output_dtype(self):
        return self._product_dtype if self.activation is keras.activations.linear else self.compute_dtype

    def compute_mask(self, inputs: Sequence[Tensor], mask: Tensor = None) -> Tensor:
        return None if mask is None else mask[0]

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        x, table = pair("[x (…, d), table (V, d)]", input_shape)
        if len(table) != 2 or table[0] is None or table[1] is None:
            raise ValueError(f"the second input must be a table (V, d) of known size, received shape {table}")
        if x[-1] != table[1]:
            raise ValueError(
                f"x and the table must have the same last dimension, received {x[-1]} and {table[1]}, "
                f"in the shapes {x} and {table}"
            )
        return (*x[:-1], table[0])

    def compute_output_spec(self, inputs: Sequence[Tensor]) -> keras.KerasTensor:
        shape = self.compute_output_shape(shapes_of(inputs))
        return keras.KerasTensor(shape, dtype=self._output_dtype)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "use_bias": self.use_bias,
            "initializer": keras.initializers.serialize(self.initializer),
            "regularizer": keras.regularizers.serialize(self.regularizer),
            "constraint": keras.constraints.serialize(self.constraint),
            "stop_gradient": self.stop_gradient,
            "activation": keras.activations.serialize(self.activation),
        }

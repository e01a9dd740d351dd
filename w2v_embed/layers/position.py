"""Embeddings of absolute positions: a learned table, and the sinusoid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import keras
import numpy as np
from keras import ops

from .._types import PositionMode
from ..checks import whole
from ..sinusoid import sinusoid_table
from .arguments import even, mode_of
from .table import pretrained_rows

if TYPE_CHECKING:
    from .._types import Table
    from .arguments import Config, Named, Shape
    from .backend import Tensor, Variable


class _PositionLayer(keras.layers.Layer):
    """What both layers of this page share: the three modes, their shapes and their masks.

    A subclass answers `_of_ids(ids)`, the embeddings of given positions, and `_of_length(length)`, those of the
    positions `0 … length − 1`.
    """

    output_dim: Any  # int, or None in add mode

    def __init__(self, mode: PositionMode, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mode: str = mode_of("mode", mode, get_args(PositionMode))
        self.supports_masking = True
        # Positions are ids: as bfloat16, 257 would become 256.
        self.autocast = mode != "expand"

    def call(self, inputs: Tensor) -> Tensor:
        self.compute_output_shape(inputs.shape)
        if self.mode == "expand":
            return ops.cast(self._of_ids(inputs), self.compute_dtype)
        batch, length = ops.shape(inputs)[:2]
        embeddings = ops.cast(self._of_length(length), self.compute_dtype)
        if self.mode == "add":
            return inputs + embeddings
        embeddings = ops.broadcast_to(embeddings, (batch, length, self.output_dim))
        return ops.concatenate([inputs, embeddings], axis=-1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        if self.mode == "expand":
            return (*input_shape, self.output_dim)
        if len(input_shape) != 3 or input_shape[-1] is None:
            raise ValueError(
                f'inputs with mode="{self.mode}" must be (batch, length, features) with a known number of features, '
                f"received shape {tuple(input_shape)}"
            )
        if self.mode == "add":
            if self.output_dim not in (None, input_shape[-1]):
                raise ValueError(
                    f'output_dim with mode="add" must be the number of features, {input_shape[-1]}, '
                    f"received {self.output_dim}"
                )
            return tuple(input_shape)
        return (*input_shape[:-1], input_shape[-1] + self.output_dim)


@keras.saving.register_keras_serializable(package="w2v_embed")
class PositionEmbedding(_PositionLayer):
    """Learned embeddings of absolute positions.

    ========== =============== ======================================= ====================
    mode       inputs          output                                  table
    ========== =============== ======================================= ====================
    `"expand"` positions `(…)` `(…, d)`, one row a position            `(2·input_dim+1, d)`
    `"add"`    `(B, T, d)`     `(B, T, d)`, row `t` added at step `t`  `(input_dim, d)`
    `"concat"` `(B, T, f)`     `(B, T, f + d)`, row `t` after step `t` `(input_dim, d)`
    ========== =============== ======================================= ====================

    Positions given in expand mode may be negative; those beyond `±input_dim` are clipped to it. In the other modes an
    input longer than the table is an error.

    Masking: add and concat pass the mask on. In expand mode the incoming mask is not used: with `mask_zero=True` the
    output has the mask `positions ≠ 0`, otherwise none.

    Args:
        input_dim: Number of positions; in expand mode the largest absolute position.
        output_dim: Size `d` of an embedding.
        mode: `"expand"`, `"add"` or `"concat"`.
        embeddings_initializer: What fills the table, or what `weights` leaves of it.
        mask_zero: Whether position 0 is padding (expand mode only). A bool, as everywhere in Keras; it is not the id of
            padding that keras-pos-embd makes of it.
        embeddings_regularizer: Regularizer of the table.
        embeddings_constraint: Constraint of the table.
        weights: Pretrained rows, as many as the table has or fewer: the table starts with them and
            `embeddings_initializer` extends it. In expand mode they are a table of the same kind (an odd number of
            rows, position 0 in the middle) and it is extended on both sides. They are copied, and travel in the saved
            weights, not in the config.
        **kwargs: Those of `keras.layers.Layer`.

    Raises:
        ValueError: The mode is unknown, a dimension is not a positive integer, `mask_zero` is not a bool, `weights`
            does not fit into the table, the input is longer than the table or has not `output_dim` features.

    Example:

    >>> import numpy as np
    >>> from keras import ops
    >>> layer = PositionEmbedding(3, 2, mode="add", weights=np.eye(3, 2))
    >>> ops.convert_to_numpy(layer(np.zeros((1, 2, 2), "float32"))).tolist()
    [[[1.0, 0.0], [0.0, 1.0]]]

    A BERT of 512 positions made to read 1024, by repeating its table as Longformer does:

    >>> table = np.zeros((512, 8), "float32")
    >>> longer = PositionEmbedding(1024, 8, mode="add", weights=np.resize(table, (1024, 8)))

    References: Devlin et al., 2018, https://arxiv.org/abs/1810.04805; Beltagy et al., 2020 (Longformer),
    https://arxiv.org/abs/2004.05150
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        mode: PositionMode = "expand",
        embeddings_initializer: Named = "uniform",
        mask_zero: bool = False,
        *,
        embeddings_regularizer: Named = None,
        embeddings_constraint: Named = None,
        weights: Table | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(mode, **kwargs)
        self.input_dim: int = whole("input_dim", input_dim)
        self.output_dim: int = whole("output_dim", output_dim)
        self.embeddings_initializer: Any = keras.initializers.get(embeddings_initializer)
        if not isinstance(mask_zero, bool):
            raise ValueError(
                f"mask_zero must be True (position 0 is padding) or False, received {mask_zero!r}. In keras-pos-embd it was "
                "the id of padding; here give such positions the id 0."
            )
        self.mask_zero: bool = mask_zero
        self.embeddings_regularizer: Any = keras.regularizers.get(embeddings_regularizer)
        self.embeddings_constraint: Any = keras.constraints.get(embeddings_constraint)
        self._table_shape = (2 * self.input_dim + 1 if self.mode == "expand" else self.input_dim, self.output_dim)
        self._rows = None if weights is None else np.array(self._fitting(pretrained_rows(weights)))

    def _fitting(self, rows):
        count, width = rows.shape
        if width != self.output_dim or count > self._table_shape[0]:
            raise ValueError(
                f"weights must fit into the table {self._table_shape}, at most as many rows, and as many columns, "
                f"received shape {rows.shape}"
            )
        if self.mode == "expand" and count % 2 == 0:
            raise ValueError(
                "weights must have an odd number of rows in expand mode, with position 0 in the middle, "
                f"received shape {rows.shape}"
            )
        return rows

    def build(self, input_shape: Shape) -> None:
        # The layer's own copy lives until the table is made of it.
        rows, self._rows = self._rows, None

        def initialize(shape, dtype=None):
            table = self.embeddings_initializer(shape, dtype=dtype)
            if rows is None:
                return table
            start = (shape[0] - len(rows)) // 2 if self.mode == "expand" else 0
            return ops.slice_update(table, (start, 0), ops.convert_to_tensor(rows, dtype=dtype))

        self.embeddings: Variable = self.add_weight(
            shape=self._table_shape,
            initializer=initialize,
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
            autocast=False,
            name="embeddings",
        )

    def _of_ids(self, ids):
        if keras.backend.standardize_dtype(ids.dtype) not in ("int64", "float32", "float64"):
            ids = ops.cast(ids, "int32")
        ids = ops.cast(ops.clip(ids, -self.input_dim, self.input_dim), "int32")
        return ops.take(self.embeddings, ids + self.input_dim, axis=0)

    def _of_length(self, length):
        # `slice`, not `[:length]`: where TensorFlow knows the length only at run time, it refuses one past the table.
        return ops.slice(ops.convert_to_tensor(self.embeddings), (0, 0), (length, self.output_dim))

    def compute_mask(self, inputs: Tensor, mask: Tensor = None) -> Tensor:
        if self.mode != "expand":
            return mask
        return ops.not_equal(inputs, 0) if self.mask_zero else None

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        output_shape = super().compute_output_shape(input_shape)
        if self.mode != "expand" and input_shape[1] is not None and input_shape[1] > self.input_dim:
            raise ValueError(
                f"inputs must have at most input_dim={self.input_dim} positions, received {input_shape[1]}. Cut them, "
                "or make a larger table (weights= takes the rows of the shorter one)."
            )
        return output_shape

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "mode": self.mode,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
            "mask_zero": self.mask_zero,
            "embeddings_regularizer": keras.regularizers.serialize(self.embeddings_regularizer),
            "embeddings_constraint": keras.constraints.serialize(self.embeddings_constraint),
            # Settings only: the rows themselves are in the saved weights.
            "weights": None,
        }


@keras.saving.register_keras_serializable(package="w2v_embed")
class SinusoidalPositionEmbedding(_PositionLayer):
    """The fixed sinusoid of positions: column `2c` is `sin(p · 10000^(−2c / d))`, column `2c + 1` the cosine.

    The modes are those of `PositionEmbedding`: `"expand"` `(…)` → `(…, d)` for given positions, `"add"` `(B, T, d)` →
    `(B, T, d)`, `"concat"` `(B, T, f)` → `(B, T, f + d)`. There are no weights and no largest position.

    Exact to 1e-6 for every whole position of int32, negative ones too, and rounded to the compute dtype only at the
    end. A position that is not whole is cut to its whole part.

    Masking: every mode passes the mask on.

    Args:
        mode: `"add"`, `"concat"` or `"expand"`.
        output_dim: Size `d` of an embedding, an even number. Add mode may leave it out: it takes that of the input.
        **kwargs: Those of `keras.layers.Layer`.

    Raises:
        ValueError: The mode is unknown, `output_dim` is missing or odd, or the input has not `output_dim` features.

    Example:

    >>> import numpy as np
    >>> from keras import ops
    >>> layer = SinusoidalPositionEmbedding("expand", 4)
    >>> print(ops.convert_to_numpy(layer(np.array([0, 1, -1]))).round(2))
    [[ 0.    1.    0.    1.  ]
     [ 0.84  0.54  0.01  1.  ]
     [-0.84  0.54 -0.01  1.  ]]

    Reference: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762
    """

    def __init__(self, mode: PositionMode = "add", output_dim: int | None = None, **kwargs: Any) -> None:
        super().__init__(mode, **kwargs)
        if output_dim is None and self.mode != "add":
            raise ValueError(f'output_dim must be an even number with mode="{self.mode}", received None')
        self.output_dim: int | None = None if output_dim is None else even("output_dim", output_dim)

    def build(self, input_shape: Shape) -> None:
        width: Any = self.output_dim or self.compute_output_shape(input_shape)[-1]
        # One small table for each base-256 digit of a position, from float64: an angle of a large position never
        # exists in float32.
        self._digit_tables = tuple(sinusoid_table(np.arange(256) * 256**power, width) for power in range(4))

    def _of_ids(self, ids):
        dtype = keras.backend.result_type(self.compute_dtype, "float32")
        ids = ops.cast(ids, "int32")
        rest = ops.abs(ids)
        sin, cos = 0.0, 1.0
        for table in self._digit_tables:
            row = ops.take(ops.convert_to_tensor(table, dtype=dtype), rest % 256, axis=0)
            digit_sin, digit_cos = row[..., 0::2], row[..., 1::2]
            # sin(a + b) and cos(a + b); a digit of 0 has sine 0 and cosine 1 and changes no bit.
            sin, cos = sin * digit_cos + cos * digit_sin, cos * digit_cos - sin * digit_sin
            rest = rest // 256
        sin = sin * ops.expand_dims(ops.cast(ops.sign(ids), dtype), -1)
        pairs = ops.stack([sin, cos], axis=-1)
        return ops.reshape(pairs, (*ops.shape(ids), self._digit_tables[0].shape[-1]))

    def _of_length(self, length):
        return self._of_ids(ops.arange(length, dtype="int32"))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        output_shape: Any = super().compute_output_shape(input_shape)
        if output_shape[-1] % 2 and self.mode == "add":
            raise ValueError(
                f"the number of features must be even, received {output_shape[-1]} in {tuple(input_shape)}"
            )
        return output_shape

    def get_config(self) -> Config:
        return {**super().get_config(), "mode": self.mode, "output_dim": self.output_dim}

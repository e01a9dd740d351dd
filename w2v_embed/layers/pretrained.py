"""An Embedding for pretrained vectors: padding that stays zero, and training of only the rows that were not found."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, get_args

import keras
import numpy as np

from .._types import TrainRows
from ..checks import one_of, whole
from ._table_files import Refillable, table_sha256
from .arguments import dense, masks_zero, refuse_fillers
from .backend import backend
from .table import blocks_of, build_with, read_table

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._types import Table
    from .arguments import Config
    from .backend import Tensor

_log = logging.getLogger(__name__)


@keras.saving.register_keras_serializable(package="w2v_embed")
class PretrainedEmbedding(Refillable):
    """Pretrained vectors as a layer that keeps three promises which `keras.layers.Embedding` does not give.

    - The padding row is exactly zero for ever, whatever the optimizer, its decay, or a missing mask: its
      output is zero and no gradient reaches it.
    - With `train_rows="oov"` the rows that were found stay bit-identical while the others are trained. These
      live in a small variable of their own, so that optimizer state and step cost follow their number.
    - Nothing random is ever drawn: a layer made by `from_config` or `clone_model` is zero until its
      weights are loaded, set, or given by `reload_vectors`.

    `trainable` and `train_rows` can be changed later, for gradual unfreezing. As with every Keras layer the
    model must then be compiled again; `UnfreezeEmbedding` does it during `fit`.

    Masking: `compute_mask` marks ids other than 0 if `mask_zero`.

    Args:
        vectors: `EmbeddingMatrix`, or array-like of shape `(rows, dim)`. The layer copies it. None, with
            `input_dim` and `output_dim`, builds a layer of zeros that waits for its weights.
        trainable: whether training changes the rows that `train_rows` names.
        train_rows: "all", or "oov" for only those that the vectors did not have.
        mask_zero: whether id 0 is padding that later layers shall skip. None means: if
            `vectors.padding_row` is 0; and False for a bare array.
        oov_rows: the ids of the rows that `train_rows="oov"` trains. None means `vectors.oov_rows`.
        padding_row: 0 if row 0 is padding, which must then be zero. None means `vectors.padding_row`; for
            a bare array 0 if `mask_zero` is True and row 0 is zero.
        check_ids: whether an id outside the table raises an error on every backend. Without it JAX gives
            NaN, and compiled TensorFlow the nearest row. It costs a little time in every call.
        save_table: False leaves the frozen table out of `.keras` and weights files. `reload_vectors` gives
            it back after loading, and checks its SHA-256.
        pad_rows_to: zero rows are appended until the number of rows is a multiple of this, for a table that
            is split over several devices.
        **kwargs: `name`, `dtype`, `embeddings_regularizer`, `embeddings_constraint`, `lora_rank`, `lora_alpha`, as in
            `keras.layers.Embedding`.

    Input shape: ids `(...)`; sparse ones are taken, and what they leave out is id 0. Output shape: `(..., dim)`.

    Raises:
        TypeError: `weights` or `embeddings_initializer` was given, and the vectors stand for both.
        ValueError: the vectors are no table of finite numbers, or an argument does not fit them.

    Example:

    >>> import numpy as np
    >>> vectors = np.array([[0, 0], [1, 2], [0, 0]], dtype="float32")
    >>> layer = PretrainedEmbedding(vectors, trainable=True, train_rows="oov", oov_rows=[2], mask_zero=True)
    >>> [tuple(weight.shape) for weight in layer.trainable_weights]
    [(1, 2)]
    """

    def __init__(
        self,
        vectors: Table | None = None,
        *,
        trainable: bool = False,
        train_rows: TrainRows = "all",
        mask_zero: bool | None = None,
        oov_rows: npt.ArrayLike | None = None,
        padding_row: int | None = None,
        check_ids: bool = False,
        save_table: bool = True,
        pad_rows_to: int | None = None,
        input_dim: int | None = None,
        output_dim: int | None = None,
        **kwargs: Any,
    ) -> None:
        refuse_fillers("PretrainedEmbedding", kwargs, trainable or vectors is None)
        if padding_row not in (None, 0):
            raise ValueError(f"padding_row must be None or 0, received {padding_row!r}")
        if pad_rows_to is not None:
            pad_rows_to = whole("pad_rows_to", pad_rows_to, or_none=True)
        one_of("train_rows", train_rows, get_args(TrainRows))
        table = None
        if vectors is not None:
            table = read_table(vectors, kwargs.get("dtype"), input_dim, output_dim, pad_rows_to)
            input_dim, output_dim = table.shape
            padding_row = _padding_row_of(vectors, table, padding_row, mask_zero)
            oov_rows = getattr(vectors, "oov_rows", None) if oov_rows is None else oov_rows
        elif input_dim is None or output_dim is None:
            raise ValueError(
                "vectors must be an EmbeddingMatrix or an array (rows, dim), or input_dim and output_dim for a layer of zeros "
                "to load weights into, received None"
            )
        super().__init__(
            input_dim,
            output_dim,
            embeddings_initializer="zeros",
            mask_zero=masks_zero(mask_zero, vectors),
            trainable=trainable,
            oov_rows=oov_rows,
            padding_row=padding_row,
            train_rows="all" if vectors is not None else train_rows,
            save_table=save_table,
            pad_rows_to=pad_rows_to,
            waits=vectors is None,
            **kwargs,
        )
        self.check_ids: bool = check_ids
        self.supports_jit &= not (check_ids and backend.xla_drops_assertions)
        if table is not None:
            if train_rows == "oov" and self._oov_ids is None:
                raise ValueError(
                    "oov_rows must be the ids of the rows to train with train_rows='oov', received None, and "
                    f"{type(vectors).__name__} does not know them. The EmbeddingMatrix that build_matrix() returns does."
                )
            if not save_table:
                self.vectors_sha256 = table_sha256(table, self.variable_dtype)
            build_with(self, table)
            self.train_rows = train_rows  # takes the OOV rows out of the table that is there now
            self._warn_regularizer()

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        self._note_call(training)
        ids = self._checked(inputs)
        # The loss scaling that float16 needs cannot read sparse gradients.
        rows = backend.take_rows(self._embeddings, ids, sparse=self.compute_dtype != "float16")
        if self.lora_enabled:
            factors = keras.ops.matmul(backend.take_rows(self.lora_embeddings_a, ids), self.lora_embeddings_b)
            rows = keras.ops.add(rows, (self.lora_alpha / self.lora_rank) * factors)
        if self.oov_embeddings is not None:
            oov_ids = keras.ops.cast(self.oov_ids, ids.dtype)
            place = keras.ops.searchsorted(oov_ids, keras.ops.reshape(ids, (-1,)))
            place = keras.ops.minimum(keras.ops.reshape(place, keras.ops.shape(ids)), len(self._oov_ids) - 1)
            is_oov = keras.ops.equal(keras.ops.take(oov_ids, place, axis=0), ids)
            rows = keras.ops.where(is_oov[..., None], backend.take_rows(self.oov_embeddings, place), rows)
        if self.padding_row is not None:
            # A product would let NaN and infinity through, in both directions.
            rows = keras.ops.where(keras.ops.equal(ids, 0)[..., None], keras.ops.zeros_like(rows), rows)
        return keras.ops.cast(rows, self.compute_dtype)

    def compute_mask(self, inputs: Tensor, mask: Tensor = None) -> Tensor:
        return super().compute_mask(dense(inputs), mask)

    def quantized_call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        self._note_call(training)
        return super().quantized_call(self._checked(inputs))

    def _note_call(self, training: bool | None) -> None:
        self._trained = self._trained or bool(training)
        self._refuse_missing_table()

    def _checked(self, inputs: Tensor) -> Tensor:
        ids = dense(inputs)
        if keras.backend.standardize_dtype(ids.dtype) not in ("int32", "int64"):
            ids = keras.ops.cast(ids, "int32")
        return backend.check_range(ids, self.input_dim, self.name) if self.check_ids else ids

    def enable_lora(self, rank: int, lora_alpha: int | float | None = None, **kwargs: Any) -> None:
        """Train factors `(input_dim, rank)` and `(rank, output_dim)` beside the table, as Keras' Embedding does."""
        self._refuse_oov("LoRA, which reaches every row")
        super().enable_lora(rank, lora_alpha=lora_alpha or self.lora_alpha, **kwargs)
        if self.padding_row is not None:
            factor = np.array(keras.ops.convert_to_numpy(self.lora_embeddings_a))
            factor[0] = 0
            self.lora_embeddings_a.assign(factor)

    def quantize(self, mode: str | None = None, type_check: bool = True, **kwargs: Any) -> None:
        """Round the frozen table to "int8" or "int4".

        The largest error of a value is logged, and kept as `quantization_error`.
        """
        if self.trainable:
            raise ValueError(f"trainable must be False before layer {self.name!r} is quantized, received True")
        self._refuse_oov("quantize()")
        exact = keras.ops.convert_to_numpy(self._embeddings)
        super().quantize(mode, type_check=False, **kwargs)
        errors = [
            np.abs(keras.ops.convert_to_numpy(self(np.arange(start, start + len(block)))) - block).max()
            for start, block in blocks_of(exact)
        ]
        self.quantization_error: float = float(max(errors))
        _log.info("Layer %r is %s now; the largest error of a value is %.3g.", self.name, mode, self.quantization_error)

    def _refuse_oov(self, what: str) -> None:
        if self._train_rows == "oov":
            raise ValueError(f"train_rows must be \"all\" in layer {self.name!r} for {what}, received 'oov'")

    def get_config(self) -> Config:
        config = super().get_config()
        del config["embeddings_initializer"]
        return {
            **config,
            "vectors": None,
            "train_rows": self.train_rows,
            "oov_rows": None,
            "oov_count": None if self._train_rows == "all" else len(self._oov_ids),
            "padding_row": self.padding_row,
            "check_ids": self.check_ids,
            "save_table": self.save_table,
            "pad_rows_to": self.pad_rows_to,
            "vectors_sha256": self.vectors_sha256,
        }

    @classmethod
    def from_config(cls, config: Config) -> PretrainedEmbedding:
        config = dict(config)
        count, sha256 = config.pop("oov_count"), config.pop("vectors_sha256")
        layer = super().from_config(config)
        # Any rows will do until the weights bring the real ones: all of them are zero.
        layer._oov_ids = None if count is None else np.arange(count)
        layer.vectors_sha256 = sha256
        return layer


def _padding_row_of(vectors, table, padding_row, mask_zero):
    if padding_row is None:
        padding_row = getattr(vectors, "padding_row", 0 if mask_zero and not table[0].any() else None)
    if padding_row == 0 and table[0].any():
        raise ValueError(f"row 0 of vectors must be zero, for it is the padding row, received {table[0][:4]} …")
    return padding_row


def pretrained_layers(model: keras.Layer) -> list[PretrainedEmbedding]:
    """Those of a model, or of a layer that contains others."""
    return [layer for layer in model._flatten_layers() if isinstance(layer, PretrainedEmbedding)]


def reload_vectors(model: keras.Layer, vectors: Table) -> list[str]:
    """Give a model the vectors that its file or its clone lacks.

    Every `PretrainedEmbedding` whose table has the shape of `vectors` is filled. Where the layer knows the
    SHA-256 of its table, because it was built with `save_table=False`, that is verified first.

    Args:
        model: a `keras.Model`, or a layer that contains others.
        vectors: `EmbeddingMatrix`, or array-like of shape `(rows, dim)`.

    Returns:
        The names of the layers that were filled.

    Raises:
        ValueError: no layer takes these vectors; the message says why for each.

    Example:

    >>> import keras, numpy as np
    >>> vectors = np.eye(3, dtype="float32")
    >>> model = keras.Sequential([keras.Input((2,)), PretrainedEmbedding(vectors, name="words")])
    >>> reload_vectors(keras.models.clone_model(model), vectors)
    ['words']
    """
    filled, refused = [], []
    for layer in pretrained_layers(model):
        try:
            layer.reload(vectors)
            filled.append(layer.name)
        except ValueError as error:
            refused.append(str(error))
    if not filled:
        raise ValueError(
            "No layer of the model took the vectors. " + " ".join(refused or ["It has no PretrainedEmbedding."])
        )
    return filled

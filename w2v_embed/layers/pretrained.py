"""An Embedding for pretrained vectors: padding that stays zero, and training of only the rows that were not found."""

import hashlib
import logging
import warnings

import keras
import numpy as np

from .lookup import check_range, dense, take_rows
from .table import assign_rows, build_with, read_table

log = logging.getLogger(__name__)

# Rows handled together where a whole second table would be needed otherwise.
_BLOCK_ROWS = 8192


@keras.saving.register_keras_serializable(package="w2v_embed")
class PretrainedEmbedding(keras.layers.Embedding):
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

    # The variables of train_rows="oov", while there are any.
    oov_embeddings = None
    oov_ids = None

    def __init__(
        self,
        vectors=None,
        *,
        trainable=False,
        train_rows="all",
        mask_zero=None,
        oov_rows=None,
        padding_row=None,
        check_ids=False,
        save_table=True,
        pad_rows_to=None,
        input_dim=None,
        output_dim=None,
        **kwargs,
    ):
        for taken in ("weights", "embeddings_initializer"):
            if taken in kwargs:
                raise TypeError(f"PretrainedEmbedding fills the table with its vectors, so it takes no {taken!r}.")
        if padding_row not in (None, 0):
            raise ValueError(f"padding_row must be None or 0. Received: padding_row={padding_row!r}")
        if pad_rows_to is not None and not (isinstance(pad_rows_to, int) and pad_rows_to > 0):
            raise ValueError(f"pad_rows_to must be a positive integer. Received: pad_rows_to={pad_rows_to!r}")
        _check_train_rows(train_rows)
        if vectors is not None and kwargs.get("lora_rank") and not trainable:
            raise ValueError(
                "LoRA trains two small factors beside the table, so it needs trainable=True. "
                f"Received: lora_rank={kwargs['lora_rank']!r}, trainable={trainable!r}"
            )

        if vectors is None:
            if input_dim is None or output_dim is None:
                raise ValueError(
                    "PretrainedEmbedding needs vectors: an EmbeddingMatrix or an array of shape (rows, dim). Received: "
                    "vectors=None. A layer of zeros to load weights into also needs input_dim and output_dim."
                )
            table = None
        else:
            table = read_table(vectors, kwargs.get("dtype"), input_dim, output_dim)
            if pad_rows_to:
                table = _padded(table, pad_rows_to)
            input_dim, output_dim = table.shape
            if padding_row is None:
                padding_row = getattr(vectors, "padding_row", 0 if mask_zero and not table[0].any() else None)
            if mask_zero is None:
                mask_zero = getattr(vectors, "padding_row", None) == 0
            if padding_row == 0 and table[0].any():
                raise ValueError(f"Row 0 is the padding row and must be zero. Received: row 0 starts {table[0][:4]}")
            if oov_rows is None:
                oov_rows = getattr(vectors, "oov_rows", None)
        super().__init__(
            input_dim,
            output_dim,
            embeddings_initializer="zeros",
            mask_zero=bool(mask_zero),
            trainable=trainable,
            **kwargs,
        )
        self._train_rows = "all" if vectors is not None else train_rows
        self.padding_row = padding_row
        self.check_ids = check_ids
        self.save_table = save_table
        self.pad_rows_to = pad_rows_to
        self.vectors_sha256 = None
        self._oov_ids = None if oov_rows is None else _checked_ids(oov_rows, input_dim, padding_row)
        self._trained = False
        # What a layer without vectors still lacks; loading and reload_vectors() take it off again.
        self._lacks = set() if vectors is not None else {"table", "oov"}
        if keras.backend.backend() == "tensorflow" and check_ids:
            self.supports_jit = False  # XLA drops assertions

        if table is not None:
            if train_rows == "oov" and self._oov_ids is None:
                raise ValueError(
                    f"train_rows='oov' needs the ids of the rows to train, and {type(vectors).__name__} does not know "
                    "them: pass oov_rows=, or the EmbeddingMatrix that build_matrix() returns."
                )
            if not save_table:
                self.vectors_sha256 = table_sha256(table, self.variable_dtype)
            build_with(self, table)
            self.train_rows = train_rows  # takes the OOV rows out of the table that is there now
            self._warn_regularizer()

    def build(self, input_shape=None):
        if self.built:
            return
        super().build(input_shape)
        self._embeddings.holds_vectors = True  # RowSparseAdam knows its tables by this
        if self._train_rows == "oov":
            self._split()
        self._apply_trainable()

    # -- which rows are trained -----------------------------------------------------------------------------------

    @property
    def train_rows(self):
        """ "all" or "oov". After a change the model must be compiled again, or use `UnfreezeEmbedding`."""
        return self._train_rows

    @train_rows.setter
    def train_rows(self, value):
        _check_train_rows(value)
        if value == self._train_rows:
            return
        if value == "oov" and self._oov_ids is None:
            raise ValueError(
                f"Layer {self.name!r} does not know which rows are OOV, so train_rows cannot become 'oov': "
                "build it from an EmbeddingMatrix or pass oov_rows=."
            )
        if value == "oov" and (self.lora_enabled or self.quantization_mode):
            raise ValueError(f"Layer {self.name!r} has LoRA or integers in its table, so train_rows stays 'all'.")
        self._train_rows = value
        if self.built:
            self._tracker.unlock()
            if value == "oov":
                self._split()
            else:
                self._merge()
            self._tracker.lock()
            self._apply_trainable()
            self._warn_stale("train_rows")

    @property
    def trainable(self):
        """Whether training changes the rows that `train_rows` names."""
        return self._trainable

    @trainable.setter
    def trainable(self, value):
        changed = bool(value) != self._trainable
        keras.layers.Embedding.trainable.fset(self, value)
        self._apply_trainable()
        if changed:
            self._warn_stale("trainable")
            self._warn_regularizer()

    @property
    def oov_rows(self):
        """The ids of the rows that `train_rows="oov"` trains, sorted; None where they are not known."""
        if self.oov_ids is not None:
            return keras.ops.convert_to_numpy(self.oov_ids)
        return self._oov_ids

    def _split(self):
        """Give the OOV rows a variable of their own, and keep the table from being trained."""
        count = len(self._oov_ids)
        if not count:
            log.warning("Layer %r has no OOV rows, so train_rows='oov' trains nothing.", self.name)
            return
        self.oov_embeddings = self.add_weight(
            name="oov_embeddings",
            shape=(count, self.output_dim),
            initializer="zeros",
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
        )
        self.oov_ids = self.add_weight(
            name="oov_ids", shape=(count,), initializer="zeros", dtype="int32", trainable=False
        )
        self.oov_ids.assign(self._oov_ids)
        self.oov_embeddings.assign(keras.ops.take(self._embeddings, self._oov_ids, axis=0))

    def _merge(self):
        """Put the trained OOV rows back into the table."""
        if self.oov_embeddings is None:
            return
        self._oov_ids = self.oov_rows
        self._embeddings.assign(self.embeddings)
        del self.oov_embeddings, self.oov_ids

    def _apply_trainable(self):
        # Keras' own setter would also thaw a table beside which only the OOV rows or a LoRA shall change.
        if self.built:
            whole = self._train_rows == "all" and not self.lora_enabled and not self.quantization_mode
            self._embeddings.trainable = self._trainable and whole

    def _warn_stale(self, what):
        if self._trained:
            self._trained = False
            warnings.warn(
                f"{what} of layer {self.name!r} was changed after a training step. Call model.compile() again, or the "
                "optimizer goes on with the old set of variables; the callback UnfreezeEmbedding does it during fit().",
                stacklevel=3,
            )

    def _warn_regularizer(self):
        if self.built and self.trainable and self._train_rows == "all" and self.embeddings_regularizer is not None:
            warnings.warn(
                f"embeddings_regularizer moves every row of layer {self.name!r} in every step, also those of words "
                "never seen in training: they leave the place that pretraining gave them.",
                stacklevel=3,
            )

    # -- the forward pass -----------------------------------------------------------------------------------------

    @property
    def embeddings(self):
        """The table `(input_dim, output_dim)` as used: its variable, unless OOV rows or LoRA are beside it."""
        table = super().embeddings
        if self.oov_embeddings is None:
            return table
        return keras.ops.scatter_update(table, self.oov_ids[:, None], self.oov_embeddings)

    def call(self, inputs, training=None):
        self._note_call(training)
        ids = self._checked(inputs)
        # The loss scaling that float16 needs cannot read sparse gradients.
        rows = take_rows(self._embeddings, ids, sparse=self.compute_dtype != "float16")
        if self.lora_enabled:
            factors = keras.ops.matmul(take_rows(self.lora_embeddings_a, ids), self.lora_embeddings_b)
            rows = keras.ops.add(rows, (self.lora_alpha / self.lora_rank) * factors)
        if self.oov_embeddings is not None:
            oov_ids = keras.ops.cast(self.oov_ids, ids.dtype)
            place = keras.ops.searchsorted(oov_ids, keras.ops.reshape(ids, (-1,)))
            place = keras.ops.minimum(keras.ops.reshape(place, keras.ops.shape(ids)), len(self._oov_ids) - 1)
            is_oov = keras.ops.equal(keras.ops.take(oov_ids, place, axis=0), ids)
            rows = keras.ops.where(is_oov[..., None], take_rows(self.oov_embeddings, place), rows)
        if self.padding_row is not None:
            # A product would let NaN and infinity through, in both directions.
            rows = keras.ops.where(keras.ops.equal(ids, 0)[..., None], keras.ops.zeros_like(rows), rows)
        return keras.ops.cast(rows, self.compute_dtype)

    def compute_mask(self, inputs, mask=None):
        return super().compute_mask(dense(inputs), mask)

    def quantized_call(self, inputs, training=None):
        self._note_call(training)
        return super().quantized_call(self._checked(inputs))

    def _note_call(self, training):
        self._trained = self._trained or bool(training)
        if "table" in self._lacks and not self.save_table:
            raise ValueError(
                f"Layer {self.name!r} was saved without its table. Give it back with "
                f"reload_vectors(model, vectors); their SHA-256 must be {self.vectors_sha256}."
            )

    def _checked(self, inputs):
        ids = dense(inputs)
        if keras.backend.standardize_dtype(ids.dtype) not in ("int32", "int64"):
            ids = keras.ops.cast(ids, "int32")
        return check_range(ids, self.input_dim, self.name) if self.check_ids else ids

    def enable_lora(self, rank, lora_alpha=None, **kwargs):
        """Train factors `(input_dim, rank)` and `(rank, output_dim)` beside the table, as Keras' Embedding does."""
        if self._train_rows == "oov":
            raise ValueError(f"LoRA reaches every row, and layer {self.name!r} has train_rows='oov'.")
        super().enable_lora(rank, lora_alpha=lora_alpha or self.lora_alpha, **kwargs)
        if self.padding_row is not None:
            factor = np.array(keras.ops.convert_to_numpy(self.lora_embeddings_a))
            factor[0] = 0
            self.lora_embeddings_a.assign(factor)

    def quantize(self, mode=None, type_check=True, **kwargs):
        """Round the frozen table to "int8" or "int4".

        The largest error of a value is logged, and kept as `quantization_error`.
        """
        if self.trainable:
            raise ValueError(f"Only a frozen table is quantized. Set trainable=False on layer {self.name!r} first.")
        if self._train_rows == "oov":
            raise ValueError(f"Layer {self.name!r} has train_rows='oov'. Set train_rows='all' before quantize().")
        exact = keras.ops.convert_to_numpy(self._embeddings)
        super().quantize(mode, type_check=False, **kwargs)
        errors = [
            np.abs(keras.ops.convert_to_numpy(self(np.arange(start, start + len(block)))) - block).max()
            for start in range(0, self.input_dim, _BLOCK_ROWS)
            for block in [exact[start : start + _BLOCK_ROWS]]
        ]
        self.quantization_error = float(max(errors))
        log.info("Layer %r is %s now; the largest error of a value is %.3g.", self.name, mode, self.quantization_error)

    # -- configuration and files ----------------------------------------------------------------------------------

    def get_config(self):
        config = super().get_config()
        del config["embeddings_initializer"]
        return {
            **config,
            "vectors": None,
            "train_rows": self.train_rows,
            "oov_rows": None,
            "oov_count": None if self._train_rows == "all" else len(self.oov_rows),
            "padding_row": self.padding_row,
            "check_ids": self.check_ids,
            "save_table": self.save_table,
            "pad_rows_to": self.pad_rows_to,
            "vectors_sha256": self.vectors_sha256,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        count, sha256 = config.pop("oov_count"), config.pop("vectors_sha256")
        layer = super().from_config(config)
        # Any rows will do until the weights bring the real ones: all of them are zero.
        layer._oov_ids = None if count is None else np.arange(count)
        layer.vectors_sha256 = sha256
        return layer

    def save_own_variables(self, store):
        if not self.built:
            return
        if self.save_table:
            super().save_own_variables(store)
        elif "table" not in self._lacks:
            self._refuse_changed_table()
        if self.oov_rows is not None:
            store["oov_rows"] = self.oov_rows
        if self.oov_embeddings is not None:
            store["oov_embeddings"] = self.oov_embeddings

    def load_own_variables(self, store):
        names = list(store.keys())
        table = {name: store[name] for name in names if name.isdigit()}
        if table:
            self._load_table(table)
            self._lacks.discard("table")
        elif self.save_table:
            raise ValueError(f"The file holds no table for layer {self.name!r}, and save_table is True.")
        if "oov_rows" in names:
            self._load_oov_ids(np.asarray(store["oov_rows"]))
        if "oov_embeddings" in names:
            if self.oov_embeddings is None:
                raise ValueError(
                    f"The file holds trained OOV rows, and layer {self.name!r} has train_rows='all'. "
                    "Set train_rows='oov' before loading, and 'all' again afterwards."
                )
            self.oov_embeddings.assign(store["oov_embeddings"])
            self._lacks.discard("oov")
        elif self.oov_embeddings is not None and table:
            self.oov_embeddings.assign(keras.ops.take(self._embeddings, self.oov_rows, axis=0))
            self._lacks.discard("oov")

    def _load_table(self, table):
        if self.quantization_mode or self.lora_enabled:
            super().load_own_variables(table)
            return
        shape = tuple(table["0"].shape)
        if len(table) != 1 or shape != (self.input_dim, self.output_dim):
            raise ValueError(
                f"Layer {self.name!r} expects one table of shape {(self.input_dim, self.output_dim)}. "
                f"Received {len(table)} arrays, the first of shape {shape}."
            )
        self._embeddings.assign(table["0"])

    def _load_oov_ids(self, ids):
        if self.oov_ids is not None:
            if len(ids) != len(self._oov_ids):
                raise ValueError(f"Layer {self.name!r} has {len(self._oov_ids)} OOV rows. Received {len(ids)}.")
            self.oov_ids.assign(ids)
        self._oov_ids = ids

    def set_weights(self, weights):
        super().set_weights(weights)
        self._lacks.clear()

    def reload(self, vectors):
        """Fill the layer with `vectors` again, after checking that they are the ones it was saved with.

        The trained OOV rows of a model that was saved without its table stay; in every other case
        the OOV rows start from `vectors` again, too.

        Args:
            vectors: `EmbeddingMatrix`, or array-like of shape `(rows, dim)`.

        Raises:
            ValueError: the shape, the SHA-256 or the number of OOV rows differs.
        """
        table = read_table(vectors, self.variable_dtype)
        if self.pad_rows_to:
            table = _padded(table, self.pad_rows_to)
        if table.shape != (self.input_dim, self.output_dim):
            raise ValueError(
                f"Layer {self.name!r} has a table of shape {(self.input_dim, self.output_dim)}. "
                f"Received vectors of shape {table.shape}."
            )
        received = self.vectors_sha256 and table_sha256(table, self.variable_dtype)
        if received != self.vectors_sha256:
            raise ValueError(
                f"Layer {self.name!r} was saved with vectors of SHA-256 {self.vectors_sha256}. Received: {received}."
            )
        # An .h5 file brings the trained rows, too, but Keras does not tell the layer so.
        if (
            not self.save_table
            and self.oov_embeddings is not None
            and np.any(keras.ops.convert_to_numpy(self.oov_embeddings))
        ):
            self._lacks.discard("oov")
        fresh_oov = self.oov_embeddings is not None and self._lacks != {"table"}
        if fresh_oov and getattr(vectors, "oov_rows", None) is not None:
            self._load_oov_ids(_checked_ids(vectors.oov_rows, self.input_dim, self.padding_row))
        elif fresh_oov and "oov" in self._lacks:
            raise ValueError(
                f"Layer {self.name!r} trains OOV rows: reload it from an EmbeddingMatrix, which knows them."
            )
        assign_rows(self._embeddings, table)
        if fresh_oov:
            self.oov_embeddings.assign(keras.ops.take(self._embeddings, self.oov_rows, axis=0))
        self._lacks.clear()

    def _refuse_changed_table(self):
        table = keras.ops.convert_to_numpy(self._embeddings)
        if self.vectors_sha256 is None or table_sha256(table, self.variable_dtype) != self.vectors_sha256:
            raise ValueError(
                f"Layer {self.name!r} has save_table=False, and its table is no longer the one it was built with: the "
                "trained rows would be lost. Set save_table=True on it."
            )


def reload_vectors(model, vectors):
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
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, PretrainedEmbedding)]
    filled, refused = [], []
    for layer in layers:
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


def table_sha256(table, dtype):
    """SHA-256 of a table as a layer of this dtype holds it: over dtype, shape, and the values row by row."""
    digest = hashlib.sha256(f"{dtype} {table.shape[0]} {table.shape[1]} ".encode())
    for start in range(0, len(table), _BLOCK_ROWS):
        digest.update(np.ascontiguousarray(table[start : start + _BLOCK_ROWS].astype(dtype)).view(np.uint8))
    return digest.hexdigest()


def _padded(table, multiple):
    missing = -len(table) % multiple
    return np.concatenate([table, np.zeros((missing, table.shape[1]), table.dtype)]) if missing else table


def _checked_ids(ids, rows, padding_row):
    ids = np.unique(np.asarray(ids, dtype="int64" if not np.size(ids) else None))
    if ids.dtype.kind not in "iu" or (ids.size and (ids[0] < 0 or ids[-1] >= rows)):
        raise ValueError(f"oov_rows must be ids from 0 to {rows - 1}. Received: {ids[:3]} … {ids[-3:]} of {ids.dtype}")
    if padding_row is not None and padding_row in ids:
        raise ValueError(f"oov_rows must not hold the padding row, which is never trained. Received: {ids[:6]}")
    return ids.astype("int32")


def _check_train_rows(value):
    if value not in ("all", "oov"):
        raise ValueError(f"train_rows must be 'all' or 'oov'. Received: train_rows={value!r}")

"""Which rows of an Embedding are trained: all, or only those that the vectors did not have."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any, get_args

import keras
import numpy as np

from .._types import TrainRows
from ..checks import one_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from .backend import Tensor, Variable

_log = logging.getLogger(__name__)


class PartlyTrained(keras.layers.Embedding):
    """A `keras.layers.Embedding` of which all rows are trained, or only the "OOV" rows; that can be changed later.

    These live in a small variable of their own beside the table, so that optimizer state and step cost follow their number.

    Args:
        oov_rows: the ids of these rows, None where they are not known.
        padding_row: the row that is none of them, if any.
        train_rows: which rows a layer trains that is built by Keras, for example while it is loaded.
    """

    # The variables of train_rows="oov", while there are any.
    oov_embeddings: Variable = None
    oov_ids: Variable = None

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        *,
        oov_rows: npt.ArrayLike | None = None,
        padding_row: int | None = None,
        train_rows: TrainRows = "all",
        **kwargs: Any,
    ) -> None:
        super().__init__(input_dim, output_dim, **kwargs)
        self.padding_row: int | None = padding_row
        self._train_rows = train_rows
        self._oov_ids: Any = None if oov_rows is None else self._checked_rows(oov_rows)
        self._trained = False

    def build(self, input_shape: Any = None) -> None:
        if self.built:
            return
        super().build(input_shape)
        self._embeddings.holds_vectors = True  # RowSparseAdam knows its tables by this
        if self._train_rows == "oov":
            self._split()
        self._apply_trainable()

    @property
    def train_rows(self) -> TrainRows:
        """ "all" or "oov". After a change the model must be compiled again, or use `UnfreezeEmbedding`."""
        return self._train_rows

    @train_rows.setter
    def train_rows(self, value: TrainRows) -> None:
        one_of("train_rows", value, get_args(TrainRows))
        if value == self._train_rows:
            return
        if value == "oov" and self._oov_ids is None:
            raise ValueError(
                f"train_rows must be \"all\" where the OOV rows are not known, as in layer {self.name!r}, received 'oov'. "
                "Build it from an EmbeddingMatrix or pass oov_rows=."
            )
        if value == "oov" and (self.lora_enabled or self.quantization_mode):
            raise ValueError(
                f"train_rows must be \"all\" with LoRA or integers in the table of layer {self.name!r}, received 'oov'"
            )
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
    def trainable(self) -> bool:
        """Whether training changes the rows that `train_rows` names."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        changed = bool(value) != self._trainable
        keras.layers.Embedding.trainable.fset(self, value)
        self._apply_trainable()
        if changed:
            self._warn_stale("trainable")
            self._warn_regularizer()

    @property
    def oov_rows(self) -> npt.NDArray[np.int32] | None:
        """The ids of the rows that `train_rows="oov"` trains, sorted; None where they are not known."""
        if self.oov_ids is not None:
            return keras.ops.convert_to_numpy(self.oov_ids)
        return self._oov_ids

    @property
    def embeddings(self) -> Tensor:
        """The table `(input_dim, output_dim)` as used: its variable, unless OOV rows or LoRA are beside it."""
        table = super().embeddings
        if self.oov_embeddings is None:
            return table
        return keras.ops.scatter_update(table, self.oov_ids[:, None], self.oov_embeddings)

    def _split(self) -> None:
        """Give the OOV rows a variable of their own, and keep the table from being trained."""
        count = len(self._oov_ids)
        if not count:
            _log.warning("Layer %r has no OOV rows, so train_rows='oov' trains nothing.", self.name)
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
        self._start_oov_rows(self._oov_ids)

    def _start_oov_rows(self, ids: Any) -> None:
        """Let the OOV rows start from the table."""
        self.oov_embeddings.assign(keras.ops.take(self._embeddings, ids, axis=0))

    def _merge(self) -> None:
        """Put the trained OOV rows back into the table."""
        if self.oov_embeddings is None:
            return
        self._oov_ids = self.oov_rows
        self._embeddings.assign(self.embeddings)
        del self.oov_embeddings, self.oov_ids

    def _set_oov_ids(self, ids: npt.NDArray[np.int32]) -> None:
        if self.oov_ids is not None:
            if len(ids) != len(self._oov_ids):
                raise ValueError(
                    f"oov_rows must be {len(self._oov_ids)}, as many as layer {self.name!r} has, received {len(ids)}"
                )
            self.oov_ids.assign(ids)
        self._oov_ids = ids

    def _checked_rows(self, rows: npt.ArrayLike) -> npt.NDArray[np.int32]:
        ids = np.unique(np.asarray(rows, dtype="int64" if not np.size(rows) else None))
        if ids.dtype.kind not in "iu" or (ids.size and (ids[0] < 0 or ids[-1] >= self.input_dim)):
            told = f"{ids[:3]} … {ids[-3:]} of {ids.dtype}"
            raise ValueError(f"oov_rows must be ids from 0 to {self.input_dim - 1}, received {told}")
        if self.padding_row is not None and self.padding_row in ids:
            raise ValueError(f"oov_rows must not hold the padding row, which is never trained, received {ids[:6]}")
        return ids.astype("int32")

    def _apply_trainable(self) -> None:
        # Keras' own setter would also thaw a table beside which only the OOV rows or a LoRA shall change.
        if self.built:
            whole = self._train_rows == "all" and not self.lora_enabled and not self.quantization_mode
            self._embeddings.trainable = self._trainable and whole

    def _warn_stale(self, what: str) -> None:
        if self._trained:
            self._trained = False
            warnings.warn(
                f"{what} of layer {self.name!r} was changed after a training step. Call model.compile() again, or the "
                "optimizer goes on with the old set of variables; the callback UnfreezeEmbedding does it during fit().",
                stacklevel=3,
            )

    def _warn_regularizer(self) -> None:
        if self.built and self.trainable and self._train_rows == "all" and self.embeddings_regularizer is not None:
            warnings.warn(
                f"embeddings_regularizer moves every row of layer {self.name!r} in every step, also those of words "
                "never seen in training: they leave the place that pretraining gave them.",
                stacklevel=3,
            )

"""The table of a PretrainedEmbedding in files: saved or left out, loaded, and given back from the vectors it was made of."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from ._trained_rows import PartlyTrained
from .table import assign_rows, blocks_of, read_table

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence

    import numpy.typing as npt

    from .._types import Table
    from .backend import Array


class Refillable(PartlyTrained):
    """A table that files may leave out, for it can be filled again with the same vectors, known by their SHA-256.

    Args:
        save_table: whether files hold the table.
        pad_rows_to: the rows of the table are filled up with zeros to a multiple of this.
        waits: whether the layer is made without vectors and waits for weights.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        *,
        save_table: bool = True,
        pad_rows_to: int | None = None,
        waits: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(input_dim, output_dim, **kwargs)
        self.save_table: bool = save_table
        self.pad_rows_to: int | None = pad_rows_to
        self.vectors_sha256: str | None = None
        # What a layer without vectors still lacks; loading and reload_vectors() take it off again.
        self._lacks: set[str] = {"table", "oov"} if waits else set()

    def save_own_variables(self, store: MutableMapping[str, Any]) -> None:
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

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        names = list(store.keys())
        table = {name: store[name] for name in names if name.isdigit()}
        if table:
            self._load_table(table)
            self._lacks.discard("table")
        elif self.save_table:
            raise ValueError(
                f"save_table must be False for a file without the table of layer {self.name!r}, received True"
            )
        if "oov_rows" in names:
            self._set_oov_ids(np.asarray(store["oov_rows"]))
        if "oov_embeddings" in names:
            if self.oov_embeddings is None:
                raise ValueError(
                    f"train_rows must be \"oov\" for a file with trained OOV rows, received 'all' of layer {self.name!r}. "
                    "Set it before loading, and 'all' again afterwards."
                )
            self.oov_embeddings.assign(store["oov_embeddings"])
            self._lacks.discard("oov")
        elif self.oov_embeddings is not None and table:
            self._start_oov_rows(self.oov_rows)
            self._lacks.discard("oov")

    def _load_table(self, table: dict[str, Any]) -> None:
        if self.quantization_mode or self.lora_enabled:
            super().load_own_variables(table)
            return
        shape = tuple(table["0"].shape)
        if len(table) != 1 or shape != (self.input_dim, self.output_dim):
            raise ValueError(
                f"the file must hold one table of shape {(self.input_dim, self.output_dim)} for layer {self.name!r}, "
                f"received {len(table)} arrays, the first of shape {shape}"
            )
        self._embeddings.assign(table["0"])

    def set_weights(self, weights: Sequence[npt.ArrayLike]) -> None:
        super().set_weights(weights)
        self._lacks.clear()

    def reload(self, vectors: Table) -> None:
        """Fill the layer with `vectors` again, after checking that they are the ones it was saved with.

        The trained OOV rows of a model that was saved without its table stay; in every other case
        the OOV rows start from `vectors` again, too.

        Args:
            vectors: `EmbeddingMatrix`, or array-like of shape `(rows, dim)`.

        Raises:
            ValueError: the shape, the SHA-256 or the number of OOV rows differs.
        """
        table = read_table(vectors, self.variable_dtype, pad_rows_to=self.pad_rows_to)
        if table.shape != (self.input_dim, self.output_dim):
            raise ValueError(
                f"vectors must have the shape {(self.input_dim, self.output_dim)} of the table of layer {self.name!r}, "
                f"received shape {table.shape}"
            )
        received = self.vectors_sha256 and table_sha256(table, self.variable_dtype)
        if received != self.vectors_sha256:
            raise ValueError(
                f"vectors must have the SHA-256 {self.vectors_sha256} that layer {self.name!r} was saved with, "
                f"received {received}"
            )
        # An .h5 file brings the trained rows, too, but Keras does not tell the layer so.
        if (
            not self.save_table
            and self.oov_embeddings is not None
            and np.any(keras.ops.convert_to_numpy(self.oov_embeddings))
        ):
            self._lacks.discard("oov")
        fresh_oov = self.oov_embeddings is not None and self._lacks != {"table"}
        oov_rows = getattr(vectors, "oov_rows", None)
        if fresh_oov and oov_rows is not None:
            self._set_oov_ids(self._checked_rows(oov_rows))
        elif fresh_oov and "oov" in self._lacks:
            raise ValueError(
                f"vectors must be an EmbeddingMatrix, for layer {self.name!r} trains OOV rows, which it knows, received "
                f"{type(vectors).__name__}"
            )
        assign_rows(self._embeddings, table)
        if fresh_oov:
            self._start_oov_rows(self.oov_rows)
        self._lacks.clear()

    def _refuse_missing_table(self) -> None:
        if "table" in self._lacks and not self.save_table:
            raise ValueError(
                f"Layer {self.name!r} was saved without its table. Give it back with "
                f"reload_vectors(model, vectors); their SHA-256 must be {self.vectors_sha256}."
            )

    def _refuse_changed_table(self) -> None:
        table = keras.ops.convert_to_numpy(self._embeddings)
        if self.vectors_sha256 is None or table_sha256(table, self.variable_dtype) != self.vectors_sha256:
            raise ValueError(
                f"save_table must be True where the table is no longer the one that layer {self.name!r} was built with: "
                "the trained rows would be lost, received False"
            )


def table_sha256(table: Array, dtype: str) -> str:
    """SHA-256 of a table as a layer of this dtype holds it: over dtype, shape, and the values row by row."""
    digest = hashlib.sha256(f"{dtype} {table.shape[0]} {table.shape[1]} ".encode())
    for _, block in blocks_of(table):
        digest.update(np.ascontiguousarray(block.astype(dtype)).view(np.uint8).data)
    return digest.hexdigest()

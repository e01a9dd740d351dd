"""From word vectors to the variable of a layer: what is checked, and how the values get there.

Every way into a layer (`embedding_layer` by both paths, `PretrainedEmbedding`) goes through `read_table` and
`assign_rows` or `build_with`, so that each refuses the same tables in the same words and holds the same values.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

import keras
import numpy as np

from ..mapped import is_mapped
from ..matrix.finite import check_finite
from .backend import backend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._types import Table
    from .arguments import Dtype
    from .backend import Array, Variable

_FLOATS = ("float32", "float16", "bfloat16", "float64")

# Rows handled together, a few MB, where a whole second table would be needed otherwise.
_BLOCK_ROWS = 8192


def blocks_of(table: Array) -> Iterator[tuple[int, Array]]:
    """The rows of a table in blocks: (number of the first row, the rows)."""
    for start in range(0, len(table), _BLOCK_ROWS):
        yield start, table[start : start + _BLOCK_ROWS]


def read_table(
    vectors: Table,
    dtype: Dtype = None,
    input_dim: int | None = None,
    output_dim: int | None = None,
    pad_rows_to: int | None = None,
) -> Array:
    """The rows that `vectors` holds, after every check that a table must pass.

    Args:
        vectors: array-like of shape `(rows, dim)`, or an object with such an array as `.matrix`
            (an `EmbeddingMatrix`; its `word_index` then names the words in messages).
        dtype: dtype or dtype policy of the layer, as Keras takes it.
        input_dim: the number of rows that the caller expects, if any.
        output_dim: the number of columns that the caller expects, if any.
        pad_rows_to: zero rows are appended until the number of rows is a multiple of this.

    Returns:
        Array of shape `(rows, dim)`: `vectors` itself or a view of it wherever that is possible.

    Raises:
        ValueError: the shape, the dtype or a value cannot be a table of word vectors.
    """
    try:
        table = np.asarray(getattr(vectors, "matrix", vectors))
    except ValueError as error:
        raise ValueError(f"vectors must be one array (rows, dim), received rows that differ: {error}") from None
    # ml_dtypes gives bfloat16 to NumPy with the kind of raw bytes.
    if table.dtype.kind not in "fiu" and table.dtype.name != "bfloat16":
        raise ValueError(
            f"vectors must be an EmbeddingMatrix or an array of real numbers, received {type(vectors).__name__} of dtype "
            f"{table.dtype}. build_matrix() makes one of a file or of KeyedVectors."
        )
    if table.ndim != 2 or 0 in table.shape:
        raise ValueError(f"vectors must have the shape (rows, dim), neither of them 0, received shape {table.shape}")
    for name, expected, received in (("input_dim", input_dim, len(table)), ("output_dim", output_dim, table.shape[1])):
        if expected is not None and expected != received:
            raise ValueError(
                f"{name} must be {received}, as in the vectors of shape {table.shape}, received {expected!r}. "
                "Leave it out: it is read from the vectors."
            )
    mapped = is_mapped(table)
    if not (mapped and backend.split_over()):  # else each process looks at its own share
        check_finite(table, variable_dtype(dtype), getattr(vectors, "word_index", None))
    missing = -len(table) % (pad_rows_to or 1)
    if missing and mapped:
        return cast("Array", Padded(table, missing))
    return np.concatenate([table, np.zeros((missing, table.shape[1]), table.dtype)]) if missing else table


class Padded:
    """A mapped table with rows of zeros behind it, of which blocks are read as of an array."""

    ndim = 2

    def __init__(self, table: Array, missing: int) -> None:
        self._table = table
        self.dtype: np.dtype[Any] = table.dtype
        self.shape: tuple[int, int] = (len(table) + missing, table.shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Array:
        if not isinstance(rows, slice):
            return self[rows : rows + 1][0]
        begin, end, _ = rows.indices(len(self))
        there = self._table[begin:end]
        missing = max(end - begin, 0) - len(there)
        return np.concatenate([there, np.zeros((missing, self.shape[1]), self.dtype)]) if missing else there


def pretrained_rows(weights: Table) -> Array:
    """The checked rows `(rows, dim)` of an `EmbeddingMatrix`, an array, or Keras' `[array]`."""
    alone: Any = weights
    if isinstance(weights, (list, tuple)) and len(weights) == 1 and np.ndim(weights[0]) == 2:
        alone = weights[0]
    return read_table(alone)


def variable_dtype(dtype: Dtype) -> str:
    """The dtype in which a layer of this dtype (or policy; None: the global one) keeps its table."""
    policy = keras.dtype_policies.get(dtype)
    if policy.quantization_mode is not None or policy.variable_dtype not in _FLOATS:
        raise ValueError(
            f"dtype must be one of {', '.join(_FLOATS)} or a mixed policy while a table is filled, received "
            f"{policy.name!r}. For integers build the layer first, then call layer.quantize('int8')."
        )
    return policy.variable_dtype


def build_with(layer: keras.layers.Embedding, table: Array) -> None:
    """Build the Embedding `layer` so that its variable holds `table`: without a random draw or a needless copy.

    The initializer is Zeros afterwards: the configuration stays small, the source can be freed, and a clone
    that was not given weights is visibly empty.
    """
    layer.embeddings_initializer = zeros = keras.initializers.Zeros()
    if backend.built_full():
        layer.embeddings_initializer = lambda shape, dtype=None: backend.own_copy(table, dtype)
        layer.build(None)
        layer.embeddings_initializer = zeros
    else:
        build_zeros(layer)
        # The variable itself: `embeddings` is a sum where LoRA stands beside it.
        assign_rows(layer._embeddings, table)


def build_zeros(layer: keras.layers.Embedding) -> None:
    """Build the Embedding `layer`, of zeros.

    Raises:
        ValueError: its table is to be split over devices, and does not divide.
    """
    try:
        layer.build(None)
    except ValueError as error:
        devices = getattr(getattr(backend.split_over(), "device_mesh", None), "devices", None)
        count = 1 if devices is None else np.size(devices)
        if layer.input_dim % count == 0:
            raise
        more = layer.input_dim + -layer.input_dim % count
        raise ValueError(
            f"a table that is split over {count} devices must have a multiple of {count} rows, received {layer.input_dim}. "
            f"PretrainedEmbedding(…, pad_rows_to={count}) appends rows of zeros, build_matrix(…, num_words={more}) builds them"
        ) from error


def _share(table, dtype, begin, end):
    """Some rows of a table, for a process that holds them."""
    rows = table[begin:end]
    if is_mapped(rows):
        check_finite(rows, dtype, None, begin)
        return rows
    return np.array(rows)


def assign_rows(variable: Variable, table: Array) -> None:
    """Copy `table` into a variable of the same shape, so that the two share no memory.

    Where a backend can write in place it happens in blocks, and no second table is needed.
    """
    if backend.split_over(variable) is not None:
        backend.fill_split(variable, partial(_share, table, variable.dtype))
        return
    if not backend.writes_rows(variable):
        variable.assign(backend.own_copy(table, variable.dtype))
        return
    for start, block in blocks_of(table):
        # bfloat16 of ml_dtypes is unknown to torch.
        own = np.array(block, "float32" if block.dtype.name == "bfloat16" else block.dtype)
        backend.write_rows(variable, start, own)

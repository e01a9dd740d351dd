"""Tables that are split over devices ⇄ files: each process writes, reads and holds the rows of its own devices alone."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..mapped import is_mapped
from ..matrix.embedding_matrix import EmbeddingMatrix
from ..shards import Part, is_index, mapped_part, read_index, save_part, shard_path, tensor_of, write_index
from .backend import backend

if TYPE_CHECKING:
    from collections.abc import Callable

    import keras

    from .._types import StrPath
    from .backend import Array


def save_rows(layer: keras.layers.Embedding, path: StrPath) -> None:
    """Write the table of a layer that is split over the devices of one or several processes, as parts and their index.

    Every process calls it. Each writes the rows that its own devices hold, one file a device; the first of them writes the
    index when all are done. The files are those of `EmbeddingMatrix.save`, without words.

    Args:
        layer: a `PretrainedEmbedding`, or a `keras.layers.Embedding`, on JAX.
        path: its name must end in .safetensors.index.json; in a folder that all processes see.

    Raises:
        ValueError: the name, the backend, or a table that is split by columns.
    """
    path = _checked(layer, path)
    value = layer._embeddings.value
    build = backend.agreed(np.frombuffer(os.urandom(12), np.uint8)).tobytes().hex()
    rows, dim = value.shape
    for shard in value.addressable_shards:
        begin, end, _ = shard.index[0].indices(rows)
        if shard.data.shape[1] != dim:
            raise ValueError(
                f"the table of layer {layer.name!r} must be split by rows alone, received parts of {shard.data.shape[1]} of "
                f"its {dim} columns"
            )
        if shard.replica_id == 0:
            matrix = np.asarray(shard.data)
            part = EmbeddingMatrix(matrix, {}, origins=np.zeros(len(matrix), np.int32))
            save_part(part, shard_path(path, begin, end, rows), tensor_of(begin, end), build)
    for what in ("rows", "index"):
        backend.wait_for_all(f"w2v_embed {what} {build}")
        if what == "rows" and backend.is_first() and not write_index(path, rows, build):
            raise ValueError(f"{path}: not all parts are there; expected a folder that all processes see")


def load_rows(layer: keras.layers.Embedding, path: StrPath) -> None:
    """Fill the table of a layer that is split over devices with the rows that an index names: each process reads its own.

    Args:
        layer: a layer that was built, with as many rows; or more, where `pad_rows_to` appended zeros.
        path: what `save_rows`, `EmbeddingMatrix.save` or the hosts of `build_matrix(…, rows=…)` wrote.

    Raises:
        FileNotFoundError, ValueError: there is no such file, its rows are not those of the layer, or those that this process
            reads are not what was written. The table is what it was.
    """
    index = read_index(_checked(layer, path))
    rows, dim = map(int, layer._embeddings.shape)
    padded = getattr(layer, "pad_rows_to", None)
    if index.shape[1] != dim or not index.shape[0] <= rows <= index.shape[0] + (padded or 1) - 1:
        raise ValueError(
            f"{path} must have the shape {(rows, dim)} of the table of layer {layer.name!r}, received {index.shape}"
        )
    parts = [(part, *mapped_part(index, part)) for part in index.parts]
    backend.fill_split(layer._embeddings, partial(_rows, parts, dim), partial(_check, parts))
    if hasattr(layer, "_lacks"):
        layer._lacks.clear()


def _check(parts: list[tuple[Part, Array, Callable[[int, int], None]]], begin: int, end: int) -> None:
    """Raise where the rows from `begin` up to `end` are not what was written."""
    for part, _, check in parts:
        if part.begin < end and begin < part.end:
            check(max(begin - part.begin, 0), min(end, part.end) - part.begin)


def _rows(parts: list[tuple[Part, Array, Callable[[int, int], None]]], dim: int, begin: int, end: int) -> Array:
    """The rows from `begin` up to `end`; zeros behind the last part."""
    found = [
        matrix[max(begin - part.begin, 0) : end - part.begin]
        for part, matrix, _ in parts
        if part.begin < end and begin < part.end
    ]
    if len(found) == 1 and len(found[0]) == end - begin and is_mapped(found[0]):
        return found[0]
    missing = end - begin - sum(map(len, found))
    return np.concatenate([*found, np.zeros((missing, dim), parts[0][1].dtype)])


def _checked(layer: Any, path: StrPath) -> Path:
    if not is_index(path):
        raise ValueError(f"path must end in .safetensors.index.json, received {os.fspath(path)!r}")
    if not layer.built or backend.split_over(layer._embeddings) is None:
        raise ValueError(
            f"the table of layer {layer.name!r} must be split over devices, by a ModelParallel distribution on JAX. Save "
            "and load others with their model"
        )
    return Path(path)

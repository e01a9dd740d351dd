"""One shard on disk: its rows, and what they were made of.

    .safetensors  a head (see `w2v_embed.safetensors`) with the facts as metadata; the tensor "vectors" (rows, dim)
    .parquet      the facts as metadata of the schema; a column "vector" of lists of one length

The facts are texts by name: "input", the hash of the shard's texts; "settings", that of all that vectors depend on; "model";
"backend"; "rows"; "dim"; "crc32", of the values.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..output import write_atomically
from ..safetensors import head_in, head_of

if TYPE_CHECKING:
    from .._types import Floats

_LONGEST_HEAD = 1 << 16
_KEY = b"w2v_embed."  # before the names of facts in a schema
FACTS = ("input", "settings", "backend", "rows", "dim", "crc32")


def write_shard(path: Path, vectors: Floats, facts: Mapping[str, str]) -> dict[str, str]:
    """Write a shard, whole or not at all; returns its facts."""
    rows, dim = vectors.shape
    facts = {**facts, "rows": str(rows), "dim": str(dim), "crc32": f"{zlib.crc32(vectors.data):08x}"}
    facts = {name: facts[name] for name in FACTS}
    if path.suffix == ".parquet":
        content = _parquet_of(vectors, facts)
        write_atomically(path, lambda file: file.write(content))
    else:
        head = head_of({"vectors": ("F16" if vectors.itemsize == 2 else "F32", vectors.shape)}, facts)
        write_atomically(path, lambda file: (file.write(head), file.write(vectors.data)))
    return facts


def read_facts(path: Path) -> dict[str, str]:
    """The facts of a shard that is there.

    Raises:
        ValueError, OSError: it is none, or not whole.
    """
    found = _schema_of(path) if path.suffix == ".parquet" else _metadata_of(path)
    facts = {name: found.get(name) for name in FACTS}
    for name, fact in facts.items():
        if not isinstance(fact, str):
            raise ValueError(f"{path} says no {name}: it was not written by encode_shards")
    return {name: str(fact) for name, fact in facts.items()}


def _metadata_of(path):
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        _, places, metadata = head_in(file, longest=_LONGEST_HEAD, most=1)
    place = places.get("vectors")
    if place is None or place.end != size or list(map(str, place.shape)) != [metadata.get("rows"), metadata.get("dim")]:
        raise ValueError(f"{path} does not hold the rows that it speaks of")
    return metadata


def arrow() -> Any:
    """pyarrow, with its Parquet."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError('Parquet needs pyarrow: pip install "w2v-embed[parquet]"') from error
    return pyarrow


def _parquet_of(vectors, facts):
    pyarrow, out = arrow(), io.BytesIO()
    rows, dim = vectors.shape
    values = pyarrow.array(vectors.reshape(rows * dim))
    column = pyarrow.FixedSizeListArray.from_arrays(values, dim)
    table = pyarrow.table({"vector": column}).replace_schema_metadata(
        {_KEY + name.encode(): fact.encode() for name, fact in facts.items()}
    )
    pyarrow.parquet.write_table(table, out, compression="none", use_dictionary=False)
    return out.getvalue()


def _schema_of(path):
    pyarrow = arrow()
    try:
        file = pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowException as error:
        raise ValueError(f"{path} is no whole Parquet file ({error})") from error
    with file:
        found = file.schema_arrow.metadata or {}
        facts = {
            name.removeprefix(_KEY).decode("utf-8", "replace"): fact.decode("utf-8", "replace")
            for name, fact in found.items()
        }
        if str(file.metadata.num_rows) != facts.get("rows"):
            raise ValueError(f"{path} does not hold the rows that it speaks of")
    return facts

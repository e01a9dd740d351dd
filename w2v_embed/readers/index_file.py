"""What an index is on disk; see `sidecar` for what it says.

a safetensors head (see `safetensors`), int64 keys (n,), spans (n,), blocks (m, 2)
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..contents import bytes_of, crc32
from ..output import write_atomically
from ..safetensors import head_in, head_of

if TYPE_CHECKING:
    from .._types import Ids

_FORMAT = "w2v_embed index 1"
_MOST_HEAD = 1 << 20
_SHAPES: dict[str, tuple[int, ...]] = {"keys": (), "spans": (), "blocks": (2,)}  # behind the first axis


class Index(NamedTuple):
    """What a file's index says.

    Attributes:
        keys, spans: int64 arrays, of each word in the order of the file.
        blocks: int64 array (m, 2): a byte, and the record that begins there.
    """

    keys: Ids
    spans: Ids
    blocks: Ids

    def arrays(self) -> list[Ids]:
        """As `scratch.Notes.arrays`."""
        return [np.stack([self.keys, self.spans])]


def write_index(path: Path, index: Index, about: object, digest: str, identity: object) -> None:
    """Write an index.

    Args:
        about: what the file was taken for, JSON.
        digest: the SHA-256 of the file.
        identity: of the file, JSON; None: only its content counts.
    """
    arrays = index._asdict()
    metadata = {
        "format": _FORMAT,
        "sha256": digest,
        "identity": json.dumps(identity),
        "layout": json.dumps(about),
    }
    metadata["checksum"] = _checksum(metadata, arrays)
    head = head_of({name: ("I64", array.shape) for name, array in arrays.items()}, metadata)

    def write(file):
        file.write(head)
        for array in arrays.values():
            file.write(bytes_of(np.asarray(array, "<i8")))

    write_atomically(path, write)


def _checksum(metadata: Mapping[str, str], arrays: Mapping[str, Ids]) -> str:
    told = "".join(f"{name}\n{value}\n" for name, value in sorted(metadata.items()) if name != "checksum")
    crc = crc32(told.encode("utf-8", "surrogatepass"))
    for name in _SHAPES:
        crc = crc32(np.asarray(arrays[name], "<i8"), crc)
    return f"{crc:08x}"


def read_index(path: Path) -> tuple[dict[str, Any], Index]:
    """(the metadata, what it says), checked as far as the file alone allows.

    Raises:
        ValueError: it is no whole index.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        start, places, metadata = head_in(file, longest=_MOST_HEAD, most=len(_SHAPES))
        if metadata.get("format") != _FORMAT or places.keys() != _SHAPES.keys():
            raise ValueError(f"expected the format {_FORMAT!r}, got {metadata.get('format')!r}")
        arrays = {}
        for name, more in _SHAPES.items():
            place = places[name]
            if place.dtype != "I64" or place.shape[1:] != more or len(place.shape) != 1 + len(more):
                raise ValueError(f"its {name} are {place.dtype} of shape {place.shape}")
            file.seek(place.begin)
            array = np.fromfile(file, "<i8", (place.end - place.begin) // 8)
            if array.nbytes < place.end - place.begin:
                raise ValueError("it is cut off")
            arrays[name] = array.reshape(place.shape).astype(np.int64, copy=False)
        if max(place.end for place in places.values()) != size or start != min(
            place.begin for place in places.values()
        ):
            raise ValueError("it holds more than it says")
        if metadata.get("checksum") != _checksum(metadata, arrays):
            raise ValueError("its checksum is wrong")
    return metadata, Index(**arrays)

"""Read `.safetensors`: `n` (8 bytes, little endian), `n` bytes of JSON, then the values of all tensors.

The JSON maps a name to `{"dtype": "F32", "shape": [3, 4], "data_offsets": [begin, end]}`, offsets counted from the end
of the JSON. The `safetensors` package reads bfloat16 only with another package, and its errors do not name the file.
"""

import json
import math
from functools import partial
from pathlib import Path

import numpy as np

from w2v_embed.contextual.checkpoints.stored import StoredTensor, bfloat16_to_float32

# BF16 is read as the bits of its 16-bit words.
_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?",
}  # fmt: skip


def read_safetensors(path):
    """Return `{name: StoredTensor}` of a `.safetensors` file.

    Raises:
        ValueError: if the file is cut, or is no safetensors file.
    """
    path = Path(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        header_size = int.from_bytes(prefix, "little")
        if len(prefix) < 8 or 8 + header_size > size:
            raise ValueError(
                f"{path}: the file looks cut off: its header should end at byte {8 + header_size}, "
                f"the file has {size} bytes. Download it again."
            )
        header = file.read(header_size)
    try:
        entries = json.loads(header)
        entries.pop("__metadata__", None)
        entries = {name: (e["dtype"], tuple(e["shape"]), *e["data_offsets"]) for name, e in entries.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path}: expected a JSON header of safetensors after 8 bytes, got {error!r}.") from error

    tensors = {}
    for name, (dtype, shape, begin, end) in entries.items():
        if dtype not in _DTYPES:
            raise ValueError(f"{path}: tensor {name!r} has dtype {dtype!r}; known are {', '.join(_DTYPES)}.")
        if end - begin != math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize:
            raise ValueError(
                f"{path}: tensor {name!r} of shape {shape} and dtype {dtype} spans bytes {begin} to {end}."
            )
        if 8 + header_size + end > size:
            raise ValueError(
                f"{path}: the file looks cut off: tensor {name!r} should end at byte {8 + header_size + end}, "
                f"the file has {size} bytes. Download it again."
            )
        tensors[name] = StoredTensor(shape, partial(_load, path, 8 + header_size + begin, dtype, shape))
    return tensors


def _load(path, offset, dtype, shape):
    values = np.fromfile(path, _DTYPES[dtype], math.prod(shape), offset=offset).reshape(shape)
    return bfloat16_to_float32(values) if dtype == "BF16" else values

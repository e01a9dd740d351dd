"""Read `.safetensors`: `n` (8 bytes, little endian), `n` bytes of JSON, then the values of all tensors.

The JSON maps a name to `{"dtype": "F32", "shape": [3, 4], "data_offsets": [begin, end]}`, offsets counted from the end
of the JSON. The `safetensors` package reads bfloat16 only with another package, and its errors do not name the file.
"""

import math
from functools import partial

import numpy as np

from ..files import LIMIT, json_object, shown
from .stored import (
    MOST_TENSORS,
    OpenFile,
    StoredTensor,
    bfloat16_to_float32,
    checked_shape,
    is_count,
    refuse_overlaps,
)

# BF16 is read as the bits of its 16-bit words.
_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?",
}  # fmt: skip


def read_safetensors(path):
    """Return `{name: StoredTensor}` of a `.safetensors` file.

    Raises:
        ValueError: if the file is cut or damaged, or is no safetensors file.
    """
    file = OpenFile(path)
    header_size = int.from_bytes(file.read(0, 8), "little") if file.size >= 8 else 0
    if 8 + header_size > file.size or file.size < 8:
        raise file.cut(f"a header that ends at byte {8 + header_size}")
    if header_size > LIMIT:
        raise ValueError(f"{file.path}: its header says that it has {header_size:,} bytes; expected at most {LIMIT:,}.")
    try:
        entries = json_object(file.read(8, header_size).tobytes().decode("utf-8"), f"{file.path}: the header")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file.path}: the header should be JSON, and it is no UTF-8 ({error}).") from error
    entries.pop("__metadata__", None)
    if len(entries) > MOST_TENSORS:
        raise ValueError(f"{file.path} lists {len(entries):,} tensors; expected at most {MOST_TENSORS:,}.")

    tensors, spans = {}, []
    for name, entry in entries.items():
        dtype, shape, begin, end = _checked(entry, f"{file.path}: tensor {shown(name)}")
        if 8 + header_size + end > file.size:
            raise file.cut(f"tensor {shown(name)}, which ends at byte {8 + header_size + end}")
        spans.append((begin, end, name))
        tensors[name] = StoredTensor(shape, partial(_load, file, 8 + header_size + begin, dtype, shape))
    refuse_overlaps(file.path, spans)
    return tensors


def _checked(entry, tensor):
    try:
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{tensor} should have dtype, shape and two data_offsets, got {shown(entry)}.") from error
    if type(dtype) is not str or dtype not in _DTYPES:
        raise ValueError(f"{tensor} has dtype {shown(dtype)}; known are {', '.join(_DTYPES)}.")
    try:
        shape = checked_shape(shape)
    except ValueError as error:
        raise ValueError(f"{tensor}: {error}.") from error
    if not (is_count(begin) and is_count(end) and end - begin == math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize):
        raise ValueError(f"{tensor} of shape {shape} and dtype {dtype} spans bytes {shown(begin)} to {shown(end)}.")
    return dtype, shape, begin, end


def _load(file, offset, dtype, shape):
    stored = np.dtype(_DTYPES[dtype])
    values = file.read(offset, math.prod(shape) * stored.itemsize).view(stored).reshape(shape)
    return bfloat16_to_float32(values) if dtype == "BF16" else values

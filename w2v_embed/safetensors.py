"""The head of a `.safetensors` file: `n` (8 bytes, little endian), `n` bytes of JSON; behind it the values of all tensors.

The JSON maps a name to `{"dtype": "F32", "shape": [3, 4], "data_offsets": [begin, end]}`, offsets counted from the end of the
JSON, and maybe `__metadata__` to text by name. The `safetensors` package maps the whole file, which kills its readers where the
file is cut, and its errors do not name the file.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, Final, NamedTuple

from .shown import quoted
from .texts import json_object

# As NumPy calls them. BF16, which it does not have, is read as the bits of its 16-bit words.
DTYPES: Final = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1", "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip
_MOST_AXES, _MOST_VALUES = 32, 1 << 48


class CutError(ValueError):
    """A file ends before what it says of itself."""


class Place(NamedTuple):
    """Where a tensor lies in a file.

    Attributes:
        dtype: a key of `DTYPES`.
        shape: its sizes.
        begin, end: bytes of the file.
    """

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read_head(
    read: Callable[[int, int], bytes | bytearray | memoryview], size: int, *, longest: int, most: int
) -> tuple[int, dict[str, Place], dict[str, Any]]:
    """Read what a `.safetensors` file says of its tensors, each place checked against the file and all others.

    Args:
        read: gives bytes of the file: (offset, how many) → bytes.
        size: of the file.
        longest: bytes that the JSON may have at most.
        most: tensors that there may be at most.

    Returns:
        where the values begin, the tensors by name, and the metadata.

    Raises:
        CutError: the file ends before them.
        ValueError: it is no such head. The message does not name the file.
    """
    length = int.from_bytes(read(0, 8), "little") if size >= 8 else 0
    if 8 + length > size or size < 8:
        raise CutError(f"the file looks cut off: it has {size} bytes and its header ends at byte {8 + length}")
    if length > longest:
        raise ValueError(f"its header says that it has {length:,} bytes; expected at most {longest:,}")
    try:
        entries = json_object(bytes(read(8, length)).decode("utf-8"), "the header")
    except UnicodeDecodeError as error:
        raise ValueError(f"the header must be JSON, and it is no UTF-8 ({error})") from error
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict):
        raise ValueError(f"the metadata in the header must be a JSON object, received {quoted(metadata)}")
    if len(entries) > most:
        raise ValueError(f"it lists {len(entries):,} tensors; expected at most {most:,}")
    places = {name: _place(f"tensor {quoted(name)}", entry, 8 + length, size) for name, entry in entries.items()}
    refuse_overlaps([(place.begin, place.end, name) for name, place in places.items()])
    return 8 + length, places, metadata


def head_in(file: IO[bytes], *, longest: int, most: int) -> tuple[int, dict[str, Place], dict[str, Any]]:
    """`read_head` of an open file."""

    def read(offset: int, length: int) -> bytes:
        file.seek(offset)
        return file.read(length)

    return read_head(read, os.fstat(file.fileno()).st_size, longest=longest, most=most)


def head_of(
    tensors: Mapping[str, tuple[str, Sequence[int]]],
    metadata: Mapping[str, str] | None = None,
    place: Callable[[int], int] = lambda size: size,
) -> bytes:
    """What stands before the values of tensors, for `read_head`; its JSON is filled up to a multiple of 8 bytes.

    Written by hand, because the library would make a second copy of the values.

    Args:
        tensors: in the order of their values: name → (a key of `DTYPES`, its sizes).
        metadata: text by name.
        place: bytes that the head takes → bytes that it is to take, with spaces at its end.

    >>> head_of({"rows": ("F16", (2, 3))})[8:].decode().rstrip()
    '{"rows": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]}}'
    """
    head: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    end = 0
    for name, (dtype, shape) in tensors.items():
        begin, end = end, end + math.prod(shape) * int(DTYPES[dtype][2:])
        head[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    encoded = json.dumps(head).encode()
    size = 8 + len(encoded) + -len(encoded) % 8
    encoded = encoded.ljust(place(size) - 8)
    return len(encoded).to_bytes(8, "little") + encoded


def _place(tensor: str, entry: Any, start: int, size: int) -> Place:
    try:
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{tensor} must have dtype, shape and two data_offsets, received {quoted(entry)}") from error
    if type(dtype) is not str or dtype not in DTYPES:
        raise ValueError(f"{tensor} has dtype {quoted(dtype)}; known are {', '.join(DTYPES)}")
    try:
        shape = checked_shape(shape)
    except ValueError as error:
        raise ValueError(f"{tensor}: {error}") from error
    if not (is_count(begin) and is_count(end) and end - begin == math.prod(shape) * int(DTYPES[dtype][2:])):
        raise ValueError(f"{tensor} of shape {shape} and dtype {dtype} spans bytes {quoted(begin)} to {quoted(end)}")
    if start + end > size:
        raise CutError(f"the file looks cut off: it has {size} bytes and {tensor} ends at byte {start + end}")
    return Place(dtype, shape, start + begin, start + end)


def is_count(number: object) -> bool:
    """Whether it is an int, 0 or more, that a place in a file may have."""
    return type(number) is int and 0 <= number < 1 << 63


def checked_shape(shape: Any) -> tuple[int, ...]:
    """Return a shape as a tuple, or raise a ValueError that says what it is instead."""
    if type(shape) not in (tuple, list) or len(shape) > _MOST_AXES or not all(map(is_count, shape)):
        raise ValueError(f"its shape must be up to {_MOST_AXES} sizes, 0 or more, received {quoted(shape)}")
    if math.prod(max(n, 1) for n in shape) > _MOST_VALUES:
        raise ValueError(f"its shape is {quoted(shape)}, beyond {_MOST_VALUES:,} values")
    return tuple(shape)


def refuse_overlaps(spans: list[tuple[int, int, str]]) -> None:
    """Raise a ValueError if two tensors of a file lie on the same bytes.

    Args:
        spans: `(begin, end, name)` of each tensor.
    """
    last_end, last = 0, ""
    for begin, end, name in sorted(span for span in spans if span[0] < span[1]):
        if begin < last_end:
            raise ValueError(f"tensors {quoted(last)} and {quoted(name)} lie on the same bytes: the file is damaged")
        last_end, last = end, name

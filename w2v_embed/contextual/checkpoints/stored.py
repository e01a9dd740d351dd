"""What every checkpoint reader returns: tensors by name, whose values are read only when they are wanted.

A file is opened once, and read at places that were checked against its size: there is no view of memory that a file could
lead elsewhere, and a file that is replaced meanwhile is still the one that was opened.
"""

import math
import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..files import LIMIT, shown

# Of all formats: a model of 100 layers has some thousand, and each costs half a kilobyte before a value is read.
MOST_TENSORS = 100_000
_MOST_AXES, _MOST_VALUES = 32, 1 << 48


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that lies in a file.

    Args:
        shape: its shape, known from the file's header.
        load: reads the values, in the type of the file.
    """

    shape: tuple[int, ...]
    load: Callable[[], np.ndarray]


class OpenFile:
    """A file that stays open as long as anyone may read from it.

    Attributes:
        path: of the file, for messages.
        size: in bytes, when it was opened.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.stream = self.path.open("rb", buffering=0)
        weakref.finalize(self, self.stream.close)
        self.size = os.fstat(self.stream.fileno()).st_size

    def read(self, offset, size):
        """Return `size` bytes from `offset` on, a uint8 array."""
        if offset < 0 or offset + size > self.size:
            raise self.cut(f"bytes {offset} to {offset + size}")
        data, done = np.empty(size, np.uint8), 0
        self.stream.seek(offset)
        while done < size:
            count = self.stream.readinto(data[done:])
            if not count:
                raise ValueError(f"{self.path} has become shorter while it was read.")
            done += count
        return data

    def start(self):
        """Return the first `LIMIT` bytes, or all."""
        return self.read(0, min(self.size, LIMIT)).tobytes()

    def cut(self, what):
        return ValueError(
            f"{self.path}: the file looks cut off: it has {self.size} bytes and should have {what}. Download it again."
        )


def is_count(number):
    """Whether it is an int, 0 or more, that a place in a file may have."""
    return type(number) is int and 0 <= number < 1 << 63


def checked_shape(shape):
    """Return a shape as a tuple, or raise a ValueError that says what it is instead."""
    if type(shape) not in (tuple, list) or len(shape) > _MOST_AXES or not all(map(is_count, shape)):
        raise ValueError(f"its shape should be up to {_MOST_AXES} sizes, 0 or more, got {shown(shape)}")
    if math.prod(max(n, 1) for n in shape) > _MOST_VALUES:
        raise ValueError(f"its shape is {shown(shape)}, beyond {_MOST_VALUES:,} values")
    return tuple(shape)


def refuse_overlaps(path, spans):
    """Raise a ValueError if two tensors of a file lie on the same bytes.

    Args:
        spans: `(begin, end, name)` of each tensor.
    """
    last_end, last = 0, None
    for begin, end, name in sorted(span for span in spans if span[0] < span[1]):
        if begin < last_end:
            raise ValueError(
                f"{path}: tensors {shown(last)} and {shown(name)} lie on the same bytes: the file is damaged."
            )
        last_end, last = end, name


def bfloat16_to_float32(bits):
    """Return float32 values for the `uint16` bit patterns of bfloat16 numbers: the upper half of a float32."""
    return (np.asarray(bits, "<u2").astype(np.uint32) << 16).view(np.float32)

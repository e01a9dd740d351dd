"""What every checkpoint reader returns: tensors by name, whose values are read only when they are wanted.

A file is opened once, and read at places that were checked against its size: there is no view of memory that a file could
lead elsewhere, and a file that is replaced meanwhile is still the one that was opened.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..files import LIMIT

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..._types import StrPath

# Of all formats: a model of 100 layers has some thousand, and each costs half a kilobyte before a value is read.
MOST_TENSORS: Final = 100_000


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that lies in a file.

    Args:
        shape: its shape, known from the file's header.
        load: reads the values, in the type of the file.
    """

    shape: tuple[int, ...]
    load: Callable[[], npt.NDArray[Any]]


class OpenFile:
    """A file that stays open as long as anyone may read from it.

    Attributes:
        path: of the file, for messages.
        size: in bytes, when it was opened.
        stream: the open file.
    """

    path: Path
    size: int
    stream: FileIO

    def __init__(self, path: StrPath) -> None:
        self.path = Path(path)
        self.stream = self.path.open("rb", buffering=0)
        weakref.finalize(self, self.stream.close)
        self.size = os.fstat(self.stream.fileno()).st_size

    def read(self, offset: int, size: int) -> npt.NDArray[np.uint8]:
        """Return `size` bytes from `offset` on, a uint8 array."""
        if offset < 0 or offset + size > self.size:
            raise self.cut(f"bytes {offset} to {offset + size}")
        data, done = np.empty(size, np.uint8), 0
        self.stream.seek(offset)
        while done < size:
            count = self.stream.readinto(data[done:].data)
            if not count:
                raise ValueError(f"{self.path} has become shorter while it was read.")
            done += count
        return data

    def start(self) -> bytes:
        """Return the first `LIMIT` bytes, or all."""
        return self.read(0, min(self.size, LIMIT)).tobytes()

    def cut(self, what: str) -> ValueError:
        """The error that the file ends before `what`."""
        return ValueError(
            f"{self.path}: the file looks cut off: it has {self.size} bytes and must have {what}. Download it again."
        )


def bfloat16_to_float32(bits: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Return float32 values for the `uint16` bit patterns of bfloat16 numbers: the upper half of a float32."""
    return (np.asarray(bits, "<u2").astype(np.uint32) << 16).view(np.float32)

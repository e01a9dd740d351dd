"""Arrays that lie in files and are mapped into memory, which the system takes back where it needs it.

Who cuts a mapped file kills those that read it (SIGBUS); our own writers put a new file in its place, and a map stays that of
the old one. A map that is written to while the disk is full kills as well: so the disk is asked for the room before.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

from .output import named

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ._types import StrPath

_PIECE = 1 << 20


def mapped(
    file: int, begin: int, shape: Sequence[int], dtype: npt.DTypeLike, *, writable: bool = False
) -> npt.NDArray[Any]:
    """An array that is the bytes of an open file from `begin` on; read-only, if it is not to be `writable`.

    Args:
        file: its number; it can be closed afterwards.

    Raises:
        ValueError: the file ends before.
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if not size:
        array = np.zeros(shape, dtype)  # nothing cannot be mapped
        array.flags.writeable = writable
        return array
    start = begin - begin % mmap.ALLOCATIONGRANULARITY
    access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
    memory = mmap.mmap(file, begin - start + size, access=access, offset=start)
    return np.frombuffer(memory, dtype, math.prod(shape), begin - start).reshape(shape)


def is_mapped(array: object) -> bool:
    """Whether an array is, or is a part of, a file that is mapped only to be read."""
    base = array
    while isinstance(base, np.ndarray):
        base = base.base
    there = isinstance(base.obj if isinstance(base, memoryview) else base, mmap.mmap)
    return there and isinstance(array, np.ndarray) and not array.flags.writeable


def reserve(file: int, size: int) -> None:
    """Have an open file `size` bytes long, and all of them on the disk.

    Raises:
        OSError: there is no room.
    """
    there = os.fstat(file).st_size
    if size > there and hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    elif size > there:
        os.lseek(file, there, os.SEEK_SET)
        while there < size:
            there += os.write(file, bytes(min(_PIECE, size - there)))


def scratch(shape: Sequence[int], dtype: npt.DTypeLike, folder: StrPath | None = None) -> npt.NDArray[Any]:
    """An array of zeros in a file without a name, which is gone when nobody has the array any more.

    Args:
        folder: on whose disk it is; None: the one for temporary files.
    """
    folder = tempfile.gettempdir() if folder is None else folder
    with tempfile.TemporaryFile(dir=folder) as file:
        named(folder, reserve, file.fileno(), math.prod(shape) * np.dtype(dtype).itemsize)
        return mapped(file.fileno(), 0, shape, dtype, writable=True)


def move(file: int, begin: int, to: int, size: int) -> None:
    """Move the bytes of a file that begin at `begin` to a later place, a piece at a time."""
    reserve(file, to + size)
    memory = mapped(file, begin, (to - begin + size,), np.uint8, writable=True)
    for end in range(size, 0, -_PIECE):  # from the last piece on: what it is written over was moved before
        first = max(end - _PIECE, 0)
        memory[to - begin + first : to - begin + end] = memory[first:end].copy()

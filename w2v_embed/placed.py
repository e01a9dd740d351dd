"""An artifact whose rows are written where they lie in the file: memory for them is the system's to take back.

Where the matrix begins depends on what is told beside it, of which some is known only when the rows are there: who lent rows to
whom, and what was damaged. So it begins behind more room than that takes as a rule. What is left of it is filled with spaces at
the end of the header; where it was not enough, the rows are moved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from .contents import pack
from .mapped import mapped, move, reserve
from .output import named, write_atomically
from .store import ALIGNED, MATRIX, beside, safetensors_head
from .summed import count_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from ._types import Floats, StrPath
    from .matrix.embedding_matrix import EmbeddingMatrix

    Room: TypeAlias = Callable[[tuple[int, int], npt.DTypeLike], Floats]

_ROOM = 1 << 14  # bytes for the header
_LENDER = 40  # bytes a word that other words lent its row may take


def save_placed(
    path: StrPath,
    word_index: Mapping[str, int],
    make: Callable[..., EmbeddingMatrix],
    *,
    extra: Mapping[str, str] | None = None,
    lent: bool = False,
    tensor: str = MATRIX,
) -> str:
    """Write the .safetensors of a matrix that `make` builds in its place: always the old file or the new.

    Args:
        word_index: of the matrix.
        make: is called once, with `room`: what gives room for its rows, `(shape, dtype) → array of zeros`.
        lent: whether there will be many rows that other words lend.
        extra, tensor: as for `store.save`.

    Returns:
        The checksum of the artifact.
    """
    told: list[str] = []

    def write(file):
        number, begin = file.fileno(), 0

        def room(shape: tuple[int, int], dtype: npt.DTypeLike) -> Any:
            nonlocal begin
            dtype = np.dtype(dtype)
            size = shape[0] * shape[1] * dtype.itemsize
            _, tensors = pack(word_index, np.zeros(shape[0], np.int32), [], None)
            begin = _ROOM + sum(array.nbytes for array in tensors.values()) + 8 * count_of(shape, dtype)
            begin += min(_LENDER * len(word_index), size >> 6) if lent else 0
            begin += -begin % ALIGNED
            named(path, reserve, number, begin + size)
            return mapped(number, begin, shape, dtype, writable=True)

        em = make(room=room)
        metadata, tensors = beside(em, Path(path), extra)
        head = safetensors_head(em.shape, em.matrix.dtype, metadata, tensors, tensor=tensor, begin=begin)
        if len(head) > begin:
            named(path, move, number, begin, len(head), em.matrix.nbytes)
        file.write(head)
        told.append(metadata["checksum"])

    write_atomically(path, write)
    return told[0]

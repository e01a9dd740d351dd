"""Read `.safetensors`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ...safetensors import DTYPES, CutError, Place, read_head
from ..files import LIMIT
from .stored import MOST_TENSORS, OpenFile, StoredTensor, bfloat16_to_float32

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..._types import StrPath


def read_safetensors(path: StrPath) -> dict[str, StoredTensor]:
    """Return the tensors of a `.safetensors` file by name.

    Raises:
        ValueError: if the file is cut or damaged, or is no safetensors file.
    """
    file = OpenFile(path)
    try:
        _, places, _ = read_head(lambda *place: file.read(*place).data, file.size, longest=LIMIT, most=MOST_TENSORS)
    except CutError as error:
        raise ValueError(f"{file.path}: {error}. Download it again.") from error
    except ValueError as error:
        raise ValueError(f"{file.path}: {error}.") from error
    return {name: StoredTensor(place.shape, partial(_load, file, place)) for name, place in places.items()}


def _load(file: OpenFile, place: Place) -> npt.NDArray[Any]:
    values = file.read(place.begin, place.end - place.begin).view(DTYPES[place.dtype]).reshape(place.shape)
    return bfloat16_to_float32(values) if place.dtype == "BF16" else values

"""What every checkpoint reader returns: tensors by name, whose values are read only when they are wanted."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that lies in a file.

    Args:
        shape: its shape, known from the file's header.
        load: reads the values, in the type of the file.
    """

    shape: tuple[int, ...]
    load: Callable[[], np.ndarray]


def bfloat16_to_float32(bits):
    """Return float32 values for the `uint16` bit patterns of bfloat16 numbers: the upper half of a float32."""
    return (np.asarray(bits, "<u2").astype(np.uint32) << 16).view(np.float32)

"""Vectors → the numbers that are kept of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..shown import quoted

if TYPE_CHECKING:
    from .._types import Floats


def rounded(vectors: Floats, dtype: str, texts: Sequence[str]) -> Floats:
    """Vectors as float16 or float32, little endian.

    Raises:
        ValueError: one is beyond what float16 can hold, or no number to begin with; says of which text.
    """
    with np.errstate(over="ignore"):
        kept = np.ascontiguousarray(vectors, np.dtype(dtype).newbyteorder("<"))
    wrong = np.flatnonzero(~np.isfinite(kept).all(axis=1))
    if len(wrong):
        raise ValueError(
            f"the vector of the text {quoted(texts[wrong[0]])} has numbers that {dtype} cannot hold, as "
            f'{np.abs(vectors[wrong[0]]).max():g}. Pass dtype="float32", or look at what the model gives'
        )
    return kept

"""What no layer takes: a row that holds anything but finite numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .blocks import blocks_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    import numpy.typing as npt


def check_finite(
    table: npt.NDArray[Any], dtype: npt.DTypeLike, word_index: Mapping[str, int] | None, first: int = 0
) -> None:
    """Refuse a table `(rows, dim)` of which a number is not finite in `dtype`.

    Args:
        word_index: dict word → id, so that the message can name the word.
        first: the number of the table's first row, for the message.

    Raises:
        ValueError: with row, word and column.
    """
    for some in blocks_of(*table.shape):
        with np.errstate(over="ignore"):
            finite = np.isfinite(table[some].astype(dtype))
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            value, row = table[row + some.start, column], row + some.start + first
            words = [word for word, index in (word_index or {}).items() if index == row]
            raise ValueError(
                f"Row {row}{f' (the word {words[0]!r})' if words else ''} of the vectors holds {value} in "
                f"column {column}, which is no finite {dtype}. Mend that row, or leave its word out."
            )

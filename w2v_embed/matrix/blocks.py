"""How many rows are worked at at a time, so that beside a matrix little memory is needed."""

from __future__ import annotations

_BLOCK = 1 << 18  # numbers


def blocks_of(n: int, dim: int, numbers: int | None = None) -> list[slice]:
    """The slices of `n` rows of `dim` numbers that are worked at one after another, about so many `numbers` at a time."""
    step = max((numbers or _BLOCK) // max(dim, 1), 1)
    return [slice(begin, min(begin + step, n)) for begin in range(0, n, step)]

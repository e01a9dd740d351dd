"""Checks of arguments that many functions share: one rule, and one dialect of errors."""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from .shown import quoted

MOST_COUNT = (1 << 63) - 1


def whole(name: str, value: object, least: int = 1, most: int | None = None, *, or_none: bool = False) -> int:
    """`value` as an `int`, if it is a whole number from `least` (to `most`). NumPy's are; True and False are not.

    Args:
        name: of the argument, for the message.
        or_none: whether the message names None as legal, too. (Whoever allows it looks for it first.)

    >>> whole("limit", 3), whole("limit", True, or_none=True)
    Traceback (most recent call last):
    ...
    ValueError: limit must be None or a whole number from 1 on, received True
    """
    number = None
    if not isinstance(value, bool) and type(value).__name__ not in ("bool_", "bool"):
        with suppress(TypeError):
            number = operator.index(value)  # type: ignore[arg-type]
    if number is None or number < least or (most is not None and number > most):
        reach = f"from {least} on" if most is None else f"from {least} to {most}"
        raise ValueError(
            f"{name} must be {'None or ' if or_none else ''}a whole number {reach}, received {quoted(value)}"
        )
    return number


def above_zero(name: str, value: object) -> float:
    """`value`, if it is a finite number above 0; True is none.

    >>> above_zero("a", 0)
    Traceback (most recent call last):
    ...
    ValueError: a must be a finite number above 0, received 0
    """
    number = 0.0
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        with suppress(OverflowError):
            number = float(value)
    if not 0 < number < math.inf:
        raise ValueError(f"{name} must be a finite number above 0, received {quoted(value)}")
    return number


def one_of(name: str, value: object, legal: Iterable[str], *, or_else: str = "") -> str:
    """`value`, if it is one of the modes `legal`.

    Args:
        or_else: what else would be legal, for the message.

    >>> one_of("oov", "zero", ("zeros", "normal"), or_else="a callable (shape, rng) -> rows")
    Traceback (most recent call last):
    ...
    ValueError: oov must be "zeros", "normal" or a callable (shape, rng) -> rows, received 'zero'
    """
    names = tuple(legal)
    if isinstance(value, str) and value in names:
        return value
    told = [*(f'"{mode}"' for mode in names), *([or_else] if or_else else [])]
    raise ValueError(f"{name} must be {', '.join(told[:-1])} or {told[-1]}, received {quoted(value)}")


def checked_count(counts: Mapping[str, Any], word: str) -> float:
    """The count of `word`, a finite number from 0 on."""
    count = counts.get(word, 0)
    try:
        good = bool(0 <= count < math.inf)
    except (TypeError, ValueError):
        good = False
    if not good or count > MOST_COUNT:
        why = ": no text is that long" if good else ""
        raise ValueError(
            f"counts must be finite numbers from 0 on, received {quoted(count)} for the word {quoted(word)}{why}"
        )
    return count.item() if hasattr(count, "item") else count  # NumPy's numbers are none of JSON's

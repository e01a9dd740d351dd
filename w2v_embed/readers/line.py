"""One line of text, read the slow and exact way: the judge of all that the hot loops do not take."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from .damage import Damage

if TYPE_CHECKING:
    from .._types import Floats

    Row: TypeAlias = tuple[bytes, Floats, None] | tuple[None, None, Damage]  # a word, its numbers, and what is wrong

_FIELD = re.compile(rb"\S+")
_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_WHOLE = re.compile(rb"\d+")


def is_number(field: bytes) -> bool:
    """Whether a field of a line is a number."""
    try:
        float(field)
    except ValueError:
        return False
    return b"_" not in field  # Python's own spelling of large numbers


def read_line(line: bytes, dim: int, record: int = 0, byte: int = 0) -> Row:
    """A line → (word, row), both None where something is wrong, and the `Damage` or None.

    >>> read_line(b"New York 0.5 1e-3", 2)[0]
    b'New York'
    >>> read_line(b"word 0.5 x", 2)[2].message
    "expected a number, got 'x' (number 2 of 2)"
    """

    def wrong(kind, message):
        return None, None, Damage(kind, message, record, byte)

    if b"\0" in line:
        return wrong("zero byte", f"expected a word and {dim} numbers, got a line with {line.count(0)} zero bytes")
    line = line.rstrip()
    word, *numbers = line.rsplit(None, dim)
    if len(numbers) < dim:
        if len(numbers) == dim - 1 and line[:1].isspace():
            return wrong("empty word", "expected a word before the numbers, got none")
        return wrong("too few numbers", f"expected {dim} numbers after the word, got {len(numbers)}")
    if not word.strip():
        return wrong("empty word", "expected a word before the numbers, got only white space")
    more = [field for field in word.split()[1:] if _NUMBER.fullmatch(field)]
    # A word may hold whole numbers ("Route 66 West"), but does not end in nothing else; a decimal number is none of a word's.
    if more and (len(more) == len(word.split()) - 1 or not all(map(_WHOLE.fullmatch, more))):
        fields = sum(1 for _ in _FIELD.finditer(line))
        return wrong("too many numbers", f"expected {dim} numbers after the word, got {fields - 1}")
    row = np.empty(dim, np.float32)
    with np.errstate(over="ignore"):
        for column, field in enumerate(numbers):
            try:
                if b"_" in field:  # Python's own spelling of large numbers
                    raise ValueError
                row[column] = float(field)
            except ValueError:
                text = field[:40].decode("utf-8", "backslashreplace")
                return wrong("unreadable number", f"expected a number, got {text!r} (number {column + 1} of {dim})")
            if not np.isfinite(row[column]):
                text = field.decode()
                return wrong("not finite", f"expected finite numbers, got {text!r} (number {column + 1} of {dim})")
    return word, row, None

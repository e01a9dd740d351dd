"""Vectors as text: word2vec text (with a header), GloVe (without), fastText .vec.

    [636013 300\\n]
    word 0.1 -0.2 … 0.3[ ]\\n

The last `dim` fields of a line are the vector, all before them is the word: words may hold spaces. Fields are parted by spaces
or tabs; what stands between the last one and the newline (the C tool's space, a carriage return) is nothing.
"""

import re

import numpy as np

from .blocks import BlockReader
from .damage import Damage

_FIELD = re.compile(rb"\S+")
# A decimal number behind a blank. A line whose word holds one has too many numbers; a word may hold whole numbers ("at 5").
_NUMBER_INSIDE = re.compile(rb"\s[+-]?(\d+\.\d*|\.\d+|\d+(?=e))(e[+-]?\d+)?(?!\S)", re.IGNORECASE)


class TextReader(BlockReader):
    """Lines of text → rows."""

    unit = "line"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.first_record = 2 if self.layout.header else 1
        self.least_bytes = 2 * self.dim + 2

    def cut(self, scratch, ended):
        """Up to the last newline; at the end of the file all, with a newline where none is (not where the stream is broken)."""
        if ended and scratch.filled and not scratch.broken:
            if scratch.bytes[scratch.filled - 1] != 10:
                scratch.bytes[scratch.filled] = 10
                scratch.filled += 1
            return scratch.filled
        return scratch.bytes.rfind(b"\n", 0, scratch.filled) + 1

    def records_in(self, data):
        """How many lines `data` holds."""
        return data.count(b"\n")

    def scan(self, scratch):
        """Find the block's lines."""
        notes = self.room_for_notes(scratch)
        _, scratch.records, scratch.blank, n, n_odd, n_noted = self.hot.scan_text(
            scratch.buf, 0, scratch.end, self.dim, self.table, scratch.found, scratch.odd, notes, scratch.offset
        )
        scratch.notes.take(n_noted)
        return scratch.found[:n], scratch.odd[:n_odd]

    def parse(self, scratch, found):
        """Parse the numbers of regular lines."""
        self.hot.parse_text(scratch.buf, found, scratch.rows[: len(found)], scratch.exact[: len(found)])

    def read_exactly(self, buf, record, begin, stop):
        """One line by the book."""
        return read_line(buf[begin:stop].tobytes(), self.dim, record, begin)


def read_line(line, dim, record=0, byte=0):
    """One line, read the slow and exact way → (word, row), both None where something is wrong, and the `Damage` or None.

    >>> read_line(b"New York 0.5 1e-3", 2)[0]
    b'New York'
    >>> read_line(b"word 0.5 x", 2)[2].message
    "expected a number, got 'x' (number 2 of 2)"
    """

    def wrong(kind, message):
        return None, None, Damage(kind, message, record, byte)

    line = line.rstrip()
    word, *numbers = line.rsplit(None, dim)
    if len(numbers) < dim:
        if len(numbers) == dim - 1 and line[:1].isspace():
            return wrong("empty word", "expected a word before the numbers, got none")
        return wrong("too few numbers", f"expected {dim} numbers after the word, got {len(numbers)}")
    if not word.strip():
        return wrong("empty word", "expected a word before the numbers, got only white space")
    if _NUMBER_INSIDE.search(word):
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

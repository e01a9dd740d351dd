"""word2vec's binary format.

    636013 300\\n
    word, a space, `dim` little-endian float32, [\\n]

The C tool writes a newline after each vector, gensim none; a newline before a word is dropped, as gensim does.
"""

import sys

import numpy as np

from ..blocks import BlockReader
from ..damage import Damage, zero_tail


class BinaryReader(BlockReader):
    """Binary records → rows."""

    unit = "record"
    first_record = 1

    def __init__(self, *args, **kwargs):
        if sys.byteorder != "little":
            raise ValueError(
                "word2vec's binary format holds little-endian numbers; this machine is big-endian. Use text."
            )
        super().__init__(*args, **kwargs)
        self.least_bytes = 4 * self.dim + 2

    def cut(self, scratch, ended):
        """Up to the last whole record. Only words are looked at, so it is no loss that one thread at a time does this."""
        notes = self.room_for_notes(scratch)
        position, scratch.records, scratch.n_hits, n_noted = self.hot.scan_binary(
            scratch.buf, scratch.filled, self.dim, self.table, scratch.hits, notes
        )
        scratch.notes.take(n_noted, scratch.offset)
        rest = scratch.bytes[position : scratch.filled].strip(b"\n") if ended else b""
        if rest and not rest.strip(b"\0"):
            scratch.broken = zero_tail(len(rest), position)
            # Where the zeros begin in a vector, that is none.
            last = scratch.n_hits - 1
            if last >= 0 and scratch.hits[last, 4] == position and not any(scratch.bytes[position - 4 : position]):
                scratch.n_hits = last
        elif rest:
            scratch.broken = Damage(
                "truncated",
                f"expected a word and {4 * self.dim} bytes, got {scratch.filled - position} bytes and the end of the file",
                scratch.records,
                position,
            )
        return scratch.filled if ended else position

    def records_in(self, data):
        """How many records `data` holds."""
        hits = np.empty((len(data) // self.least_bytes + 1, 5), np.int64)
        buf = np.frombuffer(data, np.uint8)
        return self.hot.scan_binary(buf, len(buf), self.dim, self.hot.make_table([]), hits)[1]

    def scan(self, scratch):
        """What `cut` has found."""
        return scratch.hits[: scratch.n_hits], scratch.odd[:0]

    def parse(self, scratch, hits):
        """Copy vectors."""
        unsure = scratch.unsure[: len(hits)]
        self.hot.parse_binary(scratch.buf, hits, scratch.rows[: len(hits)], unsure)
        unsure |= hits[:, 2] == hits[:, 3]  # no word

    def read_exactly(self, buf, record, begin, stop):
        """One record, with everything that can be wrong with it; results as of `line.read_line`."""
        vector = stop - 4 * self.dim
        if vector - 1 == begin:
            return None, None, Damage("empty word", "expected a word before the space, got none", record, begin)
        row = buf[vector:stop].view("<f4")
        finite = np.isfinite(row)
        if not finite.all():
            column = int((~finite).argmax())
            message = f"expected finite numbers, got {row[column]} (number {column + 1} of {self.dim})"
            return None, None, Damage("not finite", message, record, begin)
        return buf[begin : vector - 1].tobytes(), row, None

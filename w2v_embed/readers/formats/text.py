"""Vectors as text: word2vec text (with a header), GloVe (without), fastText .vec.

    [636013 300\\n]
    word 0.1 -0.2 … 0.3[ ]\\n

The last `dim` fields of a line are the vector, all before them is the word: words may hold spaces. Fields are parted by spaces
or tabs; what stands between the last one and the newline (the C tool's space, a carriage return) is nothing.
"""

from ..blocks import BlockReader
from ..damage import zero_tail
from ..line import read_line


class TextReader(BlockReader):
    """Lines of text → rows."""

    unit = "line"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.first_record = 1 if self.layout.header is None and self.layout.alone is None else 2
        self.least_bytes = 2 * self.dim + 2

    def cut(self, scratch, ended):
        """Up to the last newline; at the end of the file all, with a newline where none is (not where the stream is broken)."""
        if ended and scratch.filled and not scratch.broken:
            last = scratch.bytes.rfind(b"\n", 0, scratch.filled) + 1
            zeros = scratch.bytes.count(0, last, scratch.filled)
            if zeros and not scratch.bytes[last : scratch.filled].strip(b"\0 \t\r\v\f"):
                scratch.broken = zero_tail(zeros, last)
                return last
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
            scratch.buf, scratch.end, self.dim, self.table, scratch.hits, scratch.odd, notes
        )
        scratch.notes.take(n_noted, scratch.offset)
        return scratch.hits[:n], scratch.odd[:n_odd]

    def parse(self, scratch, hits):
        """Parse the numbers of regular lines."""
        self.hot.parse_text(scratch.buf, hits, scratch.rows[: len(hits)], scratch.unsure[: len(hits)])

    def read_exactly(self, buf, record, begin, stop):
        """One line by the book."""
        return read_line(buf[begin:stop].tobytes(), self.dim, record, begin)

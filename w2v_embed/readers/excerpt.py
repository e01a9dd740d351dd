"""Some records of a file that can be read at any place."""

import numpy as np


class Excerpt:
    """Blocks of records that lie apart, for `relay`.

    Args:
        source: the `Source`, of a file that is not packed.
        reader: the `BlockReader` that turns them into rows.
        begins, stops: int64 arrays of the first byte and the end of each record.

    Attributes:
        size: bytes of all of them.
    """

    def __init__(self, source, reader, begins, stops):
        self._source, self._reader, self._begins, self._stops = source, reader, begins, stops
        self._newlines = reader.unit == "line"
        self._sizes = np.cumsum([0, *(stops - begins + self._newlines).tolist()])
        self.size, self._next = int(self._sizes[-1]), 0

    def scratch(self):
        """Memory for one worker."""
        return self._reader.scratch()

    def fill(self, scratch):
        """Set the next records aside for a worker; False where there are none."""
        first, sizes = self._next, self._sizes
        if first == len(self._begins):
            return False
        self._next = max(first + 1, int(np.searchsorted(sizes, sizes[first] + scratch.size, side="right")) - 1)
        size = int(sizes[self._next] - sizes[first])
        if size > scratch.size:
            scratch.allocate(size)
        scratch.stretches = slice(first, self._next)
        return True

    def read(self, scratch):
        """Read them, as rows."""
        begins, stops = self._begins[scratch.stretches], self._stops[scratch.stretches]
        scratch.filled = read_records(self._source, self._reader.hot, begins, stops, self._newlines, scratch.buf)
        scratch.end = self._reader.cut(scratch, True)
        return self._reader.read(scratch)


def read_records(source, hot, begins, stops, newlines, buf):
    """As `kernels.read_records`, of a `Source` that is not packed; a file that has become shorter is an error."""
    filled = hot.read_records(source.fileno(), begins, stops, newlines, buf)
    if filled < 0:
        raise ValueError(
            f"{source.path} has become shorter while it was read. Wait until it is written, and try again."
        )
    return filled

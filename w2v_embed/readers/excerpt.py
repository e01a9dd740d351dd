"""Some records of a file that can be read at any place."""

from dataclasses import replace

import numpy as np

from .blocks import Block
from .damage import Damages
from .relay import in_threads
from .scan.hot import threads_for


def read_apart(source, reader, begins, stops, threads):
    """Records that lie apart, as one `Block`, in which they count from 0, with `begins` in the whole file.

    Args:
        source: the `Source`, of a file that is not packed.
        reader: the `BlockReader` that turns records into rows.
        begins, stops: int64 arrays of the first byte and the end of each record.
        threads: how many threads may work.
    """
    n = len(begins)
    targets, rows = np.empty(n, np.int64), np.empty((n, reader.dim), np.float32)
    binary = reader.unit == "record"

    def read(part):
        return reader.hot.read_rows(
            source.fileno(), binary, begins[part], stops[part], reader.table, rows[part], targets[part]
        )

    if not all(in_threads(read, n, min(threads, threads_for(int((stops - begins).sum()))))):
        raise _shorter(source)

    damage = Damages()
    for k in np.flatnonzero(targets < 0).tolist():
        begin, stop = int(begins[k]), int(stops[k])
        word, row, wrong = reader.read_exactly(read_stretch(source, reader.hot, begin, stop), k, 0, stop - begin)
        if wrong:
            damage.add(replace(wrong, byte=begin))
            if reader.first_only:
                break
        else:
            targets[k] = reader.target_of.get(word, -1)
            rows[k] = row
    where = np.flatnonzero(targets >= 0)
    if len(where) < n:
        begins, targets, rows = begins[where], targets[where], rows[where]
    return Block(0, n, 0, where, begins, targets, None, rows, damage)


def read_stretch(source, hot, begin, stop):
    """The bytes from `begin` to `stop`, as uint8."""
    buf = np.empty(stop - begin + 2, np.uint8)
    if hot.read_records(source.fileno(), np.array([begin]), np.array([stop]), buf) < 0:
        raise _shorter(source)
    return buf[: stop - begin]


def _shorter(source):
    return ValueError(f"{source.path} has become shorter while it was read. Wait until it is written, and try again.")

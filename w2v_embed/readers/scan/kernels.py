"""The hot loops, compiled by numba; `plain.py` has the same functions in Python and NumPy.

A kernel is handed one block of the file: `buf`, a uint8 array whose first `end` bytes are whole records. It never reads past
`end`, holds no GIL and keeps no state. What is rare (a word with spaces in it, a number of 30 digits, a damaged line) it does
not judge: it reports the line as *odd*, or the row as *unsure*, and Python reads that line the exact way (`line.read_line`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._jit import compiled
from ._text import join_words, parse_text, scan_text
from ._words import Table, are_in, keys_of, look_up, make_set, make_table
from .plain import FNV_BASIS, FNV_PRIME, LENGTH_BITS, NEWLINE, NO_NOTES, SPACE

if TYPE_CHECKING:
    from ..._types import Bools, Bytes, Floats, Ids

__all__ = [
    "are_in",
    "join_words",
    "keys_of",
    "make_set",
    "make_table",
    "mean_rows",
    "parse_binary",
    "parse_text",
    "scan_binary",
    "scan_text",
]


def scan_binary(
    buf: Bytes, end: int, dim: int, table: Table, hits: Ids, notes: tuple[Ids, Ids] = NO_NOTES
) -> tuple[int, int, int, int]:
    """Records (newlines, word, space, `dim` float32) of `buf[:end]` → those that are wanted, as rows of `hits`.

    Rows of `hits`: number of the word, record, begin of the word, its end, end of the vector; records count from 0. `notes` as
    in `scan_text`. Stops where one of the two is full or a record is not whole. Returns (position reached, records, rows of
    `hits`, numbers in each of `notes`).
    """
    return _scan_binary(buf, end, dim, table, hits, notes)


@compiled
def _scan_binary(buf, end, dim, table, hits, notes):
    keys, spans = notes
    blob, begins, slots, others, salt = table
    position = record = n_hits = n_noted = 0
    while n_hits < len(hits) and (n_noted < len(keys) or len(keys) == 0):
        p = position
        while p < end and buf[p] == NEWLINE:
            p += 1
        begin = p
        key = FNV_BASIS
        while p < end and buf[p] != SPACE:
            key = (key ^ np.uint64(buf[p])) * FNV_PRIME
            p += 1
        stop = p + 1 + 4 * dim
        if stop > end:
            break
        word = look_up(buf, begin, p, key, blob, begins, slots, others, salt)
        if word >= 0:
            row = hits[n_hits]
            row[0], row[1], row[2], row[3], row[4] = word, record, begin, p, stop
            n_hits += 1
        if len(keys) > 0:
            keys[n_noted], spans[n_noted] = np.int64(key), begin << LENGTH_BITS | (stop - begin)
            n_noted += 1
        record += 1
        position = stop
    return position, record, n_hits, n_noted


def parse_binary(buf: Bytes, hits: Ids, rows: Floats, unsure: Bools) -> None:
    """Copy the vectors of the records in `hits` into `rows`; `unsure[k]` is set where row k holds NaN or infinity."""
    _parse_binary(buf, hits, rows.view(np.uint8), rows.view(np.uint32), unsure)


@compiled
def _parse_binary(buf, hits, rows8, rows32, unsure):
    for k in range(len(hits)):
        rows8[k, :] = buf[hits[k, 3] + 1 : hits[k, 4]]
        endless = False
        for column in range(rows32.shape[1]):
            endless |= (rows32[k, column] & np.uint32(0x7F800000)) == np.uint32(0x7F800000)
        unsure[k] = endless


@compiled
def mean_rows(matrix: Floats, more: Floats, lent: Ids, bounds: Ids, targets: Ids) -> None:
    """Make each row `targets[k]` of `matrix` the mean of the rows `lent[bounds[k]:bounds[k + 1]]`, one at least.

    Numbers from the matrix's length on are those of the rows of `more`.
    """
    total = np.empty(matrix.shape[1])
    for k in range(len(targets)):
        total[:] = -0.0  # which adds nothing, not even the sign that 0.0 would take from a −0.0
        for one in lent[bounds[k] : bounds[k + 1]]:
            row = matrix[one] if one < len(matrix) else more[one - len(matrix)]
            for column in range(len(total)):
                total[column] += row[column]
        number = bounds[k + 1] - bounds[k]
        target = matrix[targets[k]]
        for column in range(len(total)):
            target[column] = total[column] / number

"""The hot loops of `kernels.c`, called through ctypes, which holds no GIL meanwhile; `plain.py` has the same in NumPy.

The library is compiled when the package is installed, and lies beside this file. W2V_EMBED_KERNELS names another one.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import plain
from .plain import NO_NOTES

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..._types import Bools, Bytes, Floats, Ids

__all__ = [
    "are_in",
    "join_words",
    "keys_of",
    "make_set",
    "make_table",
    "mean_rows",
    "number_words",
    "parse_binary",
    "parse_text",
    "read_stretches",
    "scan_binary",
    "scan_text",
]

_ABI = 3
_PRIME = (1 << 31) - 1
_BYTE, _FLAG, _KEY, _REAL, _NUMBER = map(np.dtype, (np.uint8, np.bool_, np.int64, np.float32, np.int32))
_SUFFIX = {"darwin": ".dylib", "win32": ".dll"}.get(sys.platform, ".so")
# What each function takes, in letters: an array (or a table), a whole number; and what it gives.
_FUNCTIONS = {
    "fill_slots": ("aiaiaa", ctypes.c_int64),
    "fill_others": ("aaaiaia", None),
    "keys_of": ("aaaia", None),
    "add_keys": ("aiaai", None),
    "are_in": ("aiaaia", None),
    "join_words": ("aaia", ctypes.c_int64),
    "number_words": ("aiaaaaa", ctypes.c_int64),
    "scan_text": ("aiiaaiaiaaia", None),
    "scan_binary": ("aiiaaiaaia", None),
    "parse_text": ("aiaiaia", None),
    "parse_binary": ("aaiaia", None),
    "read_stretches": ("iaaia", ctypes.c_int64),
    "mean_rows_float32": ("aiaiaaai", None),
    "mean_rows_float64": ("aiaiaaai", None),
}


def _loaded() -> ctypes.CDLL:
    path = os.environ.get("W2V_EMBED_KERNELS") or str(Path(__file__).with_name("_kernels" + _SUFFIX))
    if path == "plain":
        raise ImportError("W2V_EMBED_KERNELS asks for the plain loops")
    try:
        library = ctypes.CDLL(path)
        abi = library.abi()
    except (OSError, AttributeError) as error:
        raise ImportError(f"the compiled loops cannot be loaded ({error})") from error
    if abi != _ABI:
        raise ImportError(f"the compiled loops are of another version ({path}: {abi}, expected {_ABI})")
    for name, (takes, gives) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.argtypes = [ctypes.c_void_p if letter == "a" else ctypes.c_int64 for letter in takes]
        function.restype = gives
    return library


_c: Any = _loaded()


def use_avx2(wanted: bool) -> bool:
    """Let the loops use AVX2 where the processor has it, or not; returns whether they do. Not while one runs."""
    return bool(_c.use_avx2(wanted))


use_avx2(True)


def _at(array: Any, dtype: Any) -> int:
    """Where the values of an array lie, which must be of this type, one after another."""
    if array.dtype != dtype or not array.flags.c_contiguous:
        raise TypeError(f"expected a contiguous array of {np.dtype(dtype)}, received {array.dtype} {array.strides}")
    return array.ctypes.data


class Table(ctypes.Structure):
    """A hash table of words, as `kernels.c` has it.

    Attributes:
        slots: uint64 array: half of each word's mixed key, and its number + 1; 0 where free.
        others: int32 array: numbers + 1 of the words whose key another one has, by a hash that is drawn.
    """

    _fields_ = tuple(
        (name, ctypes.c_void_p) for name in ("blob", "begins", "at", "n_at", "at_others", "n_others", "salt")
    )

    def __init__(self, words: Sequence[bytes]) -> None:
        blob = np.frombuffer(b"".join(words), np.uint8)
        begins = np.zeros(len(words) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, words), np.int64, len(words)), out=begins[1:])
        salt = new_salt()
        self.slots: npt.NDArray[np.uint64]
        self.slots, alike = fill_slots(keys_of(blob, begins[:-1], begins[1:]), salt)
        self.others: npt.NDArray[np.int32] = np.zeros(_room(len(alike)), np.int32)
        at = [array.ctypes.data for array in (blob, begins, self.slots, self.others, salt)]
        _c.fill_others(*at[:2], alike.ctypes.data, len(alike), at[3], len(self.others), at[4])
        self._kept = blob, begins, salt  # as long as their addresses are known
        super().__init__(*at[:3], len(self.slots), at[3], len(self.others), at[4])


def make_table(words: Sequence[bytes]) -> Table:
    """A hash table over `words`. No words: every word matches."""
    return Table(words)


def new_salt() -> npt.NDArray[np.uint64]:
    """What is drawn for a table, or a set, of keys."""
    salt = np.frombuffer(os.urandom(32), np.uint64).copy()
    salt[1:3] |= np.uint64(1)
    salt[3] = salt[3] % np.uint64(_PRIME >> 1) + np.uint64(_PRIME >> 1)
    return salt


def fill_slots(keys: Ids, salt: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.uint64], Ids]:
    """Words' slots by their keys; int64 array: the words that have the key of an earlier one, which have none."""
    slots, alike = np.zeros(_room(len(keys)), np.uint64), np.empty(len(keys), np.int64)
    n = _c.fill_slots(_at(keys, _KEY), len(keys), slots.ctypes.data, len(slots), salt.ctypes.data, alike.ctypes.data)
    return slots, alike[:n].copy()


def _room(n):
    return 1 << (2 * n).bit_length() if n else 0


def keys_of(buf: Bytes, begins: Ids, ends: Ids) -> Ids:
    """The FNV-1a hashes of the words `buf[begins[k]:ends[k]]`, as int64."""
    begins, ends = np.ascontiguousarray(begins, np.int64), np.ascontiguousarray(ends, np.int64)
    keys = np.empty(len(begins), np.int64)
    _c.keys_of(_at(buf, _BYTE), begins.ctypes.data, ends.ctypes.data, len(keys), keys.ctypes.data)
    return keys


def make_set(keys: Sequence[Ids]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint64]]:
    """The set of the int64 keys in a list of arrays, for `are_in`: slots, salt.

    A hash table that holds 32 bits of each mixed key, 0 where a slot is free: half the memory, and of the keys that are not in
    the set hardly one in 10^9 is taken for one that is. Sets are sparse, small ones more so: fewer steps a question.
    """
    n = sum(map(len, keys))
    slots, salt = np.zeros(1 << max(2 * n, min(16 * n, 1 << 17)).bit_length(), np.uint32), new_salt()
    for some in map(np.ascontiguousarray, keys):
        _c.add_keys(slots.ctypes.data, len(slots), salt.ctypes.data, _at(some, _KEY), len(some))
    return slots, salt


def are_in(keys: Ids, some: tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint64]]) -> Bools:
    """For each of the int64 `keys` whether it is in a set that `make_set` made."""
    slots, salt = some
    keys, there = np.ascontiguousarray(keys), np.empty(len(keys), np.bool_)
    _c.are_in(slots.ctypes.data, len(slots), salt.ctypes.data, _at(keys, _KEY), len(keys), there.ctypes.data)
    return there


def join_words(buf: Bytes, hits: Ids, out: Bytes) -> int:
    """Copy the words of `hits` into `out`, a newline after each; returns the bytes written. `out` has room for `buf`, and a
    newline a word."""
    return _c.join_words(_at(buf, _BYTE), _at(hits, _KEY), len(hits), _at(out, _BYTE))


def number_words(texts: bytes, n: int, table: Table, ids: Ids) -> tuple[Ids, Ids, list[bytes]]:
    """The words of `n` texts, which end in a newline each, by white space.

    Returns:
        int32: their `ids` by their numbers in `table`, -1 for unknown ones; int64: how many each text has; the unknown ones.
    """
    buf, sizes = np.frombuffer(texts, np.uint8), np.zeros(n, np.int64)
    newlines = texts.count(b"\n")
    if newlines != n or texts[-1:] not in (b"", b"\n"):
        raise ValueError(f"expected {n} texts that end in a newline each, received {newlines} newlines")
    most = len(buf) // 2 + 1
    numbers, unknown = np.empty(most, np.int32), np.empty((most, 2), np.int64)
    places = _at(ids, _NUMBER), numbers.ctypes.data, sizes.ctypes.data, unknown.ctypes.data
    words = _c.number_words(buf.ctypes.data, len(buf), ctypes.addressof(table), *places)
    numbers = numbers[:words].copy()
    spans = unknown[: np.count_nonzero(numbers < 0)].tolist()
    return numbers, sizes, [texts[begin:end] for begin, end in spans]


def scan_text(
    buf: Bytes,
    end: int,
    dim: int,
    table: Table,
    hits: Ids,
    odd: Ids,
    notes: tuple[Ids, Ids] = NO_NOTES,
) -> tuple[int, ...]:
    """Lines of `buf[:end]`, the last of which ends in a newline → the regular ones that are wanted, and the odd ones.

    A line is regular when blanks (bytes up to 0x20) cut it into a word and `dim` fields, and no zero bytes end it. Rows of
    `hits`: number of the word, line, begin of the line, end of the word, end of the last field; rows of `odd`: line, begin,
    end; lines count from 0.
    Where `notes`, two arrays, have room, all regular lines go there, wanted or not: the word's key to the first, and to the
    second the line's span: its begin, shifted left by `LENGTH_BITS`, plus its length. Stops early where one of the three is
    full. Returns (position reached, lines, blank ones among them, rows of `hits`, of `odd`, numbers in each of `notes`).
    """
    told = (ctypes.c_int64 * 6)()
    places = _at(hits, _KEY), len(hits), _at(odd, _KEY), len(odd), *_at_notes(notes)
    _c.scan_text(_at(buf, _BYTE), min(end, len(buf)), dim, ctypes.addressof(table), *places, ctypes.addressof(told))
    return tuple(told)


def scan_binary(
    buf: Bytes, end: int, dim: int, table: Table, hits: Ids, notes: tuple[Ids, Ids] = NO_NOTES
) -> tuple[int, ...]:
    """Records (newlines, word, space, `dim` float32) of `buf[:end]` → those that are wanted, as rows of `hits`.

    Rows of `hits`: number of the word, record, begin of the word, its end, end of the vector; records count from 0. `notes` as
    in `scan_text`. Stops where one of the two is full or a record is not whole. Returns (position reached, records, rows of
    `hits`, numbers in each of `notes`).
    """
    told = (ctypes.c_int64 * 4)()
    places = _at(hits, _KEY), len(hits), *_at_notes(notes)
    _c.scan_binary(_at(buf, _BYTE), min(end, len(buf)), dim, ctypes.addressof(table), *places, ctypes.addressof(told))
    return tuple(told)


def _at_notes(notes):
    keys, spans = notes
    return _at(keys, _KEY), _at(spans, _KEY), min(len(keys), len(spans))


def parse_text(buf: Bytes, hits: Ids, rows: Floats, unsure: Bools) -> None:
    """Parse the numbers of the lines in `hits` into `rows`; `unsure[k]` is set where row k must be read the exact way."""
    size, (n, dim) = len(buf), rows.shape
    _c.parse_text(_at(buf, _BYTE), size, _at(hits, _KEY), n, _at(rows, _REAL), dim, _at(unsure, _FLAG))


def parse_binary(buf: Bytes, hits: Ids, rows: Floats, unsure: Bools) -> None:
    """Copy the vectors of the records in `hits` into `rows`; `unsure[k]` is set where row k holds NaN or infinity."""
    n, dim = rows.shape
    _c.parse_binary(_at(buf, _BYTE), _at(hits, _KEY), n, _at(rows, _REAL), dim, _at(unsure, _FLAG))


def read_stretches(file: int, begins: Ids, sizes: Ids, out: Bytes) -> int:
    """Read stretches of the open file `file` into `out`, a newline behind each. Returns how many came whole, the first ones.

    Args:
        begins, sizes: of each: its first byte in the file, and its length.
        out: has room for all of them.
    """
    if min(sizes.min(initial=0), begins.min(initial=0)) < 0 or sizes.sum() + len(sizes) > len(out):
        raise ValueError(f"{len(sizes)} stretches of {sizes.sum()} bytes do not fit into {len(out)}")
    return _c.read_stretches(file, _at(begins, _KEY), _at(sizes, _KEY), len(sizes), _at(out, _BYTE))


def mean_rows(matrix: Floats, more: Floats, lent: Ids, bounds: Ids, targets: Ids) -> None:
    """Make each row `targets[k]` of `matrix` the mean of the rows `lent[bounds[k]:bounds[k + 1]]`, one at least.

    Numbers from the matrix's length on are those of the rows of `more`, of the same type.
    """
    loops: dict[Any, Any] = {_REAL: _c.mean_rows_float32, np.dtype(np.float64): _c.mean_rows_float64}
    loop = loops.get(matrix.dtype)
    if loop is None:
        plain.mean_rows(matrix, more, lent, bounds, targets)
        return
    more = np.ascontiguousarray(more)
    rows = _at(matrix, matrix.dtype), len(matrix), _at(more, matrix.dtype), matrix.shape[1]
    loop(*rows, *(_at(array, _KEY) for array in (lent, bounds, targets)), len(targets))

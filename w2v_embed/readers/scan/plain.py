"""The functions of `kernels.py` in Python and NumPy: for small files, where importing numba costs more, and as their oracle."""

import os
import threading

import numpy as np

_AT_ONCE = 256
_SEEKING = threading.Lock()
LENGTH_BITS = 23  # of a note, see `kernels.scan_text`: more than the longest record takes
# Bytes after a buffer's last usable one: room for a newline, and for kernels that look at 8 bytes at a time.
PADDING = 64
NO_NOTES = np.empty((2, 0), np.int64)
_TAB, _NEWLINE, _SPACE = 9, 10, 32
_FNV_BASIS, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)


def make_table(words):
    """As `kernels.make_table`."""
    return {word: k for k, word in enumerate(words)}


def keys_of(buf, begins, ends):
    """As `kernels.keys_of`: the first bytes of all words, then the second ones of those that have one, and so on."""
    keys = np.full(len(begins), _FNV_BASIS)
    left, at = np.arange(len(begins)), np.asarray(begins)
    while len(left):
        more = at < ends[left]
        left, at = left[more], at[more]
        keys[left] = (keys[left] ^ buf[at]) * _FNV_PRIME
        at = at + 1
    return keys.view(np.int64)


def make_set(keys):
    """As `kernels.make_set`, for the `are_in` below."""
    return np.unique(np.concatenate(keys))


def are_in(keys, some):
    """As `kernels.are_in`."""
    if not len(some):
        return np.zeros(len(keys), np.bool_)
    return some[np.minimum(np.searchsorted(some, keys), len(some) - 1)] == keys


def scan_text(buf, start, end, dim, table, found, odd, notes=NO_NOTES, offset=0):
    """As `kernels.scan_text`."""
    keys, places = notes
    block = buf[start:end]
    blanks = np.flatnonzero(block <= _SPACE)
    newline_at = np.flatnonzero(block[blanks] == _NEWLINE)  # index into `blanks` of each line's last one
    data = block.tobytes()
    blanks, newline_at = blanks.tolist(), newline_at.tolist()
    begin = first = line = blank = n_found = n_odd = n_noted = 0
    for last in newline_at:
        if n_found == len(found) or n_odd == len(odd) or 0 < len(keys) == n_noted:
            break
        stop = newline = blanks[last]
        inside = last - first
        zero = False
        while stop > begin and data[stop - 1] <= _SPACE:
            stop -= 1
            inside -= 1
            zero |= data[stop] == 0
        if zero:
            stop = newline
        word_end = blanks[first]
        if inside == dim and word_end > begin and not zero:
            word = table.get(data[begin:word_end], -1) if table else 0
            if word >= 0:
                found[n_found] = word, line, start + begin, start + word_end, start + stop
                n_found += 1
            if len(keys):
                keys[n_noted], places[n_noted] = start + word_end, (start + begin) << LENGTH_BITS | (stop - begin)
                n_noted += 1
        elif stop > begin:
            odd[n_odd] = line, start + begin, start + stop
            n_odd += 1
        else:
            blank += 1
        line += 1
        begin, first = newline + 1, last + 1
    keys[:n_noted] = keys_of(buf, places[:n_noted] >> LENGTH_BITS, keys[:n_noted])
    places[:n_noted] += offset << LENGTH_BITS
    return start + begin, line, blank, n_found, n_odd, n_noted


def parse_text(buf, found, rows, exact):
    """As `kernels.parse_text`."""
    for k, (_, _, _, word_end, stop) in enumerate(found.tolist()):
        fields = buf[word_end + 1 : stop].tobytes().split()
        try:
            with np.errstate(over="ignore"):
                rows[k] = np.array([float(field) for field in fields])
            # Python reads 1_000, and numbers next to characters that are white space only to it; the exact way judges those.
            regular = len(fields) == rows.shape[1] and not any(b"_" in field for field in fields)
            regular &= buf[word_end] in (_SPACE, _TAB)
            exact[k] = not regular or not np.isfinite(rows[k]).all()
        except ValueError:
            exact[k] = True


def join_words(buf, found, out):
    """As `kernels.join_words`."""
    words = b"".join(buf[begin:stop].tobytes() + b"\n" for _, _, begin, stop, _ in found.tolist())
    out[: len(words)] = np.frombuffer(words, np.uint8)
    return len(words)


def scan_binary(buf, end, dim, table, found, notes=NO_NOTES, offset=0):
    """As `kernels.scan_binary`."""
    keys, places = notes
    data = buf[:end].tobytes()
    position = record = n_found = n_noted = 0
    while n_found < len(found) and (n_noted < len(keys) or len(keys) == 0):
        begin = position
        while begin < end and data[begin] == _NEWLINE:
            begin += 1
        word_end = data.find(b" ", begin)
        stop = word_end + 1 + 4 * dim
        if word_end < 0 or stop > end:
            break
        word = table.get(data[begin:word_end], -1) if table else 0
        if word >= 0:
            found[n_found] = word, record, begin, word_end, stop
            n_found += 1
        if len(keys):
            keys[n_noted], places[n_noted] = word_end, begin << LENGTH_BITS | (stop - begin)
            n_noted += 1
        record += 1
        position = stop
    keys[:n_noted] = keys_of(buf, places[:n_noted] >> LENGTH_BITS, keys[:n_noted])
    places[:n_noted] += offset << LENGTH_BITS
    return position, record, n_found, n_noted


def parse_binary(buf, found, rows, exact):
    """As `kernels.parse_binary`."""
    for k, (_, _, _, word_end, stop) in enumerate(found.tolist()):
        rows[k] = np.frombuffer(buf[word_end + 1 : stop].tobytes(), "<f4")
        exact[k] = not np.isfinite(rows[k]).all()


def mean_rows(matrix, more, places, bounds, targets):
    """As `kernels.mean_rows`, for all floating types; some rows at a time, which stay in the cache."""
    n = len(matrix)
    for start in range(0, len(targets), _AT_ONCE):
        begins = bounds[start : start + _AT_ONCE + 1]
        numbers = np.diff(begins)
        total = np.full((len(numbers), matrix.shape[1]), -0.0)
        for column in range(numbers.max()):
            left = np.flatnonzero(numbers > column)
            these = places[begins[left] + column]
            inside = these < n
            total[left[inside]] += matrix[these[inside]]
            total[left[~inside]] += more[these[~inside] - n]
        matrix[targets[start : start + _AT_ONCE]] = total / numbers[:, None]


def read_records(file, begins, stops, buf):
    """As `kernels.read_records`."""
    n = 0
    for at, stop in zip(begins.tolist(), stops.tolist()):
        if n + stop - at >= len(buf):
            return -1
        while at < stop:
            data = _pread(file, stop - at, at)
            if not data:
                return -1
            buf[n : n + len(data)] = np.frombuffer(data, np.uint8)
            n, at = n + len(data), at + len(data)
        buf[n] = _NEWLINE
        n += 1
    return n


def _pread(file, size, at):
    """As `os.pread`, also on Windows.

    A lock that another thread holds at a fork is never given back in the child. But Windows, which has no pread, does not fork.
    """
    if hasattr(os, "pread"):
        return os.pread(file, size, at)
    with _SEEKING:
        os.lseek(file, at, os.SEEK_SET)
        return os.read(file, size)


def read_rows(file, binary, begins, stops, table, rows, targets):
    """As `kernels.read_rows`."""
    exact = np.empty(1, np.bool_)
    for k, size in enumerate((stops - begins).tolist()):
        buf = np.empty(size + 2, np.uint8)
        if read_records(file, begins[k : k + 1], stops[k : k + 1], buf) < 0:
            return False
        data = buf[:size].tobytes()
        word_end = data.find(b" ") if binary else next((p for p, byte in enumerate(data) if byte <= _SPACE), size)
        targets[k] = -1
        if word_end > 0 and (not binary or word_end + 1 + 4 * rows.shape[1] == size):
            parse = parse_binary if binary else parse_text
            parse(buf, np.array([[0, k, 0, word_end, size]]), rows[k : k + 1], exact)
            if not exact[0]:
                targets[k] = table.get(data[:word_end], -1)
    return True

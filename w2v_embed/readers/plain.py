"""The functions of `kernels.py` in Python and NumPy: for small files, where importing numba costs more, and as their oracle."""

from itertools import pairwise

import numpy as np

_TAB, _NEWLINE, _SPACE = 9, 10, 32
_FNV_BASIS, _FNV_PRIME, _64_BITS = 0xCBF29CE484222325, 0x100000001B3, (1 << 64) - 1


def make_table(words):
    """As `kernels.make_table`."""
    return {word: k for k, word in enumerate(words)}


def keys_of(buf, begins):
    """As `kernels.keys_of`."""
    return np.array([_key_of(buf[begin:stop].tobytes()) for begin, stop in pairwise(begins.tolist())], np.int64)


def _key_of(word):
    key = _FNV_BASIS
    for byte in word:
        key = (key ^ byte) * _FNV_PRIME & _64_BITS
    return key - (key >> 63 << 64)


def scan_text(buf, start, end, dim, table, found, odd, passed):
    """As `kernels.scan_text`."""
    block = buf[start:end]
    blanks = np.flatnonzero(block <= _SPACE)
    newline_at = np.flatnonzero(block[blanks] == _NEWLINE)  # index into `blanks` of each line's last one
    data = block.tobytes()
    blanks, newline_at = blanks.tolist(), newline_at.tolist()
    begin = first = line = blank = n_found = n_odd = n_passed = 0
    for last in newline_at:
        if n_found == len(found) or n_odd == len(odd) or 0 < len(passed) == n_passed:
            break
        stop = newline = blanks[last]
        inside = last - first
        while stop > begin and data[stop - 1] <= _SPACE:
            stop -= 1
            inside -= 1
        word_end = blanks[first]
        if inside == dim and word_end > begin:
            word = table.get(data[begin:word_end], -1) if table else 0
            if word >= 0:
                found[n_found] = word, line, start + begin, start + word_end, start + stop
                n_found += 1
            elif len(passed):
                passed[n_passed] = _key_of(data[begin:word_end]), line, start + begin, start + stop
                n_passed += 1
        elif stop > begin:
            odd[n_odd] = line, start + begin, start + stop
            n_odd += 1
        else:
            blank += 1
        line += 1
        begin, first = newline + 1, last + 1
    return start + begin, line, blank, n_found, n_odd, n_passed


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


def scan_binary(buf, end, dim, table, found, passed):
    """As `kernels.scan_binary`."""
    data = buf[:end].tobytes()
    position = record = n_found = n_passed = 0
    while n_found < len(found) and (n_passed < len(passed) or len(passed) == 0):
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
        elif len(passed):
            passed[n_passed] = _key_of(data[begin:word_end]), record, begin, stop
            n_passed += 1
        record += 1
        position = stop
    return position, record, n_found, n_passed


def parse_binary(buf, found, rows, exact):
    """As `kernels.parse_binary`."""
    for k, (_, _, _, word_end, stop) in enumerate(found.tolist()):
        rows[k] = np.frombuffer(buf[word_end + 1 : stop].tobytes(), "<f4")
        exact[k] = not np.isfinite(rows[k]).all()

"""The hot loops, compiled by numba; `plain.py` has the same functions in Python and NumPy.

A kernel is handed one block of the file: `buf`, a uint8 array whose first `end` bytes are whole records. It never reads past
`end`, holds no GIL and keeps no state. What is rare (a word with spaces in it, a number of 30 digits, a damaged line) it does
not judge: it reports the line as *odd*, and Python reads that line the exact way (`text.read_line`).
"""

import numba as nb
import numpy as np

_compiled = nb.njit(nogil=True, cache=True)
_inlined = nb.njit(nogil=True, cache=True, inline="always")

NEWLINE, SPACE, TAB, PLUS, MINUS, POINT, ZERO = b"\n \t+-.0"
_LOW7 = np.uint64(0x7F7F7F7F7F7F7F7F)
_HIGH = np.uint64(0x8080808080808080)
_ONES = np.uint64(0x0101010101010101)
_NEWLINES = np.uint64(0x0A0A0A0A0A0A0A0A)
_OVER_SPACE = np.uint64(0x5F5F5F5F5F5F5F5F)  # 0x7F - 0x20 in each byte
_ZEROS = np.uint64(0x3030303030303030)
_OVER_NINE = np.uint64(0x7676767676767676)  # 0x7F - 9 in each byte
_SEVEN = np.uint64(7)
_STRIDE = 32  # 8-byte words looked at between two questions "was there a newline?"

_FNV_BASIS = np.uint64(0xCBF29CE484222325)
_FNV_PRIME = np.uint64(0x100000001B3)

_POW10 = np.array([float(f"1e{k}") for k in range(281)])  # each correctly rounded
_INT_POW10 = np.array([10**k for k in range(9)], np.uint64)
_EXACT_MANTISSA = np.uint64(1 << 53)
_FLOAT32_MIN_NORMAL = float(np.finfo(np.float32).tiny)
_FLOAT32_MAX = float(np.finfo(np.float32).max)


# ── the words that are looked for ────────────────────────────────────────────────────────────────────────────────────────


def make_table(words):
    """A hash table over `words`, a list of bytes: (all their bytes, where each begins, slots). No words: every word matches."""
    blob = np.frombuffer(b"".join(words), np.uint8)
    begins = np.zeros(len(words) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, words), np.int64, len(words)), out=begins[1:])
    slots = np.full(1 << (2 * len(words)).bit_length() if words else 0, -1, np.int32)
    _fill_slots(blob, begins, slots)
    return blob, begins, slots


@_compiled
def _fill_slots(blob, begins, slots):
    mask = len(slots) - 1
    for word in range(len(begins) - 1):
        key = _FNV_BASIS
        for p in range(begins[word], begins[word + 1]):
            key = (key ^ np.uint64(blob[p])) * _FNV_PRIME
        slot = np.int64(key ^ (key >> np.uint64(32))) & mask
        while slots[slot] >= 0:
            slot = (slot + 1) & mask
        slots[slot] = word


@_inlined
def _look_up(buf, start, stop, key, blob, begins, slots):
    """Index of the word `buf[start:stop]`, whose FNV-1a hash is `key`; −1 where it is not wanted, 0 where every word is."""
    if len(slots) == 0:
        return np.int64(0)
    mask = len(slots) - 1
    slot = np.int64(key ^ (key >> np.uint64(32))) & mask
    while slots[slot] >= 0:
        word = np.int64(slots[slot])
        begin = begins[word]
        if begins[word + 1] - begin == stop - start:
            same = True
            for k in range(stop - start):
                if blob[begin + k] != buf[start + k]:
                    same = False
                    break
            if same:
                return word
        slot = (slot + 1) & mask
    return np.int64(-1)


def keys_of(buf, begins):
    """The FNV-1a hashes of the words `buf[begins[k]:begins[k + 1]]`, as int64."""
    keys = np.empty(len(begins) - 1, np.int64)
    _keys_of(buf, begins, keys)
    return keys


@_compiled
def _keys_of(buf, begins, keys):
    for k in range(len(keys)):
        key = _FNV_BASIS
        for p in range(begins[k], begins[k + 1]):
            key = (key ^ np.uint64(buf[p])) * _FNV_PRIME
        keys[k] = np.int64(key)


# ── text ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def scan_text(buf, start, end, dim, table, found, odd, passed):
    """Lines of `buf[start:end]`, the last of which ends in a newline → the regular ones that are wanted, and the odd ones.

    A line is regular when blanks (bytes up to 0x20) cut it into a word and `dim` fields. Rows of `found`: word index, line,
    begin of the line, end of the word, end of the last field; rows of `odd`: line, begin, end; lines count from 0 at `start`.
    Where `passed` has rows, regular lines that are not wanted go there: hash of the word, line, begin and end. Stops early
    where one of the three is full. Returns (position reached, lines, blank ones among them, rows of `found`, of `odd`, of
    `passed`).
    """
    return _scan_text(buf, buf[: len(buf) & ~7].view(np.uint64), start, end, dim, *table, found, odd, passed)


@_compiled
def _scan_text(buf, buf8, start, end, dim, blob, begins, slots, found, odd, passed):
    line = blank = n_found = n_odd = n_passed = 0
    p = start
    while p < end and n_found < len(found) and n_odd < len(odd) and (n_passed < len(passed) or len(passed) == 0):
        begin = p
        key = _FNV_BASIS
        while p < end and buf[p] > SPACE:
            key = (key ^ np.uint64(buf[p])) * _FNV_PRIME
            p += 1
        word_end = p

        newline, blanks = _line_end(buf, buf8, p, end)
        if newline < 0:
            newline = end  # the caller ends a block with a newline; should it not, nothing past `end` is read
            blanks += 1
        p = min(newline + 1, end)

        stop = newline
        while stop > word_end and buf[stop - 1] <= SPACE:
            stop -= 1
            blanks -= 1
        if blanks - 1 == dim and word_end > begin:
            word = _look_up(buf, begin, word_end, key, blob, begins, slots)
            if word >= 0:
                row = found[n_found]
                row[0], row[1], row[2], row[3], row[4] = word, line, begin, word_end, stop
                n_found += 1
            elif len(passed) > 0:
                row = passed[n_passed]
                row[0], row[1], row[2], row[3] = np.int64(key), line, begin, stop
                n_passed += 1
        elif stop > begin:
            row = odd[n_odd]
            row[0], row[1], row[2] = line, begin, stop
            n_odd += 1
        else:
            blank += 1
        line += 1
    return p, line, blank, n_found, n_odd, n_passed


@_compiled
def _line_end(buf, buf8, p, end):
    """Where the newline after p is (−1: nowhere before `end`), and how many blanks lie from p to it, itself counted.

    Byte by byte up to a multiple of 8, then 8 × 32 bytes at a time (each byte of `many` counts the blanks of one column), and
    byte by byte through the stretch that holds the newline.
    """
    blanks = 0
    while p < end and p & 7:
        if buf[p] <= SPACE:
            blanks += 1
            if buf[p] == NEWLINE:
                return p, blanks
        p += 1
    words = buf8[p >> 3 : end >> 3]  # a view from 0 on: LLVM sees that no index is negative, and uses SIMD
    q = 0
    while q + _STRIDE <= len(words):
        many = np.uint64(0)
        newlines = np.uint64(0)
        for k in range(_STRIDE):
            w = words[q + k]
            many += (~(((w & _LOW7) + _OVER_SPACE) | w) & _HIGH) >> _SEVEN
            x = w ^ _NEWLINES
            newlines |= ~(((x & _LOW7) + _LOW7) | x) & _HIGH
        if newlines:
            break
        blanks += np.int64((many * _ONES) >> np.uint64(56))
        q += _STRIDE
    p += q << 3
    while p < end:
        if buf[p] <= SPACE:
            blanks += 1
            if buf[p] == NEWLINE:
                return p, blanks
        p += 1
    return np.int64(-1), blanks


@_compiled
def parse_text(buf, found, rows, exact):
    """Parse the numbers of the lines in `found` into `rows`; `exact[k]` is set where row k must be read the exact way."""
    for k in range(len(found)):
        p, stop = found[k, 3], found[k, 4]
        row = rows[k]
        good = True
        control = False  # whether a control character stands where a space should
        for column in range(len(row)):
            control |= (buf[p] != SPACE) & (buf[p] != TAB)
            value, p, good = _parse_float(buf, p + 1, stop)
            if not good:
                break
            row[column] = value
        exact[k] = control or not good or p != stop


@_inlined
def _eight(buf, p):
    """The bytes p … p + 7, the first lowest. (Unsigned indexes: LLVM makes one load of the eight.)"""
    u = np.uintp(p)
    w = np.uint64(0)
    for k in range(8):
        w |= np.uint64(buf[u + np.uintp(k)]) << np.uint64(8 * k)
    return w


@_inlined
def _digits(w):
    """How many of the 8 bytes `w`, from the lowest on, are digits before one that is none; w is already xor "00000000"."""
    others = (((w & _LOW7) + _OVER_NINE) | w) & _HIGH
    if others == np.uint64(0):
        return np.int64(8)
    below = (others & (~others + np.uint64(1))) - np.uint64(1)
    return np.int64((((below >> _SEVEN) & _ONES) * _ONES) >> np.uint64(56))


@_inlined
def _number(w, width):
    """The decimal number that the lowest `width` (up to 8) bytes of `w` spell; w is already xor "00000000"."""
    if width < 8:
        w = (w << np.uint64(56 - 8 * width)) << np.uint64(8)  # zeros in front
    w = w * np.uint64(10) + (w >> np.uint64(8))  # pairs, then fours, then all eight
    pairs = np.uint64(0x000000FF000000FF)
    return (
        (w & pairs) * np.uint64(0x000F424000000064) + ((w >> np.uint64(16)) & pairs) * np.uint64(0x0000271000000001)
    ) >> np.uint64(32)


@_inlined
def _parse_float(buf, p, stop):
    """The number that begins at p and reaches to a blank or to `stop` → (value, where it ends, whether the value is exact)."""
    negative = p < stop and buf[p] == MINUS
    q = p + negative
    # Nearly every number of a vector file is a digit, a point and up to 16 digits: those are read 8 at a time. All bytes looked
    # at are in `buf`; what stands at `stop` is no digit, so no number reaches over it.
    if q + 18 <= len(buf) and q + 1 < stop and buf[q + 1] == POINT and np.uint8(buf[q] - ZERO) <= 9:
        mantissa = np.uint64(buf[q] - ZERO)
        q += 2
        w = _eight(buf, q) ^ _ZEROS
        width = _digits(w)
        mantissa = mantissa * _INT_POW10[width] + _number(w, width)
        if width == 8:
            w = _eight(buf, q + 8) ^ _ZEROS
            more = _digits(w)
            mantissa = mantissa * _INT_POW10[more] + _number(w, more)
            width += more
        q += width
        if width < 16 and buf[q] <= SPACE:
            value, good = _to_float32(mantissa, -width)
            return -value if negative else value, q, good
    return _parse_any_float(buf, p, stop)


@_compiled
def _parse_any_float(buf, p, stop):
    """`_parse_float` for signs, any number of digits and exponents."""
    negative = False
    if p < stop and (buf[p] == MINUS or buf[p] == PLUS):
        negative = buf[p] == MINUS
        p += 1
    mantissa = np.uint64(0)
    significant = 0
    any_digit = False
    exponent = 0
    point = False
    while p < stop:
        c = np.int64(buf[p]) - ZERO
        if 0 <= c <= 9:
            any_digit = True
            if significant < 19:
                mantissa = mantissa * np.uint64(10) + np.uint64(c)
                significant += mantissa != np.uint64(0)
                exponent -= point
            else:
                exponent += not point
        elif buf[p] == POINT and not point:
            point = True
        else:
            break
        p += 1
    good = any_digit
    if p < stop and (buf[p] == 101 or buf[p] == 69):  # e, E
        p += 1
        minus = False
        if p < stop and (buf[p] == MINUS or buf[p] == PLUS):
            minus = buf[p] == MINUS
            p += 1
        good = good and p < stop and buf[p] > SPACE
        written = 0
        while p < stop and ZERO <= buf[p] <= ZERO + 9:
            written = min(written * 10 + np.int64(buf[p]) - ZERO, 100_000)
            p += 1
        exponent += -written if minus else written
    value, exact = _to_float32(mantissa, exponent)
    return -value if negative else value, p, good and exact and (p == stop or buf[p] <= SPACE)


@_inlined
def _to_float32(mantissa, exponent):
    """mantissa · 10^exponent as float32, and whether it is surely what gensim (and a C cast of strtod) gives.

    They round the decimal to a double and the double to float32. Up to 2^53 and 10^±22 one operation on doubles is exact
    (Clinger, 1990). Elsewhere the double found here is off by less than 4 units in the last place (mantissa, power and
    operation each by half a one, digits past the 19th by less than that): the float32 is the same unless the double lies that
    close to the middle of two float32, and only then, or outside the normal float32, the answer is no.
    """
    if mantissa == np.uint64(0):
        return np.float32(0.0), True
    if exponent < -280 or exponent > 280:
        return np.float32(0.0), False
    value = np.float64(mantissa)
    value = value / _POW10[-exponent] if exponent < 0 else value * _POW10[exponent]
    good = value < _FLOAT32_MAX
    if mantissa > _EXACT_MANTISSA or exponent < -22 or exponent > 22:
        low = np.int64(np.float64(value).view(np.uint64) & np.uint64(0x1FFFFFFF))
        good = good and value >= _FLOAT32_MIN_NORMAL and abs(low - 0x10000000) > 8
    return np.float32(value), good


@_compiled
def join_words(buf, found, out):
    """Copy the words of `found` into `out`, a newline after each; returns the bytes written. `out` has room for `buf`."""
    n = 0
    for k in range(len(found)):
        for p in range(found[k, 2], found[k, 3]):
            out[n] = buf[p]
            n += 1
        out[n] = NEWLINE
        n += 1
    return n


# ── word2vec binary ──────────────────────────────────────────────────────────────────────────────────────────────────────


def scan_binary(buf, end, dim, table, found, passed):
    """Records (newlines, word, space, `dim` float32) of `buf[:end]` → those that are wanted, as rows of `found`.

    Rows of `found`: word index, record, begin of the word, its end, end of the vector; records count from 0. Where
    `passed` has rows, those that are not wanted go there: hash of the word, record, begin and end. Stops where one of the two
    is full or a record is not whole. Returns (position reached, records, rows of `found`, of `passed`).
    """
    return _scan_binary(buf, end, dim, *table, found, passed)


@_compiled
def _scan_binary(buf, end, dim, blob, begins, slots, found, passed):
    position = record = n_found = n_passed = 0
    while n_found < len(found) and (n_passed < len(passed) or len(passed) == 0):
        p = position
        while p < end and buf[p] == NEWLINE:
            p += 1
        begin = p
        key = _FNV_BASIS
        while p < end and buf[p] != SPACE:
            key = (key ^ np.uint64(buf[p])) * _FNV_PRIME
            p += 1
        stop = p + 1 + 4 * dim
        if stop > end:
            break
        word = _look_up(buf, begin, p, key, blob, begins, slots)
        if word >= 0:
            row = found[n_found]
            row[0], row[1], row[2], row[3], row[4] = word, record, begin, p, stop
            n_found += 1
        elif len(passed) > 0:
            row = passed[n_passed]
            row[0], row[1], row[2], row[3] = np.int64(key), record, begin, stop
            n_passed += 1
        record += 1
        position = stop
    return position, record, n_found, n_passed


def parse_binary(buf, found, rows, exact):
    """Copy the vectors of the records in `found` into `rows`; `exact[k]` is set where row k holds NaN or infinity."""
    _parse_binary(buf, found, rows.view(np.uint8), rows.view(np.uint32), exact)


@_compiled
def _parse_binary(buf, found, rows8, rows32, exact):
    for k in range(len(found)):
        rows8[k, :] = buf[found[k, 3] + 1 : found[k, 4]]
        odd = False
        for column in range(rows32.shape[1]):
            odd |= (rows32[k, column] & np.uint32(0x7F800000)) == np.uint32(0x7F800000)
        exact[k] = odd

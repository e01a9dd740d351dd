"""The hot loops, compiled by numba; `plain.py` has the same functions in Python and NumPy.

A kernel is handed one block of the file: `buf`, a uint8 array whose first `end` bytes are whole records. It never reads past
`end`, holds no GIL and keeps no state. What is rare (a word with spaces in it, a number of 30 digits, a damaged line) it does
not judge: it reports the line as *odd*, and Python reads that line the exact way (`line.read_line`).
"""

import logging
import os
from functools import partial

import numba as nb
import numpy as np
from numba.core.compiler_lock import global_compiler_lock

from . import plain

logger = logging.getLogger("w2v_embed")


class _Unkept:
    """Tells, once, that compiled loops are not kept for other processes: an install that nobody may write to, a full disk."""

    told = False

    def tell(self, why):
        if not self.told:
            self.told = True
            logger.warning(
                "the compiled loops cannot be kept on disk (%s); they are compiled anew for this process, which takes a while. "
                "Set NUMBA_CACHE_DIR to a folder that can be written to",
                why,
            )


_unkept = _Unkept()


def _compiled(function, **options):
    """`function`, compiled when it is first called, and kept on disk where that can be."""
    loop = nb.njit(nogil=True, error_model="numpy", **options)(function)
    if not hasattr(loop, "enable_caching"):  # NUMBA_DISABLE_JIT
        return loop
    try:
        loop.enable_caching()
    except RuntimeError as error:  # numba looks for a folder right now
        _unkept.tell(error)
        return loop
    cache = loop._cache
    cache.load_overload, cache.save_overload = map(_or_none, (cache.load_overload, cache.save_overload))
    return loop


def _or_none(call):
    """As `call`, but None where it fails: numba lets a file that is damaged, full or not ours end the whole call."""

    def guarded(*args):
        try:
            return call(*args)
        except Exception as error:
            _unkept.tell(error)
            return None

    return guarded


_inlined = partial(_compiled, inline="always")

if hasattr(os, "register_at_fork"):
    # Numba's lock, should another thread hold it at a fork, would never be given back in the child.
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=global_compiler_lock.release,
    )

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

_NEARBY = 1 << 17  # bytes that are worked on together: they stay in the cache
_TOGETHER = 64  # records, at most

LENGTH_BITS = plain.LENGTH_BITS
_FNV_BASIS = np.uint64(0xCBF29CE484222325)
_FNV_PRIME = np.uint64(0x100000001B3)
_PRIME = np.uint64((1 << 31) - 1)

_POW10 = np.array([float(f"1e{k}") for k in range(281)])  # each correctly rounded
_INT_POW10 = np.array([10**k for k in range(9)], np.uint64)
_EXACT_MANTISSA = np.uint64(1 << 53)
_FLOAT32_MIN_NORMAL = float(np.finfo(np.float32).tiny)
_FLOAT32_MAX = float(np.finfo(np.float32).max)


# ── the words that are looked for ────────────────────────────────────────────────────────────────────────────────────────
#
# Anybody can make words whose keys are alike, in part or wholly, and send a vocabulary or a file of them. So where a key goes
# is drawn anew for each table (`_mixed`), and of words with one and the same key only the first is found by it; the others are
# in a table of their own, by a hash that is itself drawn (`_drawn_key_of`). What is found never depends on it.


def make_table(words):
    """A hash table over `words`, a list of bytes: (all their bytes, where each begins, slots by key, slots of those whose key
    another one has, salt). No words: every word matches."""
    blob = np.frombuffer(b"".join(words), np.uint8)
    begins = np.zeros(len(words) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, words), np.int64, len(words)), out=begins[1:])
    salt, slots = _new_salt(), _free_slots(len(words))
    alike = _fill_slots(keys_of(blob, begins[:-1], begins[1:]), slots, salt)
    others = _free_slots(len(alike))
    _fill_others(blob, begins, alike, others, salt)
    return blob, begins, slots, others, salt


def _new_salt():
    salt = np.frombuffer(os.urandom(32), np.uint64).copy()
    salt[1:3] |= np.uint64(1)
    salt[3] = salt[3] % (_PRIME >> np.uint64(1)) + (_PRIME >> np.uint64(1))
    return salt


def _free_slots(n):
    return np.full(1 << (2 * n).bit_length() if n else 0, -1, np.int32)


@_inlined
def _mixed(key, salt):
    """A key as 64 bits of which nobody who does not know the salt can tell which keys share any."""
    h = (np.uint64(key) ^ salt[0]) * salt[1]
    h = (h ^ (h >> np.uint64(32))) * salt[2]
    return h ^ (h >> np.uint64(32))


@_inlined
def _drawn_key_of(buf, start, stop, salt):
    """A hash of a word: its bytes as a polynomial at a place that is drawn, so that two words of n bytes share one by a chance
    of n / 2^30."""
    h = np.uint64(1)
    for p in range(start, stop):
        h = (h * salt[3] + np.uint64(buf[p])) % _PRIME
    return h


@_compiled
def _fill_slots(keys, slots, salt):
    """Put words to their slots; returns those that have the key of an earlier one, which have none."""
    alike = np.empty(len(keys), np.int32)
    n = 0
    mask = len(slots) - 1
    for word in range(len(keys)):
        slot = np.int64(_mixed(keys[word], salt)) & mask
        while slots[slot] >= 0 and keys[slots[slot]] != keys[word]:
            slot = (slot + 1) & mask
        if slots[slot] < 0:
            slots[slot] = word
        else:
            alike[n] = word
            n += 1
    return alike[:n].copy()


@_compiled
def _fill_others(blob, begins, words, slots, salt):
    mask = len(slots) - 1
    for k in range(len(words)):
        slot = np.int64(_drawn_key_of(blob, begins[words[k]], begins[words[k] + 1], salt)) & mask
        while slots[slot] >= 0:
            slot = (slot + 1) & mask
        slots[slot] = words[k]


@_inlined
def _look_up(buf, start, stop, key, blob, begins, slots, others, salt):
    """Index of the word `buf[start:stop]`, whose FNV-1a hash is `key`; −1 where it is not wanted, 0 where every word is."""
    if len(slots) == 0:
        return np.int64(0)
    mask = len(slots) - 1
    slot = np.int64(_mixed(key, salt)) & mask
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
    return np.int64(-1) if len(others) == 0 else _look_up_other(buf, start, stop, blob, begins, others, salt)


@_compiled
def _look_up_other(buf, start, stop, blob, begins, others, salt):
    mask = len(others) - 1
    slot = np.int64(_drawn_key_of(buf, start, stop, salt)) & mask
    while others[slot] >= 0:
        word = np.int64(others[slot])
        if np.array_equal(blob[begins[word] : begins[word + 1]], buf[start:stop]):
            return word
        slot = (slot + 1) & mask
    return np.int64(-1)


# ── sets of words, by their keys ─────────────────────────────────────────────────────────────────────────────────────────


@_compiled
def keys_of(buf, begins, ends):
    """The FNV-1a hashes of the words `buf[begins[k]:ends[k]]`, as int64."""
    keys = np.empty(len(begins), np.int64)
    for k in range(len(keys)):
        keys[k] = np.int64(_key_of(buf, begins[k], ends[k]))
    return keys


@_inlined
def _key_of(buf, begin, end):
    key = _FNV_BASIS
    for p in range(begin, end):
        key = (key ^ np.uint64(buf[p])) * _FNV_PRIME
    return key


def make_set(keys):
    """The set of the int64 keys in a list of arrays, for `are_in`: slots, salt.

    A hash table that holds 32 bits of each mixed key, 0 where a slot is free: half the memory, and of the keys that are not in
    the set hardly one in 10^9 is taken for one that is. Sets are sparse, small ones more so: fewer steps a question.
    """
    n = sum(map(len, keys))
    slots, salt = np.zeros(1 << max(2 * n, min(16 * n, 1 << 17)).bit_length(), np.int32), _new_salt()
    for some in keys:
        _add_keys(slots, some, salt)
    return slots, salt


@_compiled
def _add_keys(slots, keys, salt):
    for k in range(len(keys)):
        slot, mark = _slot_of(keys[k], slots, salt)
        slots[slot] = mark


def are_in(keys, some):
    """For each of the int64 `keys` whether it is in a set that `make_set` made."""
    return _are_in(keys, *some)


@_compiled
def _are_in(keys, slots, salt):
    there = np.empty(len(keys), np.bool_)
    for k in range(len(keys)):
        slot, mark = _slot_of(keys[k], slots, salt)
        there[k] = slots[slot] == mark
    return there


@_inlined
def _slot_of(key, slots, salt):
    """The slot that holds a key's mark, or the free one where it would go; the mark."""
    mask = len(slots) - 1
    h = _mixed(key, salt)
    mark = np.int32(h >> np.uint64(32))
    if mark == 0:
        mark = np.int32(1)
    slot = np.int64(h) & mask
    while slots[slot] != 0 and slots[slot] != mark:
        slot = (slot + 1) & mask
    return slot, mark


# ── text ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def scan_text(buf, start, end, dim, table, found, odd, notes=plain.NO_NOTES, offset=0):
    """Lines of `buf[start:end]`, the last of which ends in a newline → the regular ones that are wanted, and the odd ones.

    A line is regular when blanks (bytes up to 0x20) cut it into a word and `dim` fields, and no zero bytes end it. Rows of
    `found`: word index, line, begin of the line, end of the word, end of the last field; rows of `odd`: line, begin, end; lines
    count from 0 at `start`.
    Where `notes`, two arrays, have room, all regular lines go there, wanted or not: the word's hash to the first, and to the
    second `offset` + begin, shifted left by `LENGTH_BITS`, plus the length. Stops early where one of the three is full.
    Returns (position reached, lines, blank ones among them, rows of `found`, of `odd`, numbers in each of `notes`).
    """
    return _scan_text(buf, buf[: len(buf) & ~7].view(np.uint64), start, end, dim, table, found, odd, *notes, offset)


@_compiled
def _scan_text(buf, buf8, start, end, dim, table, found, odd, keys, places, offset):
    blob, begins, slots, others, salt = table  # not in `_look_up`, where it would be counted who holds each of them
    line = blank = n_found = n_odd = n_noted = 0
    p = start
    while p < end and n_found < len(found) and n_odd < len(odd) and (n_noted < len(keys) or len(keys) == 0):
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
        zero = False
        while stop > word_end and buf[stop - 1] <= SPACE:
            stop -= 1
            blanks -= 1
            zero |= buf[stop] == 0
        if zero:
            stop = newline
        if blanks - 1 == dim and word_end > begin and not zero:
            word = _look_up(buf, begin, word_end, key, blob, begins, slots, others, salt)
            if word >= 0:
                row = found[n_found]
                row[0], row[1], row[2], row[3], row[4] = word, line, begin, word_end, stop
                n_found += 1
            if len(keys) > 0:
                keys[n_noted], places[n_noted] = np.int64(key), (offset + begin) << LENGTH_BITS | (stop - begin)
                n_noted += 1
        elif stop > begin:
            row = odd[n_odd]
            row[0], row[1], row[2] = line, begin, stop
            n_odd += 1
        else:
            blank += 1
        line += 1
    return p, line, blank, n_found, n_odd, n_noted


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


def parse_text(buf, found, rows, exact):
    """Parse the numbers of the lines in `found` into `rows`; `exact[k]` is set where row k must be read the exact way."""
    _parse_text(buf, _eight(buf), found, rows, exact)


def _eight(buf):
    """The 8 bytes from each place of `buf` on."""
    return np.ndarray(max(len(buf) - 7, 0), np.uint64, buf, strides=(1,))


@_compiled
def _parse_text(buf, eight, found, rows, exact):
    """Two lines at a time: where a number begins is known only when the one before it has been read, and meanwhile the
    processor goes on with the other line. (Where they are odd in number, the last one goes with itself.)
    """
    for k in range(0, len(found), 2):
        j = min(k + 1, len(found) - 1)
        p, stop = np.uintp(found[k, 3]), np.uintp(found[k, 4])
        q, end = np.uintp(found[j, 3]), np.uintp(found[j, 4])
        room = max(stop, end) + 20 <= len(buf)  # for `eight`
        good = True
        for column in range(rows.shape[1]):
            short = False
            if room:
                start = eight[p]
                fraction = p + _before_digits(start)
                value, width, short = _parse_short(start, eight[fraction], eight[fraction + np.uintp(8)])
                start = eight[q]
                fraction_too = q + _before_digits(start)
                value_too, width_too, short_too = _parse_short(
                    start, eight[fraction_too], eight[fraction_too + np.uintp(8)]
                )
                short &= short_too & (fraction + width <= stop) & (fraction_too + width_too <= end)
            if short:
                p, q = fraction + width, fraction_too + width_too
            else:
                value, p, good = _parse_field(buf, p, stop)
                value_too, q, good_too = _parse_field(buf, q, end)
                if not (good and good_too):
                    good = False
                    break
            rows[k, column] = value
            rows[j, column] = value_too
        exact[k] = exact[j] = not good or p != stop or q != end


@_inlined
def _before_digits(start):
    """The width of what comes before the digits after the point in ` 0.12` or ` -0.1`, the lowest byte first."""
    return np.uintp(3) + np.uintp(np.uint8(start >> np.uint64(8)) == MINUS)


@_inlined
def _parse_short(start, w, more):
    """A number of one digit, a point and up to 15 digits, as nearly all are in vector files.

    `start` are its first bytes with the space before it, `w` the 8 after its point, `more` the next 8. Returns (value, how many
    digits follow the point, whether it is such a number and the value is exact).
    """
    negative = np.uint8(start >> np.uint64(8)) == MINUS
    number = start >> (np.uint64(16) if negative else np.uint64(8))
    mantissa = (number & np.uint64(255)) - np.uint64(ZERO)
    good = (np.uint8(start) == SPACE) & (mantissa <= np.uint64(9)) & (np.uint8(number >> np.uint64(8)) == POINT)
    digits = w ^ _ZEROS
    width = _digits(digits)
    mantissa = mantissa * _INT_POW10[np.uintp(width)] + _number(digits, width)
    if width < 8:
        value = np.float32(np.float64(mantissa) / _POW10[np.uintp(width)])
        good &= np.uint8(w >> np.uint64(8 * width)) <= SPACE
    else:
        digits = more ^ _ZEROS
        width = _digits(digits)
        mantissa = mantissa * _INT_POW10[np.uintp(width)] + _number(digits, width)
        value, exact = _to_float32(mantissa, -8 - width)
        good &= exact & (width < 8)
        good &= np.uint8(more >> np.uint64(8 * (width & 7))) <= SPACE
        width += 8
    return -value if negative else value, np.uintp(width), good


@_compiled
def _parse_field(buf, p, stop):
    """The blank at p and the number behind it → (value, where it ends, whether the value is exact, and the blank one)."""
    value, q, good = _parse_float(buf, np.int64(p) + 1, np.int64(stop))
    return value, np.uintp(q), good and (buf[p] == SPACE or buf[p] == TAB)


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


@_compiled
def _parse_float(buf, p, stop):
    """Any number that begins at p and reaches to a blank or to `stop` → (value, where it ends, whether the value is exact)."""
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


def scan_binary(buf, end, dim, table, found, notes=plain.NO_NOTES, offset=0):
    """Records (newlines, word, space, `dim` float32) of `buf[:end]` → those that are wanted, as rows of `found`.

    Rows of `found`: word index, record, begin of the word, its end, end of the vector; records count from 0. `notes` as in
    `scan_text`. Stops where one of the two is full or a record is not whole. Returns (position reached, records, rows of
    `found`, numbers in each of `notes`).
    """
    return _scan_binary(buf, end, dim, table, found, *notes, offset)


@_compiled
def _scan_binary(buf, end, dim, table, found, keys, places, offset):
    blob, begins, slots, others, salt = table
    position = record = n_found = n_noted = 0
    while n_found < len(found) and (n_noted < len(keys) or len(keys) == 0):
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
        word = _look_up(buf, begin, p, key, blob, begins, slots, others, salt)
        if word >= 0:
            row = found[n_found]
            row[0], row[1], row[2], row[3], row[4] = word, record, begin, p, stop
            n_found += 1
        if len(keys) > 0:
            keys[n_noted], places[n_noted] = np.int64(key), (offset + begin) << LENGTH_BITS | (stop - begin)
            n_noted += 1
        record += 1
        position = stop
    return position, record, n_found, n_noted


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


# ── rows of other words ──────────────────────────────────────────────────────────────────────────────────────────────────


@_compiled
def mean_rows(matrix, more, places, bounds, targets):
    """Make each row `targets[k]` of `matrix` the mean of the rows `places[bounds[k]:bounds[k + 1]]`, one at least.

    Places from the matrix's length on are those of `more`.
    """
    total = np.empty(matrix.shape[1])
    for k in range(len(targets)):
        total[:] = -0.0  # which adds nothing, not even the sign that 0.0 would take from a −0.0
        for place in places[bounds[k] : bounds[k + 1]]:
            row = matrix[place] if place < len(matrix) else more[place - len(matrix)]
            for column in range(len(total)):
                total[column] += row[column]
        number = bounds[k + 1] - bounds[k]
        target = matrix[targets[k]]
        for column in range(len(total)):
            target[column] = total[column] / number


# ── records that lie apart ───────────────────────────────────────────────────────────────────────────────────────────────

# Of the C library. It does not move the file's position, so that several threads can read.
_pread = nb.types.ExternalFunction("pread", nb.int64(nb.int32, nb.types.voidptr, nb.uint64, nb.int64))


@_compiled
def _read_records(file, begins, stops, buf):
    """Read the bytes `begins[k]:stops[k]` of an open file, whose number is `file`, into `buf`, each with a newline after it.

    Returns how many bytes are in `buf`; −1 where the file has fewer bytes, or there is no room for them.
    """
    n = 0
    for k in range(len(begins)):
        at, stop = begins[k], stops[k]
        if n + stop - at >= len(buf):
            return -1
        while at < stop:
            got = _pread(file, buf[n:].ctypes, np.uint64(stop - at), at)
            if got <= 0:
                return -1
            n += got
            at += got
        buf[n] = NEWLINE
        n += 1
    return n


read_records = plain.read_records if os.name == "nt" else _read_records  # Windows has no pread


def read_rows(file, binary, begins, stops, table, rows, targets):
    """Records `begins[k]:stops[k]` of an open file → `rows[k]`, and to `targets[k]` the index of the word.

    A binary record has room for a byte, a space and a vector at least. The index is −1 where the word is not wanted, or the
    record must be read the exact way. Some records at a time go through a buffer that stays in the cache. Returns False where
    the file has fewer bytes.
    """
    buf = np.empty(max(_NEARBY, int((stops - begins).max(initial=0))) + plain.PADDING, np.uint8)
    views = buf, _eight(buf), rows, rows.view(np.uint8), rows.view(np.uint32)
    return _read_rows(file, binary, begins, stops, table, *views, targets)


def _read_rows(file, binary, begins, stops, table, buf, eight, rows, rows8, rows32, targets):
    found = np.empty((_TOGETHER, 5), np.int64)
    first = 0
    while first < len(begins):
        last, size = first, stops[first] - begins[first]
        while size <= len(buf) - plain.PADDING and last < first + _TOGETHER:
            last += 1
            if last == len(begins):
                break
            size += 1 + stops[last] - begins[last]
        if read_records(file, begins[first:last], stops[first:last], buf) < 0:
            return False
        sizes = stops[first:last] - begins[first:last]
        some, some8, some32 = rows[first:last], rows8[first:last], rows32[first:last]
        _rows_of(buf, eight, binary, sizes, table, found, some, some8, some32, targets[first:last])
        first = last
    return True


if os.name != "nt":
    _read_rows = _compiled(_read_rows)


@_compiled
def _rows_of(buf, eight, binary, sizes, table, found, rows, rows8, rows32, targets):
    """As `read_rows`, of records that lie in `buf` one behind the other, each with a newline after it."""
    exact = np.empty(len(sizes), np.bool_)
    blob, begins, slots, others, salt = table
    begin = 0
    for k in range(len(sizes)):
        stop = begin + sizes[k]
        p = begin
        while p < stop and (buf[p] != SPACE if binary else buf[p] > SPACE):
            p += 1
        good = p > begin
        if binary and p + 1 + rows8.shape[1] != stop:  # the file is not any more what it was
            good, p = False, stop - 1 - rows8.shape[1]
        row = found[k]
        row[0], row[1], row[2], row[3], row[4] = 0, k, begin, p, stop
        key = _key_of(buf, begin, p)
        targets[k] = _look_up(buf, begin, p, key, blob, begins, slots, others, salt) if good else np.int64(-1)
        begin = stop + 1
    found = found[: len(sizes)]
    if binary:
        _parse_binary(buf, found, rows8, rows32, exact)
    else:
        _parse_text(buf, eight, found, rows, exact)
    for k in range(len(sizes)):
        if exact[k]:
            targets[k] = -1

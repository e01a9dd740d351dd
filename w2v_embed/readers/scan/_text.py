"""Lines of text: where the words and numbers lie, and what the numbers are; compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._jit import compiled, inlined
from ._words import Table, look_up
from .plain import FNV_BASIS, FNV_PRIME, LENGTH_BITS, NEWLINE, NO_NOTES, SPACE, TAB

if TYPE_CHECKING:
    from ..._types import Bools, Bytes, Floats, Ids

_PLUS, _MINUS, _POINT, _ZERO = b"+-.0"
_LOW7 = np.uint64(0x7F7F7F7F7F7F7F7F)
_HIGH = np.uint64(0x8080808080808080)
_ONES = np.uint64(0x0101010101010101)
_NEWLINES = np.uint64(0x0A0A0A0A0A0A0A0A)
_OVER_SPACE = np.uint64(0x5F5F5F5F5F5F5F5F)  # 0x7F - 0x20 in each byte
_ZEROS = np.uint64(0x3030303030303030)
_OVER_NINE = np.uint64(0x7676767676767676)  # 0x7F - 9 in each byte
_SEVEN = np.uint64(7)
_STRIDE = 32  # 8-byte words looked at between two questions "was there a newline?"

_POW10 = np.array([float(f"1e{k}") for k in range(281)])  # each correctly rounded
_INT_POW10 = np.array([10**k for k in range(9)], np.uint64)
_EXACT_MANTISSA = np.uint64(1 << 53)
_FLOAT32_MIN_NORMAL = float(np.finfo(np.float32).tiny)
_FLOAT32_MAX = float(np.finfo(np.float32).max)


def scan_text(
    buf: Bytes,
    end: int,
    dim: int,
    table: Table,
    hits: Ids,
    odd: Ids,
    notes: tuple[Ids, Ids] = NO_NOTES,
) -> tuple[int, int, int, int, int, int]:
    """Lines of `buf[:end]`, the last of which ends in a newline → the regular ones that are wanted, and the odd ones.

    A line is regular when blanks (bytes up to 0x20) cut it into a word and `dim` fields, and no zero bytes end it. Rows of
    `hits`: number of the word, line, begin of the line, end of the word, end of the last field; rows of `odd`: line, begin,
    end; lines count from 0.
    Where `notes`, two arrays, have room, all regular lines go there, wanted or not: the word's key to the first, and to the
    second the line's span: its begin, shifted left by `LENGTH_BITS`, plus its length. Stops early where one of the three is
    full. Returns (position reached, lines, blank ones among them, rows of `hits`, of `odd`, numbers in each of `notes`).
    """
    return _scan_text(buf, buf[: len(buf) & ~7].view(np.uint64), end, dim, table, hits, odd, notes)


@compiled
def _scan_text(buf, buf8, end, dim, table, hits, odd, notes):
    keys, spans = notes
    blob, begins, slots, others, salt = table  # not in `look_up`, where it would be counted who holds each of them
    p = line = blank = n_hits = n_odd = n_noted = 0
    while p < end and n_hits < len(hits) and n_odd < len(odd) and (n_noted < len(keys) or len(keys) == 0):
        begin = p
        key = FNV_BASIS
        while p < end and buf[p] > SPACE:
            key = (key ^ np.uint64(buf[p])) * FNV_PRIME
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
            word = look_up(buf, begin, word_end, key, blob, begins, slots, others, salt)
            if word >= 0:
                row = hits[n_hits]
                row[0], row[1], row[2], row[3], row[4] = word, line, begin, word_end, stop
                n_hits += 1
            if len(keys) > 0:
                keys[n_noted], spans[n_noted] = np.int64(key), begin << LENGTH_BITS | (stop - begin)
                n_noted += 1
        elif stop > begin:
            row = odd[n_odd]
            row[0], row[1], row[2] = line, begin, stop
            n_odd += 1
        else:
            blank += 1
        line += 1
    return p, line, blank, n_hits, n_odd, n_noted


@compiled
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


def parse_text(buf: Bytes, hits: Ids, rows: Floats, unsure: Bools) -> None:
    """Parse the numbers of the lines in `hits` into `rows`; `unsure[k]` is set where row k must be read the exact way."""
    eight = np.ndarray(max(len(buf) - 7, 0), np.uint64, buf, strides=(1,))  # the 8 bytes from each place of `buf` on
    _parse_text(buf, eight, hits, rows, unsure)


@compiled
def _parse_text(buf, eight, hits, rows, unsure):
    """Two lines at a time: where a number begins is known only when the one before it has been read, and meanwhile the
    processor goes on with the other line. (Where they are odd in number, the last one goes with itself.)
    """
    for k in range(0, len(hits), 2):
        j = min(k + 1, len(hits) - 1)
        p, stop = np.uintp(hits[k, 3]), np.uintp(hits[k, 4])
        q, end = np.uintp(hits[j, 3]), np.uintp(hits[j, 4])
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
        unsure[k] = unsure[j] = not good or p != stop or q != end


@inlined
def _before_digits(start):
    """The width of what comes before the digits after the point in ` 0.12` or ` -0.1`, the lowest byte first."""
    return np.uintp(3) + np.uintp(np.uint8(start >> np.uint64(8)) == _MINUS)


@inlined
def _parse_short(start, w, more):
    """A number of one digit, a point and up to 15 digits, as nearly all are in vector files.

    `start` are its first bytes with the space before it, `w` the 8 after its point, `more` the next 8. Returns (value, how many
    digits follow the point, whether it is such a number and the value is exact).
    """
    negative = np.uint8(start >> np.uint64(8)) == _MINUS
    number = start >> (np.uint64(16) if negative else np.uint64(8))
    mantissa = (number & np.uint64(255)) - np.uint64(_ZERO)
    good = (np.uint8(start) == SPACE) & (mantissa <= np.uint64(9)) & (np.uint8(number >> np.uint64(8)) == _POINT)
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


@compiled
def _parse_field(buf, p, stop):
    """The blank at p and the number behind it → (value, where it ends, whether the value is exact, and the blank one)."""
    value, q, good = _parse_float(buf, np.int64(p) + 1, np.int64(stop))
    return value, np.uintp(q), good and (buf[p] == SPACE or buf[p] == TAB)


@inlined
def _digits(w):
    """How many of the 8 bytes `w`, from the lowest on, are digits before one that is none; w is already xor "00000000"."""
    others = (((w & _LOW7) + _OVER_NINE) | w) & _HIGH
    if others == np.uint64(0):
        return np.int64(8)
    below = (others & (~others + np.uint64(1))) - np.uint64(1)
    return np.int64((((below >> _SEVEN) & _ONES) * _ONES) >> np.uint64(56))


@inlined
def _number(w, width):
    """The decimal number that the lowest `width` (up to 8) bytes of `w` spell; w is already xor "00000000"."""
    if width < 8:
        w = (w << np.uint64(56 - 8 * width)) << np.uint64(8)  # zeros in front
    w = w * np.uint64(10) + (w >> np.uint64(8))  # pairs, then fours, then all eight
    pairs = np.uint64(0x000000FF000000FF)
    return (
        (w & pairs) * np.uint64(0x000F424000000064) + ((w >> np.uint64(16)) & pairs) * np.uint64(0x0000271000000001)
    ) >> np.uint64(32)


@compiled
def _parse_float(buf, p, stop):
    """Any number that begins at p and reaches to a blank or to `stop` → (value, where it ends, whether the value is exact)."""
    negative = False
    if p < stop and (buf[p] == _MINUS or buf[p] == _PLUS):
        negative = buf[p] == _MINUS
        p += 1
    mantissa = np.uint64(0)
    significant = 0
    any_digit = False
    exponent = 0
    point = False
    while p < stop:
        c = np.int64(buf[p]) - _ZERO
        if 0 <= c <= 9:
            any_digit = True
            if significant < 19:
                mantissa = mantissa * np.uint64(10) + np.uint64(c)
                significant += mantissa != np.uint64(0)
                exponent -= point
            else:
                exponent += not point
        elif buf[p] == _POINT and not point:
            point = True
        else:
            break
        p += 1
    good = any_digit
    if p < stop and (buf[p] == 101 or buf[p] == 69):  # e, E
        p += 1
        minus = False
        if p < stop and (buf[p] == _MINUS or buf[p] == _PLUS):
            minus = buf[p] == _MINUS
            p += 1
        good = good and p < stop and buf[p] > SPACE
        written = 0
        while p < stop and _ZERO <= buf[p] <= _ZERO + 9:
            written = min(written * 10 + np.int64(buf[p]) - _ZERO, 100_000)
            p += 1
        exponent += -written if minus else written
    value, exact = _to_float32(mantissa, exponent)
    return -value if negative else value, p, good and exact and (p == stop or buf[p] <= SPACE)


@inlined
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


@compiled
def join_words(buf: Bytes, hits: Ids, out: Bytes) -> int:
    """Copy the words of `hits` into `out`, a newline after each; returns the bytes written. `out` has room for `buf`."""
    n = 0
    for k in range(len(hits)):
        for p in range(hits[k, 2], hits[k, 3]):
            out[n] = buf[p]
            n += 1
        out[n] = NEWLINE
        n += 1
    return n

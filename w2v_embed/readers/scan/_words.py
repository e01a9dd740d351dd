"""The words that are looked for as a hash table, and sets of keys: the compiled loops' part that text and binary share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ._jit import compiled, inlined
from .plain import FNV_BASIS, FNV_PRIME

if TYPE_CHECKING:
    from ..._types import Bools, Bytes, Ids

_PRIME = np.uint64((1 << 31) - 1)


# ── the words that are looked for ────────────────────────────────────────────────────────────────────────────────────────
#
# Anybody can make words whose keys are alike, in part or wholly, and send a vocabulary or a file of them. So where a key goes
# is drawn anew for each table (`_mixed`), and of words with one and the same key only the first is found by it; the others are
# in a table of their own, by a hash that is itself drawn (`_drawn_key_of`). What is found never depends on it.


class Table(NamedTuple):
    """A hash table of words.

    Attributes:
        blob: all their bytes.
        begins: where each begins, and the last one ends.
        slots: the words' numbers by their keys.
        others: of those whose key another one has, by a hash that is drawn.
        salt: what is drawn.
    """

    blob: Bytes
    begins: Ids
    slots: Ids
    others: Ids
    salt: Ids


def make_table(words: Sequence[bytes]) -> Table:
    """A hash table over `words`. No words: every word matches."""
    blob = np.frombuffer(b"".join(words), np.uint8)
    begins = np.zeros(len(words) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, words), np.int64, len(words)), out=begins[1:])
    salt, slots = _new_salt(), _free_slots(len(words))
    alike = _fill_slots(keys_of(blob, begins[:-1], begins[1:]), slots, salt)
    others = _free_slots(len(alike))
    _fill_others(blob, begins, alike, others, salt)
    return Table(blob, begins, slots, others, salt)


def _new_salt():
    salt = np.frombuffer(os.urandom(32), np.uint64).copy()
    salt[1:3] |= np.uint64(1)
    salt[3] = salt[3] % (_PRIME >> np.uint64(1)) + (_PRIME >> np.uint64(1))
    return salt


def _free_slots(n):
    return np.full(1 << (2 * n).bit_length() if n else 0, -1, np.int32)


@inlined
def _mixed(key, salt):
    """A key as 64 bits of which nobody who does not know the salt can tell which keys share any."""
    h = (np.uint64(key) ^ salt[0]) * salt[1]
    h = (h ^ (h >> np.uint64(32))) * salt[2]
    return h ^ (h >> np.uint64(32))


@inlined
def _drawn_key_of(buf, start, stop, salt):
    """A hash of a word: its bytes as a polynomial at a place that is drawn, so that two words of n bytes share one by a chance
    of n / 2^30."""
    h = np.uint64(1)
    for p in range(start, stop):
        h = (h * salt[3] + np.uint64(buf[p])) % _PRIME
    return h


@compiled
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


@compiled
def _fill_others(blob, begins, words, slots, salt):
    mask = len(slots) - 1
    for k in range(len(words)):
        slot = np.int64(_drawn_key_of(blob, begins[words[k]], begins[words[k] + 1], salt)) & mask
        while slots[slot] >= 0:
            slot = (slot + 1) & mask
        slots[slot] = words[k]


@inlined
def look_up(buf, start, stop, key, blob, begins, slots, others, salt):
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


@compiled
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


@compiled
def keys_of(buf: Bytes, begins: Ids, ends: Ids) -> Ids:
    """The FNV-1a hashes of the words `buf[begins[k]:ends[k]]`, as int64."""
    keys = np.empty(len(begins), np.int64)
    for k in range(len(keys)):
        keys[k] = np.int64(key_of(buf, begins[k], ends[k]))
    return keys


@inlined
def key_of(buf, begin, end):
    key = FNV_BASIS
    for p in range(begin, end):
        key = (key ^ np.uint64(buf[p])) * FNV_PRIME
    return key


def make_set(keys: Sequence[Ids]) -> tuple[Ids, Ids]:
    """The set of the int64 keys in a list of arrays, for `are_in`: slots, salt.

    A hash table that holds 32 bits of each mixed key, 0 where a slot is free: half the memory, and of the keys that are not in
    the set hardly one in 10^9 is taken for one that is. Sets are sparse, small ones more so: fewer steps a question.
    """
    n = sum(map(len, keys))
    slots, salt = np.zeros(1 << max(2 * n, min(16 * n, 1 << 17)).bit_length(), np.int32), _new_salt()
    for some in keys:
        _add_keys(slots, some, salt)
    return slots, salt


@compiled
def _add_keys(slots, keys, salt):
    for k in range(len(keys)):
        slot, mark = _slot_of(keys[k], slots, salt)
        slots[slot] = mark


def are_in(keys: Ids, some: tuple[Ids, Ids]) -> Bools:
    """For each of the int64 `keys` whether it is in a set that `make_set` made."""
    return _are_in(keys, *some)


@compiled
def _are_in(keys, slots, salt):
    there = np.empty(len(keys), np.bool_)
    for k in range(len(keys)):
        slot, mark = _slot_of(keys[k], slots, salt)
        there[k] = slots[slot] == mark
    return there


@inlined
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

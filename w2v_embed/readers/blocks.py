"""A vector file as blocks of whole records; what text and binary have in common."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .damage import Damage, Damages, again, zero_tail
from .encodings import looks_like, reads_as
from .scan import plain

if TYPE_CHECKING:
    from types import ModuleType

    from .._types import Bools, Bytes, Floats, Ids
    from .encodings import Stream
    from .formats.base import Layout
    from .line import Row

_BLOCK = 1 << 21
_LONGEST_RECORD = 1 << 22
_NOTES = 1 << 16  # in an array of `Notes`


@dataclass
class Block:
    """Rows of one block, in the order of the file. `rows` is good until the block is committed."""

    offset: int  # of the block, in unpacked bytes
    records: int  # lines, or binary records, good and bad
    blank: int  # lines among them that hold nothing
    where: Ids  # of each row: its record in the block
    begins: Ids  # and the byte in the block where that begins
    targets: Ids  # and which of the wanted words it is; 0 where all are wanted
    words: list[str] | None  # all words, where all are wanted
    rows: Floats
    damage: Damages

    def again(self, k: int, word: str) -> Damage:
        """The word of row `k` came before."""
        return again(word, int(self.where[k]), int(self.begins[k]))


def first_of_equal(names: list[str], block: Block, seen: dict[str, Any] | set[str]) -> tuple[list[int] | None, Damages]:
    """Where words of `block` stand that came before.

    Args:
        names: the words of its rows.
        seen: the words of all blocks before it.

    Returns:
        (positions of the rows to keep, or None for all; the `Damages`)
    """
    repeated = Damages()
    keys = seen.keys() if isinstance(seen, dict) else seen
    if len(set(names)) == len(names) and keys.isdisjoint(names):
        return None, repeated
    now, keep = set(), []
    for k, word in enumerate(names):
        if word in seen or word in now:
            repeated.add(block.again(k, word))
        else:
            now.add(word)
            keep.append(k)
    return keep, repeated


class Notes:
    """Where records lie, as one worker notes them in passing: arrays `(2, n)` of the words' keys, and of the records' spans.

    A span is the first byte and the length in one number, see `kernels.scan_text`.
    """

    def __init__(self) -> None:
        self._arrays, self._used = [np.empty((2, 0), np.int64)], 0

    def room(self, n: int) -> tuple[Ids, Ids]:
        """Room for `n` more, at least: for their keys, and for their spans."""
        if self._used + n > self._arrays[-1].shape[1]:
            self._arrays[-1] = self._arrays[-1][:, : self._used]
            self._arrays.append(np.empty((2, max(n, _NOTES)), np.int64))
            self._used = 0
        keys, spans = self._arrays[-1][:, self._used :]
        return keys, spans

    def take(self, n: int, offset: int) -> None:
        """Keep the first `n` of what was written there, about a block that begins at the byte `offset`."""
        self._arrays[-1][1, self._used : self._used + n] += offset << plain.LENGTH_BITS
        self._used += n

    def arrays(self) -> list[Ids]:
        """All of them, in a list of arrays."""
        return [*self._arrays[:-1], self._arrays[-1][:, : self._used]]


class Scratch:
    """One worker's memory."""

    offset: int = 0
    filled: int = 0
    end: int = 0
    records: int = 0
    blank: int = 0
    n_hits: int = 0
    broken: Damage | None = None

    def __init__(self, dim: int, least_bytes: int, size: int) -> None:
        self._record = dim, least_bytes
        self.allocate(size)
        self.notes: Notes = Notes()

    def allocate(self, size: int) -> None:
        """Buffers for blocks of `size` bytes; what was in them is gone."""
        dim, least_bytes = self._record
        self.bytes: bytearray = bytearray(size + plain.PADDING)
        self.buf: Bytes = np.frombuffer(self.bytes, np.uint8)
        self.size: int = size
        most = size // least_bytes + 1
        self.hits: Ids = np.empty((most, 5), np.int64)
        self.odd: Ids = np.empty((size // 2 + 2, 3), np.int64)
        self.rows: Floats = np.empty((most, dim), np.float32)
        self.unsure: Bools = np.empty(most, np.bool_)


class BlockReader:
    """Base of the readers: cuts the stream into blocks of whole records and turns a block into rows.

    Args:
        source: a `Source`, which gives what comes after `head`.
        layout: its `Layout`.
        head: unpacked bytes that were read already.
        wanted: the words that are looked for, as a list of bytes, or None for all.
        encoding: of the words in the stream.
        told_encoding: of the words in the file, for messages.
        hot: the module of hot loops, `kernels` or `plain`.
        first_only: whether only the first damage of a block is of interest.
        every: whether all records are noted, also those that are not wanted.

    Attributes:
        notes: list of the workers' `Notes`.
    """

    unit: str = "record"
    has_bytes: bool = True  # places are told with the byte

    first_record: int = 1
    least_bytes: int = 1  # of a record

    def __init__(
        self,
        source: Stream,
        layout: Layout,
        head: bytes,
        wanted: list[bytes] | None,
        encoding: str,
        told_encoding: str,
        hot: ModuleType,
        first_only: bool,
        every: bool = False,
    ) -> None:
        self.dim: int = layout.dim
        self._source, self._layout, self._wanted = source, layout, wanted
        self._encoding, self._told_encoding, self._first_only, self._every = encoding, told_encoding, first_only, every
        self.notes: list[Notes] = []
        self.hot: ModuleType = hot
        self.table: Any = hot.make_table(wanted or [])
        self._tail = head[layout.begin :]
        self._offset = layout.begin  # of the tail
        self._size = max(_BLOCK, len(self._tail) + 1)
        self._ended = False

    def scratch(self) -> Scratch:
        """Memory for one worker."""
        scratch = Scratch(self.dim, self.least_bytes, self._size)
        self.notes.append(scratch.notes)
        return scratch

    def room_for_notes(self, scratch: Scratch) -> tuple[Ids, Ids]:
        """Room for as many notes as there can be records in a block; none where nobody asks for them."""
        return scratch.notes.room(len(scratch.hits)) if self._every else plain.NO_NOTES

    # ── what a format says ──

    def cut(self, scratch: Scratch, ended: bool) -> int:
        """Where in `scratch.bytes` the last whole record ends; all there is, where the stream has ended."""
        raise NotImplementedError

    def scan(self, scratch: Scratch) -> tuple[Ids, Ids]:
        """The records of a block that are wanted, `scratch.hits`, and those that are to be read exactly, `scratch.odd`."""
        raise NotImplementedError

    def parse(self, scratch: Scratch, hits: Ids) -> None:
        """Fill `scratch.rows` with the numbers of the records `hits`, and tell in `scratch.unsure` which to read exactly."""
        raise NotImplementedError

    def read_exactly(self, buf: Bytes, record: int, begin: int, stop: int) -> Row:
        """One record, with everything that can be wrong with it; results as of `line.read_line`."""
        raise NotImplementedError

    def records_in(self, data: bytes) -> int:
        """How many records `data` holds."""
        raise NotImplementedError

    # ── one thread at a time ──

    def fill(self, scratch: Scratch) -> bool:
        """Fill the scratch with the next whole records; False where there are none."""
        if self._ended:
            return False
        if scratch.size < self._size:
            scratch.allocate(self._size)
        scratch.offset, scratch.records, scratch.broken = self._offset, 0, None
        scratch.filled = len(self._tail)
        scratch.bytes[: scratch.filled] = self._tail
        while True:
            with memoryview(scratch.bytes) as view:
                scratch.filled += self._read(scratch, view[scratch.filled : scratch.size])
            scratch.end = self.cut(scratch, self._ended)
            if scratch.end or self._ended:
                break
            self._grow(scratch)
            if scratch.broken:
                break
        self._tail = bytes(scratch.bytes[scratch.end : scratch.filled])
        self._offset += scratch.end
        return scratch.end > 0 or scratch.broken is not None

    def _read(self, scratch, view):
        got = self._source.readinto(view)
        self._ended = got < len(view)
        if self._ended and self._source.damage:
            scratch.broken = Damage("truncated", self._source.damage, 0, scratch.filled + got)
        return got

    def _grow(self, scratch):
        """A record that is longer than a block: a larger block, up to a bound."""
        if self._size >= _LONGEST_RECORD:
            zeros = scratch.filled - len(scratch.bytes[: scratch.filled].rstrip(b"\0"))
            if 2 * zeros > scratch.filled:
                scratch.broken = zero_tail(f"more than {zeros}", scratch.filled - zeros)
                self._ended = True
                return
            raise ValueError(
                f"{self._source.path}: the {self.unit} that begins at byte {self._offset} is longer than "
                f"{_LONGEST_RECORD} bytes; expected a word and {self.dim} numbers. The file holds no word vectors, or is "
                "damaged: download it again."
            )
        self._size *= 2
        before = bytes(scratch.bytes[: scratch.filled])
        scratch.allocate(self._size)
        scratch.bytes[: len(before)] = before

    # ── many threads at a time ──

    @cached_property
    def target_of(self) -> dict[bytes, int]:
        """dict wanted word → its number"""
        return {word: k for k, word in enumerate(self._wanted or ())}

    def read(self, scratch: Scratch) -> Block:
        """The block in `scratch` as rows."""
        hits, odd = self.scan(scratch)
        self.parse(scratch, hits)
        words = None
        damage = Damages()
        if scratch.broken:
            damage.add(replace(scratch.broken, record=scratch.records))
        if self._wanted is None:
            words = self._words(scratch, hits, damage)
        where, begins, targets, rows = hits[:, 1], hits[:, 2], hits[:, 0], scratch.rows[: len(hits)]

        bad = [k for k, word in enumerate(words) if word is None] if words and None in words else []
        for k in np.flatnonzero(scratch.unsure[: len(hits)]).tolist():
            _, row, wrong = self.read_exactly(scratch.buf, int(where[k]), int(begins[k]), int(hits[k, 4]))
            if wrong:
                bad.append(k)
                damage.add(wrong)
                if self._first_only:
                    break
            else:
                rows[k] = row
        if bad:
            keep = np.ones(len(hits), np.bool_)
            keep[bad] = False
            where, begins, targets, rows = where[keep], begins[keep], targets[keep], rows[keep]
            words = words and [word for word, good in zip(words, keep) if good]
        block = Block(scratch.offset, scratch.records, scratch.blank, where, begins, targets, words, rows, damage)
        if len(odd):
            self._add_odd(scratch, odd, block)
        return block

    def _words(self, scratch, hits, damage):
        """The words of all rows, decoded; None where one cannot be, which is put to `damage`."""
        out = np.empty(scratch.end + len(hits), np.uint8)
        joined = out[: self.hot.join_words(scratch.buf, hits, out)].tobytes()
        try:
            words = joined.decode(self._encoding).split("\n")[:-1]
            if len(words) == len(hits):
                return words
        except UnicodeDecodeError:
            pass
        words = []
        for _, record, begin, stop, _ in hits.tolist():
            word, wrong = self._decode(scratch.buf[begin:stop].tobytes(), record, begin)
            words.append(word)
            if wrong:
                damage.add(wrong)
                if self._first_only:
                    break
        return words + [None] * (len(hits) - len(words))

    def _add_odd(self, scratch, odd, block):
        """Read the odd records, and put the good ones at their places in the block."""
        extra = []
        for record, begin, stop in map(np.ndarray.tolist, odd):
            word, row, wrong = self.read_exactly(scratch.buf, record, begin, stop)
            if not wrong:
                if self._wanted is None:
                    word, wrong = self._decode(word, record, begin)
                    target = 0
                else:
                    target = self.target_of.get(word, -1)
            if wrong:
                block.damage.add(wrong)
                if self._first_only:
                    break
                continue
            if target >= 0:
                extra.append((record, begin, target, word, row))
            if self._every:
                key = self.hot.keys_of(np.frombuffer(word, np.uint8), np.array([0]), np.array([len(word)]))[0]
                keys, spans = scratch.notes.room(1)
                keys[0], spans[0] = key, begin << plain.LENGTH_BITS | (stop - begin)
                scratch.notes.take(1, scratch.offset)
        if not extra:
            return
        records, begins, targets, words, rows = zip(*extra)
        block.where = np.concatenate([block.where, np.array(records)])
        order = np.argsort(block.where, kind="stable")
        block.where = block.where[order]
        block.begins = np.concatenate([block.begins, np.array(begins)])[order]
        block.targets = np.concatenate([block.targets, np.array(targets)])[order]
        block.rows = np.concatenate([block.rows, np.stack(rows)])[order]
        if block.words is not None:
            both = block.words + list(words)
            block.words = [both[k] for k in order]

    def _decode(self, word, record, begin):
        try:
            return word.decode(self._encoding), None
        except UnicodeDecodeError as error:
            guess = looks_like([word])
            hint = f"; in {guess} it would be {word.decode(guess)!r}" if guess and reads_as(word, guess) else ""
            message = f"expected a word in {self._told_encoding}, got {word[:40]!r} ({error.reason}{hint})"
            return None, Damage("encoding", message, record, begin)

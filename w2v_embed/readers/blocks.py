"""A vector file as blocks of whole records; what text and binary have in common."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .compression import Source
from .damage import Damage, Damages, again, zero_tail
from .encodings import looks_like, reads_as
from .excerpt import Excerpt, read_into
from .pieces import InPlace, Pieces, Streamed
from .scan import plain
from .scratch import Notes, Scratch

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from .._types import Bytes, Floats, Ids
    from .encodings import Stream
    from .formats.base import Layout
    from .line import Row
    from .relay import InOrder

_BLOCK = 3 << 20
_LONGEST_RECORD = 1 << 22


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


class BlockReader:
    """Base of the readers: cuts the stream into blocks of whole records and turns a block into rows.

    Args:
        source: a `Source`, which gives what comes after `head`; or an `Excerpt`, of which all is read.
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
        room: where the rows of blocks go: callable number of rows, one block after another → array for them, or None. Without
            it, or where it gives None, they go into the worker's own memory.
    """

    room: Callable[[int], Floats | None] | None = None
    unit: str = "record"
    has_bytes: bool = True  # places are told with the byte

    first_record: int = 1
    least_bytes: int = 1  # of a record

    def __init__(
        self,
        source: Stream | Excerpt,
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
        self._begin: int = 0 if isinstance(source, Excerpt) else layout.begin
        self._pieces: Pieces
        if isinstance(source, Excerpt):
            self._pieces = InPlace(source, self._begin, source.read_into)
        elif isinstance(source, Source) and source.compression is None:
            self._pieces = InPlace(source, self._begin, partial(read_into, source))
        else:
            self._pieces = Streamed(source, head[layout.begin :])
        # What is left of the pieces so far, the begin of a record; where it lies; how long it must be to be looked at again.
        self._left, self._offset, self._enough = bytearray(), self._begin, 0
        self._ended = False

    def scratch(self) -> Scratch:
        """Memory for one worker."""
        scratch = Scratch(self.dim, self.least_bytes, _BLOCK, self._begin)
        self.notes.append(scratch.notes)
        return scratch

    def room_for_notes(self, scratch: Scratch) -> tuple[Ids, Ids]:
        """Room for as many notes as there can be records in a block; none where nobody asks for them."""
        return scratch.notes.room(len(scratch.hits)) if self._every else plain.NO_NOTES

    def may_wait(self, scratch: Scratch) -> bool:
        """Whether whole records may be left to the next block: there are few of them."""
        return scratch.filled < _LONGEST_RECORD

    # ── what a format says ──

    def cut(self, scratch: Scratch, ended: bool) -> int:
        """Where in `scratch.buf` the last whole record ends; all there is, where the stream has ended."""
        raise NotImplementedError

    def scan(self, scratch: Scratch) -> tuple[Ids, Ids]:
        """The records of a block that are wanted, `scratch.hits`, and those that are to be read exactly, `scratch.odd`."""
        raise NotImplementedError

    def parse(self, scratch: Scratch, hits: Ids, rows: Floats) -> None:
        """Fill `rows` with the numbers of the records `hits`, and tell in `scratch.unsure` which to read exactly."""
        raise NotImplementedError

    def read_exactly(self, buf: Bytes, record: int, begin: int, stop: int) -> Row:
        """One record, with everything that can be wrong with it; results as of `line.read_line`."""
        raise NotImplementedError

    def records_in(self, data: bytes) -> int:
        """How many records `data` holds."""
        raise NotImplementedError

    # ── one thread at a time, one block after another ──

    def fill(self, scratch: Scratch) -> bool:
        """Take the next piece of the file; False where there is none."""
        return not self._ended and self._pieces.take(scratch)

    def _join(self, scratch):
        """Make a block of whole records out of what is left of the pieces before, and of this one. False where it has none."""
        if self._ended:
            return False
        self._ended, damage = self._pieces.follow(scratch)
        if len(self._left) + scratch.got < self._enough and not self._ended:
            self._left += scratch.piece[: scratch.got]
            return False
        scratch.put_before(self._left)
        scratch.offset, scratch.end, scratch.records, scratch.n_hits = self._offset, 0, 0, 0
        scratch.broken = Damage("truncated", damage, 0, scratch.filled) if damage else None
        if scratch.filled < _LONGEST_RECORD or self._has_end(scratch):
            scratch.end = self.cut(scratch, self._ended)
        start = scratch.start
        self._left = scratch.bytes[start + scratch.end : start + scratch.filled]
        self._offset += scratch.end
        self._enough = 0 if scratch.end else 2 * scratch.filled
        return scratch.end > 0 or scratch.broken is not None

    def _has_end(self, scratch):
        """Whether the first record ends within the bound that records have. If not, it is none, or zeros that end the file."""
        first = scratch.buf[:_LONGEST_RECORD].tobytes()
        if self.records_in(first):
            return True
        zeros = len(first) - len(first.rstrip(b"\0"))
        if 2 * zeros <= len(first):
            raise ValueError(
                f"{self._source.path}: the {self.unit} that begins at byte {self._offset} is longer than "
                f"{_LONGEST_RECORD} bytes; expected a word and {self.dim} numbers. The file holds no word vectors, or is "
                "damaged: download it again."
            )
        scratch.broken = zero_tail(f"more than {zeros}", len(first) - zeros)
        self._ended = True
        return False

    # ── many threads at a time ──

    @cached_property
    def target_of(self) -> dict[bytes, int]:
        """dict wanted word → its number"""
        return {word: k for k, word in enumerate(self._wanted or ())}

    def read(self, scratch: Scratch, in_order: InOrder) -> Block | None:
        """The block in `scratch` as rows; None where no record ends in it."""
        self._pieces.load(scratch)
        there = in_order(0, self._join, scratch)
        hits, odd = self.scan(scratch) if there else (scratch.hits[:0], scratch.odd[:0])
        rows = in_order(1, self.room, len(hits) + len(odd)) if self.room else None
        if not there:
            return None
        rows = (scratch.rows if rows is None else rows)[: len(hits)]
        self.parse(scratch, hits, rows)
        words = None
        damage = Damages()
        if scratch.broken:
            damage.add(replace(scratch.broken, record=scratch.records))
        if self._wanted is None:
            words = self._words(scratch, hits, damage)
        where, begins, targets = hits[:, 1], hits[:, 2], hits[:, 0]

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
        out = np.empty(int((hits[:, 3] - hits[:, 2]).sum()) + len(hits), np.uint8)
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

"""word2vec's binary format.

    636013 300\\n
    word, a space, `dim` little-endian float32, [\\n]

The C tool writes a newline after each vector, gensim none; a newline before a word is dropped, as gensim does.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from ..blocks import BlockReader
from ..damage import Damage, zero_tail
from ..scan import plain
from .base import MOST_NUMBERS, Beginning, Layout, Word2vec, counts_in, first_line
from .strangers import refuse_empty
from .text import is_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..._types import Bytes, Floats, Ids
    from ..line import Row
    from ..scratch import Scratch

_SAMPLE = 64  # records that are looked at


class BinaryReader(BlockReader):
    """Binary records → rows."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if sys.byteorder != "little":
            raise ValueError(
                "word2vec's binary format holds little-endian numbers; this machine is big-endian. Use text."
            )
        super().__init__(*args, **kwargs)
        self.least_bytes: int = 4 * self.dim + 2

    def cut(self, scratch: Scratch, ended: bool) -> int:
        """Up to the last whole record. Only words are looked at, so it is no loss that one thread at a time does this."""
        notes = self.room_for_notes(scratch)
        position, scratch.records, scratch.n_hits, n_noted = self.hot.scan_binary(
            scratch.buf, scratch.filled, self.dim, self.table, scratch.hits, notes
        )
        rest = scratch.buf[position : scratch.filled]
        last = scratch.n_hits - 1
        # Where zeros with which the file ends begin in a vector, that is none: does it go on behind them?
        zeros = last >= 0 and scratch.hits[last, 4] == position and not scratch.buf[position - 4 : position].any()
        if zeros and not ended and self.may_wait(scratch) and not rest.any():
            scratch.n_hits, scratch.records, n_noted = last, scratch.records - 1, max(n_noted - 1, 0)
            position = int(scratch.hits[last, 2])
        scratch.notes.take(n_noted, scratch.offset)
        if not ended:
            return position
        tail = rest.tobytes().strip(b"\n")
        if tail and not tail.strip(b"\0"):
            scratch.broken = zero_tail(len(tail), position)
            scratch.n_hits -= zeros
        elif tail:
            scratch.broken = Damage(
                "truncated",
                f"expected a word and {4 * self.dim} bytes, got {scratch.filled - position} bytes and the end of the file",
                scratch.records,
                position,
            )
        return scratch.filled

    def records_in(self, data: bytes) -> int:
        """How many records `data` holds."""
        hits = np.empty((len(data) // self.least_bytes + 1, 5), np.int64)
        buf = np.frombuffer(data, np.uint8)
        return self.hot.scan_binary(buf, len(buf), self.dim, self.hot.make_table([]), hits)[1]

    def scan(self, scratch: Scratch) -> tuple[Ids, Ids]:
        """What `cut` has found."""
        return scratch.hits[: scratch.n_hits], scratch.odd[:0]

    def parse(self, scratch: Scratch, hits: Ids, rows: Floats) -> None:
        """Copy vectors."""
        unsure = scratch.unsure[: len(hits)]
        self.hot.parse_binary(scratch.buf, hits, rows, unsure)
        unsure |= hits[:, 2] == hits[:, 3]  # no word

    def read_exactly(self, buf: Bytes, record: int, begin: int, stop: int) -> Row:
        """One record, with everything that can be wrong with it; results as of `line.read_line`."""
        vector = stop - 4 * self.dim
        if vector - 1 == begin:
            return None, None, Damage("empty word", "expected a word before the space, got none", record, begin)
        row = buf[vector:stop].view("<f4")
        finite = np.isfinite(row)
        if not finite.all():
            column = int((~finite).argmax())
            message = f"expected finite numbers, got {row[column]} (number {column + 1} of {self.dim})"
            return None, None, Damage("not finite", message, record, begin)
        return buf[begin : vector - 1].tobytes(), row, None


class Binary(Word2vec):
    """Records of a word and its numbers as float32."""

    name: str = "binary"
    reader: type[BlockReader] | None = BinaryReader
    suffixes: tuple[str, ...] = (".bin",)

    def recognises(self, head: bytes) -> bool:
        """A header, and no text behind it."""
        first, begin = first_line(head)
        header = counts_in(first)
        body = head[begin:]
        return header is not None and not is_text(body, lambda: _are_records(body, *header))

    def open(self, file: Beginning) -> Layout:
        """What the header says, held against the size of the file."""
        path, encoding = file.path, file.encoding
        refuse_empty(file.head, path)
        first, begin = first_line(file.head, 3 if file.head.startswith(b"\xef\xbb\xbf") else 0)
        header = counts_in(first)
        if header is None:
            raise ValueError(
                f"{path} is not in word2vec's binary format: expected a first line like b'636013 300', got "
                f'{bytes(first[:40])!r}. Pass format="text", or none to have it found.'
            )
        dim = header[1]
        if not 0 < dim <= MOST_NUMBERS:
            raise ValueError(
                f"{path}, line 1: the header says {dim} numbers a word; expected 1 to {MOST_NUMBERS}. Download the file again."
            )
        if file.size is not None and begin + 4 * dim + 1 > file.size:
            raise ValueError(
                f"{path}, line 1: the header says {dim} numbers a word ({4 * dim} bytes), but the whole file has {file.size} "
                "bytes. It is cut off or holds no word vectors: download it again."
            )
        if " ".encode(encoding, "replace") != b" ":
            raise ValueError(
                f"{path} is in word2vec's binary format, where a word ends at a space of one byte; {encoding} has "
                "none, so its words cannot be in it. Leave encoding= out, or pass the right one; where its words are in "
                f"{encoding} all the same, no program can part them from the numbers: write the vectors anew, words in UTF-8."
            )
        return Layout(dim, header, begin)

    def first_words(self, head: bytes, layout: Layout) -> list[bytes]:
        hits = np.empty((_SAMPLE, 5), np.int64)
        buf = np.frombuffer(head, np.uint8)[layout.begin :]
        _, _, n, _ = plain.scan_binary(buf, len(buf), layout.dim, {}, hits)
        return [buf[begin:stop].tobytes() for _, _, begin, stop, _ in hits[:n].tolist()]

    def why_not_bytes(self, word: bytes, dim: int) -> str | None:
        return "holds a space or a newline, which word2vec's binary format cannot" if {32, 10} & set(word) else None

    def rows(self, words: Sequence[str], vectors: Floats) -> bytes:
        return b"".join(
            b"%b %b\n" % (word.encode(), row.tobytes()) for word, row in zip(words, np.asarray(vectors, "<f4"))
        )


def _are_records(body, count, dim):
    """Whether the first records are a word and `dim` numbers each, one at least: they are `count` and end where the file does,
    or most numbers are of the sizes that vectors have (or not finite), as letters read as floats are not."""
    most = len(body) // (4 * dim + 2) if dim else 0
    if not most:
        return False
    hits = np.empty((min(most, _SAMPLE), 5), np.int64)
    buf = np.frombuffer(body, np.uint8)
    position, n = plain.scan_binary(buf, len(buf), dim, {}, hits)[:2]
    words = [bytes(buf[begin:stop]) for _, _, begin, stop, _ in hits[:n].tolist()]
    whole = n == count and not body[position:].strip(b"\n")
    strange = sum(not word or min(word) < 32 for word in words)
    if not words or (4 * strange > len(words) and not whole):
        return False
    rows = np.empty((n, dim), np.float32)
    plain.parse_binary(buf, hits[:n], rows, np.empty(n, np.bool_))
    with np.errstate(invalid="ignore"):
        usual = (rows == 0) | (abs(rows) > 1e-6) & (abs(rows) < 1e6) | ~np.isfinite(rows)
    return whole or usual.mean() > 0.75

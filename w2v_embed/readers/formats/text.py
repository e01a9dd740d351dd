"""Vectors as text: word2vec text (with a header), GloVe (without), fastText .vec.

    [636013 300\\n]
    word 0.1 -0.2 … 0.3[ ]\\n

The last `dim` fields of a line are the vector, all before them is the word: words may hold spaces. Fields are parted by spaces
or tabs; what stands between the last one and the newline (the C tool's space, a carriage return) is nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from ..blocks import BlockReader
from ..damage import zero_tail
from ..line import is_number, read_line
from .base import MOST_NUMBERS, Beginning, Layout, Word2vec, counts_in, first_line
from .strangers import SPARSE, refuse_empty, refuse_odd_text, what_it_is

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..._types import Bytes, Floats, Ids
    from ..line import Row
    from ..scratch import Scratch

_SAMPLE = 64  # lines that are looked at
_FEW = 16
_WHOLE = re.compile(rb"\d{1,18}")
_TEXT_BYTES = bytes({*range(32, 256), *b"\t\n\r\f\v"})


class TextReader(BlockReader):
    """Lines of text → rows."""

    unit: str = "line"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.first_record: int = 1 if self._layout.header is None and self._layout.alone is None else 2
        self.least_bytes: int = 2 * self.dim + 2

    def cut(self, scratch: Scratch, ended: bool) -> int:
        """Up to the last newline; at the end of the file all, with a newline where none is (not where the stream is broken)."""
        start, stop = scratch.start, scratch.start + scratch.filled
        last = scratch.bytes.rfind(b"\n", start, stop) + 1 or start
        if ended and start < stop and not scratch.broken:
            zeros = scratch.bytes.count(0, last, stop)
            if zeros and not scratch.bytes[last:stop].strip(b"\0 \t\r\v\f"):
                scratch.broken = zero_tail(zeros, last - start)
            else:
                if last < stop:
                    scratch.bytes[stop] = 10
                    scratch.filled += 1
                return scratch.filled
        return last - start

    def records_in(self, data: bytes) -> int:
        """How many lines `data` holds."""
        return data.count(b"\n")

    def scan(self, scratch: Scratch) -> tuple[Ids, Ids]:
        """Find the block's lines."""
        notes = self.room_for_notes(scratch)
        _, scratch.records, scratch.blank, n, n_odd, n_noted = self.hot.scan_text(
            scratch.buf, scratch.end, self.dim, self.table, scratch.hits, scratch.odd, notes
        )
        scratch.notes.take(n_noted, scratch.offset)
        return scratch.hits[:n], scratch.odd[:n_odd]

    def parse(self, scratch: Scratch, hits: Ids, rows: Floats) -> None:
        """Parse the numbers of regular lines."""
        self.hot.parse_text(scratch.buf, hits, rows, scratch.unsure[: len(hits)])

    def read_exactly(self, buf: Bytes, record: int, begin: int, stop: int) -> Row:
        """One line by the book."""
        return read_line(buf[begin:stop].tobytes(), self.dim, record, begin)


class Text(Word2vec):
    """Lines of a word and its numbers, with or without a header."""

    name: str = "text"
    reader: type[BlockReader] | None = TextReader
    is_text: bool = True
    suffixes: tuple[str, ...] = (".txt", ".vec")

    def recognises(self, head: bytes) -> bool:
        """Yes: it is the last to be asked, and knows what else there is without vectors."""
        return True

    def open(self, file: Beginning) -> Layout:
        """The header, if there is one, and the numbers a word that most of the first lines have."""
        head, path = file.head, file.path
        refuse_empty(head, path)
        bom = 3 if head.startswith(b"\xef\xbb\xbf") else 0
        refuse_odd_text(head[bom:].strip(), path)
        first, begin = first_line(head, bom)
        header = counts_in(first)
        lines = head[bom:].rstrip(b"\0").split(b"\n", _SAMPLE + 1)
        if len(lines) > _SAMPLE or (file.cut and head[-1]):
            lines.pop()  # cut by the end of the head
        lines = [line for line in lines if line.strip()]
        alone = None
        if not header and len(lines) > 1 and _WHOLE.fullmatch(lines[0].strip()):
            alone = int(lines.pop(0))
        widths = Counter(len(line.split()) - 1 for line in lines[1 if header else 0 :])
        # A single line that does not end is what a cut leaves: it tells nothing of the others.
        if header and 0 < header[1] <= MOST_NUMBERS and len(lines) == 2 and not file.cut and head[-1:] != b"\n":
            return Layout(header[1], header, begin)
        if header and header[1] != 1 and set(widths) == {1}:
            header, widths = None, Counter({1: len(lines)})  # words that are numbers, with one number each
        if not widths:
            if header and not file.cut:
                raise ValueError(f"{path} holds no vectors, only the line {header[0]} {header[1]}. Download it again.")
            raise ValueError(
                f"{path} holds no word vectors: its first line goes on for {len(head)} bytes. Expected a word and numbers."
            )
        body = lines[1 if header else 0 :]
        dim = _width_of(body, widths, header, path, lambda: what_it_is(head[bom:], lines))
        return Layout(dim, header, bom if header is None and alone is None else begin, alone)

    def first_words(self, head: bytes, layout: Layout) -> list[bytes]:
        lines = head[layout.begin :].split(b"\n", _SAMPLE)[:_SAMPLE]
        return [fields[0] for fields in (line.split(None, 1) for line in lines) if len(fields) == 2]

    def why_not_bytes(self, word: bytes, dim: int) -> str | None:
        if word and (min(word) > 32 or (10 not in word and read_line(word + b" 0" * dim, dim)[0] == word)):
            return None
        return "would be read back as something else than a word"

    def rows(self, words: Sequence[str], vectors: Floats) -> bytes:
        # The shortest decimals that read back as the same float32.
        numbers = vectors.astype("S").tolist()
        return b"".join(b"%b %b\n" % (word.encode(), b" ".join(row)) for word, row in zip(words, numbers))


def is_text(body: bytes, could_be_records: Callable[[], bool]) -> bool:
    """Whether what comes after a header is text: most of the first lines have numbers after a word; or they are no binary
    records, and some have numbers or there are no control characters."""
    lines = [line for line in body.rstrip(b"\0").split(b"\n", _FEW)[:_FEW] if line.strip()]
    good = sum(map(_is_line, lines))
    if 2 * good > len(lines):
        return True
    odd = bool(body[:1024].translate(None, _TEXT_BYTES))
    return (good > 0 or not odd) and not could_be_records()


def _is_line(line):
    fields = line.split()[1:]
    numbers = sum(is_number(field) or bool(SPARSE.fullmatch(field)) for field in fields)
    return 2 * numbers >= max(len(fields), 1) and not b"".join(fields).translate(None, _TEXT_BYTES)


def _width_of(lines, widths, header, path, what_it_is):
    """Numbers a word, as the first lines have them; `widths` counts their fields behind the first."""
    # The most usual width; of equally usual ones the least, for words may hold spaces.
    usual = max(widths, key=lambda width: (widths[width], width > 0, -width))
    if not header:
        usual = _readable_width(lines, widths, usual)
    endings = [is_number(line.split()[-1]) for line in lines]
    if usual < 1 or not any(endings) or (not header and 2 * sum(endings) < len(endings)):
        raise ValueError(f"{path} holds no word vectors: {what_it_is()}.")
    if usual > MOST_NUMBERS:
        raise ValueError(
            f"{path} has lines of {usual} numbers; expected at most {MOST_NUMBERS}. It holds no word vectors."
        )
    # A header that lies is the reader's to report; what most lines say counts.
    if (
        header
        and header[1] > 0
        and (header[1] in widths or _readable(lines, header[1]) >= max(_readable(lines, usual), 1))
    ):
        return header[1]
    return usual


def _readable_width(lines, widths, usual):
    """As how many numbers most of the first lines can be read, where words may be phrases: `usual`, if nothing is better."""
    first = lines[0].split()
    numbers = next((k for k, field in enumerate(reversed(first)) if not is_number(field)), 0)
    tried = {usual, numbers, *(width for width, _ in widths.most_common(4))} - {0, -1}  # -1: a line without a field
    if len(tried) < 2 or max(tried) > MOST_NUMBERS:
        return usual
    good = {width: _readable(lines, width) for width in tried}
    return max(tried, key=lambda width: (good[width], width == usual, -width))


def _readable(lines, dim):
    """How many are a word, maybe with spaces in it, and `dim` numbers."""
    return sum(read_line(line, dim)[2] is None for line in lines)

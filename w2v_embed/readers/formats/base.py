"""What a format of word vectors is: how its files are recognised, read and written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from ..._types import Floats
    from ...parts import Step
    from ...summed import Sums
    from ..blocks import BlockReader
    from ..compression import Source
    from ..encodings import Stream
    from ..remote import Place
    from ..tables import TableReader

MOST_NUMBERS = 1 << 16  # a word; more is a damaged header or no vectors at all


@dataclass(frozen=True)
class Layout:
    """Where the vectors of a file are.

    Attributes:
        dim: numbers a word.
        header: the words and numbers a word that a first line claims, or None.
        begin: bytes before the first vector.
        alone: a number that is all that the first line holds.
        table: where the file is not read block by block: list of the words that are looked for, or None for all → its reader.
        ngrams: whether it has n-grams that make vectors for other words.
        first_words: of a table: how many words → list of the first ones, without reading all of it.
        steps: what was done to the rows before, see `EmbeddingMatrix`.
    """

    dim: int
    header: tuple[int, int] | None = None
    begin: int = 0
    alone: int | None = None
    table: Callable[[list[str] | None], TableReader] | None = None
    ngrams: bool = False
    first_words: Callable[[int], list[str]] | None = None
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Beginning:
    """A file of which the beginning was read: out of that a format says what the rest is.

    Attributes:
        source: the open file.
        stream: what to read on from, behind `head`: `source`, or where the format is text, that in UTF-8.
        head: the first bytes, unpacked.
        cut: whether it goes on behind them.
        encoding: of the words.
        trust: whether pickles may be opened.
    """

    source: Source
    stream: Stream
    head: bytes
    cut: bool
    encoding: str = "utf-8"
    trust: bool = False

    @property
    def path(self) -> Path | Place:
        """The file's name, for messages."""
        return self.source.path

    @property
    def size(self) -> int | None:
        """Bytes of the whole file, where it is not packed."""
        return self.source.size or None if self.source.compression is None else None

    def whole(self) -> bytes:
        """All bytes of the file, for formats of small files. It can be called once."""
        parts, part = [self.head], bytearray(1 << 20)
        while got := self.stream.readinto(memoryview(part)):
            parts.append(bytes(part[:got]))
        if self.source.damage:
            raise ValueError(f"{self.path}: {self.source.damage}. Download it again.")
        return b"".join(parts)


class Format:
    """A format of word vectors. A further one derives from this; `formats.register` puts it into the table.

    `name`, `recognises` and `open` make files of it readable by all that reads files; with `suffixes` and `rows`, `convert`
    writes it, too.

    Attributes:
        name: as `format=` and `inspect` have it.
        reader: of files that are read block by block: turns blocks into rows. None: `Layout.table` reads.
        is_text: whether it is text, which then comes as UTF-8, whatever the file is in.
        packable: whether it may be packed (.gz, .bz2 …).
        suffixes: that the names of files end in which `convert` writes.
    """

    name: str
    reader: type[BlockReader] | None = None
    is_text: bool = False
    packable: bool = False
    suffixes: tuple[str, ...] = ()

    def recognises(self, head: bytes) -> bool:
        """Whether a file that begins with `head`, unpacked, is of this format."""
        raise NotImplementedError

    def open(self, file: Beginning) -> Layout:
        """Where the vectors are.

        Raises:
            ValueError: the file holds none, or is damaged; says what it is, and how to go on.
        """
        raise NotImplementedError

    def first_words(self, head: bytes, layout: Layout) -> list[bytes]:
        """Some words of a file that is read block by block: in which encoding are they?"""
        return []

    def why_not(self, word: str, dim: int) -> str | None:
        """Why a file of this format cannot hold `word` with `dim` numbers, as "holds a space"; None where it can."""
        return None

    def header(self, words: Collection[str], dim: int, *, source: str, sums: Sums) -> bytes:
        """What is written before the rows.

        Args:
            words: all that will come.
            source: name of the file that they are from.
            sums: of the blocks of all rows as float32, see `summed`.
        """
        return b""

    def rows(self, words: Sequence[str], vectors: Floats) -> bytes:
        """Some of the words, with their rows `(len(words), dim)`, as they are written one part after another."""
        raise NotImplementedError


def first_line(head: bytes, start: int = 0) -> tuple[bytes, int]:
    """The line that begins at `start`, without its newline, and where the next one begins."""
    end = head.find(b"\n", start)
    return (head[start:], len(head)) if end < 0 else (head[start:end], end + 1)


def counts_in(line: bytes) -> tuple[int, int] | None:
    """(words, numbers a word) if `line` is two whole numbers, as word2vec's formats begin with."""
    fields = line.split()
    if len(fields) == 2 and all(field.isdigit() and len(field) < 19 for field in fields):
        return int(fields[0]), int(fields[1])
    return None


class Word2vec(Format):
    """What word2vec's two formats share: the first line, and words in UTF-8."""

    packable: bool = True

    def why_not(self, word: str, dim: int) -> str | None:
        if word.isalnum():
            return None
        try:
            return self.why_not_bytes(word.encode(), dim)
        except UnicodeEncodeError:
            return "is not Unicode text"

    def why_not_bytes(self, word: bytes, dim: int) -> str | None:
        """The same for the word as it would be written."""
        raise NotImplementedError

    def header(self, words: Collection[str], dim: int, *, source: str, sums: Sums) -> bytes:
        return b"%d %d\n" % (len(words), dim)

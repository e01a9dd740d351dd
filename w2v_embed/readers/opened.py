"""One open vector file: what it is, and the run through it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..progress import reporter
from .compression import OneWay, Source
from .damage import DamageReport, place
from .encodings import Transcoded, not_in, refuse_utf8, usual_name
from .excerpt import Excerpt, read_at
from .formats import Beginning, Format, Layout, detect
from .relay import relay
from .remote import place_of
from .scan.hot import cores, hot_loops, threads_for
from .scan.keys import keys_of
from .scan.plain import LENGTH_BITS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from .._types import AnyFile, FormatName, Ids, OnError, Progress
    from .blocks import Block, BlockReader
    from .damage import Damages
    from .encodings import Stream
    from .tables import TableReader

    class Sink(Protocol):
        """Where the blocks of a file go, one after another. It may say where their rows shall be, as `BlockReader.room`."""

        @property
        def count(self) -> int:
            """How many rows it holds."""
            ...

        def add(self, block: Block, /) -> tuple[int | None, Damages]:
            """Take a block → (the record after which nothing more is needed, or None; the words that came before)."""
            ...


HEAD = 1 << 18  # bytes (unpacked) that are looked at to recognise a file
# Noting where a record lies takes 16 bytes: too much beside records of fewer numbers than these, of which there can be many.
_LEAST_NUMBERS = 50


class Opened:
    """A vector file that was opened and recognised: what it is, before what is wanted of it. Use it in a `with`.

    First `look_for` says what is wanted, then `run` reads it.

    Args:
        path: the file.
        format, encoding, on_error, trust: as for `load_vectors`.
        file: the number of the file where it is open already.
        here: whether what is no local file is fetched into a temporary one.

    Attributes:
        source: the `Source`.
        report: the `DamageReport`.
        format, layout: the `Format`, and the `Layout` that it has found.
        reader: the `BlockReader` (or `TableReader`) that follows the layout, once `look_for` was called.
        records: how many lines or records have been read.
        side: list of the candidates that are looked for in the same run, as if they were wanted, with numbers behind those.
        goes_back: whether instead a run notes where each record lies, for `go_back`.
    """

    def __init__(
        self,
        path: AnyFile,
        format: FormatName | None = None,
        encoding: str = "utf-8",
        on_error: OnError = "raise",
        trust: bool = False,
        file: int | None = None,
        here: bool = False,
    ) -> None:
        place = place_of(path)
        self.report: DamageReport = DamageReport(str(place), on_error)
        self._told_encoding = usual_name(encoding)
        self.records: int = 0
        self.side: list[str] = []
        self.goes_back: bool = False
        self._blocks: list[tuple[int, int]] = []  # the byte and the record that each begins at
        self.source: Source = Source(place, cores(), file, keeps=True)
        try:
            if here and not self.source.local:
                self.source = self.source.fetched()
            self._recognise(format, trust)
            self.source.settle()
        except BaseException:
            self.source.close()
            raise

    @property
    def dim(self) -> int:
        """Numbers a word. Where the file begins with it, no more of the file has been read."""
        return self.layout.dim

    @property
    def has_ngrams(self) -> bool:
        """Whether the file has n-grams that make vectors for other words."""
        return self.layout.ngrams

    def _recognise(self, name: FormatName | None, trust: bool) -> None:
        self._head = self._read_head(self.source)
        self.format: Format = detect(self._head, self.source.path, name)
        if self.format.reader is None and not self.source.local:  # it is read at many places, or more than once
            self.source = self.source.fetched()
            self._head = self._read_head(self.source)
        self._stream: Stream = self.source if self.source.local else OneWay(self.source)
        self._encoding = self._told_encoding
        if self.format.is_text and self._encoding != "utf-8":
            refuse_utf8(self._head, self._encoding, self.source.path)
            self._stream, self._encoding = Transcoded(self.source, self._encoding, self._head), "utf-8"
            self._head = self._read_head(self._stream)
        if not self._head and self.source.damage:
            raise ValueError(f"{self.source.path}: {self.source.damage}. Download it again.")
        cut = len(self._head) >= HEAD
        self.layout: Layout = self.format.open(
            Beginning(self.source, self._stream, self._head, cut, self._encoding, trust)
        )
        self._check_header()

    def _read_head(self, stream):
        head = bytearray(HEAD)
        with memoryview(head) as view:
            return bytes(head[: stream.readinto(view)])

    def _check_header(self):
        layout = self.layout
        if layout.header and layout.header[1] != layout.dim:
            message = f"the header says {layout.header[1]} numbers a word, the lines hold {layout.dim}"
            self.report.add("header", message, place("line", 1, 0))
        if layout.alone is not None:
            message = f"expected two numbers, of the words and of the numbers a word, or no such line, got {layout.alone} alone"
            self.report.add("header", message, place("line", 1, 0))

    def look_for(
        self, words: list[str] | None, candidates: Callable[[list[str]], Collection[str]] | None = None
    ) -> None:
        """Say what is wanted. Once, before `run`.

        Args:
            words: list of the words that are looked for, without repetition; None for all.
            candidates: list of wanted words → set of other words that may be needed where those are not found.
        """
        if candidates is not None and words is not None:
            self.goes_back = self._can_go_back()
            self.side = [] if self.goes_back else list(candidates(words))
            words = [*words, *self.side]
        self.threads: int = 1
        self.reader: BlockReader | TableReader
        if self.layout.table:
            self.reader = self.layout.table(words)
            return
        if self._encoding == self._told_encoding:
            self._check_words(words)
        self._hot, self.threads = hot_loops(self.source.usual_unpacked_size())
        self.reader = self._reader_of(self._stream, self._head, words, every=self.goes_back)

    def usual_records(self) -> int | None:
        """How many records the file holds, if they are as long as its first ones; None where that cannot be said."""
        first = self._head[self.layout.begin :]
        if not first or self._stream is not self.source or self.source.compression is not None:
            return None
        records = getattr(self.reader, "records_in", None)  # a table has none
        return records and int(1.05 * self.source.size / len(first) * (records(first) + 1))

    def _can_go_back(self):
        """Whether records can be read at any place, and are not too many to be noted."""
        if self._stream is not self.source or self.source.compression is not None or self.layout.table:
            return False
        return self._encoding == "utf-8" and self.dim >= _LEAST_NUMBERS and self.source.size >> 63 - LENGTH_BITS == 0

    def _check_words(self, wanted):
        """Where a file is in another encoding as a whole, words that are looked for would silently not be found."""
        told = not_in(self._encoding, self.format.first_words(self._head, self.layout), self.source.path)
        if told and wanted is not None:
            self.report.add("encoding", told, place("line", 1, 0))

    def _reader_of(self, stream, head, wanted, every=False):
        if wanted is not None:
            wanted = self._encoded(wanted)
        first_only = self.report.on_error == "raise"
        encodings = self._encoding, self._told_encoding
        return self.format.reader(stream, self.layout, head, wanted, *encodings, self._hot, first_only, every)

    def _encoded(self, words):
        """The words as bytes of the file; all at once, where none holds a newline."""
        encoding, errors = self._encoding, "surrogatepass" if self._encoding == "utf-8" else "replace"
        if encoding == "utf-8" and words:
            encoded = "\n".join(words).encode(encoding, errors).split(b"\n")
            if len(encoded) == len(words):
                return encoded
        return [word.encode(encoding, errors) for word in words]

    def run(self, sink: Sink, progress: Progress = None, *, log: bool = True) -> None:
        """Hand every block to `sink`, in the order of the file. `log`: whether the log is told what was skipped."""
        tell = reporter(progress, self.source.size)
        read = self.layout.header is not None and self.layout.header[0]
        data = good = 0
        self.reader.room = getattr(sink, "room", None)

        def commit(block):
            nonlocal data, good
            if block is None:
                return False
            stop, again = sink.add(block)
            self._report(block, again, stop, lambda wrong: (self.records + wrong.record, block.offset + wrong.byte))
            self._blocks.append((block.offset, self.records))
            self.records += block.records
            data += block.records - block.blank
            good += block.records - block.blank - block.damage.records
            if progress:
                tell(self.source.position(), sink.count)
            return stop is not None

        try:
            ended = relay(self.reader, commit, self.threads)
            if ended and self.layout.header and data != read:
                message = f"the header says {read} words, the file holds {data}"
                self.report.add("header", message, place("line", 1, 0))
            if ended and good <= 0:
                raise ValueError(
                    f"{self.source.path} holds no row that can be read. {self.report.summary()}. Download it again."
                )
        finally:
            tell(self.source.position(), sink.count, last=True)
        if log:
            self.report.log()

    def _noted(self):
        return [some for notes in self.reader.notes for some in notes.arrays()]

    def noted_keys(self) -> list[Ids]:
        """List of int64 arrays: the keys of all words that a run has met."""
        return [keys for keys, _ in self._noted()]

    def go_back(self, words: Sequence[str], sink: Sink) -> None:
        """Read the records of those of `words` that a run has met, and hand them to `sink`, as `run` does."""
        wanted = self._hot.make_set([keys_of(words, self._hot)])
        spans = np.concatenate([spans[self._hot.are_in(keys, wanted)] for keys, spans in self._noted()])
        spans.sort()
        excerpt = Excerpt(self.source, spans >> LENGTH_BITS, spans & (1 << LENGTH_BITS) - 1, self._hot)
        reader = self._reader_of(excerpt, b"", words)

        def commit(block):
            if block is None:
                return False
            stop, again = sink.add(block)
            self._report(block, again, stop, lambda wrong: self._where(excerpt.in_file(block.offset + wrong.byte)))
            return stop is not None

        relay(reader, commit, min(self.threads, threads_for(excerpt.size)))

    def _where(self, byte):
        """The record that begins at `byte`, and this."""
        offset, records = next(block for block in reversed(self._blocks) if block[0] <= byte)
        return records + self.reader.records_in(read_at(self.source, offset, byte - offset)), byte

    def _report(self, block, again, stop, where):
        """Report what is wrong in a block up to its record `stop`; `where` gives the record in the file and its byte."""
        if not (block.damage or again):
            return
        for wrong in sorted(block.damage.each + again.each, key=lambda wrong: wrong.record):
            if stop is None or wrong.record <= stop:
                record, byte = where(wrong)
                reader = self.reader
                spot = place(reader.unit, reader.first_record + record, byte if reader.has_bytes else None)
                self.report.add(wrong.kind, wrong.message, spot)
        if stop is None:
            self.report.counts.update(block.damage.more)
            self.report.counts.update(again.more)

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()

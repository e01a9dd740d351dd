"""One open vector file: what it is, and the run through it."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Any

import numpy as np

from ..progress import reporter
from .compression import Source, Transcoded
from .damage import DamageReport, place
from .excerpt import Excerpt, read_at
from .formats.binary import BinaryReader
from .formats.detect import HEAD, detect, kind_of, looks_like, reads_as, sample_words
from .formats.table import open_table
from .formats.text import TextReader
from .relay import relay
from .scan.hot import cores, hot_loops, threads_for
from .scan.keys import keys_of
from .scan.plain import LENGTH_BITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._types import Ids

_NAMES = {"gb18030": "GB18030 (GBK)", "big5": "Big5"}  # what `looks_like` finds
# Noting where a record lies takes 16 bytes: too much beside records of fewer numbers than these, of which there can be many.
_LEAST_NUMBERS = 50


class Opened:
    """A vector file that was opened and recognised. Use it in a `with`.

    Args:
        path: the file.
        wanted: list of the words that are looked for, without repetition; None for all.
        candidates: callable, list of wanted words → set of other words that may be needed where those are not found.
        format, encoding, on_error, trust: as for `load_vectors`.
        file: the number of the file where it is open already.

    Attributes:
        report: the `DamageReport`.
        layout, reader: the `Layout`, and the `BlockReader` (or `TableReader`) that follows it.
        records: how many lines or records have been read.
        side: list of the candidates that are looked for in the same run, as if they were wanted, with numbers behind those.
        goes_back: whether instead a run notes where each record lies, for `go_back`.
    """

    def __init__(
        self,
        path,
        wanted=None,
        *,
        candidates=None,
        format=None,
        encoding="utf-8",
        on_error="raise",
        trust=False,
        file=None,
    ):
        self.report = DamageReport(str(path), on_error)
        try:
            "".encode(encoding)  # codecs.lookup alone takes hex and zip for encodings, too
            utf8 = codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")
        except LookupError:
            raise ValueError(f"Python knows no encoding {encoding!r}; try utf-8, gb18030, utf-16 or latin-1") from None
        self.records, self.side, self.goes_back, self._blocks = 0, [], False, []
        self.source = Source(path, cores(), file)
        try:
            self._recognise(wanted, candidates, format, "utf-8" if utf8 else encoding, trust)
        except BaseException:
            self.source.close()
            raise

    def _recognise(self, wanted, candidates, format, encoding, trust):
        stream, head, told_encoding = self.source, _head_of(self.source), encoding
        if encoding != "utf-8" and format in (None, "text") and not kind_of(head):
            self._check_not_utf8(head, encoding)
            stream, encoding = Transcoded(self.source, encoding, head), "utf-8"
            head = _head_of(stream)
        size = self.source.size if self.source.compression is None else None
        if not head and self.source.damage:
            raise ValueError(f"{self.source.path}: {self.source.damage}. Download it again.")
        layout = detect(head, self.source.path, size, format)
        if candidates is not None:
            at_any_place = stream is self.source and self.source.compression is None and not isinstance(layout, str)
            if at_any_place and encoding == "utf-8" and layout.dim >= _LEAST_NUMBERS and size >> 63 - LENGTH_BITS == 0:
                self.goes_back = True
            else:
                self.side = list(candidates(wanted))
                wanted = [*wanted, *self.side]
        if isinstance(layout, str):
            self._open_table(layout, head, wanted, encoding, trust)
            return
        if layout.kind == "binary" and " ".encode(encoding, "replace") != b" ":
            raise ValueError(
                f"{self.source.path} is in word2vec's binary format, where a word ends at a space of one byte; {encoding} has "
                "none, so its words cannot be in it. Leave encoding= out, or pass the right one; where its words are in "
                f"{encoding} all the same, no program can part them from the numbers: write the vectors anew, words in UTF-8."
            )
        self.layout = layout
        if layout.header and layout.header[1] != layout.dim:
            message = f"the header says {layout.header[1]} numbers a word, the lines hold {layout.dim}"
            self.report.add("header", message, place("line", 1, 0))
        if layout.alone is not None:
            message = f"expected two numbers, of the words and of the numbers a word, or no such line, got {layout.alone} alone"
            self.report.add("header", message, place("line", 1, 0))
        if encoding == told_encoding:
            self._check_words(sample_words(head, layout), encoding, wanted is not None)
        hot, self.threads = hot_loops(self.source.usual_unpacked_size())
        self._encodings = encoding, told_encoding
        self._hot = hot
        self.reader = self._reader_of(stream, head, wanted, every=self.goes_back)

    def _reader_of(self, stream, head, wanted, every=False):
        reader = BinaryReader if self.layout.kind == "binary" else TextReader
        if wanted is not None:
            wanted = self._encoded(wanted)
        first_only = self.report.on_error == "raise"
        return reader(stream, self.layout, head, wanted, *self._encodings, self._hot, first_only, every)

    def _encoded(self, words):
        """The words as bytes of the file; all at once, where none holds a newline."""
        encoding, errors = self._encodings[0], "surrogatepass" if self._encodings[0] == "utf-8" else "replace"
        if encoding == "utf-8" and words:
            encoded = "\n".join(words).encode(encoding, errors).split(b"\n")
            if len(encoded) == len(words):
                return encoded
        return [word.encode(encoding, errors) for word in words]

    def _open_table(self, kind, head, wanted, encoding, trust):
        self.reader = open_table(kind, self.source, head, wanted, encoding, trust)
        self.layout = self.reader.layout
        self.threads = 1

    def _check_not_utf8(self, head, encoding):
        """UTF-8 reads as Chinese gibberish in GB18030, and as gibberish in many others."""
        special = [word for word in head[:1024].split() if not word.isascii()][:-1]
        if len(special) > 1 and all(reads_as(word, "utf-8") for word in special):
            raise ValueError(
                f"{self.source.path} is text in UTF-8, not in {encoding}: leave encoding={encoding!r} out."
            )

    def _check_words(self, words, encoding, select):
        """Refuse a file that is in another encoding as a whole: words that are looked for would silently not be found."""
        special = [word for word in words if not word.isascii()]
        bad = [word for word in special if not reads_as(word, encoding)]
        if len(bad) < 2 or 2 * len(bad) <= len(special):
            return
        guess = looks_like(bad)
        told = f"{len(bad)} of its first {len(words)} words are not in {encoding}, as {bad[0][:40]!r}"
        if guess:
            raise ValueError(f'{self.source.path}: {told}. It looks like {_NAMES[guess]}: pass encoding="{guess}".')
        if select:
            self.report.add("encoding", told, place("line", 1, 0))

    def run(self, sink, progress=None, *, log=True):
        """Hand every block to `sink.add(block)`, in the order of the file.

        `sink.add` returns (the record after which nothing more is needed, or None; the `Damages` it finds: words that came
        before), `sink.count` is how many rows it holds. `log`: whether the log is told what was skipped.
        """
        tell = reporter(progress, self.source.size)
        read = self.layout.header is not None and self.layout.header[0]
        data = good = 0

        def commit(block):
            nonlocal data, good
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

    def go_back(self, words: Sequence[str], sink: Any) -> None:
        """Read the records of those of `words` that a run has met, and hand them to `sink`, as `run` does; it may keep them."""
        wanted = self._hot.make_set([keys_of(words, self._hot)])
        spans = np.concatenate([spans[self._hot.are_in(keys, wanted)] for keys, spans in self._noted()])
        spans.sort()
        excerpt = Excerpt(self.source, spans >> LENGTH_BITS, spans & (1 << LENGTH_BITS) - 1)
        reader = self._reader_of(excerpt, b"", words)

        def commit(block):
            block.targets, block.rows = block.targets.copy(), block.rows.copy()
            stop, again = sink.add(block)
            start = block.offset - self.layout.begin
            self._report(block, again, stop, lambda wrong: self._where(excerpt.in_file(start + wrong.byte)))
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
                unit = self.reader.unit
                spot = place(unit, self.reader.first_record + record, None if unit == "row" else byte)
                self.report.add(wrong.kind, wrong.message, spot)
        if stop is None:
            self.report.counts.update(block.damage.more)
            self.report.counts.update(again.more)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.source.close()


def _head_of(stream):
    head = bytearray(HEAD)
    with memoryview(head) as view:
        return bytes(head[: stream.readinto(view)])

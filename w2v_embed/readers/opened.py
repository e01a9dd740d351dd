"""One open vector file: what it is, and the run through it."""

import codecs
import os
import sys

from ..progress import reporter
from .binary import BinaryReader
from .compression import Source, Transcoded
from .damage import DamageReport, place
from .detect import HEAD, detect, is_binary
from .relay import relay
from .text import TextReader

_MOST_THREADS = 8
# Unpacked bytes from which on numba is worth its import (half a second). Python alone reads some 50 MB/s.
_WORTH_NUMBA = 1 << 24
_WORTH_THREADS = 1 << 22


class Opened:
    """A vector file that was opened and recognised. Use it in a `with`.

    Args:
        path: the file.
        wanted: list of the words that are looked for, without repetition; None for all.
        format, encoding, on_error: as for `load_vectors`.

    Attributes:
        report: the `DamageReport`.
        foreign: "fasttext" or "gensim" where gensim must read the file; there is no `reader` then.
        layout, reader: the `Layout`, and the `BlockReader` that follows it.
        records: how many lines or records have been read.
    """

    def __init__(self, path, wanted=None, *, format=None, encoding="utf-8", on_error="raise"):
        self.report = DamageReport(str(path), on_error)
        try:
            utf8 = codecs.lookup(encoding).name == "utf-8"
        except LookupError:
            raise ValueError(f"Python knows no encoding {encoding!r}; try utf-8, gb18030, utf-16 or latin-1") from None
        self.records = 0
        self.source = Source(path, _cores())
        try:
            self._recognise(wanted, format, encoding, utf8)
        except BaseException:
            self.source.close()
            raise

    def _recognise(self, wanted, format, encoding, utf8):
        stream, head = self.source, _head_of(self.source)
        if not utf8 and format != "binary" and not is_binary(head):
            stream, encoding = Transcoded(self.source, encoding, head), "utf-8"
            head = _head_of(stream)
        size = self.source.size if self.source.compression is None else None
        if not head and self.source.damage:
            raise ValueError(f"{self.source.path}: {self.source.damage}. Download it again.")
        layout = detect(head, self.source.path, size, format)
        self.foreign = layout if isinstance(layout, str) else None
        if self.foreign:
            return
        self.layout = layout
        if layout.header and layout.header[1] != layout.dim:
            message = f"the header says {layout.header[1]} numbers a word, the lines hold {layout.dim}"
            self.report.add("header", message, place("line", 1, 0))
        hot, self.threads = hot_loops(self.source.usual_unpacked_size())
        reader = BinaryReader if layout.kind == "binary" else TextReader
        if wanted is not None:
            wanted = [word.encode(encoding, "surrogatepass" if encoding == "utf-8" else "replace") for word in wanted]
        self.reader = reader(stream, layout, head, wanted, encoding, hot, self.report.on_error == "raise")

    def run(self, sink, progress=None):
        """Hand every block to `sink.add(block)`, in the order of the file.

        `sink.add` returns (the record after which nothing more is needed, or None; the `Damage` it finds: words that came
        before), `sink.count` is how many rows it holds.
        """
        tell = reporter(progress, self.source.size)
        read = self.layout.header is not None and self.layout.header[0]
        data = 0

        def commit(block):
            nonlocal data
            stop, again = sink.add(block)
            for wrong in sorted(block.damage + again, key=lambda wrong: wrong.record):
                if stop is None or wrong.record <= stop:
                    number = self.reader.first_record + self.records + wrong.record
                    where = place(self.reader.unit, number, block.offset + wrong.byte)
                    self.report.add(wrong.kind, wrong.message, where)
            self.records += block.records
            data += block.records - block.blank
            tell(self.source.position(), sink.count)
            return stop is not None

        try:
            ended = relay(self.reader, commit, self.threads)
            if ended and self.layout.header and data != read:
                message = f"the header says {read} words, the file holds {data}"
                self.report.add("header", message, place("line", 1, 0))
        finally:
            tell(self.source.position(), sink.count, last=True)
        self.report.log()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.source.close()


def hot_loops(size):
    """The module of hot loops for a file of about `size` unpacked bytes, and how many threads shall run them."""
    if size < _WORTH_NUMBA and "w2v_embed.readers.kernels" not in sys.modules:
        from . import plain

        return plain, 1
    from . import kernels

    return kernels, _cores() if size >= _WORTH_THREADS else 1


def _head_of(stream):
    head = bytearray(HEAD)
    with memoryview(head) as view:
        return bytes(head[: stream.readinto(view)])


def _cores():
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(usable or 1, _MOST_THREADS)

"""Where each word lies in a vector file, kept beside it: then rows are fetched, and the file is not searched.

    v.txt.w2v-index     a safetensors head (see `safetensors`); int64 keys (n,), spans (n,), blocks (m, 2)

In its metadata, all text: `format`; `sha256` of the file; `identity`, its size, inode, device and times; `layout`, what the
file was taken for; `checksum` of all else. Keys are hashes of the words (`scan/keys`); a span is the first byte of a record and
its length (`scratch.Notes`); a block is a byte and the number of the record that begins there, for messages.

Whoever writes to a file moves the time of change of its inode, and no call sets that back; but clocks of file systems tick
slowly. So a file that was changed in the two seconds before it was indexed, or whose identity is another (it was copied, or
moved), is held against the SHA-256, which takes a second for 2 GB. Rows are parsed out of the file itself, and a record counts
for a word only where its bytes are the word: two words of one key cost a look. An index that is not true is told of and not
used.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..output import check_writable
from ..progress import reporter
from ..shown import logger
from ..stamps import is_young, stamp_of
from .damage import Damages
from .excerpt import read_at, read_into
from .index_file import Index, read_index, write_index
from .opened import Opened
from .remote import Place
from .scan.keys import keys_of
from .scan.plain import LENGTH_BITS

if TYPE_CHECKING:
    from .._types import AnyFile, FormatName, OnError, Progress, StrPath
    from .blocks import Block
    from .opened import Sink

SUFFIX = ".w2v-index"
_PIECE = 1 << 20
_NOBODY = "\n "  # no word of a file: text has no newline in it, and word2vec's binary format no space


def index_path(path: StrPath) -> Path:
    """Where the index of a file lies.

    >>> index_path("v.txt").name
    'v.txt.w2v-index'
    """
    return Path(f"{os.fspath(path)}{SUFFIX}")


def why_no_index(opened: Opened) -> str | None:
    """Why a file can have no index; None where it can."""
    if opened.layout.table:
        return f"it is {opened.format.name}, whose rows are found by its own list of words"
    if isinstance(opened.source.path, Place):
        return "it is no file of this disk. Download it"
    if opened.source.compression is not None:
        return (
            f"it is packed with {opened.source.compression}: rows can be fetched only where the bytes before them are "
            "unpacked, too. Unpack it"
        )
    if opened._stream is not opened.source:
        return "it is text in another encoding than UTF-8. Convert it"
    if opened.source.size >> 63 - LENGTH_BITS:
        return "it is too large"
    return None


def make_index(path: StrPath, *, format: FormatName | None = None, progress: Progress = None) -> tuple[Path, int]:
    """Read a vector file from its first byte to the last and write its index beside it, `FILE.w2v-index`.

    Args:
        path: text or word2vec's binary format, not packed, words in UTF-8.
        format: where it should not be found from the content.
        progress: as for `load_vectors`.

    Returns:
        (the path of the index, how many words it has)

    Raises:
        FileNotFoundError, ValueError, OSError: the file can have no index, is damaged, or changed meanwhile.
    """
    target = index_path(path)
    check_writable(target)
    with _Noting(path, format, "utf-8", "raise") as opened:
        if why := why_no_index(opened):
            raise ValueError(f"{path} can have no index, for {why}.")
        before = _identity(opened)
        opened.look_for([_NOBODY], lambda _: ())
        opened.run(_Nothing(), progress, log=False)
        noted = np.concatenate([np.empty((2, 0), np.int64), *opened._noted()], axis=1)
        keys, spans = noted[:, np.argsort(noted[1], kind="stable")]
        index = Index(keys, spans, np.array(opened._blocks, np.int64).reshape(-1, 2))
        digest = _sha256(opened)
        if _identity(opened) != before:
            raise ValueError(f"{path} has changed while it was read. Wait until it is written, and try again.")
        write_index(
            target, index, _about(opened), digest, None if is_young(os.fstat(opened.source.fileno())) else before
        )
    return target, len(keys)


class _Noting(Opened):
    """Notes where each record lies, however few numbers it has."""

    def _can_go_back(self):
        return True


class _Nothing:
    """Takes nothing, and goes on to the end."""

    count = 0

    def add(self, block: Block) -> tuple[int | None, Damages]:
        """As a sink of `Opened.run`."""
        return None, Damages()


class IndexedFile(Opened):
    """As `Opened`; where there is an index that is true, `run` fetches the rows of the words that are looked for.

    Args:
        path, format, encoding, on_error, trust: as for `Opened`.
        index: None: use it where it is there; True: make it where it is missing or not true; False: do not look.
    """

    def __init__(
        self,
        path: AnyFile,
        format: FormatName | None = None,
        encoding: str = "utf-8",
        on_error: OnError = "raise",
        trust: bool = False,
        *,
        index: bool | None = None,
    ) -> None:
        super().__init__(path, format, encoding, on_error, trust)
        self.index: Index | None = None
        self._fetches: list[str] | None = None
        try:
            if index is not False:
                self.index = self._find(index is True, format)
        except BaseException:
            self.source.close()
            raise

    def _find(self, make, format):
        """The index, if there is one, it is whole, and of this file as it is now."""
        home, why = self.source.path, why_no_index(self)
        if why or isinstance(home, Place):
            if make and not self.layout.table:
                logger.warning("%s has no index, for %s", home, why)
            return None
        path, index = index_path(home), None
        try:
            if path.is_file():
                index = _read_true(self, path)
            elif not make:
                return None
        except (ValueError, OSError) as error:
            if not make:
                told = f"the index {path} is not used: {error}. Make it anew: w2v-embed index {self.source.path}"
                logger.warning("%s", told)
                return None
        if index is None:
            try:
                make_index(home, format=format)
                index = _read_true(self, path)
            except (ValueError, OSError) as error:
                logger.warning("no index of %s could be made: %s", self.source.path, error)
        return index

    def look_for(
        self, words: list[str] | None, candidates: Callable[[list[str]], Collection[str]] | None = None
    ) -> None:
        if self.index is None or words is None:
            super().look_for(words, candidates)
            return
        super().look_for([_NOBODY])  # for the places of what is wrong
        self._fetches = words
        self.goes_back: bool = True
        self.reader.notes.append(self.index)  # type: ignore[union-attr, arg-type]
        self._blocks = list(map(tuple, self.index.blocks.tolist()))

    def run(self, sink: Sink, progress: Progress = None, *, log: bool = True) -> None:
        if self._fetches is None or self.index is None:
            super().run(sink, progress, log=log)
            return
        tell, before, seen = reporter(progress, self.source.size), _identity(self), _Seen(sink, len(self._fetches))
        self.go_back(self._fetches, seen)
        self._check(self._fetches, seen)
        if _identity(self) != before:
            raise _changed(self.source.path)
        tell(self.source.size, sink.count, last=True)
        if not seen.stopped and seen.damaged >= len(self.index.keys):  # as a run that has met no good record
            raise ValueError(
                f"{self.source.path} holds no row that can be read. {self.report.summary()}. Download it again."
            )
        if log:
            self.report.log()

    def _check(self, words, seen):
        """Look at the words of the records that were fetched in vain: are they of the keys that were noted?"""
        if seen.stopped:
            return
        missing = [words[k] for k in np.flatnonzero(~seen.there).tolist()]
        there = self._hot.are_in(self.index.keys, self._hot.make_set([keys_of(missing, self._hot)])) if missing else ()
        for at in np.flatnonzero(there).tolist():
            span = int(self.index.spans[at])
            begin, size = span >> LENGTH_BITS, span & (1 << LENGTH_BITS) - 1
            record = read_at(self.source, begin, size)
            tried = {record[:end] for end in range(len(record) + 1) if end == len(record) or record[end] <= 32}
            if not any(
                keys_of([w.decode("utf-8", "surrogateescape")], self._hot)[0] == self.index.keys[at] for w in tried
            ):
                raise _changed(self.source.path)


class _Seen:
    """A sink that remembers which words came."""

    def __init__(self, sink, count):
        self._sink, self.there = sink, np.zeros(count, np.bool_)
        self.stopped, self.damaged = False, 0

    @property
    def count(self):
        return self._sink.count

    def add(self, block):
        """As a sink of `Opened.run`."""
        self.there[block.targets] = True
        self.damaged += block.damage.records
        stop, again = self._sink.add(block)
        self.stopped |= stop is not None
        return stop, again


def _changed(path):
    return ValueError(f"{path} has changed while it was read by its index. Wait until it is written, and try again.")


# ── what the file is ──


def _identity(opened: Opened) -> list[int]:
    return stamp_of(os.fstat(opened.source.fileno()))


def _sha256(opened: Opened) -> str:
    digest, at = hashlib.sha256(), 0
    view = memoryview(bytearray(_PIECE))
    while n := read_into(opened.source, at, view):
        digest.update(view[:n])
        at += n
    return digest.hexdigest()


def _about(opened: Opened) -> list[Any]:
    """What the file was taken for: another format would have other records."""
    layout = opened.layout
    return [opened.format.name, layout.dim, layout.begin, list(layout.header or ()), layout.alone]


def _read_true(opened: Opened, path: Path) -> Index:
    """The index at `path`, which is that of the opened file.

    Raises:
        ValueError: it is none, or of another file or state of it.
    """
    metadata, index = read_index(path)
    try:
        identity, about = json.loads(metadata["identity"]), json.loads(metadata["layout"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"it does not say of which file it is ({error})") from error
    if about != _about(opened):
        raise ValueError("it is of a file of another format or width")
    now = _identity(opened)
    if identity != now:
        if _sha256(opened) != metadata["sha256"] or _identity(opened) != now:
            raise ValueError("it is of another state of the file")
        if not is_young(os.fstat(opened.source.fileno())):
            with suppress(OSError, ValueError):  # from now on the times tell all
                write_index(path, index, about, metadata["sha256"], now)
    begins, sizes, end = index.spans >> LENGTH_BITS, index.spans & (1 << LENGTH_BITS) - 1, opened.source.size
    records, bytes_ = index.blocks[:, 1], index.blocks[:, 0]
    if len(index.keys) != len(index.spans) or not len(index.blocks) or (np.diff(begins) <= 0).any():
        raise ValueError("its words do not stand in the order of the file")
    if len(begins) and (begins[0] < opened.layout.begin or (begins + sizes).max() > end):
        raise ValueError("it names places that are not in the file")
    if bytes_[0] != opened.layout.begin or (np.diff(bytes_) < 0).any() or (records < 0).any() or bytes_[-1] > end:
        raise ValueError("its blocks do not stand in the order of the file")
    return index

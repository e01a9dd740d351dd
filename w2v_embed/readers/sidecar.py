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
from ..shown import logger, quoted
from ..stamps import is_young, stamp_of
from .compression import Source
from .damage import DamageReport, Damages
from .encodings import Transcoded
from .excerpt import read_at, read_into
from .index_file import Index, read_index, write_index
from .opened import HEAD, Opened
from .remote import Place, place_of
from .remote.places import Url
from .remote.ranges import Ranged
from .remote.streams import Resumed
from .scan.hot import hot_loops
from .scan.keys import keys_of
from .scan.plain import LENGTH_BITS

if TYPE_CHECKING:
    from .._types import AnyFile, FormatName, OnError, Progress, StrPath
    from .blocks import Block
    from .opened import Sink

SUFFIX = ".w2v-index"
_PIECE = 1 << 20
_LARGE = 0.5  # share of a remote file: what costs more than that is had sooner in one piece
_NOBODY = "\n "  # no word of a file: text has no newline in it, and word2vec's binary format no space


def index_path(path: AnyFile, folder: StrPath | None = None) -> Path:
    """Where the index of a file lies: beside it, or in a folder, under a name that no other file's has.

    >>> index_path("v.txt").name, index_path("https://host/v.txt?token=secret", "kept").name
    ('v.txt.w2v-index', 'v.txt.5c65fcdc.w2v-index')
    """
    if folder is None and isinstance(path, (str, os.PathLike)):
        return Path(f"{os.fspath(path)}{SUFFIX}")
    home = place_of(path)
    whole = str(home) if isinstance(home, Place) else os.path.abspath(home)
    digest = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()
    return Path(folder or ".") / f"{home.name}.{digest[:8]}{SUFFIX}"


def index_folder(index: bool | StrPath | None) -> Path | None:
    """The folder that `index=` names; None where it names none.

    Raises:
        TypeError: it is neither True, False, None nor a path.
    """
    if index is None or isinstance(index, bool):
        return None
    if not isinstance(index, (str, os.PathLike)):
        raise TypeError(f"index must be None, True, False or a folder for the indexes, received {quoted(index)}")
    return Path(index)


def why_no_index(opened: Opened, folder: Path | None = None) -> str | None:
    """Why a file can have no index; None where it can. `folder`: where it would lie, if not beside the file."""
    if opened.layout.table:
        return f"it is {opened.format.name}, whose rows are found by its own list of words"
    file = opened.source.file
    if not isinstance(opened.source.path, Url) and isinstance(opened.source.path, Place):
        return "it is no file of this disk. Download it"
    if isinstance(opened.source.path, Url) and folder is None:
        return "it is no file of this disk. Download it, or name a folder for its index"
    if opened.source.compression is not None:
        return (
            f"it is packed with {opened.source.compression}: rows can be fetched only where the bytes before them are "
            "unpacked, too. Unpack it"
        )
    if isinstance(opened._stream, Transcoded):
        return "it is text in another encoding than UTF-8. Convert it"
    if isinstance(file, Resumed) and not file.seekable():
        return "its server sends no parts of files. Download it"
    if isinstance(file, Resumed) and file.known() is None:
        return "its server tells nothing by which every change is known (an ETag, or an old time). Download it"
    if opened.source.size >> 63 - LENGTH_BITS:
        return "it is too large"
    return None


def make_index(
    path: AnyFile,
    *,
    format: FormatName | None = None,
    progress: Progress = None,
    folder: StrPath | None = None,
) -> tuple[Path, int]:
    """Read a vector file from its first byte to the last and write its index beside it, `FILE.w2v-index`.

    Args:
        path: text or word2vec's binary format, not packed, words in UTF-8.
        folder: where the index goes instead, as for files behind URLs.
        format: where it should not be found from the content.
        progress: as for `load_vectors`.

    Returns:
        (the path of the index, how many words it has)

    Raises:
        FileNotFoundError, ValueError, OSError: the file can have no index, is damaged, or changed meanwhile.
    """
    kept = index_folder(folder)
    with _Noting(path, format, "utf-8", "raise") as opened:
        if why := why_no_index(opened, kept):
            raise ValueError(f"{opened.source.path} can have no index, for {why}.")
        if kept:
            kept.mkdir(parents=True, exist_ok=True)
        target, local = index_path(path, kept), opened.source.local
        check_writable(target)
        before = _identity(opened)
        opened.look_for([_NOBODY], lambda _: ())
        opened.run(_Nothing(), progress, log=False)
        noted = np.concatenate([np.empty((2, 0), np.int64), *opened._noted()], axis=1)
        keys, spans = noted[:, np.argsort(noted[1], kind="stable")]
        index = Index(keys, spans, np.array(opened._blocks, np.int64).reshape(-1, 2))
        digest = _sha256(opened) if local else ""
        if _identity(opened) != before or not (local or opened.source.file.is_same()):
            raise ValueError(
                f"{opened.source.path} has changed while it was read. Wait until it is written, and try again."
            )
        young = local and is_young(os.fstat(opened.source.fileno()))
        write_index(target, index, _about(opened), digest, None if young else before)
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
        index: None: use it where it is there; True: make it where it is missing or not true; a folder: the same, and it lies
            there, also that of a file behind a URL; False: do not look.
    """

    def __init__(
        self,
        path: AnyFile,
        format: FormatName | None = None,
        encoding: str = "utf-8",
        on_error: OnError = "raise",
        trust: bool = False,
        *,
        index: bool | StrPath | None = None,
    ) -> None:
        folder = index_folder(index)
        home = place_of(path)
        self._as_opened = home, format, encoding, on_error, trust
        if isinstance(home, Url) and folder and index_path(home, folder).is_file():  # its head will do
            home = Url(home.url, HEAD)
        super().__init__(home, format, encoding, on_error, trust)
        self.index: Index | None = None
        self._fetches: list[str] | None = None
        try:
            if index is not False:
                self.index = self._find(bool(index is True or folder), format, folder)
            if self.index is None and isinstance(self.source.file, Resumed) and self.source.file.begun:
                self._open_anew()
        except BaseException:
            self.source.close()
            raise

    def _find(self, make, format, folder):
        """The index, if there is one, it is whole, and of this file as it is now."""
        home, why = self.source.path, why_no_index(self, folder)
        if why:
            if make and not self.layout.table:
                logger.warning("%s has no index, for %s", home, why)
            return None
        path, index = index_path(home, folder), None
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
                make_index(home, format=format, folder=folder)
                index = _read_true(self, path)
            except (ValueError, OSError) as error:
                logger.warning("no index of %s could be made: %s", self.source.path, error)
        return index

    def look_for(
        self, words: list[str] | None, candidates: Callable[[list[str]], Collection[str]] | None = None
    ) -> None:
        if self.index is not None and words is not None and not self.source.local and not self._fetch(words):
            self.index = None
        if self.index is None or words is None:
            super().look_for(words, candidates)
            return
        super().look_for([_NOBODY])  # for the places of what is wrong
        self._fetches = words
        self.goes_back: bool = True
        self.reader.notes.append(self.index)  # type: ignore[union-attr, arg-type]
        self._blocks = list(map(tuple, self.index.blocks.tolist()))

    def _fetch(self, words):
        """Have the records of `words` of a remote file here, as far as it has some; whether they are."""
        index, whole, hot = self.index, self.source, hot_loops(self.source.size)[0]
        spans = index.spans[hot.are_in(index.keys, hot.make_set([keys_of(words, hot)]))]
        stretches = spans >> LENGTH_BITS, spans & (1 << LENGTH_BITS) - 1
        try:
            here = Ranged(whole.path, whole.file, self._head)
            if here.cost_of(here.missing(*stretches)) > _LARGE * whole.size:
                logger.info("%s is read as a whole: so many of its rows are wanted", whole.path)
                self._open_anew()
                return False
            here.have(*stretches)
            self.source: Source = Source(here)
        except OSError as error:
            logger.warning("%s is read as a whole, not by its index: %s", whole.path, error)
            self._open_anew()
            return False
        whole.close()
        self._stream = self.source
        return True

    def _open_anew(self):
        """What was opened may be no more."""
        report, dim = self.report, self.dim
        self.source.close()
        super().__init__(*self._as_opened)
        report.__dict__.update(self.report.__dict__)  # which others have
        self.report: DamageReport = report
        if self.dim != dim:
            raise _changed(self.source.path)

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


def _identity(opened: Opened) -> list[Any]:
    file = opened.source.file
    if isinstance(file, Resumed):
        return [str(opened.source.path), *map(list, sorted((file.known() or {}).items()))]
    return stamp_of(os.fstat(file.fileno()))


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
        if not opened.source.local or _sha256(opened) != metadata["sha256"] or _identity(opened) != now:
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

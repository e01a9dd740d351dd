"""Texts of any size, some at a time: whole files, or pieces of them that are cut at lines, for many workers."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from ..texts import mark_of
from .compression import Source
from .remote import Place, place_of
from .remote.places import is_file

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._types import AnyFile

_CHUNK = 1 << 20
_PIECE = 1 << 24
_LONGEST_LINE = 1 << 24  # characters, of a text that is to be in memory as a whole
_LOOKED_THROUGH = 1 << 16  # bytes at a time, for the end of a line
# In these, by Python's names, a byte 10 is a newline wherever it stands, and what follows depends on nothing before it.
_CUT_ANYWHERE = re.compile(
    r"utf-8|ascii|iso8859-\d+|cp125\d|koi8-[ru]|gb2312|gbk|gb18030|big5(hkscs)?|euc_\w+|shift_jis\w*"
)


class Piece(NamedTuple):
    """Some lines of a text.

    Attributes:
        path: of the text.
        begin, end: its bytes; an `end` of None is that of the file.
        size: of the whole file.
    """

    path: AnyFile
    begin: int
    end: int | None
    size: int


def listed(paths: AnyFile | Iterable[AnyFile]) -> Iterable[AnyFile]:
    """One file, or several, as several."""
    return [paths] if is_file(paths) else paths  # type: ignore[list-item, return-value]


def pieces(path: AnyFile, encoding: str = "utf-8") -> Iterator[Piece]:
    """Yield the pieces of a text, one after another, each some whole lines: one of a file that can only be read from its
    beginning on.

    Raises:
        ValueError: other processes cannot read it.
    """
    place = place_of(path)
    if isinstance(place, Place) and not place.elsewhere:
        raise ValueError(f"{place} can be read by this process alone: leave executor out, or save it as a file")
    with Source(path) as source:
        size, begin = source.size, 0
        if not (source.at_any_place and _CUT_ANYWHERE.fullmatch(codecs.lookup(encoding).name) and size > _PIECE):
            yield Piece(path, 0, None, size)
            return
        while begin < size:
            end = _begin_of_line(source, begin + _PIECE)
            yield Piece(path, begin, end, size)
            begin = end


def _begin_of_line(source, byte):
    """The first byte from `byte` on with which a line begins, or the end of the file."""
    at, buffer = byte - 1, bytearray(_LOOKED_THROUGH)
    if byte < source.size:
        source.go_to(at)
        while got := source.readinto(memoryview(buffer)):
            found = buffer.find(b"\n", 0, got)
            if found >= 0:
                return min(at + found + 1, source.size)
            at += got
    return source.size


def stretches_of_text(source: Source, encoding: str, begin: int = 0, end: int | None = None) -> Iterator[str]:
    """Yield the text of a source, or of a `Piece` of it, in stretches that end at the same bytes wherever one begins: a line
    that is too long to be looked at as a whole comes in the same parts.

    Raises:
        ValueError: it is no text in this encoding, or has become shorter.
    """
    if begin:
        source.go_to(begin)
    decoder = codecs.getincrementaldecoder(encoding)()
    chunk = max(_CHUNK, 4)  # a byte order mark at least
    buffer = bytearray(chunk)
    at, lines, head, last = begin, 1, b"", False
    while not last:
        view = memoryview(buffer)[: chunk - at % chunk]
        if end is not None:
            view = view[: end - at]
        got = source.readinto(view)
        last = got < len(view) or at + got == end
        if end is not None and got < len(view):
            raise ValueError(
                f"{source.path} has become shorter while it was read. Wait until it is written, and try again."
            )
        raw, before = bytes(view[:got]), decoder.getstate()
        head = head or raw[:4]
        try:
            text = decoder.decode(raw, last and source.damage is None)
        except UnicodeError as error:
            byte, what = at, f"{raw[:20]!r} ({error})"
            if isinstance(error, UnicodeDecodeError):
                waiting = len(error.object) - got  # bytes of a character that the stretch before ended in
                byte += error.start - waiting
                what = f"{error.object[error.start : error.start + 20]!r} ({error.reason})"
                with suppress(UnicodeError):  # there is no mark
                    decoder.setstate(before)
                    lines += decoder.decode(raw[: max(error.start - waiting, 0)]).count("\n")
            raise _no_text(source.path, begin, lines, byte, encoding, what, head) from error
        if "\0" in text:  # also what Latin words in UTF-16 look like when they are read as something else
            lines += text.count("\n", 0, text.index("\0"))
            raise _no_text(source.path, begin, lines, at + raw.find(0), encoding, "a NUL byte", head)
        lines += text.count("\n")
        at += got
        yield text


def _no_text(path, begin, line, byte, encoding, what, head):
    if begin:  # what came before the piece was somebody else's
        with Source(path) as source:
            head, before = _looked_over(source, begin)
        line += before
    mark = mark_of(head)
    guess = f" It looks like {mark}." if mark and codecs.lookup(mark).name != codecs.lookup(encoding).name else ""
    if not mark and codecs.lookup(encoding).name in ("utf-16", "utf-32"):
        guess = f' Without a byte order mark it is "{encoding}-le" or "{encoding}-be".'
    return ValueError(
        f"{path}, line {line} (byte {byte}): expected {encoding}, got {what}.{guess} Pass the right encoding=, or download the "
        "file again."
    )


def _looked_over(source, end):
    """The first bytes of a file, and how many lines end before `end`."""
    head, lines, at, buffer = b"", 0, 0, bytearray(_CHUNK)
    while at < end and (got := source.readinto(memoryview(buffer)[: end - at])):
        head = head or bytes(buffer[:4])
        lines += buffer.count(b"\n", 0, got)
        at += got
    return head, lines


def lines_of(path: AnyFile, encoding: str = "utf-8") -> Iterator[str]:
    """Yield the lines of a text, without what ends them.

    Raises:
        FileNotFoundError, ValueError: no such file, it is damaged or no text in this encoding, or a line is beyond all reason.
    """
    with Source(path) as source:
        rest, first = "", True
        for text in stretches_of_text(source, encoding):
            if first and text:
                text, first = text.removeprefix("\ufeff"), False
            *lines, rest = (rest + text).split("\n")
            if len(rest) > _LONGEST_LINE:
                raise ValueError(
                    f"{path}: expected one text a line, got a line of more than {_LONGEST_LINE:,} characters"
                )
            for line in lines:
                yield line.removesuffix("\r")
        if source.damage:
            raise ValueError(f"{path}: {source.damage}. Download it again.")
        if rest:
            yield rest.removesuffix("\r")

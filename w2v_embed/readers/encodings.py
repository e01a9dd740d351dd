"""Which encoding words are in: as it is told, as it looks, and text in any of them as UTF-8."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Protocol

from ..texts import checked_encoding

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .compression import Source
    from .remote import Place

    class Stream(Protocol):
        """Unpacked bytes, one after another: a `Source`, or what is read through one."""

        @property
        def path(self) -> Path | Place: ...

        @property
        def damage(self) -> str | None: ...

        def readinto(self, view: memoryview) -> int: ...


_PIECE = 1 << 16
_NAMES = {"gb18030": "GB18030 (GBK)", "big5": "Big5"}  # what `looks_like` finds


def usual_name(encoding: str) -> str:
    """`encoding`, if Python can read text in it; one name for UTF-8."""
    name = codecs.lookup(checked_encoding(encoding)).name
    return "utf-8" if name in ("utf-8", "utf-8-sig") else encoding


def looks_like(words: Sequence[bytes]) -> str | None:
    """The encoding that most of `words` (bytes that are no UTF-8) seem to be in, or None.

    Latin-1 and its kin read anything, so they are never named.

    >>> looks_like(["中国".encode("gbk"), "北京".encode("gbk")]), looks_like([b"caf\\xe9"])
    ('gb18030', None)
    """
    # Of GB18030's characters texts use those of its oldest part; as a whole it would take the bytes of Big5, too.
    for part, name in (("gb2312", "gb18030"), ("big5", "big5")):
        if words and sum(reads_as(word, part) for word in words) > 0.6 * len(words):
            return name
    return None


def reads_as(word: bytes, encoding: str) -> bool:
    """Whether `word` is text in `encoding`."""
    try:
        word.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def refuse_utf8(head: bytes, encoding: str, path: Path | Place) -> None:
    """Raise where a text that is said to be in `encoding` is in UTF-8, which reads as Chinese gibberish in GB18030."""
    special = [word for word in head[:1024].split() if not word.isascii()][:-1]
    if len(special) > 1 and all(reads_as(word, "utf-8") for word in special):
        raise ValueError(f"{path} is text in UTF-8, not in {encoding}: leave encoding={encoding!r} out.")


def not_in(encoding: str, words: Sequence[bytes], path: Path | Place) -> str | None:
    """What is wrong where a file is not in `encoding` as a whole, as its first words show; None where they are in it.

    Raises:
        ValueError: it is plain which encoding it is in.
    """
    special = [word for word in words if not word.isascii()]
    bad = [word for word in special if not reads_as(word, encoding)]
    if len(bad) < 2 or 2 * len(bad) <= len(special):
        return None
    guess = looks_like(bad)
    told = f"{len(bad)} of its first {len(words)} words are not in {encoding}, as {bad[0][:40]!r}"
    if guess:
        raise ValueError(f'{path}: {told}. It looks like {_NAMES[guess]}: pass encoding="{guess}".')
    return told


class Transcoded:
    """A source of text in another encoding, as UTF-8: the readers then know only one encoding.

    Bytes that are no text in it come out as bytes that are no UTF-8, so that the readers find them, in their line.

    Args:
        source: what to read.
        encoding: what it is in.
        head: bytes that were read from it already.
    """

    def __init__(self, source: Source, encoding: str, head: bytes = b"") -> None:
        self.path: Path | Place = source.path
        self._source, self._encoding, self._head = source, encoding, head
        self._decode = codecs.getincrementaldecoder(encoding)("w2v_embed.mark").decode
        self._ready = b""
        self._ended = False

    @property
    def damage(self) -> str | None:
        """As `Source.damage`."""
        return self._source.damage

    def readinto(self, view: memoryview) -> int:
        """As `Source.readinto`; the bytes are UTF-8."""
        n = 0
        while n < len(view) and (self._ready or not self._ended):
            if not self._ready:
                self._ready = self._more()
            part = self._ready[: len(view) - n]
            view[n : n + len(part)] = part
            self._ready = self._ready[len(part) :]
            n += len(part)
        return n

    def _more(self):
        raw, self._head = self._head, b""
        if not raw:
            buffer = bytearray(_PIECE)
            raw = bytes(buffer[: self._source.readinto(memoryview(buffer))])
            self._ended = len(raw) < len(buffer)
        try:
            text = self._decode(raw, self._ended and self.damage is None)
        except UnicodeError as error:  # not about some bytes, those are marked: UTF-16 without its first two
            raise ValueError(
                f'{self.path} is not in {self._encoding} ({error}). Pass the right encoding=; "utf-16-le" and "utf-16-be" are '
                "UTF-16 without a byte order mark."
            ) from error
        return text.encode("utf-8", "surrogatepass")


codecs.register_error("w2v_embed.mark", lambda error: ("\udcff", error.end))  # type: ignore[attr-defined]

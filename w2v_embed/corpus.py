"""Texts → counts → word_index. Files are streamed; memory is a stretch of a line and the distinct words."""

from __future__ import annotations

import codecs
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from .checks import checked_count, whole
from .progress import reporter
from .readers.compression import Source
from .shown import plain_errors, quoted
from .splitting import real_words, stretches
from .texts import checked_encoding, mark_of, read_json
from .vocabulary import is_padding

if TYPE_CHECKING:
    from ._types import Progress, Split, StrPath

_CHUNK = 1 << 20


@plain_errors
def count_words(
    paths: StrPath | Iterable[StrPath],
    *,
    split: Split = "whitespace",
    encoding: str = "utf-8",
    progress: Progress = None,
) -> Counter[str]:
    """Count the words of texts.

    A line may be of any length: a long one is split in pieces, which are cut between two words. At white space, and with jieba
    at punctuation and everything else that jieba parts by itself, this changes nothing. Where 65,536 characters of Chinese have
    none of these, jieba gets them in pieces that share the last words; a line of more than 16 million characters without white
    space, or for a callable, is cut in the middle.

    Args:
        paths: path or list of paths of texts, one text a line, each plain or as .gz, .bz2, .xz, .zst or .zip (of one file).
        split: "whitespace"; "jieba", for Chinese; "characters"; a callable line → words; or a tokenizer, `jieba.Tokenizer` or
            `tokenizers.Tokenizer`.
        encoding: of the texts.
        progress: None, True for a bar on stderr, or a callable (bytes done, bytes in all).

    Returns:
        A `Counter`, in the order in which the words came.

    Raises:
        FileNotFoundError, ValueError, ImportError: no such file, not in this encoding, or jieba is not installed.

    Example:
        >>> count_words("data/titles.tsv", split="jieba")["中国"]
        124
    """
    words_of = stretches(split)
    checked_encoding(encoding)
    counts: Counter[str] = Counter()
    for path in [paths] if isinstance(paths, (str, os.PathLike)) else paths:
        with Source(path) as source:
            tell = reporter(progress, source.size)
            total, rest = 0, ""
            for text in _texts(source, encoding):
                *lines, tail = text.split("\n")
                for line in lines:
                    words, _ = words_of((rest + line).removeprefix("\ufeff"), False)
                    total += _count(words, counts)
                    rest = ""
                words, rest = words_of((rest + tail).removeprefix("\ufeff"), True)
                total += _count(words, counts)
                tell(source.position(), total)
            total += _count(words_of(rest, False)[0], counts)
            tell(source.position(), total, last=True)
            if source.damage:
                raise ValueError(f"{path}: {source.damage}. Download it again.")
    return counts


def _count(words, counts):
    words = real_words(words)
    counts.update(words)
    return len(words)


def make_word_index(
    counts: Mapping[str, float],
    *,
    min_count: int = 1,
    num_words: int | None = None,
    special_tokens: Iterable[str] = (),
) -> dict[str, int]:
    """Number words by falling count; equal ones in alphabetical order, so that the order of the texts does not matter.

    Args:
        counts: dict word → count.
        min_count: leave out words that are rarer.
        num_words: ids stay below it, as in Keras' Tokenizer.
        special_tokens: words that come first. They take the ids from 0 on where the first of them is a padding token, else from
            1 on: 0 is always padding.

    Returns:
        dict word → id.

    Example:
        >>> make_word_index({"b": 2, "a": 2, "c": 3, "d": 1}, min_count=2, special_tokens=["<pad>", "<unk>"])
        {'<pad>': 0, '<unk>': 1, 'c': 2, 'a': 3, 'b': 4}
    """
    special, least = list(special_tokens), whole("min_count", min_count, 0)
    if len(set(special)) < len(special):
        raise ValueError(f"special_tokens must differ, received {quoted(special)}")
    kept = sorted((-count, word) for word, count in counts.items() if count >= least and word not in special)
    words = [*special, *(word for _, word in kept)]
    first = 0 if special and is_padding(special[0]) else 1
    if num_words is not None:  # one word more than the special ones at least
        words = words[: whole("num_words", num_words, first + len(special) + 1, or_none=True) - first]
    return {word: index for index, word in enumerate(words, first)}


@plain_errors
def read_counts(path: StrPath, *, split: Split = "whitespace", encoding: str = "utf-8") -> Mapping[str, float]:
    """Counts out of a file: a .json of word → count, or anything else as a text whose words are counted.

    Returns:
        A mapping word → count.

    Raises:
        FileNotFoundError, ValueError: no such file, or not this; a count is negative, not finite, or more than any text holds.
    """
    if Path(path).suffix.lower() != ".json":
        return count_words(path, split=split, encoding=encoding)
    counts: object = read_json(path, encoding=encoding, label="count")
    if not isinstance(counts, Mapping):
        raise ValueError(f"{path}: expected a JSON object word -> count, got {type(counts).__name__}")
    try:
        return {word: checked_count(counts, word) for word in counts}
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


# ── stretches of text ──


def _texts(source, encoding):
    """The text of a `Source`, some at a time."""
    decoder = codecs.getincrementaldecoder(encoding)()
    buffer = bytearray(max(_CHUNK, 4))  # a byte order mark at least
    lines, begin, last = 1, 0, False
    head = b""
    while not last:
        got = source.readinto(memoryview(buffer))
        last = got < len(buffer)
        raw, before = bytes(buffer[:got]), decoder.getstate()
        head = head or raw[:4]
        try:
            text = decoder.decode(raw, last and source.damage is None)
        except UnicodeError as error:
            byte, what = begin, f"{raw[:20]!r} ({error})"
            if isinstance(error, UnicodeDecodeError):
                waiting = len(error.object) - got  # bytes of a character that the stretch before ended in
                byte += error.start - waiting
                what = f"{error.object[error.start : error.start + 20]!r} ({error.reason})"
                with suppress(UnicodeError):  # there is no mark
                    decoder.setstate(before)
                    lines += decoder.decode(raw[: max(error.start - waiting, 0)]).count("\n")
            raise _no_text(source.path, lines, byte, encoding, what, head) from error
        if "\0" in text:  # also what Latin words in UTF-16 look like when they are read as something else
            lines += text.count("\n", 0, text.index("\0"))
            raise _no_text(source.path, lines, begin + raw.find(0), encoding, "a NUL byte", head)
        lines += text.count("\n")
        begin += got
        yield text


def _no_text(path, line, byte, encoding, what, head):
    mark = mark_of(head)
    guess = f" It looks like {mark}." if mark and codecs.lookup(mark).name != codecs.lookup(encoding).name else ""
    if not mark and codecs.lookup(encoding).name in ("utf-16", "utf-32"):
        guess = f' Without a byte order mark it is "{encoding}-le" or "{encoding}-be".'
    return ValueError(
        f"{path}, line {line} (byte {byte}): expected {encoding}, got {what}.{guess} Pass the right encoding=, or download the "
        "file again."
    )

"""Texts → counts → word_index. Files are streamed; memory is one line and the distinct words."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from .progress import reporter
from .readers.compression import Source
from .vocabulary import is_padding

_CHUNK = 1 << 20
_LONGEST_LINE = 1 << 24  # bytes; a longer one is counted in pieces


def count_words(paths, *, split="whitespace", encoding="utf-8", progress=None):
    """Count the words of texts.

    Args:
        paths: path or list of paths of texts, one text a line, each plain or as .gz, .bz2, .xz, .zst or .zip (of one file).
        split: "whitespace"; "jieba", for Chinese; or a callable line → words.
        encoding: of the texts.
        progress: None, True for a bar on stderr, or a callable `(bytes done, bytes in all, words counted)`.

    Returns:
        A `Counter`, in the order in which the words came.

    Raises:
        FileNotFoundError, ValueError, ImportError: no such file, not in this encoding, or jieba is not installed.

    Example:
        >>> count_words("data/titles.tsv", split="jieba")["中国"]
        124
    """
    words_of = _splitter(split)
    counts = Counter()
    for path in [paths] if isinstance(paths, (str, Path)) else paths:
        with Source(path) as source:
            tell = reporter(progress, source.size)
            total = 0
            for number, line in enumerate(_lines(source), 1):
                try:
                    text = line.decode(encoding)
                except UnicodeDecodeError as error:
                    raise ValueError(
                        f"{path}, line {number}: expected {encoding}, got {line[error.start : error.start + 20]!r} "
                        f"({error.reason}). Pass the right encoding."
                    ) from error
                words = [word for word in words_of(text.removeprefix("\ufeff")) if not word.isspace()]
                counts.update(words)
                total += len(words)
                tell(source.position(), total)
            tell(source.position(), total, last=True)
            if source.damage:
                raise ValueError(f"{path}: {source.damage}. Download it again.")
    counts.pop("", None)
    return counts


def make_word_index(counts, *, min_count=1, num_words=None, special_tokens=()):
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
    special_tokens = list(special_tokens)
    if len(set(special_tokens)) < len(special_tokens):
        raise ValueError(f"special tokens must differ, received {special_tokens!r}")
    kept = sorted((-count, word) for word, count in counts.items() if count >= min_count and word not in special_tokens)
    words = [*special_tokens, *(word for _, word in kept)]
    first = 0 if special_tokens and is_padding(special_tokens[0]) else 1
    if num_words is not None:
        if num_words <= first + len(special_tokens):
            raise ValueError(
                f"num_words must be more than {first + len(special_tokens)}, received {num_words}: no word would be left"
            )
        words = words[: num_words - first]
    return {word: index for index, word in enumerate(words, first)}


def read_counts(path, *, split="whitespace", encoding="utf-8"):
    """Counts out of a file: a .json of word → count, or anything else as a text whose words are counted.

    Returns:
        A mapping word → count.
    """
    if Path(path).suffix.lower() != ".json":
        return count_words(path, split=split, encoding=encoding)
    try:
        counts = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: not JSON ({error.msg}, column {error.colno})") from error
    if not isinstance(counts, Mapping):
        raise ValueError(f"{path}: expected a JSON object word -> count, got {type(counts).__name__}")
    return counts


def _splitter(split):
    if callable(split):
        return split
    if split == "whitespace":
        return str.split
    if split == "jieba":
        try:
            import jieba
        except ImportError as error:
            raise ImportError('splitting Chinese needs jieba: pip install "w2v-embed[chinese]"') from error
        jieba.setLogLevel("WARNING")
        return jieba.cut
    raise ValueError(f'split must be "whitespace", "jieba" or a callable line -> words, received {split!r}')


def _lines(source):
    """The lines of a `Source` as bytes, without their ends."""
    buffer = bytearray(_CHUNK)
    rest = b""
    while True:
        got = source.readinto(memoryview(buffer))
        if not got:
            break
        lines = (rest + buffer[:got]).split(b"\n")
        rest = bytes(lines.pop())
        yield from map(bytes, lines)
        if len(rest) > _LONGEST_LINE and (cut := rest.rfind(b" ")) > 0:
            yield rest[:cut]
            rest = rest[cut:]
    if rest:
        yield rest

"""Texts → counts → word_index. Files are streamed; memory is a stretch of a line and the distinct words."""

from __future__ import annotations

import zlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from .checks import checked_count, whole
from .engines import checked_executor, run_all
from .progress import reporter
from .readers.compression import Source
from .readers.lines import Piece, listed, pieces, stretches_of_text
from .shown import plain_errors, quoted
from .splitting import real_words, stretches
from .texts import checked_encoding, read_json
from .vocabulary import is_padding

if TYPE_CHECKING:
    from ._types import AnyFile, Executor, Progress, Split, StrPath


@plain_errors
def count_words(
    paths: AnyFile | Iterable[AnyFile],
    *,
    executor: Executor | None = None,
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
        paths: path or list of paths of texts, one text a line, each plain or as .gz, .bz2, .xz, .zst or .zip (of one file);
            or what else `load_vectors` takes: URLs, "-", members of archives, open files.
        executor: what has `submit(function, *arguments)`: an executor of `concurrent.futures`, a Dask client, a
            `w2v_embed.scale.RayExecutor`. Files are cut at lines, and the pieces counted by its workers, which must find the
            files at the same paths; a packed file is one piece, and so is one in UTF-16. Counts, and the order of the words,
            are those of one process. What a worker had that died is counted again.
        split: "whitespace"; "jieba", for Chinese; "characters"; a callable line → words; or a tokenizer, `jieba.Tokenizer` or
            `tokenizers.Tokenizer`.
        encoding: of the texts.
        progress: None, True for a bar on stderr, or a callable (bytes done, bytes in all).

    Returns:
        A `Counter`, in the order in which the words came.

    Raises:
        FileNotFoundError, ValueError, ImportError: no such file, not in this encoding, or jieba is not installed.
        TypeError: `executor` is none, or its workers are processes and `split` cannot be sent to them.

    Example:
        >>> count_words("data/titles.tsv", split="jieba")["中国"]
        124
    """
    words_of = stretches(split)
    checked_encoding(encoding)
    checked_executor(executor)
    counts: Counter[str] = Counter()
    each = listed(paths)
    if executor is None:
        for path in each:
            with Source(path) as source:
                _count(source, words_of, encoding, counts, reporter(progress, source.size))
        return counts
    planned = deque[Piece]()

    def work() -> Iterator[tuple[AnyFile, int, int | None, Split, str]]:
        for path in each:
            for piece in pieces(path, encoding):
                planned.append(piece)
                yield piece.path, piece.begin, piece.end, split, encoding

    tell, of = reporter(None, 0), None
    for found in run_all(executor, _count_piece, work()):
        piece = planned.popleft()
        if piece.begin == 0:
            tell, of = reporter(progress, piece.size), 0
        counts.update(found)
        of = (of or 0) + sum(found.values())
        tell(piece.size if piece.end is None else piece.end, of, last=piece.end in (None, piece.size))
    return counts


def _count_piece(path, begin, end, split, encoding):
    """The words of a piece of a text; what a worker does."""
    counts = Counter()
    with Source(path) as source:
        _count(source, stretches(split), encoding, counts, reporter(None, 0), begin, end)
    return counts


def _count(source, words_of, encoding, counts, tell, begin=0, end=None):
    """Count the words of a source, or of the lines that begin from byte `begin` on and before `end`."""
    total, rest, at_begin = 0, "", True

    def split(text, more):
        """The rest of a line, or some more of it."""
        nonlocal total, rest, at_begin
        if at_begin:
            text = text.removeprefix("\ufeff")
        words, left = words_of(rest + text, more)
        rest = left if more else ""
        at_begin = not more or (at_begin and not text)
        total += _add(words, counts)

    for text in stretches_of_text(source, encoding, begin, end):
        *lines, tail = text.split("\n")
        for line in lines:
            split(line, False)
        split(tail, True)
        tell(source.position(), total)
    split("", False)
    tell(source.position(), total, last=True)
    if source.damage:
        raise ValueError(f"{source.path}: {source.damage}. Download it again.")


def _add(words, counts):
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


@plain_errors
def merge_counts(
    paths: Iterable[StrPath],
    *,
    min_count: int = 1,
    parts: int = 1,
    executor: Executor | None = None,
    encoding: str = "utf-8",
) -> Counter[str]:
    """Add up the counts of several files, as hosts have written them who counted a share of the texts each.

    Args:
        paths: .json files of word → count.
        min_count: words that are rarer in all files together are left out.
        parts: how many times the files are gone through: each time for those words whose hash says so. Nobody then holds more
            than such a share of the words, one file, and what `min_count` has left.
        executor: as for `count_words`; its workers merge a part each.
        encoding: of the files.

    Returns:
        A `Counter`; the words of a part in the order in which they came.

    Raises:
        FileNotFoundError, ValueError: no such file, or no counts.

    Example:
        >>> import json, tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files = [Path(folder, "a.json"), Path(folder, "b.json")]
        ...     for file, counts in zip(files, [{"the": 7, "cat": 1}, {"the": 5, "dog": 1}]):
        ...         _ = file.write_text(json.dumps(counts))
        ...     merge_counts(files, min_count=2)
        Counter({'the': 12})
    """
    files, least, parts = [str(path) for path in paths], whole("min_count", min_count, 0), whole("parts", parts)
    for path in files:
        if Path(path).suffix.lower() != ".json":
            raise ValueError(f"{path}: expected a .json file of word -> count, which w2v-embed vocab writes (--counts)")
    merged: Counter[str] = Counter()
    work = ((files, part, parts, least, encoding) for part in range(parts))
    for share in run_all(checked_executor(executor), _merge_part, work):
        merged.update(share)
    return merged


def _merge_part(files, part, parts, least, encoding):
    share: Counter[str] = Counter()
    for path in files:
        for word, count in read_counts(path, encoding=encoding).items():
            if parts == 1 or zlib.crc32(word.encode("utf-8", "surrogatepass")) % parts == part:
                share[word] += count  # type: ignore[assignment]
    return Counter({word: count for word, count in share.items() if count >= least})

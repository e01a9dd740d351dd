"""Anything that has a vocabulary → a checked dict word → id, the number of rows, and what row 0 is."""

from __future__ import annotations

import operator
import os
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .checks import whole
from .shown import logger, plain_errors, quoted
from .texts import parse_json, read_json, read_text, refuse_repeated

if TYPE_CHECKING:
    from ._types import WordIndex

_PADDING_WORDS = frozenset({"", "<pad>", "[pad]"})  # in lower case
_MOST_ROWS = 1 << 31
# An id is beyond all reason from both of these on. The largest vocabularies in use have a million ids, of which somebody may
# keep a few words.
_SMALL_ID = 1_000_000
_ROWS_A_WORD = 64
_RESERVED = 1_000  # at most so many ids before the first word are taken for reserved ones
_EXAMPLES = 5
_ID = re.compile(r"\s*[+-]?[0-9]+\s*")


@dataclass(frozen=True)
class Vocabulary:
    """A checked vocabulary.

    Attributes:
        word_index: dict word → id, in the order of the ids.
        rows: rows of its matrix: `num_words` where that was given, else highest id + 1.
        padding_row: 0 where id 0 is padding (or belongs to no word), None where it is a word.
        unknown_rows: ids that stand for unknown words beside the one that `word_index` names (Keras' `num_oov_indices`).
    """

    word_index: dict[str, int]
    rows: int
    padding_row: int | None
    unknown_rows: tuple[int, ...] = ()

    def part(self, begin: int, end: int) -> Vocabulary:
        """That of the rows from `begin` up to `end`, whose ids count from `begin` on."""
        return Vocabulary(
            {word: number - begin for word, number in self.word_index.items() if begin <= number < end},
            end - begin,
            None if begin else self.padding_row,
            tuple(number - begin for number in self.unknown_rows if begin <= number < end),
        )


@dataclass
class _Raw:
    """What a source says, not checked yet."""

    words: list[Any]
    numbers: Sequence[Any]  # of these words
    padding: str | None = None  # the source's own word for padding, where it has one
    unknown_rows: tuple[int, ...] = ()
    num_words: int | None = None
    lines: bool = False  # whether each pair is a line of a file
    mend: str = "number the words anew"
    held: dict[Any, Any] | None = None  # the dict that says it: no word in it twice, and quicker copied than made

    @classmethod
    def of(cls, word_index: Mapping[Any, Any], padding: str | None = None, **options: Any) -> _Raw:
        """What a mapping word → id says."""
        held = word_index if type(word_index) is dict else None
        return cls(list(word_index), list(word_index.values()), padding, held=held, **options)


def is_padding(word: str) -> bool:
    """Whether a word that has id 0 stands for padding.

    >>> is_padding("[PAD]"), is_padding("the")
    (True, False)
    """
    return word.lower() in _PADDING_WORDS


@plain_errors
def read_vocabulary(source: WordIndex, num_words: int | None = None, *, encoding: str = "utf-8") -> Vocabulary:
    """The vocabulary of `source`, checked.

    Args:
        source: dict word → id; list, tuple or array of words (id = position); a Keras legacy Tokenizer; a TextVectorization or
            StringLookup layer; a Hugging Face `tokenizers` or `transformers` tokenizer; a fitted scikit-learn vectorizer; a
            gensim Dictionary, KeyedVectors or model; a path to .json (a dict, a list, or what `Tokenizer.to_json` wrote), .txt
            (one word a line, id = line number from 0 on) or .tsv (word, tab, id; or one word a line).
        num_words: leave out words whose ids are not below it; None: what a legacy Tokenizer was told.
        encoding: of a file that is not UTF-8 and has no byte order mark.

    Ids that no word has are warned of, because often words got lost on the way: their rows stay zero. Reserved ids before the
    first word (Keras' `index_from`) are told by nobody but the coverage. A word that stands in a file twice is an error, and so
    is an id of a million or more that is also 64 times the number of words or more, unless `num_words` says that it is meant.

    Returns:
        A `Vocabulary`.

    Raises:
        TypeError, ValueError, FileNotFoundError: says what is wrong with which word.

    Example:
        >>> vocabulary = read_vocabulary(["<pad>", "the", "cat"])
        >>> vocabulary.word_index, vocabulary.rows, vocabulary.padding_row
        ({'<pad>': 0, 'the': 1, 'cat': 2}, 3, 0)
    """
    origin = str(source) if isinstance(source, (str, os.PathLike)) else type(source).__name__
    raw = _read(source, origin, encoding)
    if num_words is not None:
        num_words = whole("num_words", num_words, 1, _MOST_ROWS, or_none=True)
    elif raw.num_words is not None:
        num_words = whole(f"{origin}, in its config: num_words", raw.num_words, 1, _MOST_ROWS, or_none=True)
    words, ids = _checked(raw, origin, num_words)
    first = words[0] if ids[0] == 0 else None
    padding = first is None or first == raw.padding or is_padding(first)
    if padding and ids == [0]:
        below = "" if num_words is None else f" below num_words={num_words}"
        raise ValueError(f"{origin} has no word but padding ({quoted(first)}){below}; expected at least one")
    _warn_of_holes(ids, padding, raw, origin)
    return Vocabulary(
        dict(raw.held) if raw.held and words is raw.words else dict(zip(words, ids)),
        num_words or max([ids[-1], *raw.unknown_rows]) + 1,
        0 if padding else None,
        tuple(index for index in raw.unknown_rows if num_words is None or index < num_words),
    )


# ── sources ──


def _read(source: Any, origin: str, encoding: str) -> _Raw:
    if isinstance(source, (str, os.PathLike)):
        return _read_file(Path(source), encoding)
    if isinstance(getattr(source, "token2id", None), Mapping):  # gensim's Dictionary, itself a mapping id → word
        return _Raw.of(source.token2id, mend="call its compactify()")
    if isinstance(source, Mapping):
        return _Raw.of(source)
    if isinstance(source, (list, tuple)) or type(source).__module__ == "numpy":
        return _numbered(list(source))
    if isinstance(getattr(source, "word_index", None), Mapping):  # Keras' legacy Tokenizer
        return _Raw.of(source.word_index, num_words=getattr(source, "num_words", None))
    vectors = getattr(source, "wv", source)  # gensim's models keep their words there
    if isinstance(getattr(vectors, "key_to_index", None), Mapping):
        return _Raw.of(vectors.key_to_index)
    if callable(getattr(source, "get_vocabulary", None)):  # TextVectorization, StringLookup
        return _keras_layer(source, origin)
    if callable(getattr(source, "get_vocab", None)):  # tokenizers, transformers
        padding = (
            (getattr(source, "padding", None) or {}).get("pad_token")
            if type(source).__module__ == "tokenizers"
            else None
        )
        return _Raw.of(source.get_vocab(), padding or getattr(source, "pad_token", None))
    if isinstance(getattr(source, "vocabulary_", None), Mapping):  # scikit-learn
        return _Raw.of(source.vocabulary_)
    if callable(getattr(source, "build_analyzer", None)):
        raise ValueError(f"{origin} has no vocabulary_ yet; call its fit(texts) first")
    raise TypeError(
        "word_index must be a dict word -> id, a list of words, a Keras Tokenizer, TextVectorization or StringLookup, a "
        "Hugging Face tokenizer, a scikit-learn vectorizer, a gensim Dictionary or KeyedVectors, or a path to a .json, .txt or "
        f".tsv file; received {origin}"
    )


def _keras_layer(layer, origin):
    """Several unknown ids stand in the vocabulary as one word again and again, before all others but a mask token; the first
    keeps the name."""
    words = [str(word) for word in layer.get_vocabulary()]
    first = next(
        (position for position in (0, 1) if words[position : position + 1] == words[position + 1 : position + 2]), 0
    )
    last = next((position for position in range(first, len(words)) if words[position] != words[first]), len(words))
    again = range(first + 1, last)
    kept = [position for position in range(len(words)) if position not in again]
    return _Raw([words[position] for position in kept], kept, getattr(layer, "mask_token", None), tuple(again))


def _read_file(path, encoding):
    suffix = path.suffix.lower()
    if suffix == ".json":
        return _read_json(path, encoding)
    if suffix not in (".txt", ".tsv") and not path.is_dir():
        raise ValueError(
            f"{path}: a word index is read from .json (word -> id, or a list), .tsv (word, tab, id) or .txt (one word a line)"
        )
    lines = read_text(path, encoding).split("\n")
    if not lines[-1]:
        lines.pop()
    tabbed = next((number for number, line in enumerate(lines, 1) if "\t" in line), None)
    if tabbed is None:
        return _numbered(lines, lines=True)
    if suffix == ".txt":
        raise ValueError(
            f"{path}, line {tabbed}: expected one word, got {quoted(lines[tabbed - 1])} with a tab. "
            "If these are words and their ids, name the file .tsv."
        )
    pairs = [_word_and_id(path, number, line) for number, line in enumerate(lines, 1)]
    return _Raw([word for word, _ in pairs], [index for _, index in pairs], lines=True)


def _word_and_id(path, number, line):
    word, _, index = line.partition("\t")
    try:
        if not _ID.fullmatch(index):  # int() takes 2_0 for 20, and digits of any script
            raise ValueError
        return word, int(index)
    except ValueError:
        raise ValueError(f"{path}, line {number}: expected a word, a tab and its id, got {quoted(line)}") from None


def _read_json(path, encoding):
    content, num_words = read_json(path, encoding=encoding), None
    if isinstance(content, dict) and isinstance(content.get("config"), dict) and "word_index" in content["config"]:
        config = content["config"]  # Tokenizer.to_json(), which holds JSON in JSON
        for key, label in _IN_A_TOKENIZER.items():
            if isinstance(config.get(key), str):
                config[key] = parse_json(config[key], f"{path}, in its {key}", label)
        num_words, content = config.get("num_words"), config["word_index"]
    if isinstance(content, dict) and isinstance(content.get("model"), dict):
        raise ValueError(
            f"{path} is a tokenizer of Hugging Face; pass tokenizers.Tokenizer.from_file({str(path)!r}), which knows its ids"
        )
    if isinstance(content, dict):
        return _Raw.of(content, num_words=num_words)
    if isinstance(content, list):
        return _numbered(content, num_words=num_words)
    raise ValueError(f"{path}: expected a JSON object word -> id or a list of words, got {type(content).__name__}")


_IN_A_TOKENIZER = {
    "word_index": "id",
    "word_counts": "count",
    "word_docs": "count",
    "index_docs": "count",
    "index_word": "word",
}


def _numbered(words, **options):
    return _Raw(words, range(len(words)), **options)


# ── checks ──


def _checked(raw, origin, num_words):
    """(list of words, list of their ids, ascending) of the ids below `num_words`."""
    words, ids = raw.words, list(raw.numbers)
    if not words:
        raise ValueError(f"{origin}: the word index is empty; expected at least one word")
    # ids of another type, or something is wrong: one by one
    if not (_are_all(int, ids) and _are_all(str, words) and min(ids) >= 0 and _differ(ids)) or not (
        raw.held or _differ(words)
    ):
        words_at = _checked_one_by_one(raw, origin)
        words, ids = list(words_at.values()), list(words_at)
    if num_words is not None and max(ids) >= num_words:
        below = [index < num_words for index in ids]
        words, ids = list(compress(words, below)), list(compress(ids, below))
        if not words:
            raise ValueError(f"{origin}: no word has an id below num_words={num_words}; expected at least one")
    if ids != (ordered := sorted(ids)):
        words_at = dict(zip(ids, words))
        words, ids = [words_at[index] for index in ordered], ordered
    highest = ids[-1]
    if num_words is None and highest >= max(_SMALL_ID, min(_MOST_ROWS, _ROWS_A_WORD * len(ids))):
        raise ValueError(
            f"{origin}: the id {quoted(highest)} of the word {quoted(words[-1])} would need a matrix of "
            f"{quoted(highest + 1)} rows for {len(ids)} words; expected ids without large gaps. Number the words anew, or "
            f"leave out the ids from N on with num_words=N"
            + (f" (if they are meant, pass num_words={highest + 1})" if highest < _MOST_ROWS else "")
        )
    return words, ids


def _are_all(kind, values):
    return set(map(type, values)) == {kind}


def _differ(values):
    return len(set(values)) == len(values)


def _checked_one_by_one(raw, origin):
    words_at, seen = {}, {}
    for place, (word, number) in enumerate(zip(raw.words, raw.numbers)):
        if not isinstance(word, str):
            raise TypeError(
                f"{origin}: words must be str, received {quoted(word)} ({type(word).__name__}) with id {quoted(number)}"
            )
        if word in seen:
            lines = (seen[word] + 1, place + 1) if raw.lines else None
            refuse_repeated(origin, word, (raw.numbers[seen[word]], number), lines)
        seen[word] = place
        try:
            index = operator.index(number)
        except TypeError:
            index = None
        if index is None or isinstance(number, bool):
            raise TypeError(
                f"{origin}: ids must be whole numbers, received {quoted(number)} for the word {quoted(word)}"
            )
        if index < 0:
            raise ValueError(
                f"{origin}: ids must not be negative, received {quoted(index)} for the word {quoted(word)}"
            )
        if index in words_at:
            raise ValueError(
                f"{origin}: the words {quoted(words_at[index])} and {quoted(word)} both have the id {quoted(index)}"
            )
        words_at[index] = word
    return words_at


def _warn_of_holes(ids, padding, raw, origin):
    """Tell the log of ids that no word has. The first ones of all may be reserved."""
    taken = sorted({*ids, *raw.unknown_rows}) if raw.unknown_rows else ids
    least = 1 if padding and ids[0] == 0 else 0
    first, last = next(index for index in taken if index >= least), ids[-1]
    if first > _RESERVED:
        first = least
    missing = last - first + 1 - (len(taken) - bisect_left(taken, first))
    if missing > 0:
        known = set(taken)
        examples = list(islice((str(index) for index in range(first, last) if index not in known), _EXAMPLES))
        logger.warning(
            "%s: %d of the ids from %d to %d belong to no word: %s%s; their rows stay zero. If words were lost on the way, %s",
            origin,
            missing,
            first,
            last,
            ", ".join(examples),
            ", …" if missing > len(examples) else "",
            raw.mend,
        )

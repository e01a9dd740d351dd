"""Anything that has a vocabulary → a checked dict word → id, the number of rows, and what row 0 is."""

import json
import logging
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger("w2v_embed")

_PADDING_WORDS = frozenset({"", "<pad>", "[pad]"})  # in lower case
_MOST_ROWS = 1 << 31
_SMALL_ID = 100_000  # ids up to here are never called too large
_EXAMPLES = 5


@dataclass(frozen=True)
class Vocabulary:
    """A checked vocabulary.

    Attributes:
        word_index: dict word → id, in the order of the ids.
        rows: rows of its matrix: `num_words` where that was given, else highest id + 1.
        padding_row: 0 where id 0 is padding (or belongs to no word), None where it is a word.
        unknown_rows: ids that stand for unknown words beside the one that `word_index` names (Keras' `num_oov_indices`).
    """

    word_index: dict
    rows: int
    padding_row: int | None
    unknown_rows: tuple = ()


@dataclass
class _Raw:
    """What a source says, not checked yet."""

    pairs: list
    padding: str | None = None  # the source's own word for padding, where it has one
    unknown_rows: tuple = ()
    num_words: int | None = None
    may_have_gaps: bool = False
    mend: str = "Number the words anew, without holes"


def is_padding(word):
    """Whether a word that has id 0 stands for padding.

    >>> is_padding("[PAD]"), is_padding("the")
    (True, False)
    """
    return word.lower() in _PADDING_WORDS


def read_vocabulary(source, num_words=None, on_error="raise"):
    """The vocabulary of `source`, checked.

    Args:
        source: dict word → id; list, tuple or array of words (id = position); a Keras legacy Tokenizer; a TextVectorization or
            StringLookup layer; a Hugging Face `tokenizers` or `transformers` tokenizer; a fitted scikit-learn vectorizer; a
            gensim Dictionary, KeyedVectors or model; a path to .json (a dict, a list, or what `Tokenizer.to_json` wrote), .txt
            (one word a line, id = line number from 0 on) or .tsv (word, tab, id; or one word a line).
        num_words: leave out words whose ids are not below it; None: what a legacy Tokenizer was told.
        on_error: "raise", or "skip" to accept ids that no word has (their rows stay empty), with a warning.

    Ids that no word has are an error, because they are mostly words that got lost on the way. Allowed are reserved ids before
    the first word (Keras' `index_from`), and holes in the ids of a tokenizer, which knows its own ids.

    Returns:
        A `Vocabulary`.

    Raises:
        TypeError, ValueError, FileNotFoundError: says what is wrong with which word.

    Example:
        >>> vocabulary = read_vocabulary(["<pad>", "the", "cat"])
        >>> vocabulary.word_index, vocabulary.rows, vocabulary.padding_row
        ({'<pad>': 0, 'the': 1, 'cat': 2}, 3, 0)
    """
    origin = str(source) if isinstance(source, (str, Path)) else type(source).__name__
    raw = _read(source, origin)
    num_words = num_words_of(source, raw.num_words if num_words is None else num_words)
    words_at = _checked(raw.pairs, origin, num_words)
    if not raw.may_have_gaps:
        _check_gaps(words_at, raw, origin, on_error)
    highest = max([max(words_at), *raw.unknown_rows])
    first = words_at.get(0)
    padding = first is None or first == raw.padding or is_padding(first)
    return Vocabulary(
        {words_at[index]: index for index in sorted(words_at)},
        num_words or highest + 1,
        0 if padding else None,
        tuple(index for index in raw.unknown_rows if num_words is None or index < num_words),
    )


def read_word_index(source, num_words=None):
    """The `word_index` of `read_vocabulary`.

    >>> read_word_index(["<pad>", "the", "cat"])
    {'<pad>': 0, 'the': 1, 'cat': 2}
    """
    return read_vocabulary(source, num_words).word_index


def num_words_of(source, num_words):
    """`num_words`, or what a legacy Tokenizer was told, checked; None where nothing bounds the ids."""
    if num_words is None and not isinstance(source, (str, Path, Mapping, list, tuple)):
        num_words = getattr(source, "num_words", None)
    if num_words is None:
        return None
    try:
        rows = operator.index(num_words)
    except TypeError:
        rows = 0
    if not 0 < rows <= _MOST_ROWS or isinstance(num_words, bool):
        raise ValueError(f"num_words must be None or a whole number from 1 to {_MOST_ROWS}, received {num_words!r}")
    return rows


# ── sources ──


def _read(source, origin):
    if isinstance(source, (str, Path)):
        return _read_file(Path(source))
    if isinstance(getattr(source, "token2id", None), Mapping):  # gensim's Dictionary, itself a mapping id → word
        return _Raw(list(source.token2id.items()), mend="Call its compactify()")
    if isinstance(source, Mapping):
        return _Raw(list(source.items()))
    if isinstance(source, (list, tuple)) or type(source).__module__ == "numpy":
        return _Raw(_numbered(list(source), origin))
    if isinstance(getattr(source, "word_index", None), Mapping):  # Keras' legacy Tokenizer
        return _Raw(list(source.word_index.items()))
    vectors = getattr(source, "wv", source)  # gensim's models keep their words there
    if isinstance(getattr(vectors, "key_to_index", None), Mapping):
        return _Raw(list(vectors.key_to_index.items()))
    if callable(getattr(source, "get_vocabulary", None)):  # TextVectorization, StringLookup
        return _keras_layer(source, origin)
    if callable(getattr(source, "get_vocab", None)):  # tokenizers, transformers
        padding = (
            (getattr(source, "padding", None) or {}).get("pad_token")
            if type(source).__module__ == "tokenizers"
            else None
        )
        return _Raw(list(source.get_vocab().items()), padding or getattr(source, "pad_token", None), may_have_gaps=True)
    if isinstance(getattr(source, "vocabulary_", None), Mapping):  # scikit-learn
        return _Raw(list(source.vocabulary_.items()))
    if callable(getattr(source, "build_analyzer", None)):
        raise ValueError(f"{origin} has no vocabulary_ yet; call its fit(texts) first")
    raise TypeError(
        "word_index must be a dict word -> id, a list of words, a Keras Tokenizer, TextVectorization or StringLookup, a "
        "Hugging Face tokenizer, a scikit-learn vectorizer, a gensim Dictionary or KeyedVectors, or a path to a .json, .txt or "
        f".tsv file; received {origin}"
    )


def _keras_layer(layer, origin):
    """Several unknown ids stand in the vocabulary as one word again and again; the first keeps the name."""
    words = [str(word) for word in layer.get_vocabulary()]
    again = [position for position in range(1, len(words)) if words[position] == words[position - 1]]
    pairs = [(word, position) for position, word in enumerate(words) if position not in set(again)]
    _check_repeated(pairs, origin)
    return _Raw(pairs, getattr(layer, "mask_token", None), tuple(again), may_have_gaps=True)


def _read_file(path):
    text = path.read_text(encoding="utf-8-sig")
    suffix = path.suffix.lower()
    if suffix == ".json":
        return _read_json(path, text)
    if suffix not in (".txt", ".tsv"):
        raise ValueError(
            f"{path}: a word index is read from .json (word -> id, or a list), .tsv (word, tab, id) or .txt (one word a line)"
        )
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    if not lines[-1]:
        lines.pop()
    tabbed = [number for number, line in enumerate(lines, 1) if "\t" in line]
    if not tabbed:
        return _Raw(_numbered(lines, str(path)))
    if suffix == ".txt":
        raise ValueError(
            f"{path}, line {tabbed[0]}: expected one word, got {lines[tabbed[0] - 1]!r} with a tab. "
            "If these are words and their ids, name the file .tsv."
        )
    return _Raw([_word_and_id(path, number, line) for number, line in enumerate(lines, 1)])


def _word_and_id(path, number, line):
    word, _, index = line.partition("\t")
    try:
        return word, int(index)
    except ValueError:
        raise ValueError(f"{path}, line {number}: expected a word, a tab and its id, got {line!r}") from None


def _read_json(path, text):
    def one_id_each(pairs):
        content = dict(pairs)
        if len(content) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ValueError(
                f"{path}: the word {twice!r} stands there twice; a word can have one id only. Remove the second."
            )
        return content

    try:
        content = json.loads(text, object_pairs_hook=one_id_each)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: not JSON ({error.msg}, column {error.colno})") from error
    num_words = None
    if isinstance(content, dict) and isinstance(content.get("config"), dict) and "word_index" in content["config"]:
        num_words = content["config"].get("num_words")
        content = content["config"]["word_index"]  # Tokenizer.to_json(), which holds JSON in JSON
        content = json.loads(content) if isinstance(content, str) else content
    if isinstance(content, dict):
        return _Raw(list(content.items()), num_words=num_words)
    if isinstance(content, list):
        return _Raw(_numbered(content, str(path)))
    raise ValueError(f"{path}: expected a JSON object word -> id or a list of words, got {type(content).__name__}")


def _numbered(words, origin):
    pairs = list(zip(words, range(len(words))))
    _check_repeated(pairs, origin)
    return pairs


# ── checks ──


def _check_repeated(pairs, origin):
    seen = {}
    for word, position in pairs:
        if isinstance(word, str) and seen.setdefault(word, position) != position:
            raise ValueError(
                f"{origin}: the word {word!r} stands at positions {seen[word]} and {position}; a word can have one id only. "
                "Remove the second."
            )


def _checked(pairs, origin, num_words):
    """dict id → word of the ids below `num_words`."""
    if not pairs:
        raise ValueError(f"{origin}: the word index is empty; expected at least one word")
    words_at = {number: word for word, number in pairs if type(number) is int and type(word) is str}
    if len(words_at) < len(pairs) or min(words_at) < 0:  # ids of another type, or something is wrong: one by one
        words_at = _checked_one_by_one(pairs, origin)
    if num_words is not None:
        words_at = {index: word for index, word in words_at.items() if index < num_words}
        if not words_at:
            raise ValueError(f"{origin}: no word has an id below num_words={num_words}; expected at least one")
    highest = max(words_at)
    if highest >= max(_SMALL_ID, min(_MOST_ROWS, 64 * len(words_at))):
        raise ValueError(
            f"{origin}: the id {highest} of the word {words_at[highest]!r} would need a matrix of {highest + 1} rows "
            f"for {len(words_at)} words; expected ids without large gaps. Number the words anew, or pass num_words="
        )
    return words_at


def _checked_one_by_one(pairs, origin):
    words_at = {}
    for word, number in pairs:
        if not isinstance(word, str):
            raise TypeError(
                f"{origin}: words must be str, received {word!r} ({type(word).__name__}) with id {number!r}"
            )
        try:
            index = operator.index(number)
        except TypeError:
            raise TypeError(f"{origin}: ids must be whole numbers, received {number!r} for the word {word!r}") from None
        if isinstance(number, bool):
            raise TypeError(f"{origin}: ids must be whole numbers, received {number!r} for the word {word!r}")
        if index < 0:
            raise ValueError(f"{origin}: ids must not be negative, received {index} for the word {word!r}")
        if index in words_at:
            raise ValueError(f"{origin}: the words {words_at[index]!r} and {word!r} both have the id {index}")
        words_at[index] = word
    return words_at


def _check_gaps(words_at, raw, origin, on_error):
    """Holes among the ids. What lies before the first word, padding not counted as one, is reserved, not missing."""
    padded = 0 in words_at and (words_at[0] == raw.padding or is_padding(words_at[0]))
    first = min((index for index in words_at if index or not padded), default=0)
    last = max(words_at)
    missing = last - first + 1 - len(words_at) + padded
    if missing <= 0:
        return
    examples = []
    for index in range(first, last):
        if index not in words_at:
            examples.append(str(index))
            if len(examples) == _EXAMPLES:
                break
    told = (
        f"{origin}: {missing} of the ids from {first} to {last} belong to no word: "
        f"{', '.join(examples)}{', …' if missing > len(examples) else ''}"
    )
    if on_error == "raise":
        raise ValueError(f'{told}. Were words lost? {raw.mend}, or pass on_error="skip" to leave these rows empty.')
    logger.warning("%s; their rows stay empty", told)

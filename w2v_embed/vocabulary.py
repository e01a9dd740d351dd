"""Anything that has a word_index → a checked dict word → id."""

import json
import operator
from collections.abc import Mapping
from pathlib import Path

_PADDING_WORDS = frozenset({"", "<pad>", "[pad]"})  # in lower case
_MOST_ROWS = 1 << 31
_SMALL_ID = 100_000  # ids up to here are never called too large


def is_padding(word):
    """Whether a word that has id 0 stands for padding.

    >>> is_padding("[PAD]"), is_padding("the")
    (True, False)
    """
    return word.lower() in _PADDING_WORDS


def read_word_index(source, num_words=None):
    """The word_index of `source`, checked, in the order of the ids.

    Args:
        source: dict word → id; list or tuple of words (id = position); a Keras legacy Tokenizer; a TextVectorization or
            StringLookup layer; a Hugging Face `tokenizers` or `transformers` tokenizer; a path to a .json file (dict or list)
            or to a .txt file (one word a line, id = line number from 0 on).
        num_words: leave out words whose ids are not below it.

    Returns:
        dict word (str) → id (int).

    Raises:
        TypeError, ValueError, FileNotFoundError: says what is wrong with which word.

    Example:
        >>> read_word_index(["<pad>", "the", "cat"])
        {'<pad>': 0, 'the': 1, 'cat': 2}
    """
    origin = type(source).__name__
    if isinstance(source, (str, Path)):
        origin = str(source)
        source = _read_file(Path(source))
    if isinstance(source, Mapping):
        pairs = list(source.items())
    elif isinstance(source, (list, tuple)) or type(source).__module__ == "numpy":
        pairs = _numbered(list(source), origin)
    elif isinstance(getattr(source, "word_index", None), Mapping):  # Keras' legacy Tokenizer
        pairs = list(source.word_index.items())
    elif callable(getattr(source, "get_vocabulary", None)):  # TextVectorization, StringLookup
        pairs = _numbered([str(word) for word in source.get_vocabulary()], origin)
    elif callable(getattr(source, "get_vocab", None)):  # tokenizers, transformers
        pairs = list(source.get_vocab().items())
    else:
        raise TypeError(
            "word_index must be a dict word -> id, a list of words, a Keras Tokenizer, TextVectorization or StringLookup, a "
            f"Hugging Face tokenizer, or a path to a .json or .txt file; received {type(source).__name__}"
        )
    return _checked(pairs, origin, num_words)


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


def _read_file(path):
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix.lower() == ".json":
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {error.lineno}: not JSON ({error.msg}, column {error.colno})") from error
        if isinstance(content, dict) and isinstance(content.get("config"), dict) and "word_index" in content["config"]:
            content = content["config"]["word_index"]  # Tokenizer.to_json(), which holds JSON in JSON
            content = json.loads(content) if isinstance(content, str) else content
        if not isinstance(content, (dict, list)):
            raise ValueError(
                f"{path}: expected a JSON object word -> id or a list of words, got {type(content).__name__}"
            )
        return content
    if path.suffix.lower() == ".txt":
        lines = text.split("\n")
        if lines and not lines[-1]:
            lines.pop()
        return [line.removesuffix("\r") for line in lines]
    raise ValueError(f"{path}: a word index is read from .json (word -> id, or a list) or .txt (one word a line)")


def _numbered(words, origin):
    seen = {}
    for position, word in enumerate(words):
        if isinstance(word, str) and seen.setdefault(word, position) != position:
            raise ValueError(
                f"{origin}: the word {word!r} stands at positions {seen[word]} and {position}; a word can have one id only. "
                "Remove the second."
            )
    return list(zip(words, range(len(words))))


def _checked(pairs, origin, num_words):
    if not pairs:
        raise ValueError(f"{origin}: the word index is empty; expected at least one word")
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
    return {words_at[index]: index for index in sorted(words_at)}

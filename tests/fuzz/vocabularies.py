"""What must hold for any vocabulary in a file: read as a slow reading of the same bytes says, or refused by its name.

A case is one byte of switches and the file. Where the product takes a file, its word index is what plain json or a split into
lines finds there, each word once, each id once and within the rows.
"""

import codecs
import json

from w2v_embed.vocabulary import read_vocabulary

_SUFFIXES = (".json", ".json", ".txt", ".tsv")
_KERAS = '{"class_name": "Tokenizer", "config": {"num_words": %s, "word_index": %s}}'
_ENCODINGS = {
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
_MOST_EMPTY_ROWS = 1_000_000  # ids below are never called too large


class BrokenError(AssertionError):
    """Something that must hold does not."""


def check(case, path):
    """Try one case; `path` is extended by the suffix."""
    switches, data = case[0] if case else 0, case[1:]
    suffix = _SUFFIXES[switches & 3]
    num_words = (None, None, 3, 1)[switches >> 3 & 3]
    wrapped = suffix == ".json" and switches >> 5 & 1  # as Keras' Tokenizer.to_json, whose word index is JSON in JSON
    if wrapped:
        text = data.decode("utf-8", "replace")
        data = (_KERAS % (("null", "4")[switches >> 6 & 1], json.dumps(text))).encode()
    name = f"{path}{suffix}"
    with open(name, "wb") as file:
        file.write(data)
    try:
        vocabulary = read_vocabulary(name, num_words)
    except (ValueError, TypeError) as error:
        if isinstance(error, (UnicodeError, json.JSONDecodeError)) or name not in str(error):
            raise BrokenError(f"{type(error).__name__}: {error}") from error
        return
    word_index, rows = vocabulary.word_index, vocabulary.rows
    if not word_index or not all(type(word) is str and type(index) is int for word, index in word_index.items()):
        raise BrokenError(f"{word_index}")
    if (
        len(set(word_index.values())) < len(word_index)
        or min(word_index.values()) < 0
        or max(word_index.values()) >= rows
    ):
        raise BrokenError(f"{rows} rows for {word_index}")
    if vocabulary.padding_row is None and 0 not in word_index.values():
        raise BrokenError(f"no padding in {word_index}")
    if rows > max(_MOST_EMPTY_ROWS, 65 * len(word_index)):
        raise BrokenError(f"{rows} rows for {len(word_index)} words")
    expected, bound = slow_reading(data, suffix)
    bound = num_words or bound
    if bound is not None:
        expected = {word: index for word, index in expected.items() if index < bound}
        if rows != bound:
            raise BrokenError(f"{rows} rows, num_words is {bound}")
    if word_index != expected:
        raise BrokenError(f"got {word_index}\nexpected {expected}")


def slow_reading(data, suffix):
    """(dict word → id, num_words or None) of a good file; raises `BrokenError` where it should not have been taken."""
    mark = next((mark for mark in _ENCODINGS if data.startswith(mark)), b"")
    text = data.decode(_ENCODINGS.get(mark, "utf-8"))
    if "\0" in text:
        raise BrokenError("a NUL in a text")
    if suffix != ".json":
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")  # as Python reads text files
        if lines[-1] == "":
            lines.pop()
        if suffix == ".tsv" and any("\t" in line for line in lines):
            pairs = [line.split("\t", 1) for line in lines]
            return _once([(word, int(index)) for word, index in pairs]), None
        return _once([(word, number) for number, word in enumerate(lines)]), None
    content = json.loads(text, object_pairs_hook=_once)
    num_words = None
    if isinstance(content, dict) and isinstance(content.get("config"), dict) and "word_index" in content["config"]:
        num_words = content["config"].get("num_words")
        content = content["config"]["word_index"]
        if isinstance(content, str):
            content = json.loads(content, object_pairs_hook=_once)
    elif isinstance(content, dict) and isinstance(content.get("model"), dict):  # Hugging Face's tokenizer.json
        vocabulary = content["model"].get("vocab")
        content = _once([*vocabulary.items()]) if isinstance(vocabulary, dict) else content
    if isinstance(content, list):
        return _once([(word, number) for number, word in enumerate(content)]), num_words
    return content, num_words


def _once(pairs):
    words = [word for word, _ in pairs]
    if len(set(words)) < len(words):
        raise BrokenError(f"a word stands there twice, silently: {words}")
    return dict(pairs)

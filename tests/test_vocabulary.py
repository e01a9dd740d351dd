"""Sources of a word index, and what is wrong with one."""

import json

import numpy as np
import pytest

from w2v_embed.vocabulary import num_words_of, read_word_index


class LegacyTokenizer:
    """What keras.preprocessing.text.Tokenizer had."""

    def __init__(self):
        self.word_index = {"the": 1, "cat": 2}
        self.num_words = 2


class Vocabulary:
    def get_vocabulary(self):
        return ["", "[UNK]", "the"]


class Tokens:
    def get_vocab(self):
        return {"cat": 1, "[PAD]": 0}


def test_sources(tmp_path):
    assert read_word_index({"a": np.int64(2), "b": 1}) == {"b": 1, "a": 2}
    assert list(read_word_index({"a": 2, "b": 1})) == ["b", "a"]
    assert read_word_index(["x", "y"]) == {"x": 0, "y": 1}
    assert read_word_index(np.array(["x", "y"])) == {"x": 0, "y": 1}
    assert read_word_index(LegacyTokenizer()) == {"the": 1}
    assert num_words_of(LegacyTokenizer(), None) == 2
    assert num_words_of(LegacyTokenizer(), 7) == 7
    assert read_word_index(Vocabulary()) == {"": 0, "[UNK]": 1, "the": 2}
    assert read_word_index(Tokens()) == {"[PAD]": 0, "cat": 1}


def test_files(tmp_path):
    path = tmp_path / "index.json"
    path.write_text('{"中国": 1, "a b": 2}', encoding="utf-8")
    assert read_word_index(path) == {"中国": 1, "a b": 2}
    path.write_text('\ufeff["<pad>", "x"]', encoding="utf-8")
    assert read_word_index(str(path)) == {"<pad>": 0, "x": 1}
    path.write_text(json.dumps({"class_name": "Tokenizer", "config": {"word_index": json.dumps({"x": 1})}}))
    assert read_word_index(path) == {"x": 1}
    text = tmp_path / "words.txt"
    text.write_bytes("\r\nthe\r\n\u2028x\n".encode())
    assert read_word_index(text) == {"": 0, "the": 1, "\u2028x": 2}


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ({"a": 1, "b": 1}, ValueError, "the words 'a' and 'b' both have the id 1"),
        ({"a": -1}, ValueError, "must not be negative, received -1 for the word 'a'"),
        ({"a": 1.5}, TypeError, "whole numbers, received 1.5 for the word 'a'"),
        ({"a": "1"}, TypeError, "whole numbers, received '1' for the word 'a'"),
        ({"a": True}, TypeError, "whole numbers, received True"),
        ({3: 1}, TypeError, r"words must be str, received 3 \(int\) with id 1"),
        ({"a": 10**12}, ValueError, "the id 1000000000000 of the word 'a' would need a matrix of 1000000000001 rows"),
        ({"a": 10**6}, ValueError, "the id 1000000 of the word 'a'"),
        (["a", "b", "a"], ValueError, "the word 'a' stands at positions 0 and 2"),
        (["a", None], TypeError, "words must be str, received None"),
        ({}, ValueError, "dict: the word index is empty"),
        ([], ValueError, "list: the word index is empty"),
        (7, TypeError, "word_index must be a dict .* received int"),
    ],
)
def test_what_is_wrong_is_said(source, error, message):
    with pytest.raises(error, match=message):
        read_word_index(source)


def test_what_is_wrong_with_a_file_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_word_index(tmp_path / "nowhere.json")
    (tmp_path / "bad.json").write_text('{"a": 1,\n}')
    with pytest.raises(ValueError, match=r"bad\.json, line 2: not JSON"):
        read_word_index(tmp_path / "bad.json")
    (tmp_path / "number.json").write_text("7")
    with pytest.raises(ValueError, match="expected a JSON object .* got int"):
        read_word_index(tmp_path / "number.json")
    (tmp_path / "words.csv").write_text("a")
    with pytest.raises(ValueError, match=r"read from \.json .* or \.txt"):
        read_word_index(tmp_path / "words.csv")


def test_num_words_takes_the_place_of_a_bound():
    assert read_word_index({"a": 1, "b": 10**12}, num_words=5) == {"a": 1}

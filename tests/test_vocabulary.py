"""Sources of a word index, and what is wrong with one."""

import json
import os
import re
import time

import numpy as np
import pytest

from w2v_embed import build_matrix, load_vectors
from w2v_embed.vocabulary import read_vocabulary


def read_word_index(source, num_words=None, **options):
    return read_vocabulary(source, num_words, **options).word_index


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
    assert read_vocabulary(LegacyTokenizer()).rows == 2
    assert read_vocabulary(LegacyTokenizer(), 7).rows == 7
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
    text.write_bytes(b"the\rcat\r")
    assert read_word_index(text) == {"the": 0, "cat": 1}
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
        (["a", "b", "a"], ValueError, "the word 'a' stands there twice: with the ids 0 and 2"),
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
    (tmp_path / "bad.json").write_text('{"a": 1,\n"b"}')
    with pytest.raises(ValueError, match=r"bad\.json, line 2: not JSON"):
        read_word_index(tmp_path / "bad.json")
    (tmp_path / "number.json").write_text("7")
    with pytest.raises(ValueError, match="expected a JSON object .* got int"):
        read_word_index(tmp_path / "number.json")
    (tmp_path / "words.csv").write_text("a")
    with pytest.raises(ValueError, match=r"read from \.json .* or \.txt"):
        read_word_index(tmp_path / "words.csv")


@pytest.mark.parametrize("num_words", [0, -1, True, 2.0, "3", (1 << 31) + 1])
def test_num_words_that_are_none(num_words):
    told = re.escape(f"num_words must be None or a whole number from 1 to {1 << 31}, received {num_words!r}")
    with pytest.raises(ValueError, match=told):
        read_vocabulary({"a": 1}, num_words)
    tokenizer = LegacyTokenizer()
    tokenizer.num_words = num_words
    with pytest.raises(ValueError, match=f"^LegacyTokenizer, in its config: {told}"):
        read_vocabulary(tokenizer)


def test_num_words_of_numpy():
    assert read_vocabulary({"a": 1, "b": 2}, np.int64(2)) == read_vocabulary({"a": 1, "b": 2}, 2)


def test_num_words_takes_the_place_of_a_bound():
    assert read_word_index({"a": 1, "b": 10**12}, num_words=5) == {"a": 1}


# ── repeated words ──

TOKENIZER = {"word_index": {"the": 1, "cat": 2}, "word_counts": {"the": 5, "cat": 2}, "index_word": {"1": "the"}}


def tokenizer_json(**parts):
    """What `Tokenizer.to_json` writes: JSON in JSON. A part that is text goes in as it is."""
    config = {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in {**TOKENIZER, **parts}.items()
    }
    return json.dumps({"class_name": "Tokenizer", "config": {"num_words": None, **config}})


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("v.tsv", "the\t1\ncat\t2\nthe\t3\n", "'the' stands there twice: line 1 with the id 1, line 3 with the id 3"),
        ("v.tsv", "the\t1\ncat\t2\nthe\t1\n", "'the' stands there twice: line 1 with the id 1, line 3 with the id 1"),
        ("v.tsv", "the\ncat\nthe\n", "'the' stands there twice: line 1 with the id 0, line 3 with the id 2"),
        ("v.txt", "the\ncat\r\nthe", "'the' stands there twice: line 1 with the id 0, line 3 with the id 2"),
        ("v.json", '["the", "cat",\n"the"]', "'the' stands there twice: with the ids 0 and 2"),
        (
            "v.json",
            '{"a": {"the": [{"the": 0}]},\n"the": 1, "the \\"": "the",\n"\\u0074he": 3}',
            "'the' stands there twice: line 2 with the id 1, line 3 with the id 3",
        ),
        ("v.json", '{"the": 1, "the": 1}', "'the' stands there twice: line 1 with the id 1, line 1 with the id 1"),
        ("v.json", tokenizer_json(word_index='{"the": 1, "cat": 2, "the": 3}'), "in its word_index: .* 1, .* 3"),
        ("v.json", tokenizer_json(word_counts='{"the": 1, "cat": 2, "the": 3}'), "in its word_counts: .* 1, .* 3"),
        (
            "v.json",
            tokenizer_json(index_word='{"1": "the", "1": "cat"}'),
            "in its index_word: .*'1' stands there twice",
        ),
    ],
)
def test_a_word_twice_is_refused_in_every_kind_of_file(name, content, told, tmp_path):
    path = tmp_path / name
    path.write_bytes(content.encode())
    with pytest.raises(ValueError, match=rf"{name}.*{told}.*Remove"):
        read_word_index(path)


@pytest.mark.parametrize(
    ("text", "lines", "values"),
    [
        ('{"a":\n"k", "k": ["k", {"k": 1},\n{"k": "k"}], "b\\"k": "k" ,\n "k"\t\n: {}}', (2, 4), ("[", "{")),
        ('{"k": 0,\n"\\\\k": 1,\n"\\u006b": {"x": "}"}}', (1, 3), ("0", "{")),
        ('{"x": {"k": 1, "x": "{\\""},\n"y": [{"k": 2}, {"k": 3,\n"k": 4}]}', (2, 3), ("3", "4")),
    ],
)
def test_the_lines_of_a_repeated_key(text, lines, values, tmp_path):
    """Texts that are values, keys with escapes, and braces in texts count for nothing."""
    path = tmp_path / "v.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"'k' stands there twice") as caught:
        read_word_index(path)
    told = re.findall(r"line (\d+) with the id (.)", str(caught.value))
    assert told == [(str(line), value) for line, value in zip(lines, values)]


def test_a_key_whose_escapes_look_like_the_repeated_one(tmp_path):
    path = tmp_path / "v.json"
    path.write_text('{"a\\\\nb": 1,\n"a\\nb": 2,\n"a\\\\nb": 3}')
    with pytest.raises(ValueError, match="line 1 with the id 1, line 3 with the id 3"):
        read_word_index(path)


@pytest.mark.parametrize("more", [{}, {'"': 7}, {"\\": 7}, {'\\"': 7, '"\\\\': 8, "\\\\": 9, "{": 10}])
def test_quotation_marks_in_words_hide_no_word_that_stands_there_twice(more, tmp_path):
    """They are counted before anything is looked at one by one."""
    path = tmp_path / "v.json"
    index = {"a": 1, **more, "b": 2}
    path.write_text(json.dumps(index))
    assert read_word_index(path) == index
    for word in index:
        path.write_text(json.dumps(index)[:-1] + f", {json.dumps(word)}: 3}}")
        with pytest.raises(ValueError, match="stands there twice"):
            read_word_index(path)


def test_finding_the_repeated_word_is_not_quadratic(tmp_path):
    """200,000 words took 600 times as long as parsing them alone; now a few times."""
    text = json.dumps({f"word{k}": k for k in range(100_000)})[:-1] + ', "word99999": 100000}'
    path = tmp_path / "v.json"
    path.write_text(text)
    start = time.process_time()
    json.loads(text)
    parsing = time.process_time() - start
    with pytest.raises(
        ValueError, match="'word99999' stands there twice: line 1 with the id 99999, line 1 with the id"
    ):
        read_word_index(path)
    assert time.process_time() - start < 100 * parsing


# ── ids ──


def test_an_id_beyond_all_reason():
    """Up to a million, and up to 64 times the number of words, an id is taken; `num_words` says that it is meant."""
    assert read_word_index({"a": 999_999}) == {"a": 999_999}
    with pytest.raises(
        ValueError, match="the id 1000000 of the word 'a' would need a matrix of 1000001 rows for 1 words"
    ):
        read_word_index({"a": 1_000_000})
    words = {str(k): k for k in range(20_000)}
    assert len(read_word_index({**words, "a": 64 * 20_001 - 1})) == 20_001
    with pytest.raises(
        ValueError, match="the id 1280064 of the word 'a'.*Number the words anew.*pass num_words=1280065"
    ):
        read_word_index({**words, "a": 64 * 20_001})
    assert len(read_word_index({**words, "a": 64 * 20_001}, num_words=64 * 20_001 + 1)) == 20_001
    for huge in (10**12, 10**5000):
        with pytest.raises(
            ValueError, match=r"the id (1000000000000|<int of 16610 bits>) of the word 'a' would need a matrix"
        ):
            read_word_index({"a": huge})
    with pytest.raises(ValueError, match="ids must not be negative, received <int of 16610 bits>"):
        read_word_index({"a": -(10**5000)})


# ── nothing to look for ──


@pytest.mark.parametrize("index", [["<pad>"], [""], {"": 0}, {"[PAD]": 0}])
@pytest.mark.parametrize("num_words", [None, 1, 5])
def test_a_vocabulary_of_padding_alone(index, num_words, data):
    with pytest.raises(ValueError, match="has no word but padding .*; expected at least one"):
        build_matrix(data / "vectors.bin", index, num_words=num_words)


def test_only_padding_is_left_below_num_words():
    with pytest.raises(ValueError, match="dict has no word but padding .*below num_words=1; expected at least one"):
        read_word_index({"<pad>": 0, "a": 1}, num_words=1)
    with pytest.raises(ValueError, match="dict: no word has an id below num_words=1; expected at least one"):
        read_word_index({"a": 1}, num_words=1)


@pytest.mark.parametrize("words", [[], {}, (), iter([])])
def test_no_word_is_wanted(words, data):
    with pytest.raises(ValueError, match=r"vectors\.bin: words is empty.*Leave words out to read all"):
        load_vectors(data / "vectors.bin", words=words)


def test_a_wanted_word_that_is_none(data):
    with pytest.raises(TypeError, match="words must be str, received 1 \\(int\\)"):
        load_vectors(data / "vectors.bin", words=["a", 1])
    with pytest.raises(TypeError, match="words must be a collection of words, received 7"):
        load_vectors(data / "vectors.bin", words=7)


# ── files that are no text ──


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-32-be", "gb18030"])
@pytest.mark.parametrize(
    ("name", "content"), [("v.txt", "<pad>\n中国\n"), ("v.tsv", "中国\t1\n"), ("v.json", '{"中国": 1}')]
)
def test_files_in_other_encodings(encoding, name, content, tmp_path, data):
    """A byte order mark says it; else it must be UTF-8, or what was passed for the vectors."""
    path = tmp_path / name
    path.write_bytes(content.encode(encoding))
    if encoding in ("utf-8-sig", "utf-16", "utf-32"):
        assert read_word_index(path)["中国"] == 1
    else:
        with pytest.raises(ValueError, match=rf"{name}, line \d \(byte \d+\): expected UTF-8, got .*encoding="):
            read_word_index(path)
    assert read_word_index(path, encoding=encoding)["中国"] == 1
    path.write_bytes(content.encode())
    assert read_word_index(path, encoding=encoding)["中国"] == 1


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"a": 1%s}' % ("0" * 5000), "not JSON that can be read .*4300"),
        ('{"a": NaN}', "whole numbers, received nan"),
        ('{"a": 1e999}', "whole numbers, received inf"),
        ('{"version": "1.0", "model": {"type": "WordPiece", "vocab": {"a": 0}}}', "Tokenizer.from_file"),
        (
            '{"config": {"word_index": {"a": 1}, "num_words": "x"}}',
            "in its config: num_words must be None or .* received 'x'",
        ),
        (tokenizer_json(word_index="{"), "in its word_index, line 1: not JSON"),
        (tokenizer_json(word_index="7"), "expected a JSON object .* got int"),
    ],
)
def test_json_that_is_no_word_index(content, told, tmp_path):
    path = tmp_path / "v.json"
    path.write_text(content)
    with pytest.raises((ValueError, TypeError), match=rf"v\.json.*{told}"):
        read_word_index(path)


def test_a_folder_is_no_word_index(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder; expected a file"):
        read_word_index(tmp_path)


@pytest.mark.parametrize("name", ["v.json", "v.tsv", "v.txt"])
def test_a_pipe_is_no_word_index(name, tmp_path):
    """Nobody may ever write to it."""
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match=rf"{name} is a pipe or a device; expected a file"):
        read_word_index(tmp_path / name)


@pytest.mark.parametrize("number", ["2_0", "١", "２", "1.0", "0x1", "", "1 2"])
def test_an_id_in_a_tsv_is_plain_digits(number, tmp_path):
    path = tmp_path / "v.tsv"
    path.write_text(f"the\t0\ncat\t{number}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"v\.tsv, line 2: expected a word, a tab and its id, got 'cat"):
        read_word_index(path)

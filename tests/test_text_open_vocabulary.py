"""TextEncoder with n-grams: words without an id come as the n-grams that a SubwordModel knows of them."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_text_encoder import INDEX, PLAIN, TEXTS, WAYS, set_anew
from w2v_embed.subwords import SubwordModel, fit_subwords
from w2v_embed.subwords.ngrams import ngrams_of
from w2v_embed.text import TextEncoder


def made_of(words, dim=3, **options):
    """A model of all n-grams of these words, with rows that no other has."""
    keys = np.unique(ngrams_of(words, options.get("min_n", 3), options.get("max_n", 6))[1])
    rows = np.random.default_rng(0).normal(size=(len(keys), dim)).astype(np.float32)
    return SubwordModel(keys, rows, np.arange(dim), **options)


MODEL = made_of(["the", "catalogue", "热中国", "🙂\ud800x", "İs", "x" * 40, "<unk>"], min_n=2, max_n=5)


def slow(texts, index, words_of, model, unknown, length, truncate, lower, most):
    """Word by word: (rows of ids, rows of n-grams, the number of words that have n-grams)."""
    place = {key: number for number, key in enumerate(model.keys.tolist(), 1)}
    all_ids, all_ngrams, spelt = [], [], 0
    for text in texts:
        row = []  # ids, and lists of n-grams
        for word in words_of(text.removeprefix("\ufeff")):
            word = word.lower() if lower else word
            if not word or word.isspace():
                continue
            if index.get(word, 0) not in (0, unknown):
                row.append(index[word])
                continue
            known = [place[key] for key in ngrams_of([word], model.min_n, model.max_n)[1].tolist() if key in place]
            if known and len(known) <= most:
                row.append(sorted(known))
                spelt += 1
            elif unknown is not None:
                row.append(unknown)
        if length is not None:
            row = row[:length] if truncate == "end" else row[-length:]
        ids, ngrams, taken = [], [], 0
        for item in row:
            if isinstance(item, int):
                ids.append(item)
                continue
            taken += len(item)
            if taken <= most:
                ids.append(-len(item))
                ngrams += item
            elif unknown is not None:
                ids.append(unknown)
        all_ids.append(ids)
        all_ngrams.append(ngrams)
    length = max(map(len, all_ids), default=0) if length is None else length
    table = np.zeros((len(texts), length + most), np.int32)
    for row, ids, ngrams in zip(table, all_ids, all_ngrams):
        row[: len(ids)] = ids
        row[length : length + len(ngrams)] = ngrams
    return table, spelt


@pytest.fixture(scope="module")
def encoders():
    return {
        (way, unknown): TextEncoder(index, split=split if way == "callable" else way, subwords=MODEL)
        for way, split in WAYS.items()
        if way != "jieba"
        for index, unknown in ((INDEX, 1), (PLAIN, None))
    }


@pytest.mark.parametrize("unknown", [1, None])
@pytest.mark.parametrize("way", ["whitespace", "characters", "callable"])
@settings(max_examples=40, deadline=None)
@given(
    texts=TEXTS,
    length=st.one_of(st.none(), st.integers(1, 5)),
    begin=st.booleans(),
    lower=st.booleans(),
    most=st.integers(1, 30),
)
def test_ids_are_those_of_a_slow_loop(encoders, way, unknown, texts, length, begin, lower, most):
    fast = encoders[way, unknown]
    fast._spelling.most = most
    set_anew(fast, unknown, length, begin, lower)
    expected, spelt = slow(
        texts, fast.word_index, WAYS[way], MODEL, unknown, length, fast.truncate, lower, fast.ngrams_per_text
    )
    ids = fast(texts)
    assert ids.dtype == np.int32
    np.testing.assert_array_equal(ids, expected)
    closed = TextEncoder(fast.word_index, split=fast.split, lower=lower)
    told, without = fast.coverage(texts), closed.coverage(texts)
    assert told.spelt == spelt
    assert (told.words, told.known, told.unknown) == (without.words, without.known, without.unknown)
    assert fast.unknown == told.unknown
    if way in ("whitespace", "characters"):
        assert TextEncoder.from_json(fast.to_json())(texts).tolist() == ids.tolist()


def test_the_tests_have_words_of_n_grams():
    """All that the property above is about does occur in what it draws from."""
    encoder = TextEncoder(INDEX, subwords=MODEL, ngrams_per_text=9)
    known, no_room, too_many = encoder(["cat the zebra", "theme the cat", "the " + "x" * 60])
    assert known[:3].tolist() == [-6, 2, 1]
    assert np.count_nonzero(known[3:]) == 6
    assert no_room[:3].tolist() == [-7, 2, 1]
    assert too_many[:3].tolist() == [2, 1, 0]


def test_a_text_without_a_word_is_empty():
    told = TextEncoder(PLAIN, subwords=MODEL).coverage(["theme", "zzz", "", "the"])
    assert (told.empty, told.spelt, told.known, told.words) == (2, 1, 1, 3)
    assert told.summary() == (
        "1 of 3 words (33.3%) have an id; 2 unknown: 'theme', 'zzz'. 1 of 2 unknown ones have n-grams. "
        "2 of 4 texts have no known word"
    )


def test_what_travels_with_it(tmp_path):
    MODEL.save(tmp_path / "m.safetensors", dtype="float32")
    encoder = TextEncoder(INDEX, length=4, subwords=tmp_path / "m.safetensors", ngrams_per_text=20)
    texts = ["theme the zebra", "", "\ud800 İs"]
    ids = encoder(texts)
    assert ids.shape == (3, 24)
    config = json.loads(encoder.to_json())
    assert (config["version"], config["ngrams_per_text"]) == (2, 20)
    assert (config["subwords"]["min_n"], config["subwords"]["max_n"]) == (2, 5)
    for again in (TextEncoder.from_json(encoder.to_json()), pickle.loads(pickle.dumps(encoder))):
        assert again(texts).tolist() == ids.tolist()
        assert (again.keys_sha256, again.ngrams_per_text) == (encoder.keys_sha256, 20)
        assert again.get_config() == encoder.get_config()
    assert repr(encoder).endswith(f", {len(MODEL.keys):,} n-grams>")
    closed = TextEncoder(INDEX)
    assert (closed.ngrams_per_text, closed.keys_sha256, closed.get_config()["version"]) == (0, None, 1)
    assert made_of(["other"]).keys.tolist() != MODEL.keys.tolist()
    assert TextEncoder(INDEX, subwords=made_of(["other"])).keys_sha256 != encoder.keys_sha256


def test_learnt_with_its_n_grams(data):
    model = fit_subwords(data / "vectors.bin", limit=500)
    encoder = TextEncoder.fit(["中国 经济"], subwords=model, ngrams_per_text=8, length=3)
    ids = encoder(["中国 中国热"])
    assert ids.shape == (1, 11)
    assert ids[0, 0] == 1 or ids[0, 0] == 2
    assert ids[0, 1] < 0


def test_several_processes_give_the_same():
    encoder = TextEncoder(INDEX, subwords=MODEL)
    texts = ["theme the", "zebra", "catalogue 热中国"] * 700
    assert np.array_equal(encoder(texts, processes=2), encoder(texts))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subwords": 7}, "subwords must be a SubwordModel, or the path of one, received 7"),
        (
            {"subwords": MODEL, "ngrams_per_text": 0},
            "ngrams_per_text must be a whole number from 1 to 65536, received 0",
        ),
        (
            {"subwords": SubwordModel(np.zeros(0), np.zeros((0, 2)), np.zeros(2))},
            "subwords must have n-grams, received a model with none",
        ),
    ],
)
def test_arguments_that_are_none(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        TextEncoder(INDEX, **options)
    with pytest.raises(FileNotFoundError, match="there is no file nowhere"):
        TextEncoder(INDEX, subwords="nowhere.safetensors")

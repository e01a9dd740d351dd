"""Rows out of the spelling of words: against naive readings of what is promised, and as a source."""

import json
import os

import numpy as np
import pytest
from gensim.models import KeyedVectors
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import same_bits, write_fasttext, write_text
from tests.test_static_models import write_safetensors
from w2v_embed import EmbeddingMatrix, build_matrix, inspect, load_vectors
from w2v_embed.matrix.shared import Agreement
from w2v_embed.readers.scan import hot, plain
from w2v_embed.subwords import SubwordModel, fit_subwords
from w2v_embed.subwords.ngrams import LONGEST, ngrams_of

RNG = np.random.default_rng(5)
STEMS = ["walk", "talk", "jump", "play", "work", "cook", "look", "call", "open", "turn"]
ENDS = ["", "s", "ed", "ing", "er", "ers"]
PARTS = {part: RNG.normal(size=7) for part in [*STEMS, *ENDS]}
WORDS = [stem + end for stem in STEMS for end in ENDS]


def keyed(words, rows):
    kv = KeyedVectors(len(rows[0]))
    kv.add_vectors(words, np.asarray(rows, np.float32))
    return kv


@pytest.fixture(scope="module")
def kv():
    return keyed(WORDS, [PARTS[stem] + PARTS[end] for stem in STEMS for end in ENDS])


@pytest.fixture(scope="module")
def model(kv):
    return fit_subwords(kv)


# ── n-grams ──


def naive_ngrams(word, min_n, max_n):
    """The n-grams of a word, as texts; marks for its ends are two characters that no text has."""
    marked = ["<", *word[:LONGEST], ">"]
    found = set()
    for begin in range(len(marked)):
        for end in range(begin + 1, min(begin + max_n, len(marked)) + 1):
            part = marked[begin:end]
            dense = any(
                len(c) == 1 and k + begin not in (0, len(marked) - 1)
                and any(a <= ord(c) <= b for a, b in
                        ((0x3040, 0x30FF), (0x3400, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF), (0x20000, 0x3FFFF)))
                for k, c in enumerate(part)
            )  # fmt: skip
            alone = len(part) == 1 and begin in (0, len(marked) - 1)
            if (len(part) >= min_n or dense) and not alone:
                found.add((begin == 0, tuple(part), end == len(marked)))
    return found


LETTERS = "abcé中国カ한𠮷😀<>\x01\ud800"


@settings(max_examples=60, deadline=None)
@given(
    words=st.lists(st.text(LETTERS, max_size=9), max_size=6),
    low=st.integers(1, 4),
    more=st.integers(0, 3),
)
def test_ngrams_are_those_of_a_naive_reading(words, low, more):
    numbers, keys = ngrams_of(words, low, low + more)
    assert numbers.tolist() == sorted(numbers.tolist())
    names = {}
    for number, word in enumerate(words):
        mine = keys[numbers == number].tolist()
        expected = naive_ngrams(word, low, low + more)
        assert len(set(mine)) == len(mine) == len(expected)
        names[word] = set(mine)
    for a in words:
        for b in words:
            shared = naive_ngrams(a, low, low + more) & naive_ngrams(b, low, low + more)
            assert len(names[a] & names[b]) == len(shared)


def test_long_words_count_by_their_beginning():
    word = "x" * 50 + "y" * 1_000_000
    numbers, keys = ngrams_of([word, word[:LONGEST]], 3, 6)
    assert keys[numbers == 0].tolist() == keys[numbers == 1].tolist()


def test_keys_stay_what_they_are():
    """A saved model relies on them: FNV-1a over the characters, mixed, in whole numbers."""

    def key(codes):
        code = 0xCBF29CE484222325
        for character in codes:
            code = (code ^ character) * 0x100000001B3 % (1 << 64)
        code = (code ^ code >> 32) * 0x9E3779B97F4A7C15 % (1 << 64)
        return code ^ code >> 29

    begin, end, o, f, middle = 0x110000, 0x110001, ord("o"), ord("f"), ord("中")
    of = [(begin, o, f), (o, f, end), (begin, o, f, end)]
    dense = [(middle,), (begin, middle), (middle, end), (begin, middle, end)]
    numbers, keys = ngrams_of(["of", "中"], 3, 4)
    assert numbers.tolist() == [0] * 3 + [1] * 4
    assert keys.tolist() == sorted(map(key, of)) + sorted(map(key, dense))
    assert keys[0] == 1000028621280458597


# ── the fit ──


def dense_fit(words, rows, min_n, max_n):
    """Ridge regression by a dense solver: (mean, dict n-gram → row)."""
    names = sorted(set().union(*(naive_ngrams(word, min_n, max_n) for word in words)))
    place = {name: k for k, name in enumerate(names)}
    x = np.zeros((len(words), len(names)))
    for k, word in enumerate(words):
        mine = [place[name] for name in naive_ngrams(word, min_n, max_n)]
        x[k, mine] = 1 / np.sqrt(len(mine))
    mean = rows.mean(axis=0)
    return mean, dict(zip(names, np.linalg.solve(x.T @ x + np.eye(len(names)), x.T @ (rows - mean))))


def dense_row(word, fitted, min_n=3, max_n=6):
    mean, parts = fitted
    mine = [parts[name] for name in naive_ngrams(word, min_n, max_n) if name in parts]
    return mean + np.sum(mine, axis=0) / np.sqrt(len(mine)) if mine else None


@pytest.mark.parametrize(("low", "high"), [(3, 6), (2, 3), (1, 2)])
def test_the_fit_is_that_of_a_dense_solver(kv, low, high, monkeypatch):
    monkeypatch.setattr("w2v_embed.subwords.fit._MOST_HELD_OUT", 0)
    model = fit_subwords(kv, min_n=low, max_n=high)
    fitted = dense_fit(WORDS, kv.vectors.astype(np.float64), low, high)
    assert len(model.keys) == len(fitted[1])
    others = [*WORDS, "walkable", "cooked!", "zzz", "", "q"]
    rows, found = model.vectors_for(others)
    for word, row, there in zip(others, rows, found):
        expected = dense_row(word, fitted, low, high)
        assert there == (expected is not None)
        np.testing.assert_allclose(row, 0 if expected is None else expected, atol=2e-4)


def test_hidden_words_come_near_to_their_rows(kv):
    hidden = np.random.default_rng(1).permutation(len(WORDS))[:6]
    others = [k for k in range(len(WORDS)) if k not in hidden]
    model = fit_subwords(keyed([WORDS[k] for k in others], kv.vectors[others]))
    rows, found = model.vectors_for([WORDS[k] for k in hidden])
    assert found.all()

    def cosine(rows):
        true = kv.vectors[hidden]
        return ((rows * true).sum(1) / np.linalg.norm(rows, axis=1) / np.linalg.norm(true, axis=1)).mean()

    assert cosine(rows) > 0.8 > 0.7 > cosine(np.tile(kv.vectors[others].mean(axis=0), (6, 1)))


def test_chinese_words_of_the_shipped_vectors():
    model = fit_subwords("data/vectors.txt.bz2")
    assert model.words == 11_000 - 550
    assert model.cosine > 0.4
    rows, found = model.vectors_for(["中国经济", "大学生们", "qqqq"])
    assert found.tolist() == [True, True, False]
    assert not rows[2].any()


def test_the_same_call_gives_the_same_and_blocks_do_not_matter(kv, model, monkeypatch):
    again = fit_subwords(kv)
    assert same_bits(again.rows, model.rows)
    assert same_bits(again.keys, model.keys)
    assert again.cosine == model.cosine
    monkeypatch.setattr("w2v_embed.subwords.fit._COLUMNS", 2)
    monkeypatch.setattr("w2v_embed.subwords.model._AT_ONCE", 3)
    narrow = fit_subwords(kv)
    assert same_bits(narrow.rows, model.rows)
    assert narrow.cosine == model.cosine
    assert fit_subwords(kv, seed=1).cosine != model.cosine


def test_the_loops_of_numpy_make_the_same(kv, model, monkeypatch):
    monkeypatch.setattr(hot, "_loops", plain)
    assert same_bits(fit_subwords(kv).rows, model.rows)


def test_the_most_frequent_ngrams_are_kept(kv, monkeypatch):
    monkeypatch.setattr("w2v_embed.subwords.fit._MOST_HELD_OUT", 0)
    _, keys = ngrams_of(WORDS, 3, 6)
    unique, counts = np.unique(keys, return_counts=True)
    few = fit_subwords(kv, ngrams=12)
    assert len(few.keys) == 12
    assert counts[np.isin(unique, few.keys)].min() >= np.sort(counts)[-12]
    _, found = few.vectors_for(["walks", "zzz"])
    assert found.tolist() == [True, False]


def test_what_it_is_fitted_to(tmp_path, kv, model):
    path = write_text(tmp_path / "v.txt", {word: row.tolist() for word, row in zip(WORDS, kv.vectors)})
    of_file = fit_subwords(path)
    assert same_bits(of_file.rows, model.rows)
    assert fit_subwords(str(path), limit=30).words == 29
    em = build_matrix(
        path, {"": 0, **{word: k for k, word in enumerate(WORDS, 1)}, "Walk": 99}, fallbacks=["lower"], oov="mean"
    )
    assert same_bits(fit_subwords(em).rows, model.rows)  # of no padding, and no lent row
    bad = kv.vectors.copy()
    bad[3] = np.nan
    assert fit_subwords(keyed(WORDS, bad)).words == 57
    for wrong in (3, None, [path], {"a": [1]}, model):
        with pytest.raises(TypeError, match="vectors must be a path, a gensim KeyedVectors or an EmbeddingMatrix"):
            fit_subwords(wrong)
    with pytest.raises(ValueError, match="two words with vectors at least, received 1"):
        fit_subwords(keyed(["a"], [[1.0]]))
    with pytest.raises(ValueError, match="words of 5 characters or more, received none: pass a smaller min_n="):
        fit_subwords(keyed(["a", "b"], [[1.0], [2.0]]), min_n=5)
    for name, value in (
        ("limit", 1),
        ("ngrams", 0),
        ("min_n", 0),
        ("max_n", 2),
        ("seed", -1),
        ("max_n", 65),
        ("limit", True),
    ):
        with pytest.raises(ValueError, match=f"{name} must be .*received {value}"):
            fit_subwords(kv, **{name: value})


# ── a source like any other ──


def test_its_rows_are_marked_and_never_exact(kv, model, tmp_path):
    index = ["<pad>", "walk", "WALKING", "walkings", "zzz"]
    em = build_matrix([kv, model], index, fallbacks=["lower"])
    assert em.provenance.tolist() == [
        "padding", "KeyedVectors", "KeyedVectors (lower)", "SubwordModel (subwords)", "oov",
    ]  # fmt: skip
    assert same_bits(em.matrix[3], model.vectors_for(["walkings"])[0][0])
    assert em.derived["walkings"].fallback == "subwords"
    assert em.derived["walkings"].words == ()
    assert em.coverage.by_fallback == {"exact": 1, "lower": 1, "subwords": 1}
    assert em.coverage.missing == ["zzz"]
    assert em.vectors_for(index)[1].tolist() == [False, True, False, False, False]
    em.save(tmp_path / "m.safetensors")
    assert load_vectors(tmp_path / "m.safetensors").index_to_key == ["walk"]
    assert EmbeddingMatrix.load(tmp_path / "m.safetensors").coverage == em.coverage


def test_its_place_in_the_list_does_not_matter_and_it_may_stand_alone(kv, model):
    index = ["walk", "walkings", "zzz"]
    last = build_matrix([kv, model], index)
    first = build_matrix([model, kv], index)
    assert same_bits(first.matrix, last.matrix)
    assert first.coverage == last.coverage
    alone = build_matrix(model, index)
    assert alone.provenance.tolist() == ["SubwordModel (subwords)"] * 2 + ["oov"]
    named = build_matrix(model, index, fallbacks=["subwords"])
    assert same_bits(named.matrix, alone.matrix)
    assert build_matrix(model, ["zzz"]).coverage.missing == ["zzz"]
    wide = build_matrix([kv, model], index, oov="mean", dtype="float16", suggest=True)
    assert wide.matrix[2].any()
    assert wide.coverage.suggestions == {}


def test_fasttexts_own_ngrams_come_first_where_they_are_first(kv, model, tmp_path):
    ngrams = RNG.normal(size=(50, 7)).astype(np.float32)
    path = write_fasttext(tmp_path / "v.bin", WORDS[:9], kv.vectors[:9], ngrams)
    assert build_matrix([path, model], ["walkings"]).provenance.tolist() == ["v.bin (subwords)"]
    assert build_matrix([model, path], ["walkings"]).provenance.tolist() == ["SubwordModel (subwords)"]


def test_a_file_and_the_model_it_loads_into_are_one(kv, model, tmp_path):
    path = tmp_path / "s.safetensors"
    model.save(path)
    index = ["walk", "walkings", "zzz"]
    by_path, by_model = (build_matrix([kv, one], index) for one in (path, SubwordModel.load(path)))
    assert same_bits(by_path.matrix, by_model.matrix)
    assert by_path.provenance.tolist() == ["KeyedVectors", "s.safetensors (subwords)", "oov"]
    vectors = write_text(tmp_path / "v.txt", {"walk": [1] * 7})
    for _ in range(2):
        em = build_matrix([vectors, path], index, cache_dir=tmp_path / "cache")
        assert em.provenance.tolist() == ["v.txt", "s.safetensors (subwords)", "oov"]
    with pytest.raises(ValueError, match="SubwordModel has vectors of 7 numbers, v2.txt of 2; they must be alike"):
        build_matrix([write_text(tmp_path / "v2.txt", {"a": [1, 2]}), model], ["a"])


# ── files ──


def test_a_saved_model_is_small_and_the_same(model, tmp_path):
    path = tmp_path / "s.safetensors"
    model.save(path, dtype="float32")
    whole = SubwordModel.load(path)
    assert same_bits(whole.rows, model.rows)
    assert vars(whole).keys() == vars(model).keys()
    assert (whole.words, whole.cosine, whole.min_n, whole.max_n) == (model.words, model.cosine, 3, 6)
    assert repr(whole) == repr(model)
    assert same_bits(whole.vectors_for(WORDS)[0], model.vectors_for(WORDS)[0])
    model.save(path)
    half = SubwordModel.load(path)
    assert half.rows.dtype == np.float16
    np.testing.assert_allclose(half.vectors_for(WORDS)[0], model.vectors_for(WORDS)[0], atol=5e-3)
    assert path.stat().st_size < len(model.keys) * (8 + 2 * 7) + 1000
    from safetensors.numpy import load_file

    assert load_file(path)["rows"].shape == model.rows.shape


def test_what_cannot_be_saved(model, tmp_path):
    with pytest.raises(ValueError, match="must end in .safetensors; received"):
        model.save(tmp_path / "s.bin")
    with pytest.raises(ValueError, match='dtype must be "float16" or "float32", received \'int8\''):
        model.save(tmp_path / "s.safetensors", dtype="int8")
    big = SubwordModel(model.keys, model.rows * 1e6, model.mean)
    with pytest.raises(ValueError, match="too large for float16"):
        big.save(tmp_path / "s.safetensors")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError, match="there is no file"):
        SubwordModel.load(tmp_path / "s.safetensors")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keys": [[1]]}, r"rows must be \(n, dim\) for n keys, received \(1, 2\) for \(1, 1\)"),
        ({"rows": [1.0]}, r"rows must be \(n, dim\)"),
        ({"rows": [[]]}, r"rows must be \(n, dim\)"),
        ({"mean": [1.0]}, r"mean must be \(2,\), as rows are wide, received \(1,\)"),
        ({"rows": [[1, np.inf]]}, "must be finite"),
        ({"mean": [np.nan, 1]}, "must be finite"),
        ({"min_n": 0}, "min_n must be a whole number from 1 to 64, received 0"),
        ({"max_n": 2}, "max_n must be a whole number from 3 to 64, received 2"),
        ({"max_n": 1 << 40}, "max_n must be a whole number from 3 to 64"),
        ({"words": -1}, "words must be a whole number from 0 on, received -1"),
        ({"keys": [2, 1], "rows": [[1, 2], [3, 4]]}, "keys must ascend, each once"),
        ({"keys": [1, 1], "rows": [[1, 2], [3, 4]]}, "keys must ascend, each once"),
    ],
)
def test_parts_that_do_not_fit(changes, message):
    parts = {"keys": [1], "rows": [[1.0, 2.0]], "mean": [0.0, 0.0], **changes}
    with pytest.raises(ValueError, match=message):
        SubwordModel(**parts)


TOLD = {"min_n": 3, "max_n": 6, "words": 2, "cosine": None}


def spoiled(path, *, told=TOLD, kind="w2v_embed subwords 1", drop=None, **changes):
    tensors = {
        "keys": np.array([1, 2], "<i8"),
        "rows": np.ones((2, 3), "<f2"),
        "mean": np.zeros(3, "<f4"),
        **changes,
    }
    tensors.pop(drop, None)
    text = told if isinstance(told, str) else json.dumps(told)
    return write_safetensors(path, tensors, __metadata__={"format": kind, "told": text})


HOSTILE = {
    "good": ({}, None),
    "another format": ({"kind": "w2v_embed subwords 1.5"}, "expected the format 'w2v_embed subwords 1'"),
    "no keys": ({"drop": "keys"}, "expected the format"),
    "one more": ({"drop": "keys", "more": np.zeros(1, "<f4")}, "expected the format"),
    "told is no JSON": ({"told": "{"}, "told, line 1: not JSON"),
    "told is a list": ({"told": []}, "told: expected a JSON object"),
    "told is deep": ({"told": "[" * 30_000}, "told: lists or objects nested"),
    "told too little": ({"told": {"min_n": 3}}, "expected min_n, max_n, words and cosine"),
    "endless n-grams": ({"told": {**TOLD, "max_n": 1 << 60}}, "max_n must be a whole number from 3 to 64"),
    "words of text": ({"told": {**TOLD, "words": "many"}}, "words must be a whole number"),
    "cosine of a list": ({"told": {**TOLD, "cosine": []}}, "list"),
    "keys fall": ({"keys": np.array([2, 1], "<i8")}, "keys must ascend"),
    "keys of floats": ({"keys": np.zeros(2, "<f4")}, "its tensors keys, rows, mean are F32, F16, F32"),
    "too few rows": ({"rows": np.ones((1, 3), "<f2")}, r"rows must be \(n, dim\) for n keys"),
    "rows of one axis": ({"rows": np.ones(2, "<f2")}, r"rows must be \(n, dim\)"),
    "rows of whole numbers": ({"rows": np.ones((2, 3), "<i8")}, "its tensors keys, rows, mean are I64, I64, F32"),
    "rows of nothing": ({"rows": np.ones((2, 0), "<f2"), "mean": np.zeros(0, "<f4")}, r"rows must be \(n, dim\)"),
    "a narrow mean": ({"mean": np.zeros(2, "<f4")}, "mean must be"),
    "not finite": ({"rows": np.full((2, 3), np.inf, "<f2")}, "must be finite"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_file_that_lies_is_named(tmp_path, case):
    changes, message = HOSTILE[case]
    path = spoiled(tmp_path / "s.safetensors", **changes)
    if message is None:
        assert SubwordModel.load(path).words == 2
        return
    told = rf"s\.safetensors is not a whole file written by SubwordModel\.save \((.|\n)*{message}"
    with pytest.raises(ValueError, match=told):
        SubwordModel.load(path)
    with pytest.raises(ValueError, match=told if case != "another format" else "safetensors"):
        build_matrix(path, ["a"])


def test_a_cut_file_and_one_that_is_larger_than_it_says(tmp_path):
    path = spoiled(tmp_path / "s.safetensors")
    size = path.stat().st_size
    for length in (0, 7, 8, 60, size - 1):
        data = spoiled(path).read_bytes()
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match="is not a whole file written by SubwordModel.save"):
            SubwordModel.load(path)
    path.write_bytes((1 << 62).to_bytes(8, "little") + data[8:])
    with pytest.raises(ValueError, match="is not a whole file"):
        SubwordModel.load(path)
    spoiled(path)
    os.truncate(path, 1 << 40)
    assert SubwordModel.load(path).words == 2  # what lies behind is not read


def test_who_expects_a_matrix_is_told_what_it_is(model, tmp_path):
    model.save(tmp_path / "m.safetensors")
    for read in (EmbeddingMatrix.load, load_vectors, inspect):
        with pytest.raises(ValueError, match=r"m\.safetensors .* is a SubwordModel, which SubwordModel\.load reads"):
            read(tmp_path / "m.safetensors")


@pytest.mark.parametrize("words", [WORDS[:3], WORDS])
def test_beside_what_it_was_fitted_to_nobody_is_warned(kv, model, tmp_path, caplog, words):
    """It has no word of its own, and its rows come only near the true ones: that is no other space."""
    model.save(tmp_path / "m.safetensors")
    for source in (model, tmp_path / "m.safetensors"):
        em = build_matrix([kv, source], [*words, "walkings"])
        assert em.coverage.found == [*words, "walkings"]
        assert not em.steps
    assert not caplog.records


def test_beside_another_space_it_is_warned_of(kv, model, caplog):
    turned = keyed(WORDS, kv.vectors @ np.linalg.qr(RNG.normal(size=(7, 7)))[0])
    em = build_matrix([turned, model], [*WORDS, "walkings"])
    assert em.steps[0]["step"] == "mix"
    assert "rows of SubwordModel are mixed with rows of" in caplog.text
    caplog.clear()
    build_matrix([turned, model], [*WORDS, "walkings"], align=False)
    assert not caplog.records


def test_made_rows_need_come_only_near():
    """Those of one space have a median cosine of .44 and more (real vectors), those of another one of about 0."""
    rows = RNG.normal(size=(200, 50))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    noise = RNG.normal(size=rows.shape)
    noise -= (noise * rows).sum(axis=1, keepdims=True) * rows
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    for cosine, made, told in ((0.4, True, 0), (0.4, False, 1), (0.1, True, 1), (0.6, False, 0)):
        others = cosine * rows + np.sqrt(1 - cosine**2) * noise
        assert len(Agreement("a", "b", 200, rows, others).steps(made=made)) == told
    few = Agreement("a", "b", 3, rows[:3], noise[:3])  # some are made badly in the same space, too
    assert (len(few.steps(made=True)), len(few.steps())) == (0, 1)

"""word_index + vectors → matrix: rows, padding, unknown words, several sources."""

import gzip
import hashlib
import json
import logging
import tracemalloc

import numpy as np
import pytest
from gensim.models import KeyedVectors
from safetensors.numpy import save_file

from tests.conftest import same_bits, write_fasttext, write_text
from w2v_embed import EmbeddingMatrix, build_matrix, load_vectors
from w2v_embed.matrix import blocks
from w2v_embed.matrix.fallbacks import Derivation
from w2v_embed.matrix.oov import draw

RNG = np.random.default_rng(0)
ROWS = {word: RNG.normal(size=4).astype(np.float32).tolist() for word in ["the", "cat", "sat", "<pad>", "2", "中国"]}


@pytest.fixture
def path(tmp_path):
    return write_text(tmp_path / "v.txt", ROWS)


def naive(rows, word_index, n):
    """The matrix as anybody would write it down."""
    matrix = np.zeros((n, 4), np.float32)
    for word, index in word_index.items():
        if word in rows:
            matrix[index] = rows[word]
    return matrix


def test_rows_are_the_files_rows_and_unknown_words_are_zeros(hot, path):
    index = {"cat": 3, "nobody": 1, "中国": 2, "2": 5}
    em = build_matrix(path, index)  # no word has the id 4
    assert same_bits(em.matrix, naive(ROWS, index, 6))
    assert em.word_index == index
    assert em.padding_row == 0
    assert em.provenance.tolist() == ["padding", "oov", "v.txt", "v.txt", "unused", "v.txt"]
    assert em.oov_rows.tolist() == [1]
    assert em.coverage.found == ["中国", "cat", "2"]
    assert em.coverage.missing == ["nobody"]
    assert em.coverage.rate == 0.75
    assert same_bits(np.asarray(em), em.matrix)
    assert "6 × 4" in repr(em)


@pytest.mark.parametrize("word", ["", "<pad>", "[PAD]", "<PAD>"])
def test_padding_word_at_zero_stays_zero_though_the_file_has_it(path, word):
    em = build_matrix(path, [word, "cat", "<pad>x"])
    assert not em.matrix[0].any()
    assert em.padding_row == 0
    assert em.coverage.found + em.coverage.missing == ["cat", "<pad>x"]


def test_a_word_at_zero_keeps_its_vector(path):
    em = build_matrix(path, ["cat", "<pad>"])
    assert em.padding_row is None
    assert em.matrix[0].tolist() == ROWS["cat"]
    assert em.matrix[1].tolist() == ROWS["<pad>"]
    missing_first = build_matrix(path, ["nobody", "cat"])
    assert missing_first.padding_row is None
    assert missing_first.oov_rows.tolist() == [0]


def test_num_words_is_the_tokenizers(path):
    index = {"the": 1, "cat": 2, "sat": 3}
    em = build_matrix(path, index, num_words=3)
    assert em.shape == (3, 4)
    assert em.word_index == {"the": 1, "cat": 2}
    assert build_matrix(path, index, num_words=10).shape == (10, 4)
    for wrong in (0, -1, 2.5, True, 10**12):
        with pytest.raises(ValueError, match=f"num_words must be .* received {wrong}"):
            build_matrix(path, index, num_words=wrong)
    with pytest.raises(ValueError, match="no word has an id below num_words=1"):
        build_matrix(path, index, num_words=1)


def test_every_kind_of_source_gives_the_same_matrix(path):
    index = {"cat": 1, "nobody": 2, "2": 3}
    expected = build_matrix(path, index)
    kv = load_vectors(path)
    gensims = KeyedVectors.load_word2vec_format(str(path))

    class Encoder:
        vector_size = 4

        def vectors_for(self, words):
            return [ROWS.get(w, [9] * 4) for w in words], np.array([w in ROWS for w in words])

    for source in (str(path), kv, gensims, Encoder(), [path], (kv, path)):
        em = build_matrix(source, index)
        assert same_bits(em.matrix, expected.matrix)
        assert em.coverage.missing == ["nobody"]


def test_gensims_ids_are_no_words(path):
    """gensim's `in` takes the int 2 for a position; a word "2" that is missing must stay missing."""
    kv = load_vectors(path, words=["the", "cat", "sat"])
    assert build_matrix(kv, {"2": 1, "cat": 2}).coverage.missing == ["2"]


def test_an_earlier_source_wins(tmp_path, path):
    second = write_text(tmp_path / "second.txt", {"cat": [1] * 4, "dog": [2] * 4, "odd": [3] * 4})
    em = build_matrix([path, second], {"cat": 1, "dog": 2, "nobody": 3})
    assert em.matrix[1].tolist() == ROWS["cat"]
    assert em.matrix[2].tolist() == [2] * 4
    assert em.provenance.tolist() == ["padding", "v.txt", "second.txt", "oov"]
    assert em.coverage.by_source == {"v.txt": 1, "second.txt": 1}
    third = write_text(tmp_path / "third.txt", {"bird": [1] * 7})
    with pytest.raises(ValueError, match=r"third\.txt has vectors of 7 numbers, v\.txt of 4"):
        build_matrix([path, third], {"cat": 1, "bird": 2})


def test_unknown_rows(path):
    words = ["the", "cat", "sat", "中国"]
    index = {word: k for k, word in enumerate(["x", *words, "y", "z"], 1)}
    known = np.array([ROWS[w] for w in words])
    mean = build_matrix(path, index, oov="mean").matrix[index["y"]]
    np.testing.assert_allclose(mean, known.mean(axis=0), rtol=1e-6)

    drawn = build_matrix(path, index, oov="normal", seed=5)
    assert len({tuple(drawn.matrix[index[w]]) for w in "xyz"}) == 3
    assert same_bits(drawn.matrix, build_matrix(path, index, oov="normal", seed=5).matrix)
    assert not same_bits(drawn.matrix, build_matrix(path, index, oov="normal", seed=6).matrix)
    shuffled = {word: len(index) + 1 - k for word, k in index.items()}
    again = build_matrix(path, shuffled, oov="normal", seed=5)
    for word in index:
        assert same_bits(again.matrix[shuffled[word]], drawn.matrix[index[word]]), word
    assert drawn.oov_rows.tolist() == [1, 6, 7]
    assert not drawn.matrix[0].any()

    many = build_matrix(
        path,
        {**dict.fromkeys(()), **{f"o{k}": k for k in range(5, 5005)}, **{w: k for k, w in enumerate(words, 1)}},
        oov="normal",
    )
    np.testing.assert_allclose(many.matrix[5:].mean(axis=0), known.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(many.matrix[5:].std(axis=0), known.std(axis=0), rtol=0.1)

    ones = build_matrix(path, index, oov=lambda shape, rng: np.ones(shape))
    assert ones.matrix[ones.oov_rows].tolist() == [[1] * 4] * 3
    with pytest.raises(
        ValueError, match=r"oov must return finite rows of shape \(3, 4\), received float64 of shape \(4,\)"
    ):
        build_matrix(path, index, oov=lambda shape, rng: np.ones(4))
    with pytest.raises(ValueError, match="oov must be .* received 'random'"):
        build_matrix(path, index, oov="random")


def test_dtype(path):
    half = build_matrix(path, ["cat"], dtype="float16")
    assert half.matrix.dtype == np.float16
    assert same_bits(half.matrix, np.array([ROWS["cat"]], np.float16))
    assert build_matrix(path, ["cat"], dtype=np.float64).matrix.dtype == np.float64
    with pytest.raises(ValueError, match='dtype must be "float16", "float32" or "float64", received .int8'):
        build_matrix(path, ["cat"], dtype="int8")


def test_nothing_found_is_told(path, caplog):
    with caplog.at_level(logging.WARNING, "w2v_embed"):
        em = build_matrix(path, {"x": 1, "y": 2}, oov="normal")
    assert "none of the 2 words was found in v.txt" in caplog.text
    assert em.coverage.rate == 0
    assert not em.matrix.any()


def test_nan_in_a_source_is_never_silent(caplog):
    kv = KeyedVectors(2)
    kv.add_vectors(["a", "b"], np.array([[1, np.nan], [1, 2]]))
    with pytest.raises(ValueError, match="KeyedVectors, word 'a': expected finite numbers"):
        build_matrix(kv, {"a": 1, "b": 2})
    with caplog.at_level(logging.WARNING, "w2v_embed"):
        em = build_matrix(kv, {"a": 1, "b": 2}, on_error="skip")
    assert em.coverage.missing == ["a"]
    assert em.damage[0].total == 1
    assert "1 × not finite" in caplog.text


def test_sources_that_cannot_be(path):
    class Wrong:
        vector_size = 4

        def vectors_for(self, words):
            return np.zeros((1, 3)), np.ones(1, bool)

    with pytest.raises(ValueError, match=r"Wrong\.vectors_for must return rows of shape \(2, 4\)"):
        build_matrix(Wrong(), {"a": 1, "b": 2})
    Wrong.vectors_for = lambda self, words: None
    with pytest.raises(ValueError, match=r"Wrong\.vectors_for must return rows of shape .*, received None"):
        build_matrix(Wrong(), {"a": 1, "b": 2})
    with pytest.raises(TypeError, match="vectors must be a path, .* received float"):
        build_matrix(3.5, {"a": 1})
    with pytest.raises(ValueError, match="empty list"):
        build_matrix([], {"a": 1})


PARTS = {
    "no matrix": ({"matrix": np.zeros(3)}, r"expected a matrix \(rows, dim\), received an array of shape \(3,\)"),
    "an id too high": ({"word_index": {"a": 5}}, "goes up to the id 5, but the matrix has 3 rows"),
    "a huge id": ({"word_index": {"a": 10**30}}, "goes up to the id 10+, but the matrix has 3 rows"),
    "a negative id": ({"word_index": {"a": 1, "b": -1}}, "must not be negative, received -1 for the word 'b'"),
    "one id for two": ({"word_index": {"a": 1, "b": 2, "c": 1}}, "words 'a' and 'c' both have the id 1"),
    "a bool": ({"word_index": {"a": True}}, "ids must be whole numbers, received True for the word 'a'"),
    "a float": ({"word_index": {"a": 1.0}}, "ids must be whole numbers, received 1.0 for the word 'a'"),
    "no word": ({"word_index": {7: 1}}, "words must be str, received 7 with the id 1"),
    "too few origins": ({"origins": [3]}, r"for each of the 3 rows, received int64 of shape \(1,\)"),
    "origins of floats": ({"origins": [0, 3.0, 3.0]}, r"a whole number for each of the 3 rows, received float64"),
    "an origin too high": ({"origins": [0, 3, 4]}, "from 0 to 3, with 1 sources, received 4 at 2"),
    "a negative origin": ({"origins": [0, -1, 3]}, "from 0 to 3, with 1 sources, received -1 at 1"),
    "a word on an unused row": ({"origins": [0, 0, 3]}, "row 1 of the word 'a' is marked as unused"),
    "padding elsewhere": ({"origins": [0, 1, 3]}, r"rows \[1\] are marked as padding, but padding_row is None"),
    "padding that is none": ({"padding_row": 0}, r"rows \[\] are marked as padding, but padding_row is 0"),
    "padding row 7": ({"padding_row": 7}, "padding_row must be None or 0 .*, received 7"),
    "padding row True": ({"padding_row": False}, "padding_row must be None or 0 .*, received False"),
    "a source of three": (
        {"sources": [["x", None, 1]]},
        r"pairs \(name, fallback or None\), received \['x', None, 1\]",
    ),
    "derived of no word": ({"derived": {"z": ["lower", ["a"]]}}, "derived has the word 'z', which has no row"),
    "derived that tells nothing": ({"derived": {"a": 7}}, "derived must hold Derivations, received 7"),
    "damage that is none": ({"damage": [7]}, "damage must hold DamageReports, received 7"),
    "a suggestion unknown": ({"suggestions": {"magic": ["a"]}}, "suggestions must be out of nfkc, .* received 'magic'"),
}
NOT_IN_A_FILE = ("no matrix", "no word", "derived that tells nothing", "damage that is none")
GOOD = {"word_index": {"a": 1, "b": 2}, "origins": [0, 3, 3], "sources": [("x", None)]}


@pytest.mark.parametrize("name", PARTS)
def test_parts_must_fit(name):
    wrong, message = PARTS[name]
    parts = {"matrix": np.zeros((3, 2)), **GOOD, **wrong}
    if "derived" in wrong:
        parts["derived"] = {w: Derivation(*v) if isinstance(v, list) else v for w, v in wrong["derived"].items()}
    with pytest.raises(ValueError, match=message):
        EmbeddingMatrix(parts.pop("matrix"), parts.pop("word_index"), **parts)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("name", [name for name in PARTS if name not in NOT_IN_A_FILE])
def test_a_file_that_lies_about_its_parts_is_named(name, suffix, tmp_path):
    wrong, message = PARTS[name]
    path = tmp_path / f"m{suffix}"
    metadata = {"format": "w2v_embed 1", "padding_row": None, "derived": {}, "suggestions": {}, "damage": [], **GOOD}
    metadata = {k: v if k == "format" else json.dumps(v) for k, v in {**metadata, **wrong}.items()}
    if suffix == ".npz":
        packed = np.frombuffer(json.dumps(metadata).encode(), np.uint8)
        np.savez(path, matrix=np.ones((3, 2), np.float32), metadata=packed)
    else:
        save_file({"matrix": np.ones((3, 2), np.float32)}, path, metadata)
    with pytest.raises(
        ValueError, match=rf"m{suffix} is not a whole .* file written by EmbeddingMatrix.save .*{message}"
    ):
        EmbeddingMatrix.load(path)
    if not {"derived", "suggestions"} & set(wrong):
        for read in (load_vectors, lambda path: build_matrix(path, ["a"])):
            with pytest.raises(ValueError, match=rf"m{suffix} is not a whole .* file written by Emb.*{message}"):
                read(path)


def test_parts_without_origins():
    """Words then have their rows from the one source."""
    em = EmbeddingMatrix(np.ones((4, 2)), {"a": 1, "b": np.int64(2)}, padding_row=0)
    assert em.provenance.tolist() == ["padding", "unnamed", "unnamed", "unused"]
    assert em.coverage.found == ["a", "b"]
    assert em.coverage.missing == []
    assert em.coverage.by_source == {"unnamed": 2}
    assert {type(index) for index in em.word_index.values()} == {int}
    em = EmbeddingMatrix(np.ones((4, 2)), {"<pad>": 0, "a": 1}, sources=["mine"], padding_row=np.int64(0))
    assert em.provenance.tolist() == ["padding", "mine", "unused", "unused"]
    assert em.coverage.found == ["a"]
    assert EmbeddingMatrix(np.zeros((0, 2)), {}).coverage.rate == 0
    with pytest.raises(ValueError, match="which of the 2 sources, received None"):
        EmbeddingMatrix(np.ones((4, 2)), {"a": 1}, sources=["x", "y"])


def naive_draw(word, seed, dim):
    """What is drawn for a word: a generator of its own, keyed by seed and word."""
    key = hashlib.blake2b(f"{seed} word {word}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little"))).standard_normal(dim)


def test_the_rows_of_unknown_words_need_little_room(tmp_path):
    """Beside the matrix a few MB, whatever the size of it; sums run in the order of the words, in float64."""
    rng = np.random.default_rng(0)
    words = [f"w{k}" for k in rng.permutation(20_000)]
    source = KeyedVectors(100)
    source.add_vectors(words[:12_000], rng.normal(size=(12_000, 100)).astype(np.float32))
    index = {word: k for k, word in enumerate(words, 1)}
    for oov in ("zeros", "mean", "normal"):
        tracemalloc.start()
        em = build_matrix(source, index, oov=oov, seed=3)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < em.matrix.nbytes + (16 << 20), oov
        rows = np.array([source[word] for word in sorted(words[:12_000])], np.float64)
        total = np.zeros(100)
        for row in rows:
            total += row
        mean, expected = total / len(rows), np.zeros((8000, 100))
        if oov == "mean":
            expected += mean
        if oov == "normal":
            squares = np.zeros(100)
            for row in rows:
                squares += (row - mean) ** 2
            drawn = [naive_draw(word, 3, 100) for word in sorted(words[12_000:])]
            expected = mean + np.sqrt(squares / len(rows)) * drawn
        missing = [index[word] for word in sorted(words[12_000:])]
        assert same_bits(em.matrix[missing], expected.astype(np.float32))


@pytest.mark.parametrize("dim", [1, 3])
def test_sums_do_not_depend_on_the_ids(tmp_path, monkeypatch, dim):
    monkeypatch.setattr(blocks, "_BLOCK", 64)
    rng = np.random.default_rng(1)
    rows = {
        f"w{k}": (rng.normal(size=dim) * 10.0 ** rng.integers(-6, 6)).astype(np.float32).tolist() for k in range(999)
    }
    path = write_text(tmp_path / "v.txt", rows)
    words = [*rows, "x", "y"]
    for oov in ("mean", "normal"):
        first = build_matrix(path, {word: k for k, word in enumerate(words)}, oov=oov)
        shuffled = [words[k] for k in rng.permutation(len(words))]
        second = build_matrix(path, {word: k for k, word in enumerate(shuffled)}, oov=oov)
        for word in words:
            assert same_bits(first.matrix[first.word_index[word]], second.matrix[second.word_index[word]])


# ── a file and what it loads into ──

FORMATS = ["text", "glove", "binary", "gzip", "fasttext", "old fasttext", "packed fasttext", "safetensors", "npz"]
SOME = ["the", "cat", "new", "york", "New", "ｔｈｅ", "中国", "人", "2", "sat"]


def write_as(kind, path, rows, odd):
    """`odd`: also a word that stands there twice, and one with NaN."""
    if kind in ("safetensors", "npz"):
        path = path.with_suffix(f".{kind}")
        EmbeddingMatrix(
            np.array([*rows.values(), [np.nan] * 4][: len(rows) + odd], np.float32),
            {**{word: k for k, word in enumerate(rows)}, **({"bad": len(rows)} if odd else {})},
        ).save(path)
        return path
    words, values = list(rows), list(rows.values())
    if odd:
        words, values = [*words, words[0], "bad"], [*values, [9] * 4, [np.nan] * 4]
    if "fasttext" in kind:
        pack = gzip.compress if "packed" in kind else bytes
        ngrams = np.random.default_rng(5).normal(size=(40, 4))
        return write_fasttext(path, words, values, ngrams, old="old" in kind, pack=pack)
    if kind == "binary":
        body = b"".join(w.encode() + b" " + np.array(v, "<f4").tobytes() for w, v in zip(words, values))
        path.write_bytes(b"%d 4\n" % len(words) + body)
        return path
    lines = "".join(f"{word} {' '.join(map(str, row))}\n" for word, row in zip(words, values))
    header = "" if kind == "glove" else f"{len(words)} 4\n"
    path.write_bytes((gzip.compress if kind == "gzip" else bytes)((header + lines).encode()))
    return path


PLANS = ["", "lower parts", "nfkc lower parts characters", "lower subwords", "subwords upper"]


@pytest.mark.parametrize(
    ("kind", "plan"),
    [(kind, plan) for kind in FORMATS for plan in PLANS if "fasttext" in kind or "subwords" not in plan],
)
@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("beside", ["alone", "first", "last"])
def test_a_file_and_the_object_it_loads_into_give_the_same(kind, odd, beside, plan, tmp_path):
    """Matrix, coverage and provenance; only the source is called by the name of the file here, and of the class there."""
    rng = np.random.default_rng(2)
    path = write_as(
        kind, tmp_path / "v.bin", {word: rng.normal(size=4).astype(np.float32).tolist() for word in SOME}, odd
    )
    other = write_text(
        tmp_path / "o.txt", {w: rng.normal(size=4).astype(np.float32).tolist() for w in ("the", "dog", "bad")}
    )
    on_error = "skip" if odd else "raise"
    objects = [load_vectors(path, on_error=on_error)]
    if kind in ("safetensors", "npz"):
        objects.append(EmbeddingMatrix.load(path))
    if "fasttext" not in kind:
        objects[0].save(str(tmp_path / "v.kv"))
        objects.append(load_vectors(tmp_path / "v.kv", trust=True))
        objects.append(KeyedVectors.load(str(tmp_path / "v.kv")))
    else:
        objects[0].save(str(tmp_path / "v.kv"))
        objects.append(load_vectors(tmp_path / "v.kv", trust=True))
    index = ["<pad>", "The", "cat", "new-york", "DOG", "bad", "ＣＡＴ", "人2", "zzzz", "", "x"]
    results = []
    for source in (path, *objects):
        name = path.name if source is path else type(source).__name__
        sources = {"alone": source, "first": [source, other], "last": [other, source]}[beside]
        for suggest in (False, True):
            em = build_matrix(
                sources, index, fallbacks=plan.split(), suggest=suggest, oov="normal", seed=4, on_error=on_error
            )
            labels = [label.replace(name, "it") for label in em.provenance.tolist()]
            coverage = {
                **vars(em.coverage),
                "sources": {w: s.replace(name, "it") for w, s in em.coverage.sources.items()},
            }
            results.append((suggest, em.matrix.tobytes(), labels, coverage, em.padding_row))
    for result in results[2:]:
        assert result == results[result[0]]
    made = "fasttext" in kind and "subwords" in plan
    assert ("zzzz" in results[0][3]["found"]) == made
    assert made == any("subwords" in label for label in results[0][2])
    if "fasttext" in kind and not made:
        assert "zzzz" in results[1][3]["suggestions"]["subwords"]


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_matrix_is_a_source_of_the_words_it_has_itself(suffix, tmp_path, path):
    """Not of padding, nor of rows that were lent by others, made of n-grams or made up: those would count as exact."""
    em = build_matrix(path, ["<pad>", "the", "THE", "nobody", "cat"], fallbacks=["lower"], oov="normal")
    em.save(tmp_path / f"m{suffix}")
    for source in (em, tmp_path / f"m{suffix}", EmbeddingMatrix.load(tmp_path / f"m{suffix}")):
        again = build_matrix(source, ["nobody", "THE", "cat", "<pad>", "Cat"])
        assert again.coverage.found == ["cat"]
        assert same_bits(again.matrix[2], em.matrix[4])
        again = build_matrix(source, ["nobody", "THE", "cat"], fallbacks=["lower"])
        assert again.coverage.by_fallback == {"exact": 1, "lower": 1}
    assert load_vectors(tmp_path / f"m{suffix}").index_to_key == ["the", "cat"]
    rows, found = em.vectors_for(["cat", "THE", "?"])
    assert found.tolist() == [True, False, False]
    assert same_bits(rows[0], em.matrix[4])
    assert em.vector_size == 4


def test_a_row_without_a_word_is_not_drawn_as_the_word_of_its_number():
    assert not np.array_equal(draw(["7"], 3, seed=0), draw([7], 3, seed=0))

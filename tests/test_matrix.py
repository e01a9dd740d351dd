"""word_index + vectors → matrix: rows, padding, unknown words, several sources."""

import logging

import numpy as np
import pytest
from gensim.models import KeyedVectors

from tests.conftest import same_bits, write_text
from w2v_embed import EmbeddingMatrix, build_matrix, load_vectors

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
    with pytest.raises(ValueError, match=r"oov must return finite rows of shape \(3, 4\), received shape \(4,\)"):
        build_matrix(path, index, oov=lambda shape, rng: np.ones(4))
    with pytest.raises(ValueError, match="oov must be .* received 'random'"):
        build_matrix(path, index, oov="random")


def test_dtype(path):
    half = build_matrix(path, ["cat"], dtype="float16")
    assert half.matrix.dtype == np.float16
    assert same_bits(half.matrix, np.array([ROWS["cat"]], np.float16))
    assert build_matrix(path, ["cat"], dtype=np.float64).matrix.dtype == np.float64
    with pytest.raises(ValueError, match="dtype must be one of float16, float32, float64, received 'int8'"):
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
    with pytest.raises(TypeError, match="vectors must be a path, .* received float"):
        build_matrix(3.5, {"a": 1})
    with pytest.raises(ValueError, match="empty list"):
        build_matrix([], {"a": 1})


def test_parts_must_fit():
    with pytest.raises(ValueError, match=r"expected a matrix \(rows, dim\), received an array of shape \(3,\)"):
        EmbeddingMatrix(np.zeros(3), {})
    with pytest.raises(ValueError, match="goes up to the id 5, but the matrix has 3 rows"):
        EmbeddingMatrix(np.zeros((3, 2)), {"a": 5})

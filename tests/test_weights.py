"""Weights of ids out of counts, against the formulas, one word at a time."""

import math
from collections import Counter

import numpy as np
import pytest

from w2v_embed import EmbeddingMatrix, build_matrix, count_words, make_word_index
from w2v_embed.weights import idf_weights, sif_weights

COUNTS = {"the": 60, "cat": 3, "sat": 1, "elsewhere": 36}
WORDS = {"the": 1, "cat": 2, "dog": 4}


def test_sif_is_a_by_a_and_the_share_of_the_whole_text():
    weights = sif_weights(COUNTS, WORDS, a=0.01)
    assert weights.dtype == np.float32
    expected = [0, *(0.01 / (0.01 + COUNTS.get(word, 0) / 100) for word in ("the", "cat", "", "dog"))]
    np.testing.assert_array_equal(weights, np.float32(expected))
    assert weights[3] == weights[4] == 1  # no word, and a word that was not counted


def test_idf_is_what_scikit_learn_smooths():
    texts = ["the cat sat", "the dog", "the cat the cat"]
    counts = Counter(word for text in texts for word in set(text.split()))
    weights = idf_weights(counts, ["<pad>", "the", "cat", "sat", "horse"], texts=3)
    assert weights.dtype == np.float32
    expected = [0, *(math.log(4 / (1 + k)) + 1 for k in (3, 2, 1, 0))]
    np.testing.assert_array_equal(weights, np.float32(expected))
    text = pytest.importorskip("sklearn.feature_extraction.text")
    theirs = text.TfidfVectorizer().fit(texts)
    ours = idf_weights(counts, theirs, texts=3)
    np.testing.assert_allclose(ours, theirs.idf_, rtol=1e-6)


def test_documents_are_counted_by_the_word_counter(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("a a b\na c\n")
    counts = count_words(path, split=lambda line: set(line.split()))
    np.testing.assert_allclose(idf_weights(counts, {"a": 1, "b": 2}, texts=2), [0, 1, math.log(3 / 2) + 1], rtol=1e-6)


def test_rows_and_padding_are_those_of_the_matrix(tmp_path):
    path = tmp_path / "v.txt"
    path.write_text("the 1 2\ncat 3 4\n")
    em = build_matrix(path, {"the": 1, "cat": 2}, num_words=5)
    assert sif_weights(COUNTS, em).shape == (5,)
    assert sif_weights(COUNTS, em)[0] == 0
    word_at_0 = EmbeddingMatrix(np.eye(2), {"the": 0, "cat": 1})
    assert sif_weights(COUNTS, word_at_0)[0] > 0
    assert sif_weights(COUNTS, ["the", "cat"])[0] > 0
    assert sif_weights(COUNTS, {"<pad>": 0, "the": 1})[0] == 0


def test_counts_come_in_every_form(tmp_path):
    import pandas as pd

    (tmp_path / "c.json").write_text('{"the": 60, "cat": 3, "sat": 1, "elsewhere": 36}')
    expected = sif_weights(COUNTS, WORDS)
    for counts in (
        Counter(COUNTS),
        pd.Series(COUNTS),
        tmp_path / "c.json",
        {k: np.int64(v) for k, v in COUNTS.items()},
    ):
        np.testing.assert_array_equal(sif_weights(counts, WORDS), expected)
    assert make_word_index(COUNTS)["the"] == 1


def test_wrong_arguments_are_named():
    for a in (0, -1, math.inf, math.nan, "1", True):
        with pytest.raises(ValueError, match="a must be a finite number above 0, received"):
            sif_weights(COUNTS, WORDS, a=a)
    with pytest.raises(ValueError, match="counts must count something, received 1 words, none of which occurs"):
        sif_weights({"the": 0}, WORDS)
    with pytest.raises(ValueError, match="counts must be finite numbers from 0 on, received -1 for the word 'x'"):
        sif_weights({"the": 1, "x": -1}, WORDS)
    with pytest.raises(TypeError, match="counts must map words to numbers"):
        idf_weights(["the"], WORDS, texts=1)
    with pytest.raises(ValueError, match="texts must be a whole number from 1 on, received 0"):
        idf_weights({}, WORDS, texts=0)
    told = "in how many of the 9 texts a word occurs, received 60 for the word 'the'. Count each word once a text."
    with pytest.raises(ValueError, match=told):
        idf_weights(COUNTS, WORDS, texts=9)
    np.testing.assert_array_equal(idf_weights({}, {"a": 0, "b": 1}, texts=1), np.float32([math.log(2) + 1] * 2))

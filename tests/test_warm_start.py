"""A table for a new vocabulary out of an old one."""

import numpy as np
import pytest

from w2v_embed import EmbeddingMatrix, warm_start

OLD = ["", "[UNK]", "cat", "dog", "Tree"]
TABLE = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")


def test_words_of_both_keep_their_rows():
    em = warm_start(TABLE, OLD, ["", "[UNK]", "dog", "bird", "cat"])
    np.testing.assert_array_equal(em.matrix[[0, 1, 2, 4]], TABLE[[0, 1, 3, 2]])
    assert em.coverage.missing == ["bird"]
    assert em.matrix.dtype == np.float32
    assert np.abs(em.matrix[3]).max() > 0
    again = warm_start([TABLE], dict(zip(OLD, range(5))), {"bird": 7, "cat": 1, "dog": 2})
    np.testing.assert_array_equal(again.matrix[[1, 2]], TABLE[[2, 3]])
    assert again.matrix.shape == (8, 4)


def test_options():
    zeros = warm_start(TABLE, OLD, ["", "tree", "x", "cat"], oov="zeros", fallbacks=["title"])
    np.testing.assert_array_equal(zeros.matrix, [TABLE[0], TABLE[4], np.zeros(4), TABLE[2]])
    em = EmbeddingMatrix(TABLE.astype("float64"), {word: n for n, word in enumerate(OLD) if n}, padding_row=0)
    same = warm_start(em, em.word_index, em.word_index)
    assert same.matrix.dtype == np.float64
    np.testing.assert_array_equal(same.matrix[1:], TABLE[1:])


def test_what_does_not_fit():
    with pytest.raises(ValueError, match=r"a row for each of the 5 ids of its vocabulary, received shape \(4, 4\)"):
        warm_start(TABLE[:4], OLD, ["cat"])
    with pytest.raises(ValueError, match="new_vocabulary must share words with old_vocabulary, it shares none: .*bird"):
        warm_start(TABLE, OLD, ["bird", "fish"])


@pytest.mark.keras
def test_a_table_of_keras():
    import keras

    layer = keras.layers.Embedding(5, 4)
    layer.build()
    em = warm_start(layer.get_weights(), OLD, ["", "[UNK]", "dog"])
    np.testing.assert_array_equal(em.matrix, layer.get_weights()[0][[0, 1, 3]])

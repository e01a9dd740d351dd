"""What is around the classifiers, without Keras: labels, parts, weights, measures, the encoder's words."""

from contextlib import closing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import write_text
from w2v_embed import load_vectors
from w2v_embed.matrix.sources import source_of
from w2v_embed.text import TextEncoder
from w2v_embed.training import fit_encoder, label_sets, read_labelled, split_rows
from w2v_embed.training.arrays import make_arrays
from w2v_embed.training.measures import baseline, guessed, measures


def test_labels_with_something_between_them(tmp_path):
    assert label_sets([" a ,b", "", "a,,a"], ",") == [("a", "b"), (), ("a",)]
    with pytest.raises(ValueError, match="separator must be a text such as ',', received ''"):
        label_sets(["a"], "")
    (tmp_path / "t.tsv").write_text("a,b\tx\ty\n\tz\n\n", encoding="utf-8")
    assert read_labelled(tmp_path / "t.tsv", unlabelled=True) == (["a,b", ""], ["x\ty", "z"])
    with pytest.raises(ValueError, match="line 2: expected label<TAB>text"):
        read_labelled(tmp_path / "t.tsv")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sets(st.sampled_from("abc")), min_size=1, max_size=30), st.integers(0, 99))
def test_each_of_several_labels_keeps_a_text_for_training(labels, seed):
    texts = [f"t{k % 7}" for k in range(len(labels))]
    parts = split_rows([tuple(one) for one in labels], texts, seed, 0.3, 0.3)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    rest = set(parts[-1].tolist())
    assert set().union(*labels) == set().union(*(labels[row] for row in rest))
    for one, part in enumerate(parts):
        for other in parts[:one]:
            assert not {texts[row] for row in part} & {texts[row] for row in other}


@settings(max_examples=60, deadline=None)
@given(st.data(), st.booleans())
def test_measures_are_scikit_learns(data, several):
    metrics = pytest.importorskip("sklearn.metrics")
    n, labels = data.draw(st.integers(1, 12)), ["a", "b", "c"]
    if several:
        rows = st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=n, max_size=n)
        truth, guesses = np.array(data.draw(rows)), np.array(data.draw(rows))
    else:
        numbers = st.lists(st.integers(0, 2), min_size=n, max_size=n)
        truth, guesses = (np.eye(3, dtype=bool)[data.draw(numbers)] for _ in range(2))
    told = measures(truth, guesses, labels, several)
    assert told["accuracy"] == pytest.approx(metrics.accuracy_score(truth, guesses))
    columns = metrics.precision_recall_fscore_support(truth, guesses, average=None, zero_division=0)
    for place, label in enumerate(labels):
        assert list(told["labels"][label].values()) == pytest.approx([column[place] for column in columns])
    for name in ("micro", "macro"):
        wanted = metrics.f1_score(truth, guesses, average=name, zero_division=0)
        assert told[f"{name}_f1"] == pytest.approx(wanted)
    if several:
        assert told["confusion"] is None
    else:
        table = metrics.confusion_matrix(truth.argmax(1), guesses.argmax(1), labels=[0, 1, 2])
        assert told["confusion"] == table.tolist()


def test_guesses_and_the_baseline():
    scores = np.array([[0.2, 0.8], [0.5, 0.4], [0.6, 0.6]], np.float32)
    assert guessed(scores, False).tolist() == [[False, True], [True, False], [True, False]]
    assert guessed(scores, True).tolist() == [[False, True], [True, False], [True, True]]
    truth = np.array([[1, 0], [1, 1], [1, 1], [0, 1], [1, 1]], bool)
    assert baseline(truth, np.array([0, 1, 2]), np.array([3, 4])) == 0.5


def test_weights_of_texts():
    labels, texts = ["a"] * 30 + ["b"] * 10, [f"w{k}" for k in range(40)]
    encoder = fit_encoder(texts, length=2)
    assert make_arrays(labels, texts, encoder, None, 0.4, 0).weights is None
    arrays = make_arrays(labels, texts, encoder, "balanced", 0.4, 0)
    a, b = arrays.weights[0], arrays.weights[-1]
    counts = arrays.truth[arrays.rest].sum(axis=0)
    assert a * counts[0] == pytest.approx(b * counts[1])
    assert arrays.weights[arrays.rest].sum() == pytest.approx(len(arrays.rest))
    several = [("a", "b"), (), ("b",), ("a",)] * 10
    arrays = make_arrays(several, texts, encoder, {"a": 3}, 0.4, 0)
    assert arrays.weights[:4].tolist() == [2, 1, 1, 3]
    ids, truth, weights = arrays.part(np.array([0, 3]))
    assert (ids.shape, truth.tolist(), weights.tolist()) == ((2, 2), [[1, 1], [1, 0]], [2, 3])
    assert arrays.names == ["a", "b"]


def test_texts_that_the_model_sees_alike_are_not_parted():
    texts = [f"w{k % 10} beyond{k}" for k in range(60)]
    arrays = make_arrays(["a", "b"] * 30, texts, fit_encoder(texts, length=1), None, 0.4, 0)
    for one, other in ((arrays.rest, arrays.test), (arrays.rest, arrays.validation), (arrays.test, arrays.validation)):
        assert not set(arrays.ids[one, 0].tolist()) & set(arrays.ids[other, 0].tolist())
    assert sorted([*arrays.rest, *arrays.test, *arrays.validation]) == list(range(60))
    assert len(arrays.chosen(5, 0)) == 5
    assert set(arrays.chosen(None, 3).tolist()) == set(arrays.rest.tolist())


def test_the_words_of_texts_come_first_and_then_more():
    encoder = fit_encoder(["The cat", "the dog"], more_words=["Cat", "zebra", "the"], lower=True, length=3)
    assert encoder.word_index == {"the": 1, "cat": 2, "dog": 3, "zebra": 4}
    assert encoder(["the ZEBRA unknown dog"]).tolist() == [[1, 4, 3]]
    jieba = pytest.importorskip("jieba")
    split = jieba.Tokenizer()
    assert fit_encoder(["我们在学校"], split=split).word_index == {"在": 1, "学校": 2, "我们": 3}
    assert isinstance(fit_encoder(["a a", "b"], min_count=2, length=None), TextEncoder)


def first_words(path, most):
    """The further words that `w2v-embed train` takes along."""
    with closing(source_of(path)) as source:
        return source.frequent(most)[0]


def test_first_words_are_those_of_load_vectors(data, tmp_path):
    assert first_words(data / "vectors.txt.bz2", 20) == load_vectors(data / "vectors.bin", limit=20).index_to_key
    write_text(tmp_path / "v.txt", {"a": [1, 2], "b": [2, 3]})
    assert first_words(tmp_path / "v.txt", 20) == ["a", "b"]

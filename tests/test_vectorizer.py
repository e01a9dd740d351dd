"""TextVectorizer: held against loops over words, and against what scikit-learn asks of a transformer."""

import importlib
import pickle
import sys
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("sklearn")
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import validate_data

from w2v_embed import build_matrix
from w2v_embed.comparison import read_labelled
from w2v_embed.vectorizer import TextVectorizer

ROWS = {f"w{k}": np.random.default_rng(k).normal(size=4).astype("float32") for k in range(12)}
TEXTS = ["w1 w2 w2", "w3", "", "none of these", "w2 w3 w9 unknown", "w1"]


class Words:
    """A source for build_matrix, which counts how often it is asked."""

    vector_size, asked = 4, 0

    def vectors_for(self, words):
        self.asked += 1
        found = np.array([word in ROWS for word in words], bool)
        return np.array([ROWS.get(word, np.zeros(4)) for word in words]).reshape(-1, 4), found

    def __repr__(self):
        return "Words()"

    def __deepcopy__(self, memo):
        raise AssertionError("vectors may be gigabytes")


def naive(fitted, texts, pooling, weight=1e-3, remove=1):
    """The vectors of `texts`, in loops over words."""
    counts = Counter(word for text in fitted for word in text.split())
    documents = Counter(word for text in fitted for word in set(text.split()))
    known = {word for word in counts if word in ROWS}

    def mean(text):
        total, of = np.zeros(4), 0.0
        for word in text.split():
            if word in known:
                if pooling == "mean":
                    by = 1.0
                elif pooling == "idf":
                    by = np.log((1 + len(fitted)) / (1 + documents[word])) + 1
                else:
                    by = weight / (weight + counts[word] / sum(counts.values()))
                total += by * ROWS[word]
                of += 1.0 if pooling == "sif" else by
        return total / of if of else total

    vectors = np.array([mean(text) for text in texts])
    if pooling == "sif" and remove:
        axes = np.linalg.svd(np.array([mean(text) for text in fitted]))[2][:remove]
        vectors = vectors - vectors @ axes.T @ axes
    return vectors


@pytest.mark.parametrize("pooling", ["mean", "idf", "sif"])
def test_it_is_what_loops_find(pooling):
    vectorizer = TextVectorizer(Words(), pooling=pooling)
    np.testing.assert_allclose(vectorizer.fit_transform(TEXTS), naive(TEXTS, TEXTS, pooling), atol=1e-6)
    others = ["w2 w1", "w7 w1", "", "w9 w9 w9 w3"]  # no text of fit had w7
    np.testing.assert_allclose(vectorizer.transform(others), naive(TEXTS, others, pooling), atol=1e-6)
    assert vectorizer.transform(others).dtype == np.float32


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from([*list(ROWS)[:6], "x", "y"]), max_size=5).map(" ".join), min_size=1, max_size=6),
    st.sampled_from(["mean", "idf", "sif"]),
    st.integers(0, 4),
    st.randoms(),
)
def test_the_order_of_the_texts_changes_nothing(texts, pooling, remove, random):
    vectorizer = TextVectorizer(Words(), pooling=pooling, remove=remove)
    vectors = vectorizer.fit_transform(texts)
    order = list(range(len(texts)))
    random.shuffle(order)
    shuffled = clone(vectorizer).fit([texts[k] for k in order])
    gram = vectors @ vectors.T  # what directions are removed is settled but for those that are equally long
    if not remove:
        np.testing.assert_allclose(shuffled.transform(texts), vectors, atol=1e-5)
    assert np.isfinite(gram).all()
    alone = [vectorizer.transform([text])[0] for text in texts]
    np.testing.assert_allclose(alone, vectors, atol=1e-5)


def test_words_to_know_beside_those_of_the_texts():
    vectorizer = TextVectorizer(Words(), vocabulary=["w7", "nowhere"]).fit(["w1"])
    np.testing.assert_allclose(vectorizer.transform(["w7 w8"])[0], ROWS["w7"], atol=1e-6)
    assert list(vectorizer.vocabulary_) == ["w1", "w7"]
    assert vectorizer.coverage_.missing == ["nowhere"]
    # its own vocabulary is one for build_matrix, as those of scikit-learn's vectorizers are
    assert build_matrix(Words(), vectorizer).coverage.missing == []


def test_a_matrix_is_taken_as_it_is(data):
    em = build_matrix(data / "vectors.bin", {"中国": 1, "中国经济": 2, "qwxyz": 3}, fallbacks=["parts"], oov="mean")
    vectorizer = TextVectorizer(em).fit(["x"])
    np.testing.assert_array_equal(vectorizer.transform(["中国经济"])[0], em.matrix[2])  # a row that was lent
    assert not vectorizer.transform(["qwxyz"]).any()  # and one that was made up counts nowhere
    # with more arguments it is a source like any other
    assert list(TextVectorizer(em, build={"fallbacks": []}).fit(["中国 中国经济"]).vocabulary_) == ["中国"]


def test_what_build_matrix_takes_is_passed_on(data):
    vectorizer = TextVectorizer(data / "vectors.bin", split="jieba", build={"fallbacks": ["parts"]})
    assert "中国共产党员" not in TextVectorizer(data / "vectors.bin").fit(["中国共产党员"]).vocabulary_
    assert vectorizer.fit(["中国的经济"]).transform(["经济"]).any()
    with pytest.raises(TypeError, match="nonsense"):
        TextVectorizer(Words(), build={"nonsense": 1}).fit(["w1"])


def test_a_transform_reads_nothing_again_and_clones_share_the_vectors():
    words = Words()
    vectorizer = TextVectorizer(words).fit(TEXTS)
    asked = words.asked
    assert clone(vectorizer).vectors is words
    pickled = pickle.loads(pickle.dumps(vectorizer))
    np.testing.assert_array_equal(pickled.transform(TEXTS), vectorizer.transform(TEXTS))
    assert words.asked == asked


def test_texts_without_words():
    for pooling in ("mean", "idf", "sif"):
        vectors = TextVectorizer(Words(), pooling=pooling).fit_transform(["", " "])
        assert vectors.shape == (2, 4)
        assert not vectors.any()


@pytest.mark.parametrize(
    ("options", "texts", "message"),
    [
        ({}, "one text", "X must be a list of texts, received 'one text'"),
        ({}, np.array([["a"]]), r"received a ndarray of shape \(1, 1\). Of a table, pass one column"),
        ({}, 7, "X must be a list of texts, received 7"),
        ({}, ["a", None], "X must hold texts, received None at place 1"),
        ({}, [b"a"], "X must hold texts, received b'a' at place 0"),
        ({}, [], "X must hold at least one text, received none"),
        ({"pooling": "max"}, ["a"], 'pooling must be "mean", "idf" or "sif", received \'max\''),
        ({"remove": -1}, ["a"], "remove must be a whole number from 0 on, received -1"),
        ({"weight": 0}, ["a"], "weight must be a finite number above 0, received 0"),
        ({"weight": float("nan")}, ["a"], "weight must be a finite number above 0, received nan"),
        ({"split": "tabs"}, ["a"], 'split must be "whitespace", "jieba", "characters" or a callable line -> words'),
        ({"vectors": None}, ["a"], "vectors must be what build_matrix takes, received None"),
    ],
)
def test_refusals(options, texts, message):
    with pytest.raises(ValueError, match=message):
        TextVectorizer(**{"vectors": Words(), **options}).fit(texts)


def test_in_a_pipeline(data):
    labels, texts = (part[:400] for part in read_labelled(data / "titles.tsv"))
    pipeline = make_pipeline(TextVectorizer(data / "vectors.bin", split="jieba"), LogisticRegression(C=0.1))
    assert cross_val_score(pipeline, texts, labels, cv=2).mean() > 0.4
    search = GridSearchCV(pipeline, {"textvectorizer__pooling": ["mean", "idf"]}, cv=2).fit(texts, labels)
    assert search.predict(["中国队夺得冠军"]) == ["sports"]


def test_names_and_frames():
    vectorizer = TextVectorizer(Words()).fit(TEXTS)
    assert vectorizer.get_feature_names_out().tolist() == [f"textvectorizer{k}" for k in range(4)]
    frame = vectorizer.set_output(transform="pandas").transform(TEXTS)
    assert frame.columns.tolist() == [f"textvectorizer{k}" for k in range(4)]


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    monkeypatch.delitem(sys.modules, "w2v_embed.vectorizer")
    with pytest.raises(ImportError, match=r'need scikit-learn: pip install "w2v-embed\[sklearn\]"'):
        importlib.import_module("w2v_embed.vectorizer")


# ── what scikit-learn asks ──


class OfNumbers(TextVectorizer):
    """The same for tables of numbers, as scikit-learn's checks have no texts: a number is the word for its place and sign."""

    def _words(self, X):
        X = validate_data(self, X, reset=not hasattr(self, "rows_"))
        return [[f"w{(2 * k + (number > 0)) % 12}" for k, number in enumerate(row)] for row in X]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = False, True
        return tags


class Plain(Words):
    def __deepcopy__(self, memo):
        return self


@parametrize_with_checks([TextVectorizer(Words())])
def test_as_a_vectorizer_of_texts(estimator, check):
    check(estimator)


@parametrize_with_checks([OfNumbers(Plain()), OfNumbers(Plain(), pooling="idf"), OfNumbers(Plain(), pooling="sif")])
def test_as_any_transformer(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "name",
    [
        "do_not_raise_errors_in_init_or_set_params",
        "estimator_cloneable",
        "estimator_repr",
        "estimator_tags_renamed",
        "estimators_unfitted",
        "get_feature_names_out_error",
        "get_params_invariance",
        "mixin_order",
        "no_attributes_set_in_init",
        "parameters_default_constructible",
        "set_params",
        "valid_tag_types",
    ],
)
def test_as_far_as_scikit_learns_own(name):
    """`check_estimator` leaves these out where X is texts; its own vectorizers pass them."""
    check = getattr(estimator_checks, f"check_{name}")
    check("TfidfVectorizer", TfidfVectorizer())
    check("TextVectorizer", TextVectorizer(Plain()))

"""Every kind of vocabulary gives the ids that its owner uses, and says what row 0 is."""

import json
import logging

import numpy as np
import pytest
from gensim.corpora import Dictionary
from gensim.models import KeyedVectors, Word2Vec

from tests.conftest import write_text
from w2v_embed import EmbeddingMatrix, build_matrix
from w2v_embed.vocabulary import read_vocabulary

TEXTS = ["the cat sat", "the dog sat down"]


@pytest.mark.keras
def test_text_vectorization():
    import keras

    layer = keras.layers.TextVectorization()
    layer.adapt(TEXTS)
    vocabulary = read_vocabulary(layer)
    assert vocabulary.word_index == {word: k for k, word in enumerate(layer.get_vocabulary())}
    assert vocabulary.padding_row == 0
    ids = np.asarray(layer(["the cat"]))[0].tolist()
    assert [vocabulary.word_index["the"], vocabulary.word_index["cat"]] == ids


@pytest.mark.keras
@pytest.mark.parametrize("unknown", [0, 1, 3])
@pytest.mark.parametrize("mask", [None, "", "MASK"])
def test_string_lookup(unknown, mask):
    import keras

    layer = keras.layers.StringLookup(vocabulary=["the", "cat"], num_oov_indices=unknown, mask_token=mask)
    vocabulary = read_vocabulary(layer)
    first = unknown + (mask is not None)
    assert vocabulary.rows == first + 2
    assert vocabulary.padding_row == (0 if mask is not None else None)
    for word in ("the", "cat"):
        assert vocabulary.word_index[word] == int(np.asarray(layer([word]))[0])
    lookup = range(first - unknown, first)
    assert [vocabulary.word_index["[UNK]"], *vocabulary.unknown_rows][:unknown] == list(lookup) if unknown else True


def test_unknown_ids_without_a_name_are_unknown_rows(data):
    class Lookup:
        def get_vocabulary(self):
            return ["", "[UNK]", "[UNK]", "[UNK]", "中国"]

    em = build_matrix(data / "vectors.bin", Lookup(), oov="normal")
    assert em.oov_rows.tolist() == [1, 2, 3]
    assert em.matrix[1:4].any(axis=1).all()
    assert em.coverage.missing == ["[UNK]"]
    assert em.provenance.tolist() == ["padding", "oov", "oov", "oov", "vectors.bin"]


def test_a_word_twice_in_a_layer_is_no_unknown_id():
    class Lookup:
        def get_vocabulary(self):
            return ["", "cat", "dog", "cat"]

    with pytest.raises(ValueError, match="Lookup: the word 'cat' stands there twice: with the ids 1 and 3"):
        read_vocabulary(Lookup())
    Lookup.get_vocabulary = lambda self: ["", "[UNK]", "[UNK]", "cat", "cat"]  # one behind the other, too
    with pytest.raises(ValueError, match="Lookup: the word 'cat' stands there twice: with the ids 3 and 4"):
        read_vocabulary(Lookup())


@pytest.mark.keras
def test_the_legacy_tokenizer_and_its_json(tmp_path):
    from keras.src.legacy.preprocessing.text import Tokenizer

    tokenizer = Tokenizer(num_words=3, oov_token="<OOV>")
    tokenizer.fit_on_texts(TEXTS)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"class_name": "Tokenizer", "config": tokenizer.get_config()}))
    for source in (tokenizer, path):
        vocabulary = read_vocabulary(source)
        assert vocabulary.word_index == {"<OOV>": 1, "the": 2}  # ids 1 … num_words − 1
        assert (vocabulary.rows, vocabulary.padding_row) == (3, 0)
        assert read_vocabulary(source, num_words=4).rows == 4
    assert max(max(ids) for ids in tokenizer.texts_to_sequences(TEXTS)) < 3


def test_hugging_face_tokenizers():
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    tokenizer = Tokenizer(WordLevel({"<nil>": 0, "the": 1, "cat": 5}, unk_token="<nil>"))
    vocabulary = read_vocabulary(tokenizer)
    assert vocabulary.word_index == {"<nil>": 0, "the": 1, "cat": 5}
    assert (vocabulary.rows, vocabulary.padding_row) == (6, None)
    tokenizer.enable_padding(pad_token="<nil>")
    assert read_vocabulary(tokenizer).padding_row == 0


def test_transformers_tokenizers_say_their_padding_token():
    class Fast:  # what a transformers tokenizer has
        pad_token = "<nil>"

        def get_vocab(self):
            return {"cat": 1, "<nil>": 0}

    assert read_vocabulary(Fast()).padding_row == 0
    Fast.pad_token = "cat"
    assert read_vocabulary(Fast()).padding_row is None


def test_scikit_learn():
    text = pytest.importorskip("sklearn.feature_extraction.text")
    vectorizer = text.CountVectorizer()
    with pytest.raises(ValueError, match="CountVectorizer has no vocabulary_ yet; call its fit"):
        read_vocabulary(vectorizer)
    vectorizer.fit(TEXTS)
    vocabulary = read_vocabulary(vectorizer)
    assert list(vocabulary.word_index) == vectorizer.get_feature_names_out().tolist()
    assert vocabulary.padding_row is None


def test_gensim(caplog):
    dictionary = Dictionary([text.split() for text in TEXTS])
    assert read_vocabulary(dictionary).word_index == dictionary.token2id
    dictionary.filter_tokens(bad_ids=[dictionary.token2id["dog"]])
    dictionary.token2id["far"] = 9
    with caplog.at_level(logging.WARNING, "w2v_embed"):
        read_vocabulary(dictionary)
    assert "call its compactify()" in caplog.text
    kv = KeyedVectors(2)
    kv.add_vectors(["b", "a"], np.ones((2, 2)))
    assert read_vocabulary(kv).word_index == {"b": 0, "a": 1}
    model = Word2Vec([text.split() for text in TEXTS], vector_size=4, min_count=1)
    assert read_vocabulary(model).word_index == model.wv.key_to_index


def test_tsv(tmp_path):
    path = tmp_path / "v.tsv"
    path.write_text("<pad>\t0\nNew York\t1\n")
    assert read_vocabulary(path).word_index == {"<pad>": 0, "New York": 1}
    path.write_text("a\nb\n")
    assert read_vocabulary(path).word_index == {"a": 0, "b": 1}
    path.write_text("the\t1\ncat\tmany\n")
    with pytest.raises(ValueError, match=r"v\.tsv, line 2: expected a word, a tab and its id, got 'cat\\tmany'"):
        read_vocabulary(path)
    path.write_text("the\t500\ncat\t500\n")
    with pytest.raises(ValueError, match="the words 'the' and 'cat' both have the id 500"):
        read_vocabulary(path)
    text = tmp_path / "v.txt"
    text.write_text("the\ncat\t2\n")
    with pytest.raises(
        ValueError, match=r"v\.txt, line 2: expected one word, got 'cat\\t2' with a tab.*name the file \.tsv"
    ):
        read_vocabulary(text)


def test_a_word_twice_in_json_is_not_swallowed(tmp_path):
    path = tmp_path / "v.json"
    path.write_text('{"a": 1, "b": 2, "a": 3}')
    with pytest.raises(ValueError, match="the word 'a' stands there twice"):
        read_vocabulary(path)


def test_holes_in_the_ids_are_warned_of_and_counted(caplog, data, tmp_path):
    index = {"中国": 1, "经济": 3, "qwxyz": 12}
    with caplog.at_level(logging.WARNING, "w2v_embed"):
        em = build_matrix(data / "vectors.bin", index)
    told = "dict: 9 of the ids from 1 to 12 belong to no word: 2, 4, 5, 6, 7, …; their rows stay zero. If words were lost on"
    assert told in caplog.text
    assert em.word_index == index
    assert em.provenance.tolist() == ["padding", "vectors.bin", "unused", "vectors.bin", *["unused"] * 8, "oov"]
    assert not em.matrix[[2, *range(4, 12)]].any()
    for path in (None, "m.safetensors", "m.npz"):
        if path:
            em.save(tmp_path / path)
            em = EmbeddingMatrix.load(tmp_path / path)
        assert em.coverage.unused == em.coverage.to_dict()["unused"] == 9
        assert "\nunused rows: 9 (ids that belong to no word)" in em.coverage.summary()
        assert (em.coverage.rate, em.coverage.missing) == (2 / 3, ["qwxyz"])


@pytest.mark.parametrize("oov", ["normal", "mean"])
def test_holes_stay_zero_whatever_unknown_words_get(oov, data):
    em = build_matrix(data / "vectors.bin", {"中国": 1, "经济": 3, "qwxyz": 5}, oov=oov, num_words=8)
    assert em.matrix.any(axis=1).tolist() == [False, True, False, True, False, True, False, False]


def test_an_error_in_the_vectors_stays_one_beside_holes(tmp_path):
    """`on_error="skip"` was the only way round holes, and let damaged vectors through, too."""
    path = write_text(tmp_path / "v.txt", {"a": [1, 2], "b": ["nan", 4]})
    with pytest.raises(ValueError, match="got 'nan'"):
        build_matrix(path, {"a": 1, "b": 3})


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ({"a": 0, "b": 2}, "1 of the ids from 0 to 2 belong to no word: 1;"),
        ({"<pad>": 0, "a": 1, "b": 3}, "1 of the ids from 1 to 3 belong to no word: 2;"),
        ({"a": 1001}, "1001 of the ids from 0 to 1001 belong to no word: 0, 1, 2, 3, 4, …;"),
        ({"<pad>": 0, "a": 1001, "b": 1003}, "1001 of the ids from 1 to 1003 belong to no word: 1, 2, 3, 4, 5, …;"),
        ({"a": 1000}, None),
        ({"a": 1, "b": 2}, None),
    ],
)
def test_what_counts_as_a_hole(source, told, caplog):
    with caplog.at_level(logging.WARNING, "w2v_embed"):
        assert read_vocabulary(source).word_index == source
    assert (told in caplog.text) if told else (caplog.text == "")


@pytest.mark.parametrize("index", [{"the": 4, "cat": 5}, {"<PAD>": 0, "the": 4, "cat": 5}, {"": 0, "x": 1}])
def test_reserved_ids_before_the_first_word_are_no_holes(index, caplog):
    """Keras' `imdb.get_word_index()` moved by `index_from=3`, with and without a word for padding."""
    with caplog.at_level(logging.WARNING, "w2v_embed"):
        vocabulary = read_vocabulary(index)
    assert (vocabulary.word_index, vocabulary.padding_row) == (index, 0)
    assert caplog.text == ""


def test_num_words_cuts_before_holes_count():
    assert read_vocabulary({"a": 1, "b": 2, "c": 9}, num_words=3).rows == 3

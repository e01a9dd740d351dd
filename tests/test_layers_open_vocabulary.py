"""OpenVocabularyEmbedding: a word that nobody has seen gets the row that its SubwordModel makes, inside a saved model."""

import importlib.util
import json
import os
import pickle
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from keras import ops  # noqa: E402

from tests.test_text_open_vocabulary import made_of  # noqa: E402
from w2v_embed import EmbeddingMatrix, build_matrix  # noqa: E402
from w2v_embed.comparison import read_labelled  # noqa: E402
from w2v_embed.layers import (  # noqa: E402
    MaskedMeanPooling,
    OpenVocabularyEmbedding,
    PretrainedEmbedding,
    RowSparseAdam,
    UnfreezeEmbedding,
    reload_vectors,
)
from w2v_embed.subwords import SubwordModel, fit_subwords  # noqa: E402
from w2v_embed.text import TextEncoder, load_model, save_model  # noqa: E402

pytestmark = pytest.mark.keras

ROOT = Path(__file__).parent.parent
WORDS = ["walks", "walked", "talking", "jumps", "中国", "国家", "热狗", "x" * 40, "🙂\ud800a", "İstanbul"]
MODEL = made_of(WORDS, dim=5, min_n=2, max_n=5)
ROOM = 100
BACKENDS = [name for name in ("tensorflow", "jax", "torch") if importlib.util.find_spec(name)]


def sources(dtype="float32"):
    """(an encoder, a matrix with a row for each of its words, the layer)"""
    encoder = TextEncoder(["<pad>", "<unk>", "walks", "jumps", "中国"], subwords=MODEL, ngrams_per_text=ROOM)
    em = EmbeddingMatrix(
        np.concatenate([np.zeros((1, 5)), np.random.default_rng(3).normal(size=(4, 5))]).astype(np.float32),
        encoder.word_index,
        padding_row=0,
    )
    return encoder, em, OpenVocabularyEmbedding(em, MODEL, ngrams_per_text=ROOM, dtype=dtype)


def numbers(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def expected(texts, em, length):
    """Word by word: rows, and which places hold a word."""
    rows, there = np.zeros((len(texts), length, em.matrix.shape[1]), np.float32), np.zeros((len(texts), length), bool)
    for k, text in enumerate(texts):
        for place, word in enumerate(text.split()[:length]):
            there[k, place] = True
            made, found = MODEL.vectors_for([word])
            if word in em.word_index and word not in ("<pad>", "<unk>"):
                rows[k, place] = em.matrix[em.word_index[word]]
            else:
                rows[k, place] = made[0] if found[0] else em.matrix[1]
    return rows, there


def odd_texts(count, seed):
    """Texts of known words, of unknown ones with n-grams and without, of odd characters, and empty ones."""
    rng = random.Random(seed)
    letters = "walkedtijumps中国家热狗x🙂\ud800\udfffaİ\u0301\u200b<>"
    made = ["", " \u3000", "walks"]
    for _ in range(count):
        words = [
            rng.choice(WORDS) if rng.random() < 0.4 else "".join(rng.choices(letters, k=rng.randrange(1, 9)))
            for _ in range(rng.randrange(6))
        ]
        made.append(" ".join(words))
    return made


# ── rows ──


def test_rows_are_those_of_the_model():
    encoder, em, layer = sources()
    texts = odd_texts(300, seed=1)
    ids = encoder(texts)
    length = ids.shape[1] - ROOM
    assert (ids < 0).sum() > 300
    assert (ids[:, length:] != 0).sum() == -ids[ids < 0].sum()
    rows, there = expected(texts, em, length)
    np.testing.assert_allclose(numbers(layer(ids)), rows, rtol=1e-5, atol=2e-6)
    np.testing.assert_array_equal(numbers(layer.compute_mask(ops.convert_to_tensor(ids))), there)
    known = (ids[:, :length] > 0)[..., None]
    assert np.array_equal(numbers(layer(ids)) * known, rows * known)  # found rows to the bit


def test_all_padding_and_floats_and_long_ids():
    encoder, _, layer = sources()
    empty = np.zeros((2, 3 + ROOM), "int32")
    assert not numbers(layer(empty)).any()
    pooled = MaskedMeanPooling()(layer(empty), mask=layer.compute_mask(empty))
    assert not numbers(pooled).any()
    ids = encoder(["talking walks"])
    for dtype in ("int64", "float32", "int16"):
        np.testing.assert_array_equal(numbers(layer(ids.astype(dtype))), numbers(layer(ids)))


@pytest.mark.parametrize("policy", ["float16", "bfloat16", "mixed_float16", "mixed_bfloat16"])
def test_half_precision(policy):
    encoder, em, _ = sources()
    half = sources(policy)[2]
    texts = odd_texts(60, seed=2)
    ids = encoder(texts)
    rows = half(ids)
    assert keras.backend.standardize_dtype(rows.dtype) == policy.removeprefix("mixed_")
    wanted = expected(texts, em, ids.shape[1] - ROOM)[0]
    np.testing.assert_allclose(numbers(rows), wanted, rtol=0.01, atol=0.06)
    if policy.startswith("mixed"):  # the table is exact, and only what comes out is rounded
        exact = numbers(sources()[2](ids))
        np.testing.assert_array_equal(numbers(rows), numbers(ops.cast(exact, policy.removeprefix("mixed_"))))


def test_ids_that_are_none():
    encoder, em, _ = sources()
    checked = OpenVocabularyEmbedding(PretrainedEmbedding(em, check_ids=True), MODEL, ngrams_per_text=ROOM)
    ids = encoder(["talking walks"])
    checked(ids)
    for column, value in ((1, 5), (2, len(MODEL.keys) + 1), (2, -1)):
        wrong = ids.copy()
        wrong[0, column] = value
        with pytest.raises(Exception, match="ids must be from 0 to"):
            checked(wrong)


# ── training ──


def classifier(layer, length):
    inputs = keras.Input((length + ROOM,), dtype="int32")
    x = MaskedMeanPooling()(layer(inputs))
    return keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))


def trained(layer, optimizer, texts=("talking walks", "", "中国热 x", "jumps"), **options):
    encoder = TextEncoder(["<pad>", "<unk>", "walks", "jumps", "中国"], subwords=MODEL, ngrams_per_text=ROOM, length=3)
    keras.utils.set_random_seed(0)
    model = classifier(layer, 3)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    ids = encoder(texts)
    history = model.fit(ids, np.arange(len(texts)) % 2, epochs=2, batch_size=2, verbose=0, **options)
    assert np.isfinite(history.history["loss"]).all()
    return model, ids


def test_a_frozen_one_stays():
    layer = sources()[2]
    before = [numbers(weight) for weight in layer.weights]
    assert not layer.trainable_weights
    trained(layer, "adam")
    assert all(np.array_equal(a, numbers(b)) for a, b in zip(before, layer.weights))


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_training_reaches_the_rows_that_were_used(policy):
    _, em, _ = sources()
    layer = OpenVocabularyEmbedding(em, MODEL, trainable=True, ngrams_per_text=ROOM, dtype=policy)
    words, ngrams = (numbers(table._embeddings) for table in (layer.words, layer.ngrams))
    _, ids = trained(layer, RowSparseAdam(0.01) if policy == "float32" else keras.optimizers.SGD(0.1))
    moved = np.flatnonzero((numbers(layer.ngrams._embeddings) != ngrams).any(axis=1))
    used = np.unique(ids[:, 3:])
    assert moved.tolist() == used[used > 0].tolist()
    moved = np.flatnonzero((numbers(layer.words._embeddings) != words).any(axis=1))
    assert moved.tolist() == np.unique(ids[:, :3][ids[:, :3] > 0]).tolist()
    np.testing.assert_array_equal(numbers(layer.mean), MODEL.mean)
    assert not numbers(layer.ngrams._embeddings)[0].any()


def test_the_gradient_of_a_row_is_that_of_a_slow_sum():
    """With the loss Σ y · g, a row of n-grams gets Σ g / √c over the words that have it."""
    encoder, em, _ = sources()
    layer = OpenVocabularyEmbedding(em.matrix, MODEL, trainable=True, ngrams_per_text=ROOM)
    ids = encoder(["talking walks walking", "中国热 talked zzz"])
    length = ids.shape[1] - ROOM
    g = np.random.default_rng(0).normal(size=(2, length, 5)).astype("float32")
    wanted = np.zeros((len(MODEL.keys) + 1, 5))
    for text, slots, part in zip(ids[:, :length], ids[:, length:], g):
        begin = 0
        for place, count in enumerate(np.maximum(-text, 0)):
            np.add.at(wanted, slots[begin : begin + count], part[place] / np.sqrt(max(count, 1)))
            begin += count
    before = numbers(layer.ngrams._embeddings)
    inputs = keras.Input((length + ROOM,), dtype="int32")
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.SGD(1.0), loss=lambda t, y: ops.sum(t * y, axis=(1, 2)))
    model.fit(ids, g, batch_size=2, epochs=1, verbose=0)
    np.testing.assert_allclose((before - numbers(layer.ngrams._embeddings)) * 2, wanted, atol=1e-5)


def test_gradual_unfreezing():
    layer = sources()[2]
    layer.words._set_oov_ids(np.array([1], "int32"))
    before = [numbers(table._embeddings) for table in (layer.words, layer.ngrams)]
    model, ids = trained(layer, keras.optimizers.SGD(0.1), callbacks=[UnfreezeEmbedding(1, "oov")])
    assert np.array_equal(before[1], numbers(layer.ngrams._embeddings))
    model.fit(ids, np.array([0, 1, 0, 1]), verbose=0, callbacks=[UnfreezeEmbedding(0, "all")])
    assert not np.array_equal(before[1], numbers(layer.ngrams._embeddings))
    assert not np.array_equal(before[0], numbers(layer.words._embeddings))


# ── what it is made of ──


def test_arguments_that_are_none(tmp_path):
    _, em, layer = sources()
    narrow = made_of(["abc"], dim=4)
    for vectors, subwords, options, message in (
        (em, 7, {}, "subwords must be a SubwordModel, or the path of one, received 7"),
        (em, narrow, {}, "subwords must make rows of 5 numbers, as vectors have, received 4"),
        (em, MODEL, {"ngrams_per_text": 0}, "ngrams_per_text must be a whole number from 1 on, received 0"),
        (None, MODEL, {}, "vectors must be an EmbeddingMatrix or an array"),
        (np.full((2, 5), np.nan), MODEL, {}, "nan"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            OpenVocabularyEmbedding(vectors, subwords, **options)
    for call in (layer, layer.compute_output_shape):
        shape = (2, ROOM)
        with pytest.raises(ValueError, match=r"inputs must be \(batch, time \+ 100\)"):
            call(keras.Input(shape[1:], dtype="int32") if call is layer else shape)
    MODEL.save(tmp_path / "m.safetensors", dtype="float32")
    again = OpenVocabularyEmbedding(em, str(tmp_path / "m.safetensors"), ngrams_per_text=ROOM)
    for one, other in zip(again.weights, layer.weights):
        np.testing.assert_array_equal(numbers(one), numbers(other))


def test_its_size_is_told_and_its_config_is_small():
    _, em, layer = sources()
    size = (len(MODEL.keys) + 1) * 5 * 4
    assert layer.summary() == (
        f"5 words (0.0 MB) + {len(MODEL.keys)} n-grams ({size / 1e6:.1f} MB) × 5 numbers: {(size + 100) / 1e6:.1f} MB"
    )
    wide = SubwordModel(np.arange(50_000), np.ones((50_000, 5), np.float16), np.zeros(5))
    assert "50,000 n-grams (0.5 MB)" in OpenVocabularyEmbedding(em, wide, dtype="float16").summary()
    assert len(json.dumps(OpenVocabularyEmbedding(em, wide).get_config())) < 3000


def test_a_clone_waits_and_is_filled():
    encoder, em, layer = sources()
    model = keras.Sequential([keras.Input((None,), dtype="int32"), layer])
    clone = keras.models.clone_model(model)
    ids = encoder(["talking walks"])
    assert not numbers(clone(ids)).any()
    assert reload_vectors(clone, em) == [layer.words.name]
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(numbers(clone(ids)), numbers(model(ids)))
    assert clone.layers[0].keys_sha256 == encoder.keys_sha256


# ── saved ──


def saved(folder):
    encoder = TextEncoder(["<pad>", "<unk>", "walks", "jumps", "中国"], subwords=MODEL, ngrams_per_text=ROOM, length=4)
    _, em, _ = sources()
    inputs = keras.Input((4 + ROOM,), dtype="int32")
    x = MaskedMeanPooling()(OpenVocabularyEmbedding(em, MODEL, ngrams_per_text=ROOM, name="all")(inputs))
    keras.utils.set_random_seed(0)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    save_model(model, folder / "whole.keras", encoder=encoder, labels=["a", "b"])
    return model, encoder, em


def test_save_and_load(tmp_path):
    model, encoder, em = saved(tmp_path)
    texts = odd_texts(30, seed=3)
    wanted = model.predict(encoder(texts), verbose=0)
    served = load_model(tmp_path / "whole.keras")
    np.testing.assert_array_equal(served.encode(texts), encoder(texts))
    np.testing.assert_allclose(served.probabilities(texts), wanted, rtol=1e-5, atol=1e-6)
    save_model(model, tmp_path / "small.keras", encoder=encoder, leave_out=em)
    with pytest.raises(ValueError, match="saved without its table"):
        load_model(tmp_path / "small.keras").probabilities(texts)
    again = load_model(tmp_path / "small.keras", vectors=em)
    np.testing.assert_allclose(again.probabilities(texts), wanted, rtol=1e-5, atol=1e-6)
    assert again.coverage(["talking"]).spelt == 1


def test_texts_without_words_where_the_length_is_free(tmp_path):
    encoder, _, layer = sources()
    model = keras.Sequential(
        [keras.Input((None,), dtype="int32"), layer, MaskedMeanPooling(), keras.layers.Dense(2, activation="softmax")]
    )
    save_model(model, tmp_path / "m.keras", encoder=encoder, labels=["a", "b"])
    served = load_model(tmp_path / "m.keras")
    assert served.encode([""]).shape == (1, 1 + ROOM)
    assert len(served.predict(["", " "])) == 2


def test_an_encoder_of_another_model_is_refused(tmp_path):
    model, encoder, em = saved(tmp_path)
    words, other = list(encoder.word_index), made_of(["other"], dim=5)
    closed = keras.Sequential([keras.Input((104,), dtype="int32"), PretrainedEmbedding(em)])
    longer = dict(encoder.word_index) | {"one": 5}
    for one, that, message in (
        (
            model,
            TextEncoder(words, length=104),
            f"keys_sha256 of the encoder must be .*'{encoder.keys_sha256}', received None",
        ),
        (
            model,
            TextEncoder(words, length=4, subwords=other, ngrams_per_text=ROOM),
            "keys_sha256 of the encoder must be",
        ),
        (
            model,
            TextEncoder(words, length=54, subwords=MODEL, ngrams_per_text=50),
            "ngrams_per_text of the encoder must be that of the layer 'all', 100, received 50",
        ),
        (
            model,
            TextEncoder(words, length=5, subwords=MODEL, ngrams_per_text=ROOM),
            "length of the encoder must be 4, as the model takes so many ids a text, received 5",
        ),
        (
            model,
            TextEncoder(longer, length=4, subwords=MODEL, ngrams_per_text=ROOM),
            "must have an embedding of 6 rows, as the encoder gives ids below that, received one of 5",
        ),
        (closed, encoder, "the model must have an OpenVocabularyEmbedding"),
    ):
        with pytest.raises(ValueError, match=message):
            save_model(one, tmp_path / "no.keras", encoder=that)
    assert not (tmp_path / "no.keras").exists()


ANSWER = (
    "import pickle, sys; from w2v_embed.text import load_model\n"
    "served, texts = load_model(sys.argv[1]), pickle.load(sys.stdin.buffer)\n"
    "sys.stdout.buffer.write(pickle.dumps((served.encode(texts), served.probabilities(texts))))"
)


def answers(path, texts, backend):
    """(ids, probabilities) in a process of its own. (JSON would make one character of two halves that meet.)"""
    done = subprocess.run(
        [sys.executable, "-c", ANSWER, str(path)],
        input=pickle.dumps(texts),
        capture_output=True,
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr.decode()
    ids, probabilities = pickle.loads(done.stdout)
    return ids, probabilities


@pytest.mark.slow
def test_titles_under_every_backend(tmp_path, data):
    """Trained on the shipped titles under this backend, with half of the words hidden; answered under all of them."""
    labels, texts = read_labelled(data / "titles.tsv")
    names = sorted(set(labels))
    y = np.array([names.index(label) for label in labels])
    closed = TextEncoder.fit(iter(texts[:3000]), split="jieba", special_tokens=["<pad>", "<unk>"])
    words = ["<pad>", "<unk>", *list(closed.word_index)[2::2]]
    vectors = build_matrix(data / "vectors.bin", words)
    model = fit_subwords(vectors)
    encoder = TextEncoder(words, split="jieba", length=24, subwords=model)
    em = build_matrix([vectors, model], encoder.word_index)
    keras.utils.set_random_seed(0)
    inputs = keras.Input((24 + 128,), dtype="int32")
    x = MaskedMeanPooling()(OpenVocabularyEmbedding(em, model, trainable=True)(inputs))
    net = keras.Model(inputs, keras.layers.Dense(len(names), activation="softmax")(x))
    net.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy")
    net.fit(encoder(texts[:3000]), y[:3000], epochs=4, verbose=0)
    path = tmp_path / "titles.keras"
    save_model(net, path, encoder=encoder, labels=names)
    asked = [*texts[3000:], *odd_texts(500, seed=5)]
    wanted = net.predict(encoder(asked), verbose=0)
    assert (wanted[:2000].argmax(axis=1) == y[3000:]).mean() > 0.6
    for backend in BACKENDS:
        ids, probabilities = answers(path, asked, backend)
        np.testing.assert_array_equal(ids, encoder(asked))
        np.testing.assert_allclose(probabilities, wanted, rtol=1e-4, atol=1e-5, err_msg=backend)
        near = np.sort(wanted, axis=1)
        clear = near[:, -1] - near[:, -2] > 1e-4
        assert (probabilities.argmax(axis=1) == wanted.argmax(axis=1))[clear].all()

"""save_model and load_model: what was trained answers raw texts in another process, under another backend, the same."""

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from tests.test_text_open_vocabulary import made_of  # noqa: E402
from w2v_embed import build_matrix  # noqa: E402
from w2v_embed.layers import MaskedMeanPooling, OpenVocabularyEmbedding, PretrainedEmbedding  # noqa: E402
from w2v_embed.text import TextEncoder, load_model, save_model  # noqa: E402

pytestmark = pytest.mark.keras

ROOT = Path(__file__).parent.parent
TEXTS = [
    "red r2",
    "blue b2 zebra",
    "",
    "zebra",
    "red \ud800\u200b r1 r1 r1 r1 r1",
    "b1\u3000b2",
    "\ufeffred <unk> <pad>",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    words = {"red": 1.0, "r1": 0.9, "r2": 0.8, "blue": -1.0, "b1": -0.9, "b2": -0.8}
    (folder / "v.txt").write_text("".join(f"{word} {value} {value * value}\n" for word, value in words.items()))
    encoder = TextEncoder(["<pad>", "<unk>", *words], length=5)
    em = build_matrix(folder / "v.txt", encoder.word_index)
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5,), dtype="int32")
    x = MaskedMeanPooling()(PretrainedEmbedding(em, name="words")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    model.compile(keras.optimizers.Adam(0.1), "sparse_categorical_crossentropy")
    model.fit(encoder(["red r1", "r2", "blue b1", "b2"] * 8), np.array([0, 0, 1, 1] * 8), epochs=9, verbose=0)
    return model, encoder, em


def test_what_was_saved_answers_the_same(trained, tmp_path):
    model, encoder, _ = trained
    path = tmp_path / "m.keras"
    save_model(model, path, encoder=encoder, labels=["red", "blue"])
    assert [file.name for file in tmp_path.iterdir()] == ["m.keras"]
    served = load_model(path)
    assert served.encode(TEXTS).tolist() == encoder(TEXTS).tolist()
    expected = model.predict(encoder(TEXTS), verbose=0)
    np.testing.assert_allclose(served.probabilities(TEXTS), expected, rtol=1e-5, atol=5e-6)
    answers = served.predict(TEXTS)
    assert [label for label, _ in answers] == [["red", "blue"][place] for place in expected.argmax(1)]
    assert answers[0][0] == "red"
    assert answers[1][0] == "blue"
    assert type(answers[0][1]) is float
    assert served.predict([]) == []
    assert served.coverage(["zebra red"]).rate == 0.5
    np.testing.assert_allclose(
        keras.saving.load_model(path).predict(encoder(TEXTS), verbose=0), expected, rtol=1e-5, atol=5e-6
    )
    before = path.read_bytes()
    with pytest.raises(ValueError, match="labels must be as many as the model has classes, 2, received 3"):
        save_model(model, path, encoder=encoder, labels=["a", "b", "c"])
    assert path.read_bytes() == before


def test_other_backends_in_fresh_processes_answer_the_same(trained, tmp_path):
    model, encoder, em = trained
    em.save(tmp_path / "em.npz")
    save_model(model, tmp_path / "whole.keras", encoder=encoder, labels=["red", "blue"])
    save_model(model, tmp_path / "small.keras", encoder=encoder, labels=["red", "blue"], leave_out=em)
    spelling = made_of(["zebra", "reddish", "b2b1"], dim=em.matrix.shape[1])
    open_encoder = TextEncoder(em, length=5, subwords=spelling, ngrams_per_text=20)
    inputs = keras.Input((25,), dtype="int32")
    x = MaskedMeanPooling()(OpenVocabularyEmbedding(em, spelling, ngrams_per_text=20)(inputs))
    open_model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    open_model.layers[-1].set_weights(model.layers[-1].get_weights())
    save_model(open_model, tmp_path / "open.keras", encoder=open_encoder, labels=["red", "blue"])
    code = (
        "import json, sys; from w2v_embed.text import load_model; from w2v_embed import EmbeddingMatrix\n"
        "texts = json.load(sys.stdin)\n"
        "served = [load_model('whole.keras'), load_model('small.keras', vectors=EmbeddingMatrix.load('em.npz'))]\n"
        "served.append(load_model('open.keras'))\n"
        "print(json.dumps([[one.encode(texts).tolist(), one.predict(texts)] for one in served]))"
    )
    wanted = [(encoder(TEXTS), model.predict(encoder(TEXTS), verbose=0))] * 2
    wanted.append((open_encoder(TEXTS), open_model.predict(open_encoder(TEXTS), verbose=0)))
    assert (wanted[2][0] < 0).any()
    assert np.abs(wanted[2][1] - wanted[0][1]).max() > 0.01
    for backend in ("tensorflow", "jax", "torch"):
        if backend == keras.backend.backend() or not importlib.util.find_spec(backend):
            continue
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps(TEXTS),
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)},
        )
        assert done.returncode == 0, done.stderr
        for (ids, answers), (expected_ids, expected) in zip(json.loads(done.stdout), wanted):
            assert ids == expected_ids.tolist()
            assert [label for label, _ in answers] == [["red", "blue"][place] for place in expected.argmax(1)]
            np.testing.assert_allclose([value for _, value in answers], expected.max(1), rtol=1e-5, atol=5e-6)


def test_a_table_that_is_left_out(trained, tmp_path):
    model, encoder, em = trained
    whole, small = tmp_path / "whole.keras", tmp_path / "small.keras"
    save_model(model, whole, encoder=encoder)
    save_model(model, small, encoder=encoder, leave_out=em)
    assert model.get_layer("words").save_table
    assert model.get_layer("words").vectors_sha256 is None
    expected = load_model(whole).probabilities(TEXTS)
    np.testing.assert_array_equal(load_model(small, vectors=em).probabilities(TEXTS), expected)
    assert load_model(whole).predict(["red"])[0][0] == 0  # no labels: their numbers
    with pytest.raises(ValueError, match="saved without its table. Give it back with"):
        load_model(small).predict(["red"])
    with pytest.raises(ValueError, match="vectors must have the SHA-256"):
        load_model(small, vectors=em.matrix + 1)
    with pytest.raises(ValueError, match="leave_out must be the vectors of a PretrainedEmbedding"):
        save_model(model, small, encoder=encoder, leave_out=em.matrix + 1)


def test_other_outputs(trained, tmp_path):
    _, encoder, em = trained
    inputs = keras.Input((None,), dtype="int32")
    x = MaskedMeanPooling()(PretrainedEmbedding(em)(inputs))
    free = TextEncoder(encoder.word_index)

    def made(units, activation):
        return keras.Model(inputs, keras.layers.Dense(units, activation, kernel_initializer="ones")(x))

    path = tmp_path / "m.keras"
    save_model(made(1, "sigmoid"), path, encoder=free, labels=["no", "yes"])
    served = load_model(path)
    assert [label for label, _ in served.predict(["red", "blue b2", ""])] == ["yes", "no", "no"]
    assert served.encode(["", ""]).tolist() == [[0], [0]]
    save_model(made(2, None), path, encoder=free)
    with pytest.raises(
        ValueError, match="the model must give probabilities, so end in softmax or sigmoid, received scores"
    ):
        load_model(path).predict(["red red"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "m.h5"}, "path must end in .keras, received"),
        ({"encoder": {"red": 1}}, "encoder must be a TextEncoder, received dict"),
        (
            {"encoder": TextEncoder({"a": 1})},
            "length of the encoder must be 5, as the model takes so many ids a text, received None",
        ),
        ({"encoder": TextEncoder({"a": 70}, length=5)}, "must have an embedding of 71 rows"),
        (
            {"encoder": TextEncoder({"a": 1}, length=5, split=str.split)},
            "for an encoder that is saved, received the callable",
        ),
        ({"labels": "ab"}, "labels must be a list, received 'ab'"),
        ({"labels": ["a", "a"]}, "labels must differ from each other"),
        ({"labels": ["a", None]}, "labels must be a list of str or int, received None"),
        ({"labels": []}, "labels must be a list of str or int"),
        ({"path": "none/m.keras"}, "there is no folder"),
    ],
)
def test_what_cannot_be_saved(trained, options, message, tmp_path):
    model, encoder, _ = trained
    options = {"encoder": encoder, **options}
    with pytest.raises((TypeError, ValueError, OSError), match=message):
        save_model(model, tmp_path / options.pop("path", "m.keras"), **options)
    assert not list(tmp_path.iterdir())


def rewritten(path, out, change=None, add=()):
    """A copy of a .keras file: `change` {name: bytes, or None to leave it out}, `add` [(name, bytes)]."""
    change = change or {}
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            raw = change.get(name, old.read(name))
            if raw is not None:
                new.writestr(name, raw)
        for name, raw in add:
            new.writestr(name, raw)
    return out


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("hostile") / "m.keras"
    save_model(trained[0], path, encoder=trained[1], labels=["red", "blue"])
    return path


def told(saved, **change):
    with zipfile.ZipFile(saved) as archive:
        text = json.loads(archive.read("text.json"))
    return json.dumps({**text, **change}).encode()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_files_that_lie(saved, tmp_path):
    out = tmp_path / "m.keras"
    bomb = b"\0" * (1 << 25)
    for options, message in (
        ({"change": {"text.json": None}}, "was not saved by save_model: it holds no text.json"),
        ({"change": {"text.json": b"["}}, "its text.json, line 1: not JSON"),
        ({"change": {"text.json": b"\xff"}}, "is not UTF-8"),
        ({"change": {"text.json": b"7"}}, "expected a JSON object"),
        ({"change": {"text.json": b"[" * 100_000}}, "nested too deeply|not JSON"),
        ({"change": {"text.json": told(saved, version=2)}}, '"format" and "version" must be'),
        ({"change": {"text.json": told(saved, labels="ab")}}, '"labels" must be a list or null'),
        ({"change": {"text.json": told(saved, labels=["a"])}}, "labels must be as many as the model has classes, 2"),
        ({"change": {"text.json": told(saved, labels=["a", {}])}}, "labels must be a list of str or int"),
        ({"change": {"text.json": told(saved, encoder=None)}}, 'an encoder\'s "format" must be'),
        ({"change": {"config.json": None}}, "Keras cannot read the model in it"),
        ({"change": {"config.json": b"{}"}}, "Keras cannot read the model in it"),
        ({"change": {"model.weights.h5": b"x"}}, "Keras cannot read the model in it"),
        ({"change": {"model.weights.h5": bomb}}, "unpack to 33,554,432; expected 200 times as many at most"),
        ({"change": {"text.json": bomb}}, "unpack to 33,554,432"),
        ({"add": [("../../evil", b"x")]}, "would lie outside of it"),
        ({"add": [("/etc/evil", b"x")]}, "would lie outside of it"),
        ({"add": [("assets\\..\\evil", b"x")]}, "would lie outside of it"),
        ({"add": [("C:evil", b"x")]}, "would lie outside of it"),
        ({"add": [("text.json", b"{}")]}, "holds the member 'text.json' twice"),
    ):
        rewritten(saved, out, **options)
        with pytest.raises(ValueError, match=message):
            load_model(out)
    assert sorted(path.name for path in tmp_path.parent.iterdir() if path.name == "evil") == []


def test_files_that_are_none(saved, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_model(tmp_path / "none.keras")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        load_model(tmp_path)
    out = tmp_path / "m.keras"
    out.write_bytes(b"no zip")
    with pytest.raises(ValueError, match="is no .keras file, which is a zip archive"):
        load_model(out)
    raw = bytearray(saved.read_bytes())
    rng = np.random.default_rng(0)
    messages = []  # whatever is wrong is told as such, or is nothing that matters
    for _ in range(60):
        hurt = raw.copy()
        for place in rng.integers(0, len(raw), 3):
            hurt[place] ^= int(rng.integers(1, 256))
        out.write_bytes(hurt[: rng.integers(len(raw) // 2, len(raw) + 1)] if rng.random() < 0.3 else hurt)
        try:
            load_model(out)
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) > 30
    assert all(str(out) in message or "must" in message for message in messages)


def test_code_in_a_file_is_refused(trained, saved, tmp_path):
    inputs = keras.Input((5,), dtype="int32")
    model = keras.Model(inputs, keras.layers.Lambda(lambda x: x)(inputs))
    model.save(tmp_path / "code.keras")
    with zipfile.ZipFile(saved) as archive, zipfile.ZipFile(tmp_path / "code.keras", "a") as other:
        other.writestr("text.json", archive.read("text.json"))
    with pytest.raises(ValueError, match="Keras cannot read the model in it"):
        load_model(tmp_path / "code.keras")


def test_files_of_the_script_before(trained, tmp_path):
    """Chinese by jieba, the rest at what is no letter, in lower case; unknown words left out, whatever their names."""
    pytest.importorskip("jieba")
    model = trained[0]
    path = tmp_path / "classifier.keras"
    model.save(path)
    index = {"red": 2, "it": 3, "s": 4, "<unk>": 5, "学校": 6, "<pad>": 7}
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        vocabulary = {"word_index": index, "labels": ["red", "blue"], "length": 5}
        archive.writestr("vocabulary.json", json.dumps(vocabulary, ensure_ascii=False))
    served = load_model(path)
    texts = ["It's RED, zebra!", "我们在学校学习", "red " * 9]
    assert served.encode(texts).tolist() == [[3, 4, 2, 0, 0], [6, 0, 0, 0, 0], [2] * 5]
    assert [label for label, _ in served.predict(texts)] == [
        ["red", "blue"][place] for place in model.predict(served.encode(texts), verbose=0).argmax(1)
    ]
    for wrong in ({"length": 0}, {"labels": 3}, {"word_index": []}):
        rewritten(path, tmp_path / "w.keras", {"vocabulary.json": json.dumps({**vocabulary, **wrong}).encode()})
        with pytest.raises(ValueError, match="its vocabulary.json"):
            load_model(tmp_path / "w.keras")

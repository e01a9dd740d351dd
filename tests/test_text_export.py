"""export_model: other runtimes answer what Keras answers. Those that are not installed are fetched by `pytest -m slow`."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

keras = pytest.importorskip("keras")

from tests.test_text_open_vocabulary import made_of  # noqa: E402
from w2v_embed import build_matrix  # noqa: E402
from w2v_embed.layers import MaskedMeanPooling, OpenVocabularyEmbedding  # noqa: E402
from w2v_embed.text import TextEncoder, TextModel, export_model  # noqa: E402
from w2v_embed.text.export import _plain  # noqa: E402
from w2v_embed.training.classifiers import make_model  # noqa: E402

ON_TENSORFLOW = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a format of TensorFlow's")
WORDS = ["red", "r1", "blue", "b1", "中国", "🙂", "nowhere"]
KINDS = [("mean", "oov"), ("cnn", "trainable"), ("bilstm", "frozen"), ("open vocabulary", "")]
PACKAGES = ["onnx", "onnxruntime", "tf2onnx", "ai-edge-litert", "backports.strenum"]


class Vectors:
    vector_size = 4

    def vectors_for(self, words):
        rows = np.random.default_rng(0).normal(size=(len(words), 4)).astype("float32")
        found = np.array([word != "nowhere" for word in words])
        return rows * found[:, None], found


def made(kind, embedding, steps=2):
    """A model whose weights are none that it began with, and texts: short, long, empty, of unknown words."""
    if kind == "open vocabulary":
        return open_vocabulary()
    encoder = TextEncoder({word: number for number, word in enumerate(WORDS, 1)}, length=5)
    em = build_matrix(Vectors(), encoder.word_index)
    keras.utils.set_random_seed(1)
    model = make_model(kind, em, embedding, 5, 3, 0.1)
    rng = np.random.default_rng(2)
    texts = [" ".join(rng.choice([*WORDS, "zebra", "\u3000"], size)) for size in (0, 1, 2, 3, 5, 9)] * 4
    model.fit(encoder(texts), np.arange(len(texts)) % 3, epochs=steps, verbose=0)
    return TextModel(model, encoder, ["a", "b", "c"]), texts


def open_vocabulary():
    """The same with n-grams of the words that have no id."""
    subwords = made_of(["zebras", "redder"], 4, min_n=3, max_n=4)
    encoder = TextEncoder({word: number for number, word in enumerate(WORDS, 1)}, length=5, subwords=subwords)
    layer = OpenVocabularyEmbedding(build_matrix(Vectors(), encoder.word_index), subwords)
    inputs = keras.Input((5 + encoder.ngrams_per_text,), dtype="int32")
    outputs = keras.layers.Dense(3, activation="softmax")(MaskedMeanPooling()(layer(inputs)))
    return TextModel(keras.Model(inputs, outputs), encoder), ["red zebra", "", "reddest 中国 red zebras blue b1", "qqq"]


@pytest.mark.keras
def test_a_plain_model_answers_the_same():
    model, texts = made("mean", "oov", 1)
    plain = _plain(model.model)
    kinds = [type(layer).__name__ for layer in plain.layers if layer.weights]
    assert kinds == ["Embedding", "Dense"]
    ids = model.encode(texts)
    np.testing.assert_allclose(plain.predict(ids, verbose=0), model.model.predict(ids, verbose=0), rtol=1e-5, atol=5e-6)
    assert model.model.get_layer(index=1).oov_embeddings is not None


@pytest.mark.keras
def test_what_cannot_be_exported(tmp_path):
    model, _ = made("mean", "frozen", 1)
    for path, options, message in (
        ("m.onnx", {"format": "pickle"}, 'format must be "tf_saved_model", "onnx" or "litert", received'),
        ("m.txt", {"format": "onnx"}, "path must end in .onnx, received"),
        ("m.onnx", {"format": "litert"}, "path must end in .tflite, received"),
        (
            "m.onnx",
            {"format": "onnx", "texts": True},
            'texts must be False but for format="tf_saved_model", received True',
        ),
    ):
        with pytest.raises(ValueError, match=message):
            export_model(model, tmp_path / path, **options)
    with pytest.raises(TypeError, match="model must be a TextModel"):
        export_model(model.model, tmp_path / "m")
    if keras.backend.backend() != "tensorflow":
        with pytest.raises(ValueError, match="the backend of Keras must be tensorflow to export 'litert', received"):
            export_model(model, tmp_path / "m.tflite", format="litert")
        return
    (tmp_path / "there").mkdir()
    with pytest.raises(FileExistsError, match="it is there already"):
        export_model(model, tmp_path / "there")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        export_model(model, tmp_path / "no" / "m")
    for options in ({"split": str.split}, {"lower": True}):
        other = TextModel(model.model, TextEncoder(model.encoder.word_index, length=5, **options))
        with pytest.raises(ValueError, match='split must be "whitespace" or "characters", and lower False'):
            export_model(other, tmp_path / "m", texts=True)
    with pytest.raises(ValueError, match="the encoder must be without subwords for a graph that takes texts"):
        export_model(open_vocabulary()[0], tmp_path / "m", texts=True)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_texts_in_a_graph_get_the_ids_that_the_encoder_gives():
    tf = pytest.importorskip("tensorflow")
    from w2v_embed.text.graph import graph_of

    index = {
        "the": 1,
        "中": 2,
        "e\u0301": 3,
        "\u200b": 4,
        "🙂": 5,
        "a\u0085b": 6,
        " ": 7,
        "\ud800": 8,
        "<pad>": 9,
        "\ufeff": 10,
    }
    unknown = {"<pad>": 0, "<unk>": 1, "the": 2, "中": 3, "": 4}
    encoders = [
        TextEncoder(words, split=split, length=length, truncate=truncate)
        for words in (index, unknown)
        for split, length, truncate in (
            ("whitespace", 3, "end"),
            ("whitespace", 2, "begin"),
            ("characters", 4, "begin"),
            ("characters", None, "end"),
        )
    ]
    graphs = [(encoder, tf.function(graph_of(encoder)[0], [tf.TensorSpec((None,), tf.string)])) for encoder in encoders]
    spaces = "".join(
        map(chr, [*range(9, 14), *range(28, 33), 0x85, 0xA0, 0x1680, *range(0x2000, 0x200C), 0x2028, 0x3000])
    )
    some = st.text(st.sampled_from(f"the中{spaces}\ufeffe\u0301\u200b🙂\u180e\u2060<pad>unk\0"), max_size=12)
    texts = st.lists(
        st.one_of(some, st.text(st.characters(exclude_categories=["Cs"]), max_size=8)), min_size=1, max_size=9
    )

    @settings(max_examples=80, deadline=None)
    @given(texts)
    def check(texts):
        for encoder, graph in graphs:
            expected = TextModel(None, encoder).encode(texts)
            got = graph(tf.constant([text.encode() for text in texts], tf.string)).numpy()
            assert got.dtype == np.int32
            assert got.tolist() == expected.tolist()

    check()


@ON_TENSORFLOW
def test_a_saved_model_takes_ids_and_raw_strings(tmp_path):
    tf = pytest.importorskip("tensorflow")
    model, texts = made("mean", "oov", 1)
    export_model(model, tmp_path / "saved", texts=True)
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]
    expected = model.probabilities(texts)
    loaded = tf.saved_model.load(tmp_path / "saved")
    by_ids = loaded.signatures["serve"](ids=tf.constant(model.encode(texts)))
    by_texts = loaded.signatures["serve_texts"](texts=tf.constant(texts))
    for answers in (*by_ids.values(), *by_texts.values()):
        np.testing.assert_allclose(answers.numpy(), expected, atol=1e-5, rtol=0)


# ── runtimes that are fetched ──


@pytest.fixture(scope="module")
def runtimes(tmp_path_factory):
    """onnxruntime, LiteRT and what converts for them: those of W2V_EMBED_RUNTIMES, a folder, or fetched."""
    folder = os.environ.get("W2V_EMBED_RUNTIMES")
    if folder is None:
        folder = str(tmp_path_factory.mktemp("runtimes"))
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, *PACKAGES]
        subprocess.run(command, check=True)
    sys.path.append(folder)  # last: what is installed here stays what it is
    yield
    sys.path.remove(folder)


@pytest.mark.slow
@pytest.mark.keras
@pytest.mark.parametrize(("kind", "embedding"), KINDS)
def test_onnx_answers_the_same(kind, embedding, runtimes, tmp_path):
    if keras.backend.backend() == "jax":
        pytest.skip("exported under TensorFlow or torch")
    import onnxruntime

    model, texts = made(kind, embedding)
    export_model(model, tmp_path / "m.onnx", format="onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == ["ids"]
    for some in (texts, texts[:1]):  # any number of texts
        (answers,) = session.run(None, {"ids": model.encode(some)})
        np.testing.assert_allclose(answers, model.probabilities(some), atol=1e-5, rtol=0)


@pytest.mark.slow
@ON_TENSORFLOW
@pytest.mark.parametrize(("kind", "embedding"), KINDS)
def test_litert_answers_the_same(kind, embedding, runtimes, tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    model, texts = made(kind, embedding)
    export_model(model, tmp_path / "m.tflite", format="litert")
    interpreter = Interpreter(str(tmp_path / "m.tflite"))
    place, out = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    for some in (texts, texts[:1]):
        ids = model.encode(some)
        interpreter.resize_tensor_input(place, ids.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(place, ids)
        interpreter.invoke()
        np.testing.assert_allclose(interpreter.get_tensor(out), model.probabilities(some), atol=1e-5, rtol=0)


@pytest.mark.slow
@ON_TENSORFLOW
@pytest.mark.parametrize(("kind", "embedding"), KINDS)
def test_saved_models_answer_the_same(kind, embedding, tmp_path):
    tf = pytest.importorskip("tensorflow")
    model, texts = made(kind, embedding)
    export_model(model, tmp_path / "saved", texts=kind != "open vocabulary")
    loaded, expected = tf.saved_model.load(tmp_path / "saved"), model.probabilities(texts)
    np.testing.assert_allclose(loaded.serve(tf.constant(model.encode(texts))), expected, atol=1e-5, rtol=0)
    if kind != "open vocabulary":
        np.testing.assert_allclose(loaded.serve_texts(tf.constant(texts)), expected, atol=1e-5, rtol=0)

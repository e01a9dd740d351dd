"""`engine="onnx"`: the same numbers as the backend's, for every family and every choice of `encode`."""

import json
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from w2v_embed.contextual import ContextualEncoder, add_tokens, query_states
from w2v_embed.contextual.backend import ops
from w2v_embed.contextual.families import FAMILIES, register
from w2v_embed.contextual.families.bert import Bert

pytestmark = pytest.mark.keras

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
REFERENCE = Path(__file__).parent / "data" / "reference"
MODELS = sorted(path.parent.name for path in REFERENCE.glob("*/expected.npz"))
WITH_TEXT = [
    "bert_hf",
    "xlnet_hf",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("albert_hf", "electra_hf", "mpnet_hf", "roberta_hf")),
]
ONE_BACKEND = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="no graph knows of the backend")
TEXTS = ["The bank of the river.", "He put money in a bank", "", "muddy", "the king " * 9]
PAIRS = [("The bank", "of the river."), "money in a bank", ("", "the queen"), ("muddy " * 12, "bank " * 9)]


def load(name, **options):
    told = json.loads((REFERENCE / name / "fixture.json").read_text())["from_pretrained"]
    return ContextualEncoder.from_pretrained(REFERENCE / name, **told, **options)


@pytest.mark.parametrize("name", MODELS)
def test_states_are_those_of_the_authors(name):
    encoder, expected = load(name, engine="onnx"), np.load(REFERENCE / name / "expected.npz")
    inputs = [expected[key] for key in ("input_ids", "attention_mask", "token_type_ids")]
    there = inputs[1] == 1
    if "hidden_states" in expected and name != "keras_xlnet_tune":
        assert np.abs(encoder.hidden_states(*inputs) - expected["hidden_states"])[:, there].max() < 1e-5
    if "mems" in expected:
        made = encoder.hidden_states(*inputs, mems=expected["mems"])
        assert np.abs(made - expected["hidden_states_mems"])[:, there].max() < 1.5e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_states_are_those_of_the_backend(name):
    """Many lengths, padding on both sides."""
    encoder, plain = load(name, engine="onnx"), load(name)
    rng = np.random.default_rng(len(name))
    longest = encoder._family.longest(encoder.config) or 40
    for length in sorted({1, 2, 7, min(19, longest), min(33, longest)}):
        shape = (3, length)
        ids, mask = rng.integers(3, encoder.config.vocab_size, shape), np.ones(shape, int)
        mask[1, length - length // 3 :] = mask[2, : length // 3] = 0
        types = rng.integers(0, min(encoder._family.segments(encoder.config), 3), shape)
        one, other = (each.hidden_states(ids, mask, types) for each in (encoder, plain))
        assert np.abs(one - other)[:, mask == 1].max() < 1e-5


@ONE_BACKEND
@pytest.mark.parametrize("name", WITH_TEXT)
def test_vectors_are_those_of_the_backend(name):
    encoder, plain = load(name, engine="onnx"), load(name)
    idf = plain.idf(TEXTS)
    choices = [
        {},
        {"layers": [0, -1], "merge": "concat", "pooling": "mean_max"},
        {"layers": [1, -1], "merge": [0.25, 2], "pooling": "cls"},
        {"layers": -1, "pooling": "max", "special_tokens": False},
        {"pooling": "idf", "idf": idf, "max_length": 9, "stride": 2},
        {"layers": 0, "batch_size": 2},
    ]
    for options in choices:
        np.testing.assert_allclose(encoder.encode(TEXTS, **options), plain.encode(TEXTS, **options), atol=1e-5)
    np.testing.assert_allclose(encoder.encode(PAIRS, max_length=17), plain.encode(PAIRS, max_length=17), atol=1e-5)
    for one, other in zip(encoder.encode_tokens(TEXTS), plain.encode_tokens(TEXTS)):
        np.testing.assert_allclose(one, other, atol=1e-5)
    words = ["river", "bank", "muddy"]
    for source in ({"mode": "table"}, {"layers": -1}):
        rows, found = encoder.as_source(**source).vectors_for(words)
        wanted, there = plain.as_source(**source).vectors_for(words)
        np.testing.assert_allclose(rows, wanted, atol=1e-5)
        np.testing.assert_array_equal(found, there)


@ONE_BACKEND
def test_what_is_made_of_an_encoder_keeps_its_engine(tmp_path):
    encoder = load("bert_hf", engine="onnx")
    more = add_tokens(encoder, ["muddybank"], init="pieces")
    assert (encoder.engine, more.engine, load("bert_hf").engine) == ("onnx", "onnx", "keras")
    more.save_pretrained(tmp_path / "more")
    again = ContextualEncoder.from_pretrained(tmp_path / "more")
    texts = ["the muddybank", "a muddy bank"]
    np.testing.assert_allclose(more.encode(texts), again.encode(texts), atol=1e-5)
    ids = np.array([[2, 5, 6, 3]])
    made = encoder.to_keras()([ids, np.ones_like(ids), np.zeros_like(ids)])
    np.testing.assert_allclose(ops.convert_to_numpy(made), encoder.hidden_states(ids)[-1], atol=1e-5)


def test_a_session_holds_the_only_weights():
    encoder = load("bert_hf", engine="onnx")
    held = [getattr(cell.cell_contents, "nbytes", 0) for cell in encoder._model._embed.__closure__]
    assert sum(held) == 0  # ours are gone
    np.testing.assert_array_equal(encoder._table(), load("bert_hf")._table())


def test_what_no_graph_can_say_is_told(tmp_path):
    class Rounded(Bert):
        name = "rounded"
        title = "Rounded"

        def layer(self, config, w, x, context):
            return ops.round(super().layer(config, w, x, context))

    register(Rounded())
    try:
        for file in (REFERENCE / "bert_hf").iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        settings = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps({**settings, "model_type": "rounded"}))
        with pytest.raises(
            ValueError, match=r"cannot write Rounded as a graph: it uses ops\.round, .*engine=\"keras\""
        ):
            ContextualEncoder.from_pretrained(tmp_path, engine="onnx")
        assert ContextualEncoder.from_pretrained(tmp_path).encode(["a"]).shape == (1, 32)
    finally:
        del FAMILIES["rounded"]


def test_two_streams_are_not_for_it():
    with pytest.raises(ValueError, match='encoder must be loaded with engine="keras"'):
        query_states(load("xlnet_hf", engine="onnx"), [[5]])


def test_engines_that_are_not_there(monkeypatch):
    with pytest.raises(ValueError, match='engine must be "keras" or "onnx", received .torch.'):
        load("bert_hf", engine="torch")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r'engine="onnx" needs onnxruntime and onnx, .*w2v-embed\[onnx\]'):
        load("bert_hf", engine="onnx")

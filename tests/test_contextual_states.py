"""Hidden states against the numbers of the models' authors (tests/data/reference), on the backend that runs."""

import json
import math
import threading
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from w2v_embed import contextual
from w2v_embed.contextual import ContextualEncoder
from w2v_embed.contextual.backend import compiled, overlapped, to_tensors
from w2v_embed.contextual.families.blocks import dense

pytestmark = pytest.mark.keras

REFERENCE = Path(__file__).parent / "data" / "reference"
MODELS = sorted(path.parent.name for path in REFERENCE.glob("*/expected.npz"))
WITH_MEMS = ["keras_xlnet_tune", "xlnet_google", "xlnet_hf"]


def load(name):
    fixture = json.loads((REFERENCE / name / "fixture.json").read_text())
    encoder = ContextualEncoder.from_pretrained(REFERENCE / name, **fixture["from_pretrained"])
    expected = np.load(REFERENCE / name / "expected.npz")
    inputs = [expected[key] for key in ("input_ids", "attention_mask", "token_type_ids")]
    return encoder, expected, inputs


def difference(states, expected, mask):
    return np.abs(states - expected)[:, mask == 1].max()


def test_all_reference_models_are_here():
    assert len(MODELS) == 16


@pytest.mark.parametrize("name", [name for name in MODELS if name != "keras_xlnet_tune"])
def test_states_equal_the_authors(name):
    encoder, expected, inputs = load(name)
    states = encoder.hidden_states(*inputs)
    assert states.dtype == np.float32
    assert states.shape == expected["hidden_states"].shape
    assert difference(states, expected["hidden_states"], inputs[1]) < 1e-5


# Differences measured here are below 1e-5 too. But the authors' float32 numbers lie 7e-6 from the same sums in float64, ours
# as far: another order of sums on another processor must not fail the test.
WITH_MEMORY = 1.5e-5


@pytest.mark.parametrize("name", WITH_MEMS)
def test_states_with_memory_equal_the_authors(name):
    encoder, expected, inputs = load(name)
    states = encoder.hidden_states(*inputs, mems=expected["mems"])
    assert difference(states, expected["hidden_states_mems"], inputs[1]) < WITH_MEMORY


@pytest.mark.parametrize("name", ["xlnet_google", "xlnet_hf"])
def test_memory_grows_as_the_authors_do_it(name):
    encoder, expected, inputs = load(name)
    states = encoder.hidden_states(*inputs, mems=expected["mems"])
    seen = np.concatenate([np.ones(expected["mems"].shape[1:3], int), inputs[1]], axis=1)[:, -6:]
    new_mems = encoder.next_mems(states, expected["mems"], mem_len=6)
    assert new_mems.shape == expected["new_mems"].shape
    assert difference(new_mems, expected["new_mems"], seen) < WITH_MEMORY
    np.testing.assert_array_equal(encoder.next_mems(states, mem_len=6), states[:-1, :, -6:])


def test_published_outputs_of_keras_xlnet():
    encoder, _, _ = load("keras_xlnet_tune")
    folder = REFERENCE / "keras_xlnet_tune"
    ids, types = np.load(folder / "input_ids.npy"), np.load(folder / "seg_ids.npy")
    mems = np.stack([np.load(folder / f"mems_{i}.npy") for i in range(2)])
    states = encoder.hidden_states(ids, None, types, mems)
    assert np.abs(states[-1] - np.load(folder / "tune_output.npy")).max() < 1e-5


@pytest.mark.parametrize("name", MODELS)
def test_a_row_is_the_same_alone(name):
    encoder, _, inputs = load(name)
    together = encoder.hidden_states(*inputs)
    for row in range(len(inputs[0])):
        alone = encoder.hidden_states(*(array[row : row + 1] for array in inputs))
        assert difference(alone, together[:, row : row + 1], inputs[1][row : row + 1]) < 1e-5


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("side", ["right", "left"])
def test_padding_changes_nothing(name, side):
    encoder, _, inputs = load(name)
    inputs = [array[:1, :9] for array in inputs]
    states = encoder.hidden_states(*inputs)
    widths = (0, 3) if side == "right" else (3, 0)
    values = (getattr(encoder.config, "padding_id", 0), 0, 0)
    padded = encoder.hidden_states(
        *(np.pad(array, ((0, 0), widths), constant_values=value) for array, value in zip(inputs, values))
    )
    length = inputs[0].shape[1]
    inner = padded[:, :, :length] if side == "right" else padded[:, :, 3:]
    assert np.isfinite(padded).all()
    if side == "left" and encoder.config.model_type in ("bert", "distilbert", "electra", "albert"):
        assert np.abs(inner - states).max() > 1e-3  # its positions count from the left edge
    else:
        assert np.abs(inner - states).max() < 1e-5


def test_a_mask_is_needed_for_padding_to_change_nothing():
    encoder, _, inputs = load("bert_hf")
    ids = inputs[0][:1, :9]
    padded = encoder.hidden_states(np.pad(ids, ((0, 0), (0, 3))))
    assert np.abs(padded[-1, :, :9] - encoder.hidden_states(ids)[-1]).max() > 1e-3


def test_defaults_lists_and_boolean_masks():
    encoder, _, (ids, mask, _) = load("bert_hf")
    plain = encoder.hidden_states(ids, mask, np.zeros_like(ids))
    np.testing.assert_array_equal(encoder.hidden_states(ids.tolist(), mask.astype(bool).tolist()), plain)
    np.testing.assert_array_equal(
        encoder.hidden_states(ids[:1]), encoder.hidden_states(ids[:1], np.ones_like(ids[:1]), np.zeros_like(ids[:1]))
    )


def test_no_texts_and_no_tokens():
    encoder, _, _ = load("bert_hf")
    assert encoder.hidden_states(np.zeros((0, 5), int)).shape == (4, 0, 5, 32)
    assert encoder.hidden_states(np.zeros((2, 0), int)).shape == (4, 2, 0, 32)


def test_a_row_of_padding_stays_finite():
    encoder, _, (ids, mask, types) = load("xlnet_hf")
    assert np.isfinite(encoder.hidden_states(ids, np.zeros_like(mask), types)).all()


def test_attention_type_overrules_the_configuration():
    encoder, _, inputs = load("xlnet_hf")
    one_way = ContextualEncoder.from_pretrained(REFERENCE / "xlnet_hf", attention_type="uni")
    ids = inputs[0][:1].copy()
    states = one_way.hidden_states(ids)
    ids[0, -1] = (ids[0, -1] + 1) % encoder.config.vocab_size
    np.testing.assert_allclose(one_way.hidden_states(ids)[:, :, :-1], states[:, :, :-1], rtol=1e-5, atol=5e-6)
    assert np.abs(encoder.hidden_states(ids) - states).max() > 1e-2


def test_nezha_clips_its_distances():
    encoder, expected, inputs = load("nezha_hf")
    narrow = ContextualEncoder.from_pretrained(REFERENCE / "nezha_hf", max_relative_position=2)
    assert encoder.config.max_relative_position == 8
    assert difference(narrow.hidden_states(*inputs), expected["hidden_states"], inputs[1]) > 1e-2


def test_hidden_act_overrules_and_google_means_tanh():
    google, expected, inputs = load("bert_google")
    assert google.config.hidden_act == "gelu_new"
    exact = ContextualEncoder.from_pretrained(REFERENCE / "bert_google", hidden_act="gelu")
    assert difference(exact.hidden_states(*inputs), expected["hidden_states"], inputs[1]) > 1e-4
    same = ContextualEncoder.from_pretrained(REFERENCE / "bert_google", hidden_act="gelu_pytorch_tanh")
    assert difference(same.hidden_states(*inputs), expected["hidden_states"], inputs[1]) < 1e-5
    relu = ContextualEncoder.from_pretrained(REFERENCE / "bert_google", hidden_act="relu")
    assert difference(relu.hidden_states(*inputs), expected["hidden_states"], inputs[1]) > 1e-3


@pytest.mark.parametrize(
    ("inputs", "error", "words"),
    [
        (([1, 2, 3],), ValueError, r"input_ids must have shape \(batch, length\), received \(3,\)"),
        (([[1, 2], [3]],), ValueError, "input_ids must be rows of one length"),
        (([[1.5, 2.0]],), TypeError, "input_ids must be whole numbers, received an array of type float64"),
        (([[1, 51]],), ValueError, r"input_ids must be from 0 to 50, received 51 at \(0, 1\)"),
        (([[1, 10**12]],), ValueError, "from 0 to 50, received 1000000000000 at"),
        (([[-1, 5]],), ValueError, r"input_ids must be .*, received -1 at \(0, 0\)"),
        (([[1, 2]], [[1, 2]]), ValueError, r"attention_mask must be from 0 to 1, received 2 at \(0, 1\)"),
        (
            ([[1, 2]], [[1]]),
            ValueError,
            r"attention_mask must have the shape of input_ids, \(1, 2\), received \(1, 1\)",
        ),
        (([[1, 2]], None, [[0, 2]]), ValueError, r"token_type_ids must be from 0 to 1, received 2 at \(0, 1\)"),
        (
            ([[1] * 41],),
            ValueError,
            r"input_ids must have 40 positions at most, .*\(max_position_embeddings\), received 41",
        ),
        (
            ([[1, 2]], None, None, np.zeros((3, 1, 2, 32))),
            ValueError,
            "mems must be None for BERT, which has no memory",
        ),
    ],
)
def test_wrong_inputs_are_named(inputs, error, words):
    encoder, _, _ = load("bert_hf")
    with pytest.raises(error, match=words):
        encoder.hidden_states(*inputs)


def test_wrong_mems_are_named():
    encoder, _, (ids, mask, types) = load("xlnet_hf")
    with pytest.raises(ValueError, match=r"\(3, 3, any, 32\), received \(2, 3, 6, 32\)"):
        encoder.hidden_states(ids, mask, types, np.zeros((2, 3, 6, 32)))
    with pytest.raises(ValueError, match=r"mem_len must be a whole number from 1 on, received None"):
        ContextualEncoder.from_pretrained(REFERENCE / "xlnet_google").next_mems(np.zeros((4, 1, 2, 32)))


def test_an_unknown_folder_name_or_backend(monkeypatch, tmp_path):
    with pytest.raises(FileNotFoundError, match="absent is neither a folder nor the prefix of a TensorFlow checkpoint"):
        ContextualEncoder.from_pretrained(tmp_path / "absent")
    with pytest.raises(
        AttributeError, match=r"w2v_embed\.contextual' has no attribute 'Bert'; it has ContextualEncoder"
    ):
        contextual.Bert  # noqa: B018
    monkeypatch.setattr(keras.backend, "backend", lambda: "numpy")
    with pytest.raises(ValueError, match="run on the Keras backends tensorflow, jax and torch, not on 'numpy'"):
        compiled(len)


ERF, TANH = np.vectorize(math.erf), np.tanh
ACTIVATIONS = {
    None: lambda x: x,
    "gelu": lambda x: x / 2 * (1 + ERF(x / 2**0.5)),
    "gelu_new": lambda x: x / 2 * (1 + TANH((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3))),
    "gelu_pytorch_tanh": lambda x: ACTIVATIONS["gelu_new"](x),
    "relu": lambda x: np.maximum(x, 0),
}


@pytest.mark.parametrize("shape", [(7, 4), (2, 3, 4), (1, 2, 3, 4)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_products_with_and_without_bias(activation, shape):
    """Whichever way the backend has for it, see `backend.fused_dense`."""
    rng = np.random.default_rng(0)
    x, kernel, bias = (rng.normal(size=size).astype("float32") for size in (shape, (4, 5), (5,)))
    tensors = to_tensors({"x": x, "kernel": kernel, "bias": bias})
    for with_bias in (False, True):
        y = dense(tensors["x"], tensors["kernel"], tensors["bias"] if with_bias else None, activation)
        expected = ACTIVATIONS[activation](x.astype(float) @ kernel + (bias if with_bias else 0))
        np.testing.assert_allclose(keras.ops.convert_to_numpy(y), expected, rtol=1e-5, atol=5e-6)


def test_results_of_batches_come_in_order_and_errors_get_through():
    weight = to_tensors({"weight": np.ones(1)})["weight"]
    before = threading.active_count()

    def slow(n):
        if n == 7:
            raise ValueError("batch 7")
        time.sleep(0.003 * (n % 3 == 0))
        return n

    assert list(overlapped(slow, range(7), weight)) == list(range(7))
    seen = []
    with pytest.raises(ValueError, match="batch 7"):
        seen.extend(overlapped(slow, range(20), weight))
    assert seen == list(range(7))
    assert threading.active_count() == before

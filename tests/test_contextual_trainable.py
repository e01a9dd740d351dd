"""Encoders as Keras models: the same numbers, saved, trained as transformers trains them, and written back."""

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from tests.fine_tuning import DECAY, RATE, STEPS, batches, head
from w2v_embed.contextual import ContextualEncoder
from w2v_embed.contextual.checkpoints import read_checkpoint

pytestmark = pytest.mark.keras

DATA = Path(__file__).parent / "data"
REFERENCE = DATA / "reference"
# A graph, and XLA even more so, is built for longer than these models train; JAX knows nothing else.
COMPILED = {} if keras.backend.backend() == "jax" else {"jit_compile": False}
EAGER = {} if keras.backend.backend() == "jax" else {"run_eagerly": True}


def load(name):
    fixture = json.loads((REFERENCE / name / "fixture.json").read_text())
    encoder = ContextualEncoder.from_pretrained(REFERENCE / name, **fixture["from_pretrained"])
    expected = np.load(REFERENCE / name / "expected.npz")
    return encoder, [expected[key] for key in ("input_ids", "attention_mask", "token_type_ids")]


def states_of(model, inputs):
    return np.stack([ops.convert_to_numpy(x) for x in model([ops.convert_to_tensor(x) for x in inputs])])


@pytest.mark.parametrize("name", ["bert_hf", "bert_google", "nezha_hf", "xlnet_hf", "xlnet_google"])
def test_the_model_computes_what_the_encoder_computes(name):
    encoder, inputs = load(name)
    expected = encoder.hidden_states(*inputs)
    there = inputs[1] == 1
    assert np.abs(states_of(encoder.to_keras(outputs="all"), inputs) - expected)[:, there].max() < 1e-5
    last = encoder.to_keras()(inputs)
    assert np.abs(ops.convert_to_numpy(last) - expected[-1])[there].max() < 1e-5


@pytest.mark.parametrize("name", ["bert_google", "xlnet_hf"])
def test_a_model_is_saved_and_loaded_without_the_folder(name, tmp_path):
    encoder, inputs = load(name)
    model = encoder.to_keras(head="masked_lm")
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    first, second = (ops.convert_to_numpy(each(inputs)) for each in (model, again))
    assert first.shape == (*inputs[0].shape, encoder.config.vocab_size)
    np.testing.assert_array_equal(first, second)
    assert again.get_layer("layer_1").get_config() == model.get_layer("layer_1").get_config()


def test_the_first_losses_are_those_of_transformers():
    """Stored numbers, made by tests/data/fine_tuning/make.py. A query of another scale, say, would take other steps."""
    encoder, _ = load("bert_hf")
    base = encoder.to_keras(dropout=0.0)
    weights = ops.cast(base.inputs[1], "float32")[..., None]
    dense = keras.layers.Dense(head().shape[1])
    model = keras.Model(base.inputs, dense(ops.sum(base.output * weights, axis=1) / ops.sum(weights, axis=1)))
    dense.set_weights([head(), np.zeros(head().shape[1])])
    # torch adds epsilon after the correction of the bias, Keras before it
    optimizer = keras.optimizers.AdamW(RATE, weight_decay=DECAY, epsilon=1e-8)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), **COMPILED)
    losses = [
        float(model.train_on_batch([ids, mask, np.zeros_like(ids)], labels)) for ids, mask, labels in batches(STEPS)
    ]
    expected = json.loads((DATA / "fine_tuning" / "losses.json").read_text())
    np.testing.assert_allclose(losses, expected, atol=1e-3)
    assert max(losses) - min(losses) > 0.01


def test_frozen_layers_keep_their_weights_and_all_others_learn():
    encoder, inputs = load("bert_hf")
    model = encoder.to_keras(layers=[-1, 1], dropout=0.3, head="masked_lm")
    before = {layer.name: layer.get_weights() for layer in model.layers}
    model.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True), **COMPILED)
    model.fit(inputs, inputs[0], epochs=2, verbose=0)
    moved = {
        layer.name
        for layer in model.layers
        if any((a != b).any() for a, b in zip(before[layer.name], layer.get_weights()) if a.dtype == np.float32)
    }
    assert moved == {"layer_1", "layer_3", "head"}
    assert not encoder.to_keras(trainable=False, head="masked_lm").trainable_weights
    model.get_layer("layer_1").trainable = False
    assert [layer.name for layer in model.layers if layer.trainable_weights] == ["layer_3", "head"]


def test_dropout_drops_in_training_only():
    encoder, inputs = load("bert_hf")
    model = encoder.to_keras(dropout=0.5, seed=3)
    calm, wild = (ops.convert_to_numpy(model(inputs, training=training)) for training in (False, True))
    assert np.abs(calm - wild).max() > 0.1
    again = ops.convert_to_numpy(encoder.to_keras(dropout=0.5, seed=3)(inputs, training=True))
    np.testing.assert_allclose(wild, again, atol=1e-6)
    told = json.loads((REFERENCE / "bert_hf" / "config.json").read_text())
    shares = told["hidden_dropout_prob"], told["attention_probs_dropout_prob"]
    assert encoder.to_keras().get_layer("layer_1").dropout == shares


@pytest.mark.parametrize(("name", "policy"), [("bert_hf", "mixed_float16"), ("xlnet_hf", "mixed_bfloat16")])
def test_mixed_precision(name, policy):
    """bfloat16 has 8 bits, float16 11: of states of length √32 a hundredth and a thousandth each."""
    encoder, inputs = load(name)
    inputs = [np.pad(array, ((0, 1), (0, 0))) for array in inputs]  # a row of nothing but padding stays finite
    model = encoder.to_keras(dtype=policy, dropout=0.1)
    states = ops.convert_to_numpy(ops.cast(model(inputs), "float32"))
    assert np.isfinite(states).all()
    there = inputs[1] == 1
    assert np.abs(states - encoder.hidden_states(*inputs)[-1])[there].mean() < (0.03 if "b" in policy[6:7] else 0.005)
    model.compile(keras.optimizers.SGD(1e-2), "mse", **EAGER)
    before = model.get_layer("layer_1").get_weights()
    history = model.fit(inputs, np.zeros_like(states), epochs=2, verbose=0).history["loss"]
    assert np.isfinite(history).all()
    assert any((a != b).any() for a, b in zip(before, model.get_layer("layer_1").get_weights()))


@pytest.mark.parametrize("name", ["bert_hf", "bert_google", "xlnet_google", "nezha_hf"])
def test_what_is_written_is_what_was_read(name, tmp_path):
    encoder, inputs = load(name)
    encoder.save_pretrained(tmp_path / "folder")
    again = ContextualEncoder.from_pretrained(tmp_path / "folder")
    assert again.config == encoder.config
    np.testing.assert_array_equal(again.hidden_states(*inputs), encoder.hidden_states(*inputs))
    if name == "bert_hf":
        texts = json.loads((REFERENCE / name / "texts.json").read_text("utf-8"))["texts"]
        assert again.tokenizer.pieces(texts) == encoder.tokenizer.pieces(texts)
        # every tensor of the file is there, heads as well
        _, _, before = read_checkpoint(REFERENCE / name)
        _, _, after = read_checkpoint(tmp_path / "folder")
        assert after.keys() == before.keys()
        assert all((after[key].load() == before[key].load()).all() for key in after)


def test_a_trained_model_is_written_and_read_again(tmp_path):
    encoder, inputs = load("bert_hf")
    base = encoder.to_keras(dropout=0.0)
    model = keras.Sequential([keras.layers.Dense(2)])
    whole = keras.Model(base.inputs, model(base.output))
    whole.compile(keras.optimizers.SGD(0.1), "mse", **EAGER)
    whole.fit(inputs, np.ones((*inputs[0].shape, 2)), epochs=3, verbose=0)
    trained = encoder.from_keras(whole)
    expected = ops.convert_to_numpy(base(inputs))
    there = inputs[1] == 1
    assert np.abs(trained.hidden_states(*inputs)[-1] - expected)[there].max() < 1e-5
    assert np.abs(encoder.hidden_states(*inputs)[-1] - expected)[there].max() > 1e-3
    encoder.save_pretrained(tmp_path / "folder", whole)
    again = ContextualEncoder.from_pretrained(tmp_path / "folder")
    np.testing.assert_array_equal(again.hidden_states(*inputs), trained.hidden_states(*inputs))
    again.save_pretrained(tmp_path / "folder")  # what was written before is replaced


def test_a_trained_head_goes_along(tmp_path):
    encoder, inputs = load("bert_hf")
    model = encoder.to_keras(head="masked_lm", dropout=0.0)
    model.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True), **EAGER)
    model.fit(inputs, inputs[0], verbose=0)
    assert np.abs(model.get_layer("head").get_weights()[0]).max() > 0  # its biases
    encoder.save_pretrained(tmp_path / "folder", model)
    again = ContextualEncoder.from_pretrained(tmp_path / "folder").to_keras(head="masked_lm")
    np.testing.assert_allclose(*(ops.convert_to_numpy(each(inputs)) for each in (model, again)), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"head": "lm"}, 'head must be "masked_lm" or None, received .lm.'),
        ({"outputs": "first"}, 'outputs must be "last" or "all", received .first.'),
        ({"layers": 4}, "layers must be a whole number from -4 to 3, received 4"),
        ({"layers": -1, "trainable": False}, "layers must be None with trainable=False, .* received -1"),
        ({"dropout": 1}, "dropout must be a number from 0 to below 1, received 1"),
        ({"dropout": True}, "dropout must be a number from 0 to below 1, received True"),
        ({"seed": -1}, "seed must be a whole number from 0 on, received -1"),
    ],
)
def test_wrong_arguments_of_to_keras(options, told):
    with pytest.raises(ValueError, match=told):
        load("bert_hf")[0].to_keras(**options)


def test_a_head_that_is_not_there():
    """A table that is narrower than the states needs its head."""
    encoder = ContextualEncoder.from_pretrained(REFERENCE / "electra_hf")
    held = encoder._checkpoint
    without = {name: tensor for name, tensor in held.tensors.items() if not name.startswith("generator_")}
    with pytest.raises(ValueError, match="has no head, and states of 32 numbers cannot meet a table of 16 without one"):
        encoder._with(dataclasses.replace(held, tensors=without)).to_keras(head="masked_lm")


def test_models_that_are_not_of_this_encoder(tmp_path):
    encoder, _ = load("bert_hf")
    with pytest.raises(TypeError, match="model must be a keras.Model that holds an encoder's layers, received 'x'"):
        encoder.from_keras("x")
    with pytest.raises(ValueError, match="its layer '.*' differs in .*model_type"):
        encoder.from_keras(load("xlnet_hf")[0].to_keras())
    with pytest.raises(
        ValueError, match="hold all layers of the encoder, embeddings, layer 1, layer 2, layer 3 missing"
    ):
        encoder.from_keras(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]))
    model = encoder.to_keras()
    twice = keras.Model(model.inputs, [model.output, encoder.to_keras()(model.inputs)])
    with pytest.raises(ValueError, match="the model must hold one encoder, it holds several"):
        encoder.from_keras(twice)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"this folder holds notes\.txt, which would be lost"):
        encoder.save_pretrained(tmp_path)

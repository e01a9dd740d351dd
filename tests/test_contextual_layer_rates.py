"""Each layer's own learning rate: the steps are those of AdamW with that rate; in `fit`, saved and loaded."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from w2v_embed.contextual import ContextualEncoder, LayerwiseAdamW

pytestmark = pytest.mark.keras

FOLDER = Path(__file__).parent / "data" / "reference" / "bert_hf"
# JAX compiles every operation of a model: there, what the other backends test as well is opt-in.
LESS_ON_JAX = pytest.mark.slow if keras.backend.backend() == "jax" else pytest.mark.keras
EAGER = {} if keras.backend.backend() == "jax" else {"run_eagerly": True}


@pytest.fixture(scope="module")
def model():
    """An encoder of three layers and a classifier."""
    base = ContextualEncoder.from_pretrained(FOLDER).to_keras(dropout=0.0)
    return keras.Model(base.inputs, keras.layers.Dense(2, name="classes")(base.output[:, 0]))


def named(model):
    return {variable.path: ops.convert_to_numpy(variable) for variable in model.trainable_variables}


@pytest.mark.parametrize(
    ("rates", "factors"),
    [
        (0.5, {"embeddings": 0.125, "layer_1": 0.25, "layer_2": 0.5}),
        ({"layer_2": 0.1, "classes": 3}, {"layer_2": 0.1, "classes": 3.0}),
    ],
)
def test_a_layer_takes_the_steps_of_its_rate(rates, factors):
    """The oracle: a plain AdamW for each factor, given the variables of its layers and the same gradients."""
    rng = np.random.default_rng(0)
    paths = [f"{layer}/{name}" for layer in ("embeddings", "layer_1", "layer_2", "layer_3", "classes") for name in "ab"]
    start = {path: rng.normal(size=(3, 2)).astype("float32") for path in paths}
    mine, plain = ({path: keras.Variable(start[path], name="x") for path in paths} for _ in range(2))
    for held in (mine, plain):
        for path, variable in held.items():
            variable._path = path  # as layers name them
    options = {"weight_decay": 0.1, "epsilon": 1e-8}
    optimizer = LayerwiseAdamW(0.01, rates, **options)
    groups = {}
    for path in paths:
        groups.setdefault(factors.get(path.split("/")[0], 1.0), []).append(path)
    assert len(groups) >= 3
    others = {factor: keras.optimizers.AdamW(0.01 * factor, **options) for factor in groups}
    for _ in range(3):
        gradients = {path: ops.convert_to_tensor(rng.normal(size=(3, 2)).astype("float32")) for path in paths}
        optimizer.apply([gradients[path] for path in paths], list(mine.values()))
        for factor, some in groups.items():
            others[factor].apply([gradients[path] for path in some], [plain[path] for path in some])
    for path in paths:
        made, expected = (ops.convert_to_numpy(held[path]) for held in (mine, plain))
        np.testing.assert_allclose(made, expected, atol=1e-6)
        assert np.abs(made - start[path]).max() > 1e-4


@LESS_ON_JAX
def test_layers_learn_by_their_factors(model, tmp_path):
    rates = {"embeddings": 0, "layer_1": 0, "layer_2": 0.01}
    optimizer = LayerwiseAdamW(keras.optimizers.schedules.PolynomialDecay(1e-2, 10), rates)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), **EAGER)
    before = named(model)
    ids = np.array([[2, 5, 6, 3], [2, 8, 6, 3]])
    model.fit([ids, np.ones_like(ids), np.zeros_like(ids)], np.array([0, 1]), verbose=0)
    largest = {}
    for path, values in named(model).items():
        layer = path.split("/")[0]
        largest[layer] = max(largest.get(layer, 0), np.abs(values - before[path]).max())
    assert largest["embeddings"] == largest["layer_1"] == 0
    assert 0 < largest["layer_2"] < 2e-4  # Adam's first step is the rate
    assert min(largest["layer_3"], largest["classes"]) > 5e-3
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras").optimizer
    assert isinstance(again, LayerwiseAdamW)
    assert again.rates == rates
    assert again.factors == optimizer.factors
    assert int(again.iterations) == 1


@pytest.mark.parametrize(
    ("rates", "told"),
    [
        (1.5, "rates must be a number from 0 to 1, or a mapping of names to factors, received 1.5"),
        (-0.1, "rates must be factors from 0 on, received -0.1 for 'each layer'"),
        ({"layer_1": "slow"}, "rates must be factors from 0 on, received 'slow' for 'layer_1'"),
        ({"layer_1": float("nan")}, "received nan for 'layer_1'"),
        (True, "received True"),
    ],
)
def test_rates_that_are_none(rates, told):
    with pytest.raises(ValueError, match=told):
        LayerwiseAdamW(1e-3, rates)


def test_names_that_no_layer_has():
    dense = keras.layers.Dense(1, name="alone")
    dense.build((None, 2))
    with pytest.raises(ValueError, match="must have layers of an encoder that train, .*; there are alone"):
        LayerwiseAdamW(1e-3, 0.9).build(dense.trainable_variables)
    with pytest.raises(ValueError, match="rates must name layers that train, 'layer_9' is none; there are alone"):
        LayerwiseAdamW(1e-3, {"alone": 1, "layer_9": 0.1}).build(dense.trainable_variables)

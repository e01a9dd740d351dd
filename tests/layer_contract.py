"""The contract every layer of the package keeps, as one function: `check_layer(case)`.

A layer is described by a `Case`. What the contract holds:

- the config names every constructor argument, is JSON, and rebuilds the layer with name, dtype policy and trainable;
- the shapes and dtypes a model is told are those the layer gives, with the sizes known and unknown;
- the masks that come out are the ones expected, in eager calls and in models;
- under TensorFlow it gives the same numbers in a graph that knows neither batch nor lengths;
- one step of `fit` runs, with a finite loss, and moves weights where there are any to train;
- under mixed_bfloat16 and mixed_float16 the weights stay float32 and the outputs are finite and close.

`check_saved(cases, tmp_path)` then saves a model around each layer and loads all of them in one new process that knows
only `import w2v_embed.layers`.
"""

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import keras
import numpy as np
from keras import ops

INHERITED = {"self", "kwargs"}


@dataclass
class Case:
    """One layer to check.

    `inputs` is an array with a batch, or a list of them. `wire(layer, inputs)` calls the layer, by default plainly.
    `masks` are the expected masks, one an output.
    """

    layer: type
    arguments: dict
    inputs: np.ndarray | list
    masks: list = field(default_factory=lambda: [None])
    wire: Callable = lambda layer, inputs: layer(inputs)
    tolerance: float = 0.05
    label: str = ""

    def __str__(self):
        return f"{self.layer.__name__}{'-' * bool(self.label)}{self.label}"

    def make(self, **kwargs):
        return self.layer(**self.arguments, **kwargs)

    def symbolic_inputs(self, known=False):
        """A `keras.Input` for each array; dimension 1 is known only if `known`."""
        return keras.tree.map_structure(
            lambda x: keras.Input((x.shape[1] if known else None, *x.shape[2:]), dtype=str(x.dtype)), self.inputs
        )


@keras.saving.register_keras_serializable(package="w2v_embed_tests")
class ShowMask(keras.layers.Layer):
    """The mask of its input as 0 and 1, or −1 where there is none."""

    supports_masking = True

    def call(self, inputs, mask=None):
        if mask is None:
            return -ops.ones_like(inputs[..., 0], dtype="float32")
        return ops.cast(mask, "float32")

    def compute_output_shape(self, input_shape):
        return input_shape[:-1]


class Distance(keras.layers.Layer):
    """One number for each row of the batch from outputs of any shape: their mean squared distance from 1."""

    def call(self, anchor, outputs):
        total = sum(ops.mean(ops.square(ops.cast(x, "float32") - 1.0)) for x in keras.tree.flatten(outputs))
        return total * ops.ones((ops.shape(anchor)[0], 1))

    def compute_output_shape(self, anchor_shape, outputs_shape):
        return (anchor_shape[0], 1)


def to_numpy(tensors):
    return [ops.convert_to_numpy(ops.cast(x, "float32")) for x in keras.tree.flatten(tensors)]


def check_layer(case):
    check_config(case)
    check_symbolic_equals_eager(case)
    check_masks(case)
    check_graph(case)
    check_fit(case)
    check_mixed_precision(case)


def check_config(case):
    layer = case.make(name="tested", dtype="mixed_bfloat16", trainable=False)
    config = layer.get_config()
    missing = set(inspect.signature(case.layer.__init__).parameters) - INHERITED - set(config)
    assert not missing, f"get_config leaves out {missing}"
    text = json.dumps(keras.saving.serialize_keras_object(layer))
    again = keras.saving.deserialize_keras_object(json.loads(text))
    assert type(again) is case.layer
    assert again.get_config() == config
    assert (again.name, again.dtype_policy.name, again.trainable) == ("tested", "mixed_bfloat16", False)
    assert "w2v_embed>" in keras.saving.get_registered_name(case.layer), "not registered"


def check_symbolic_equals_eager(case):
    layer = case.make()
    eager = keras.tree.flatten(case.wire(layer, keras.tree.map_structure(ops.convert_to_tensor, case.inputs)))
    for known in (True, False):
        told = keras.tree.flatten(case.wire(layer, case.symbolic_inputs(known)))
        assert len(told) == len(eager)
        for spec, tensor in zip(told, eager):
            assert len(spec.shape) == len(tensor.shape)
            assert all(a in (None, b) for a, b in zip(spec.shape, tensor.shape)), (spec.shape, tensor.shape)
            assert spec.dtype == keras.backend.standardize_dtype(tensor.dtype)
    assert all(spec.shape[-1] is not None for spec in told), "the last dimension is always known"


def check_masks(case):
    layer, show = case.make(), ShowMask()
    expected = [-1.0 if mask is None else np.asarray(mask, "float32") for mask in case.masks]
    eager = keras.tree.flatten(case.wire(layer, keras.tree.map_structure(ops.convert_to_tensor, case.inputs)))
    assert len(eager) == len(expected)
    for tensor, mask in zip(eager, expected):
        np.testing.assert_array_equal(*np.broadcast_arrays(*to_numpy(show(tensor)), mask))
    inputs = case.symbolic_inputs()
    told = [show(tensor) for tensor in keras.tree.flatten(case.wire(layer, inputs))]
    model = keras.Model(inputs, told)
    for shown, mask in zip(keras.tree.flatten(model(case.inputs)), expected):
        np.testing.assert_array_equal(*np.broadcast_arrays(*to_numpy(shown), mask))


def check_graph(case):
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    inputs = case.symbolic_inputs()
    model = keras.Model(inputs, case.wire(case.make(), inputs))
    signature = [keras.tree.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype), inputs)]
    for got, expected in zip(to_numpy(tf.function(model, signature)(case.inputs)), to_numpy(model(case.inputs))):
        np.testing.assert_allclose(got, expected, atol=1e-6)


def check_fit(case):
    layer, inputs = case.make(), case.symbolic_inputs()
    anchor = keras.tree.flatten(inputs)[0]
    model = keras.Model(inputs, Distance()(anchor, outputs=case.wire(layer, inputs)))
    before = [ops.convert_to_numpy(w).copy() for w in layer.trainable_weights]
    model.compile(keras.optimizers.SGD(1.0), loss=lambda _, y: ops.mean(y))
    rows = len(keras.tree.flatten(case.inputs)[0])
    history = model.fit(case.inputs, np.zeros((rows, 1)), batch_size=rows, epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    after = [ops.convert_to_numpy(w) for w in layer.trainable_weights]
    assert not before or any((a != b).any() for a, b in zip(before, after)), "nothing was trained"


def check_mixed_precision(case):
    exact = case.make()
    expected = to_numpy(case.wire(exact, case.inputs))
    for policy in ("mixed_bfloat16", "mixed_float16"):
        layer = case.make(dtype=policy)
        case.wire(layer, case.inputs)  # builds the weights
        layer.set_weights(exact.get_weights())
        assert all(w.dtype == "float32" for w in layer.weights)
        outputs = case.wire(layer, case.inputs)
        for tensor, values, reference in zip(keras.tree.flatten(outputs), to_numpy(outputs), expected):
            assert keras.backend.standardize_dtype(tensor.dtype) == layer.compute_dtype
            assert np.isfinite(values).all()
            np.testing.assert_allclose(values, reference, atol=case.tolerance)


def check_h5(case, wire, path):
    """A model around the layer comes back out of a `.h5` file: its reader makes functions of strings that name one."""
    inputs = case.symbolic_inputs()
    model = keras.Model(inputs, wire(case.make(), inputs))
    model.save(path)
    loaded = keras.saving.load_model(path)
    for got, expected in zip(to_numpy(loaded(case.inputs)), to_numpy(model(case.inputs))):
        np.testing.assert_allclose(got, expected, atol=1e-6)


_LOAD = """
import json, sys
import keras, numpy as np
from keras import ops
import w2v_embed.layers

for path in json.load(open(sys.argv[1])):
    model = keras.saving.load_model(path + ".keras")
    data = np.load(path + ".npz")
    inputs = [data[f"in_{i}"] for i in range(len(model.inputs))]
    outputs = keras.tree.flatten(model(inputs if len(inputs) > 1 else inputs[0]))
    for i, output in enumerate(outputs):
        # not to the bit: the order of a sum may differ from process to process
        np.testing.assert_allclose(ops.convert_to_numpy(output), data[f"out_{i}"], rtol=1e-5, atol=1e-6, err_msg=path)
"""


def check_saved(cases, tmp_path):
    """`.keras` files of all cases load in a new process after `import w2v_embed.layers` and give the same numbers."""
    paths = []
    for number, case in enumerate(cases):
        path = str(tmp_path / f"{number}-{case}")
        inputs = case.symbolic_inputs()
        model = keras.Model(inputs, case.wire(case.make(name="tested"), inputs))
        model.set_weights([np.random.default_rng(0).normal(size=w.shape) for w in model.get_weights()])
        outputs = keras.tree.flatten(model(case.inputs))
        arrays = {f"in_{i}": x for i, x in enumerate(keras.tree.flatten(case.inputs))}
        arrays |= {f"out_{i}": ops.convert_to_numpy(y) for i, y in enumerate(outputs)}
        np.savez(path + ".npz", **arrays)
        model.save(path + ".keras")
        paths.append(path)
    listing = tmp_path / "paths.json"
    listing.write_text(json.dumps(paths))
    environment = {**os.environ, "KERAS_BACKEND": keras.backend.backend()}
    result = subprocess.run(
        [sys.executable, "-c", _LOAD, str(listing)], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr

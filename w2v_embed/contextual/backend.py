"""The one place where the encoders ask which Keras backend runs: how a function is compiled, and for which shapes."""

import keras
from keras import ops


def compiled(function):
    """Return `function` of tensors (nested in dicts and tuples), compiled by the backend; it computes no gradients."""
    name = keras.backend.backend()
    if name == "jax":
        import jax

        return jax.jit(function)
    if name == "tensorflow":
        import tensorflow as tf

        # Shapes stay open: one trace serves all lengths and batch sizes.
        return tf.function(function, reduce_retracing=True)
    if name == "torch":
        import torch

        return torch.inference_mode()(function)
    raise ValueError(f"the encoders run on the Keras backends tensorflow, jax and torch, not on {name!r}.")


def compiles_each_shape():
    """Whether a new shape costs a compilation, so that batches had better come in few shapes."""
    return keras.backend.backend() == "jax"


def fuses_gelu():
    """Whether GELU is one pass over memory; TensorFlow makes five, which is a fifteenth of an encoder's time."""
    return keras.backend.backend() != "tensorflow"


def to_tensors(arrays):
    """Return a dict of float32 arrays as tensors of the backend."""
    return {name: ops.convert_to_tensor(array, "float32") for name, array in arrays.items()}

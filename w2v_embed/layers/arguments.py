"""The checks that several layers share. Each returns the value as the layer keeps it."""

import inspect
import operator

import numpy as np

from .table import read_table


def positive_int(name, value):
    """`value` as an `int`, or a ValueError that names the argument. NumPy integers are taken, bools are not."""
    try:
        number = 0 if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")
    return number


def one_of(name, value, legal):
    """`value` if it is one of `legal`, or a ValueError that lists them.

    Out of an `.h5` file Keras gives a layer the function of this name where it has one, say `keras.layers.add` for "add".
    """
    value = value.__name__ if inspect.isfunction(value) else value
    if value not in legal:
        raise ValueError(f"`{name}` must be one of {', '.join(map(repr, legal))}. Received: {name}={value!r}")
    return value


def pretrained_rows(weights):
    """The checked rows `(rows, dim)` of an `EmbeddingMatrix`, an array, or Keras' `[array]`."""
    if isinstance(weights, (list, tuple)) and len(weights) == 1 and np.ndim(weights[0]) == 2:
        weights = weights[0]
    return read_table(weights)


def shapes_of(inputs):
    """The shape of a tensor, or the list of shapes of a list of tensors: what Keras passes to `build`."""
    return [x.shape for x in inputs] if isinstance(inputs, (list, tuple)) else inputs.shape


def pair(name, shapes):
    """The two shapes of a layer that takes a list of two tensors, or a ValueError that says what the two are."""
    if len(shapes) != 2 or not all(hasattr(shape, "__len__") for shape in shapes):
        raise ValueError(f"The inputs must be {name}, a list of two tensors. Received: shape {tuple(shapes)}")
    return tuple(map(tuple, shapes))

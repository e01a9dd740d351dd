"""The checks that several layers share. Each returns the value as the layer keeps it."""

import operator

import numpy as np


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
    """`value` if it is one of `legal`, or a ValueError that lists them."""
    if value not in legal:
        raise ValueError(f"`{name}` must be one of {', '.join(map(repr, legal))}. Received: {name}={value!r}")
    return value


def pretrained_rows(weights):
    """A float copy `(rows, dim)` of pretrained rows: an array, Keras' `[array]`, or anything `np.asarray` takes.

    The copy is what keeps a layer from following later changes of the source (JAX shares memory with NumPy).
    """
    if isinstance(weights, (list, tuple)) and len(weights) == 1:
        weights = weights[0]
    rows = np.array(weights)
    if rows.ndim != 2 or rows.dtype.kind not in "fiu":
        raise ValueError(
            f"`weights` must be a matrix of numbers, one row an embedding. Received: shape {rows.shape}, {rows.dtype}"
        )
    broken = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if broken.size:
        raise ValueError(
            f"`weights` must be finite. Received: {broken.size} of {len(rows)} rows with NaN or infinity, "
            f"the first is row {broken[0]}"
        )
    return rows


def shapes_of(inputs):
    """The shape of a tensor, or the list of shapes of a list of tensors: what Keras passes to `build`."""
    return [x.shape for x in inputs] if isinstance(inputs, (list, tuple)) else inputs.shape


def pair(name, shapes):
    """The two shapes of a layer that takes a list of two tensors, or a ValueError that says what the two are."""
    if len(shapes) != 2 or not all(hasattr(shape, "__len__") for shape in shapes):
        raise ValueError(f"The inputs must be {name}, a list of two tensors. Received: shape {tuple(shapes)}")
    return tuple(map(tuple, shapes))

"""Reading rows of a table by id: where the backends differ."""

import keras


def take_rows(variable, ids, sparse=True):
    """The rows `ids` of a `keras.Variable`: ids `(...)` → `(..., dim)`.

    torch gives sparse gradients while a `RowSparseAdam` trains the variable, unless `sparse` is False.
    """
    torch_backend = keras.backend.backend() == "torch"
    if sparse and torch_backend and getattr(variable, "row_sparse_for", lambda: None)() is not None:
        import torch

        return torch.nn.functional.embedding(ids, variable.value, sparse=True)
    return keras.ops.take(variable, ids, axis=0)


def dense(ids):
    """Ids as a dense tensor: what sparse ids leave out is id 0, as in Keras' own layer."""
    if isinstance(ids, keras.KerasTensor) and not ids.sparse:
        return ids  # no operation of its own in the model
    return keras.ops.convert_to_tensor(ids, sparse=False)


def check_range(ids, rows, layer_name):
    """`ids`, after a check that raises if one of them is not in `0 … rows - 1`, also inside compiled functions."""
    backend = keras.backend.backend()
    message = f"Layer {layer_name!r} has rows 0 to {rows - 1}. Received ids from %s to %s."
    if backend == "tensorflow":
        import tensorflow as tf

        low, high = tf.reduce_min(ids), tf.reduce_max(ids)
        if tf.executing_eagerly():
            _refuse_outside(low, high, rows, message)
            return ids
        start, middle, end = message.split("%s")
        inside = tf.logical_and(low >= 0, high < rows)
        with tf.control_dependencies([tf.debugging.Assert(inside, [start, low, middle, high, end])]):
            return tf.identity(ids)
    if backend == "jax":
        import jax

        def checked(ids):
            _refuse_outside(ids.min(), ids.max(), rows, message)
            return ids

        if not isinstance(ids, jax.core.Tracer):
            return checked(ids)
        # Only a call back to Python can raise out of compiled code, and one whose result is used is never left out.
        return jax.pure_callback(checked, jax.ShapeDtypeStruct(ids.shape, ids.dtype), ids)
    if ids.device.type != "meta":
        _refuse_outside(ids.min(), ids.max(), rows, message)
    return ids


def _refuse_outside(low, high, rows, message):
    low, high = int(low), int(high)
    if low < 0 or high >= rows:
        raise ValueError(message % (low, high))

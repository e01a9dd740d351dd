"""Adam that touches only the rows of a table that a batch has used."""

import weakref

import keras
from keras import ops

from .table import end_copy_on_read

# Rows that JAX updates together.
_BLOCK_ROWS = 1024


@keras.saving.register_keras_serializable(package="w2v_embed")
class RowSparseAdam(keras.optimizers.Adam):
    """Adam for a model with a large trainable table.

    Keras' Adam reads and writes every row of a table in every step, and the moments of a word go on pushing it long
    after it was seen. Here a row of a `PretrainedEmbedding` and its moments change only in the steps that use the row
    (the meaning of TensorFlow Addons' LazyAdam), by Adam's formula; every other variable is trained by Adam as ever.

    - TensorFlow and torch: the gradient of the table holds the rows of the batch, and only these are read and
      written, so the cost of a step does not grow with the table. Built for one table used once in a model; where a
      regularizer or a second use makes the gradient dense, TensorFlow falls back to Adam.
    - JAX has no sparse gradients: a dense one is made and read, and that costs most of a step of Adam. Only the rows
      where it is not zero are updated. With a large table train only the OOV rows there:
      `PretrainedEmbedding(…, train_rows="oov")`.

    Args:
        learning_rate: float, or a schedule.
        beta_1: decay of the first moment.
        beta_2: decay of the second moment.
        epsilon: as in Adam.
        **kwargs: the other arguments of `keras.optimizers.Adam`, without those that change rows which the
            batch has not used: `weight_decay`, `use_ema`, `gradient_accumulation_steps`, `amsgrad`.

    Raises:
        ValueError: one of those was given.

    Example:

    >>> optimizer = RowSparseAdam(1e-3, clipnorm=1.0)

    Reference: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015.
    """

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, **kwargs):
        for dense in ("weight_decay", "use_ema", "gradient_accumulation_steps", "amsgrad"):
            if kwargs.get(dense):
                raise ValueError(
                    f"RowSparseAdam does not take {dense}, which changes rows that a batch has not used. "
                    f"Received: {dense}={kwargs[dense]!r}"
                )
        super().__init__(learning_rate, beta_1, beta_2, epsilon, **kwargs)

    def build(self, variables):
        super().build(variables)
        for variable in variables:
            if getattr(variable, "holds_vectors", False):
                # The lookup on torch reads this. It ends with the optimizer: not all of Keras' take sparse gradients.
                variable.row_sparse_for = weakref.ref(self)

    def _clip_gradients(self, grads):
        # Once duplicates are summed, clipping the values alone is exact: absent rows add nothing to a norm.
        grads = [_summed(gradient) for gradient in grads]
        clipped = super()._clip_gradients([_values(gradient) for gradient in grads])
        return [_with_values(gradient, values) for gradient, values in zip(grads, clipped)]

    def update_step(self, gradient, variable, learning_rate):
        if _is_sparse(gradient):
            self._update_rows(gradient, variable, learning_rate)
        elif not getattr(variable, "holds_vectors", False):
            super().update_step(gradient, variable, learning_rate)
        elif keras.backend.backend() == "jax" and keras.distribution.distribution() is None:
            self._update_seen_rows(gradient, variable, learning_rate)
        else:
            self._update_dense(gradient, variable, learning_rate)

    def _update_rows(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        m, v = self._momentums[index].value, self._velocities[index].value
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            rows, g = gradient.indices, tf.cast(gradient.values, variable.dtype)
            m_rows, v_rows, change = self._adam(g, tf.gather(m, rows), tf.gather(v, rows), learning_rate)
            m.scatter_update(tf.IndexedSlices(m_rows, rows))
            v.scatter_update(tf.IndexedSlices(v_rows, rows))
            variable.scatter_sub(tf.IndexedSlices(change, rows))
            end_copy_on_read(m, v, variable)
        else:
            rows, g = gradient.indices()[0], gradient.values()
            m[rows], v[rows], change = self._adam(g, m[rows], v[rows], learning_rate)
            variable.value.index_add_(0, rows, change, alpha=-1)

    def _update_seen_rows(self, gradient, variable, learning_rate):
        """JAX: the gradient is dense, but it is read once, and the table and its moments only where it is not zero."""
        import jax
        from jax import numpy as jnp

        # The largest value and not any(): that one writes a table of bools first.
        seen = jnp.max(jnp.abs(gradient), axis=-1) != 0
        blocks = -(-len(seen) // _BLOCK_ROWS)
        # Behind the rows that were seen stands a number that is no row: it reads zeros, and is never written.
        rows = jnp.nonzero(seen, size=blocks * _BLOCK_ROWS, fill_value=len(seen))[0]

        def update(block, values):
            w, m, v = values
            at = jax.lax.dynamic_slice_in_dim(rows, block * _BLOCK_ROWS, _BLOCK_ROWS)
            g, m_rows, v_rows = (x.at[at].get(mode="fill", fill_value=0) for x in (gradient, m, v))
            m_rows, v_rows, change = self._adam(g, m_rows, v_rows, learning_rate)
            w, m, v = (
                w.at[at].add(-change, mode="drop"),
                m.at[at].set(m_rows, mode="drop"),
                v.at[at].set(v_rows, mode="drop"),
            )
            return w, m, v

        index = self._get_variable_index(variable)
        variables = variable, self._momentums[index], self._velocities[index]
        used = -(-jnp.count_nonzero(seen) // _BLOCK_ROWS)
        values = jax.lax.fori_loop(0, used, update, tuple(each.value for each in variables))
        for each, value in zip(variables, values):
            self.assign(each, value)

    def _update_dense(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        m, v = self._momentums[index].value, self._velocities[index].value
        seen = ops.any(ops.not_equal(gradient, 0), axis=-1, keepdims=True)
        m_new, v_new, change = self._adam(gradient, m, v, learning_rate)
        self.assign(self._momentums[index], ops.where(seen, m_new, m))
        self.assign(self._velocities[index], ops.where(seen, v_new, v))
        self.assign_sub(variable, ops.where(seen, change, ops.zeros_like(change)))

    def _adam(self, g, m, v, learning_rate):
        """The new moments and what is to be taken from the variable, from Adam's formula."""
        t = ops.cast(self.iterations + 1, m.dtype)
        correction = ops.sqrt(1 - ops.power(self.beta_2, t)) / (1 - ops.power(self.beta_1, t))
        m = m + (g - m) * (1 - self.beta_1)
        v = v + (ops.square(g) - v) * (1 - self.beta_2)
        return m, v, m * (ops.cast(learning_rate, m.dtype) * correction) / (ops.sqrt(v) + self.epsilon)


def _is_sparse(gradient):
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return isinstance(gradient, tf.IndexedSlices)
    return backend == "torch" and gradient.is_sparse


def _summed(gradient):
    """The same gradient with each row once, where it is sparse."""
    if not _is_sparse(gradient):
        return gradient
    if keras.backend.backend() == "torch":
        return gradient.coalesce()
    import tensorflow as tf

    rows, place = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, place, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


def _values(gradient):
    if not _is_sparse(gradient):
        return gradient
    return gradient.values() if keras.backend.backend() == "torch" else gradient.values


def _with_values(gradient, values):
    if not _is_sparse(gradient):
        return values
    if keras.backend.backend() == "torch":
        import torch

        return torch.sparse_coo_tensor(
            gradient.indices(), values, gradient.shape, check_invariants=False, is_coalesced=True
        )
    import tensorflow as tf

    return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)

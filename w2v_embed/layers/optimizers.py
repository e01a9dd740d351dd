"""Adam that touches only the rows of a table that a batch has used."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

import keras
from keras import ops

from .backend import backend

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from .backend import Gradient, Tensor, Variable


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

    def __init__(
        self,
        learning_rate: float | Callable[..., Any] = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **kwargs: Any,
    ) -> None:
        for dense in ("weight_decay", "use_ema", "gradient_accumulation_steps", "amsgrad"):
            if kwargs.get(dense):
                raise ValueError(
                    f"{dense} must be left out of RowSparseAdam, for it changes rows that a batch has not used, received "
                    f"{kwargs[dense]!r}"
                )
        super().__init__(learning_rate, beta_1, beta_2, epsilon, **kwargs)

    def build(self, variables: Sequence[Variable]) -> None:
        super().build(variables)
        for variable in variables:
            if getattr(variable, "holds_vectors", False):
                # The lookup on torch reads this. It ends with the optimizer: not all of Keras' take sparse gradients.
                variable.row_sparse_for = weakref.ref(self)

    def _clip_gradients(self, grads: Sequence[Gradient]) -> list[Gradient]:
        # Once duplicates are summed, clipping the values alone is exact: absent rows add nothing to a norm.
        parts = [backend.split(gradient) for gradient in grads]
        clipped = super()._clip_gradients([values for _, values in parts])
        return [backend.joined(*each) for each in zip(grads, (rows for rows, _ in parts), clipped)]

    def update_step(self, gradient: Gradient, variable: Variable, learning_rate: Tensor) -> None:
        if not (backend.is_sparse(gradient) or getattr(variable, "holds_vectors", False)):
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        m, v = self._momentums[index], self._velocities[index]

        def adam(g: Tensor, m: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            return self._adam(g, m, v, learning_rate)

        if backend.update_rows(gradient, variable, m, v, adam):
            return
        seen = ops.any(ops.not_equal(gradient, 0), axis=-1, keepdims=True)
        m_new, v_new, change = adam(gradient, m.value, v.value)
        self.assign(m, ops.where(seen, m_new, m.value))
        self.assign(v, ops.where(seen, v_new, v.value))
        self.assign_sub(variable, ops.where(seen, change, ops.zeros_like(change)))

    def _adam(self, g: Tensor, m: Tensor, v: Tensor, learning_rate: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The new moments and what is to be taken from the variable, from Adam's formula."""
        t = ops.cast(self.iterations + 1, m.dtype)
        correction = ops.sqrt(1 - ops.power(self.beta_2, t)) / (1 - ops.power(self.beta_1, t))
        m = m + (g - m) * (1 - self.beta_1)
        v = v + (ops.square(g) - v) * (1 - self.beta_2)
        return m, v, m * (ops.cast(learning_rate, m.dtype) * correction) / (ops.sqrt(v) + self.epsilon)

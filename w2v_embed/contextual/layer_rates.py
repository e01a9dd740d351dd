"""AdamW in which each layer has a learning rate of its own: what lies near the words is to change less than what lies near the
task.

Reference: Howard & Ruder 2018, Universal Language Model Fine-tuning for Text Classification, https://arxiv.org/abs/1801.06146.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..shown import quoted
from .backend import keras, ops

if TYPE_CHECKING:
    from .backend import Tensor

_LAYER = re.compile(r"layer_(\d+)")


@keras.saving.register_keras_serializable(package="w2v_embed")
class LayerwiseAdamW(keras.optimizers.AdamW):
    """AdamW whose learning rate, and with it the decay of weights, is multiplied by a factor for each layer.

    Args:
        learning_rate: a float, or a schedule.
        rates: a number from 0 to 1: the last layer that trains has the whole rate, each below it that share of the one
            above, and the embeddings that of the first; or a mapping of layers' names ("embeddings", "layer_1", …) to factors.
            Layers that are not named have the whole rate: the classifier, the head.
        **kwargs: those of `keras.optimizers.AdamW`.

    Raises:
        ValueError: if a factor is none, or, when it is built, a layer's name is none of the model's.

    >>> from w2v_embed.contextual import ContextualEncoder, LayerwiseAdamW
    >>> model = ContextualEncoder.from_pretrained("tests/data/reference/bert_hf").to_keras()
    >>> optimizer = LayerwiseAdamW(3e-5, 0.5, epsilon=1e-8)
    >>> optimizer.build(model.trainable_variables)
    >>> optimizer.factors["layer_2"], optimizer.factors["embeddings"]
    (0.5, 0.125)
    """

    def __init__(self, learning_rate: Any = 3e-5, rates: float | Mapping[str, float] = 0.9, **kwargs: Any) -> None:
        given = rates if isinstance(rates, Mapping) else {"each layer": rates}
        for name, rate in given.items():
            if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1e6:
                raise ValueError(f"rates must be factors from 0 on, received {quoted(rate)} for {quoted(name)}.")
        if not isinstance(rates, Mapping) and rates > 1:
            raise ValueError(f"rates must be a number from 0 to 1, or a mapping of names to factors, received {rates}.")
        super().__init__(learning_rate, **kwargs)
        self.rates: float | dict[str, float] = dict(rates) if isinstance(rates, Mapping) else rates
        self.factors: dict[str, float] = {}
        self._of_variables: list[float] = []

    def build(self, variables: Sequence[Any]) -> None:
        """Learn which layer each variable is of."""
        super().build(variables)
        owners = [variable.path.split("/")[:-1] for variable in variables]
        self.factors = self._factors({name for path in owners for name in path})
        # In a model within a model, the innermost name that is known counts.
        self._of_variables = [
            next((self.factors[name] for name in reversed(path) if name in self.factors), 1.0) for path in owners
        ]

    def _factors(self, names):
        if isinstance(self.rates, dict):
            unknown = sorted(self.rates.keys() - names)
            if unknown:
                raise ValueError(
                    f"rates must name layers that train, {quoted(unknown[0])} is none; there are {', '.join(sorted(names))}."
                )
            return dict(self.rates)
        numbers = {name: int(match[1]) for name in names if (match := _LAYER.fullmatch(name))}
        if "embeddings" in names:
            numbers["embeddings"] = 0
        if not numbers:
            raise ValueError(
                "the model must have layers of an encoder that train, made by to_keras, where rates is a number; "
                f"there are {', '.join(sorted(names)) or 'none'}."
            )
        last = max(numbers.values())
        return {name: float(self.rates ** (last - number)) for name, number in numbers.items()}

    def update_step(self, gradient: Tensor, variable: Any, learning_rate: Tensor) -> None:
        factor = self._of_variables[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * factor)

    def _apply_weight_decay(self, variables):
        if self.weight_decay is None:
            return
        for variable in variables:
            if self._use_weight_decay(variable):
                share = self.weight_decay * self._of_variables[self._get_variable_index(variable)]
                rate = ops.cast(self.learning_rate * share, variable.dtype)
                variable.assign(variable - variable * rate)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rates": self.rates}

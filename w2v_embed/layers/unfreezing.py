"""Gradual unfreezing during `fit`, and a warning about decay that would undo pretraining."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any, get_args

import keras

from .._types import TrainRows
from ..checks import one_of, whole
from .backend import backend
from .pretrained import PretrainedEmbedding, pretrained_layers

if TYPE_CHECKING:
    from .arguments import Config

_log = logging.getLogger(__name__)


@keras.saving.register_keras_serializable(package="w2v_embed")
class UnfreezeEmbedding(keras.callbacks.Callback):
    """Start to train a `PretrainedEmbedding` at a given epoch of `fit`, without compiling by hand.

    The optimizer is made anew for the changed set of variables, with the state of those that it had: their moments,
    the step count and the learning rate go on. Several of these callbacks unfreeze step by step, for example
    first the OOV rows and later all of them.

    Args:
        epoch: the epoch, counted from 0 as `fit` does, before which the layer becomes trainable.
        train_rows: "all" or "oov", as in `PretrainedEmbedding`.
        layer: name of the layer. None means every `PretrainedEmbedding` of the model.
        learning_rate: the learning rate from then on. None leaves it.

    Raises:
        ValueError: an argument is wrong, or, when training begins, the model has no such layer.

    Example:

    >>> callbacks = [UnfreezeEmbedding(2, "oov"), UnfreezeEmbedding(5, "all", learning_rate=1e-4)]

    Reference: Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification", 2018.
    """

    def __init__(
        self,
        epoch: int,
        train_rows: TrainRows = "all",
        layer: str | None = None,
        learning_rate: float | None = None,
    ) -> None:
        super().__init__()
        one_of("train_rows", train_rows, get_args(TrainRows))
        self.epoch: int = whole("epoch", epoch, 0)
        self.train_rows: TrainRows = train_rows
        self.layer: str | None = layer
        self.learning_rate: float | None = learning_rate

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._done = False
        self._layers()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._done or epoch < self.epoch:
            return
        self._done = True
        changed = False
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".* was changed after a training step")
            for layer in self._layers():
                changed = changed or not layer.trainable or layer.train_rows != self.train_rows
                layer.train_rows = self.train_rows
                layer.trainable = True
        if changed:
            _renew_optimizer(self.model)
            warn_about_decay(self.model)
        if self.learning_rate is not None:
            self.model.optimizer.learning_rate = self.learning_rate
        _log.info("Epoch %d: training %s rows of the embedding.", epoch, self.train_rows)

    def get_config(self) -> Config:
        return {name: getattr(self, name) for name in ("epoch", "train_rows", "layer", "learning_rate")}

    @classmethod
    def from_config(cls, config: Config) -> UnfreezeEmbedding:
        return cls(**config)

    def _layers(self) -> list[PretrainedEmbedding]:
        layers = [layer for layer in pretrained_layers(self.model) if self.layer is None or layer.name == self.layer]
        if not layers:
            raise ValueError(
                f"layer must be the name of a PretrainedEmbedding of the model {self.model.name!r}, or None where it has "
                f"one, received {self.layer!r}"
            )
        return layers


def warn_about_decay(model: keras.Model) -> list[str]:
    """Warn if the optimizer of a compiled model has a weight decay that moves rows which no batch has used.

    A weight decay (as in AdamW) shrinks all rows of a trainable table in every step: words that the training data never
    show leave the place that pretraining gave them, and no longer fit the others. Regularizers do
    the same, and `PretrainedEmbedding` warns of its own.

    Args:
        model: a compiled `keras.Model`.

    Returns:
        The names of the layers that are concerned.

    Example:

    >>> import keras, numpy as np
    >>> layer = PretrainedEmbedding(np.eye(3), trainable=True, name="words")
    >>> model = keras.Sequential([keras.Input((2,)), layer])
    >>> optimizer = keras.optimizers.AdamW()
    >>> optimizer.exclude_from_weight_decay(var_names=["embeddings"])
    >>> model.compile(optimizer, "mse")
    >>> warn_about_decay(model)
    []
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    concerned = [
        layer
        for layer in pretrained_layers(model)
        if layer.trainable
        and layer.train_rows == "all"
        and optimizer.weight_decay
        and optimizer._use_weight_decay(layer.embeddings)
    ]
    for layer in concerned:
        warnings.warn(
            f"weight_decay={optimizer.weight_decay} shrinks every row of layer {layer.name!r} in every step, also "
            "those of words never seen in training: they leave the place that pretraining gave them. Call "
            "optimizer.exclude_from_weight_decay(var_names=['embeddings']) before training.",
            stacklevel=2,
        )
    return [layer.name for layer in concerned]


def _renew_optimizer(model: keras.Model) -> None:
    """Give the model an optimizer for the variables it trains now, which goes on where the old one was."""
    old = model.optimizer
    with backend.scope_of(model):
        new = type(old).from_config(old.get_config())
        for before, after in (
            (old, new),
            (getattr(old, "inner_optimizer", None), getattr(new, "inner_optimizer", None)),
        ):
            # What exclude_from_weight_decay() was told is not in the configuration.
            for name in ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern"):
                if hasattr(before, name):
                    setattr(after, name, getattr(before, name))
        new.build(model.trainable_variables)
        state = {variable.path: variable for variable in old.variables}
        for variable in new.variables:
            if variable.path in state and variable.shape == state[variable.path].shape:
                # A copy: JAX gives the buffers of an optimizer away in every step, and the old one may still be used.
                variable.assign(keras.ops.copy(state[variable.path].value))
    model.optimizer = new
    model.make_train_function(force=True)

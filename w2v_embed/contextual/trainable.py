"""A trained encoder as layers of Keras that train: one for its embeddings, one for each of its layers, one for its head.

Each tensor of a checkpoint is a variable of its own, unscaled, as other libraries train it, so that an optimizer takes the same
steps here and there. What is computed of them is what the family says, as it is when an encoder only encodes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .backend import keras, ops
from .families import FAMILIES, EncoderConfig, Family, Weight
from .families.blocks import dense, in_dtype, norm
from .families.weights import assembled, rows_of, working_shape

if TYPE_CHECKING:
    from .backend import Tensor

_ONES = ("gamma", "gamma1", "gamma2")


class _Part(keras.layers.Layer):
    """Some rows of a family's table as variables.

    Args:
        family: its name.
        settings: of the encoder, as a dict.
        dropout: the shares of states and of attention that are dropped in training.
        seed: of what is dropped.
    """

    def __init__(
        self,
        family: str,
        settings: Mapping[str, Any],
        *,
        dropout: Sequence[float] = (0.0, 0.0),
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.family, self.settings, self.dropout, self.seed = family, dict(settings), tuple(dropout), seed
        self._kind: Family = FAMILIES[family]
        self._config: EncoderConfig = self._kind.config(**self.settings)
        self._rows = self._own_rows()
        self._seeds = keras.random.SeedGenerator(seed)
        self._held = [self._made(row) for row in self._rows]
        self.built = True

    def _own_rows(self) -> list[Weight]:
        raise NotImplementedError

    def _made(self, row):
        shape = working_shape(row, self._config)
        initializer = "ones" if row.role in _ONES else "zeros" if len(shape) == 1 else _normal(self.seed)
        name = row.huggingface.rpartition("{i}.")[2].lstrip("/").replace(".", "_")
        return self.add_weight(shape=shape, initializer=initializer, name=name)

    def stored(self) -> list[tuple[Weight, Any]]:
        """Each row of the family's table with its array."""
        return [(row, ops.convert_to_numpy(variable)) for row, variable in zip(self._rows, self._held)]

    def store(self, arrays: Sequence[Any]) -> None:
        """Fill the variables; None leaves one."""
        for variable, array in zip(self._held, arrays):
            if array is not None:
                variable.assign(array)

    def _roles(self):
        tensors = [ops.convert_to_tensor(variable) for variable in self._held]
        return assembled(self._config, zip(self._rows, tensors), ops.concatenate)

    def _dropping(self, training):
        """The settings for a call: while it trains, `drop` drops."""
        config = copy.copy(self._config)
        if training and any(self.dropout):
            shares = dict(zip(("hidden", "attention"), self.dropout))

            def drop(x: Tensor, of: str) -> Tensor:
                return keras.random.dropout(x, shares[of], seed=self._seeds) if shares[of] else x

            object.__setattr__(config, "drop", drop)  # it is frozen for all others
        return config

    def get_config(self) -> dict[str, Any]:
        own = {"family": self.family, "settings": self.settings, "dropout": list(self.dropout), "seed": self.seed}
        return {**super().get_config(), **own}


def _normal(seed):
    return keras.initializers.TruncatedNormal(stddev=0.02, seed=seed)


@keras.saving.register_keras_serializable(package="w2v_embed")
class EncoderEmbeddings(_Part):
    """The embeddings of an encoder: ids and segments `(B, T)` → states `(B, T, H)`. Made by `ContextualEncoder.to_keras`.

    Masking: none is taken or made; the mask is an input of the layers.

    Args:
        family: its name.
        settings: of the encoder, as a dict.
        exposed: roles of weights that it returns besides, in a list behind the states: the table for a tied head, say.
        **kwargs: dropout, seed, and those of `keras.layers.Layer`.
    """

    def __init__(self, family: str, settings: Mapping[str, Any], *, exposed: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(family, settings, **kwargs)
        self.exposed = tuple(exposed)

    def _own_rows(self):
        return rows_of(self._kind, self._config, False)

    def call(self, input_ids: Tensor, token_type_ids: Tensor, training: bool = False) -> Any:
        w = self._roles()
        x = self._kind.embed(self._dropping(training), w, input_ids, token_type_ids)
        return [x, *(w[role] for role in self.exposed)] if self.exposed else x

    def compute_output_spec(self, input_ids: Any, token_type_ids: Any, training: bool = False) -> Any:
        x = keras.KerasTensor((*input_ids.shape, self._config.hidden_size), self.compute_dtype)
        rows = {row.role: row for row in self._rows}
        shapes = [working_shape(rows[role], self._config) for role in self.exposed]
        return [x, *(keras.KerasTensor(shape, self.compute_dtype) for shape in shapes)] if shapes else x

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "exposed": list(self.exposed)}


@keras.saving.register_keras_serializable(package="w2v_embed")
class EncoderLayer(_Part):
    """A layer of an encoder: states `(B, T, H)`, mask and segments `(B, T)` → states. Made by `ContextualEncoder.to_keras`.

    Masking: by its argument `attention_mask`, 0 at padding.

    Args:
        family: its name.
        settings: of the encoder, as a dict.
        group: which weights it has: a number, the same for layers that share theirs.
        **kwargs: dropout, seed, and those of `keras.layers.Layer`.
    """

    def __init__(self, family: str, settings: Mapping[str, Any], *, group: int = 0, **kwargs: Any) -> None:
        super().__init__(family, settings, **kwargs)
        self.group = group

    def _own_rows(self):
        return rows_of(self._kind, self._config, True)

    def call(
        self,
        x: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor,
        shared: Sequence[Tensor] = (),
        training: bool = False,
    ) -> Tensor:
        config = self._dropping(training)
        context = in_dtype(self._kind.context(config, attention_mask, token_type_ids, 0), self.compute_dtype)
        w = {**self._roles(), **dict(zip(self._kind.shared, shared))}
        return self._kind.layer(config, w, x, context)

    def compute_output_spec(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        return keras.KerasTensor(x.shape, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "group": self.group}


@keras.saving.register_keras_serializable(package="w2v_embed")
class TiedHead(_Part):
    """The head that guesses words: states `(B, T, H)` and the table of words `(V, E)` → logits `(B, T, V)`, in float32.

    Made by `ContextualEncoder.to_keras(head="masked_lm")`. It trains the table of the embeddings.

    Masking: none is taken or made.

    Args:
        family: its name.
        settings: of the encoder, as a dict.
        transform: whether states are transformed before they meet the table, as the family's head does.
        **kwargs: those of `keras.layers.Layer`.
    """

    def __init__(self, family: str, settings: Mapping[str, Any], *, transform: bool = True, **kwargs: Any) -> None:
        self.transform = transform
        super().__init__(family, settings, **kwargs)

    def _own_rows(self):
        return [row for row in self._kind.head if self.transform or row.role == "bias"]

    def call(self, x: Tensor, table: Tensor) -> Tensor:
        w, config = self._roles(), self._config
        if "dense" in w:
            x = dense(x, w["dense"], w["dense_bias"], self._kind.head_act or config.hidden_act)
        if "gamma" in w:
            x = norm(x, w["gamma"], w["beta"], config.layer_norm_eps)
        return ops.cast(dense(x, ops.transpose(table)), "float32") + ops.cast(w["bias"], "float32")

    def compute_output_spec(self, x: Any, table: Any) -> Any:
        return keras.KerasTensor((*x.shape[:-1], table.shape[0]), "float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "transform": self.transform}


def settings_of(config: EncoderConfig) -> dict[str, Any]:
    """A configuration as the layers take it."""
    return asdict(config)

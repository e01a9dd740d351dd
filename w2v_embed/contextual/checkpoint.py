"""What an encoder was loaded from: settings and tensors by name, which are read again when somebody wants them as they are
stored.

A model that computes has them scaled, side by side and in the backend's memory; to train, to write them, to give them a new
vocabulary, they are wanted one by one. What changes is laid over the others, so that nothing is held twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .checkpoints.stored import StoredTensor
from .families import FAMILIES, EncoderConfig, Family
from .families.weights import WeightReader, as_stored, rows_of, sizes_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._types import StrPath
    from .families import Weight

_WORDS = "words"


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of an encoder and what else was stored with them.

    Args:
        config: its sizes.
        settings: all that its configuration says.
        layout: "google" or "huggingface", of the names.
        file: where the tensors come from, for messages.
        tensors: by name.
    """

    config: EncoderConfig
    settings: Mapping[str, Any]
    layout: str
    file: StrPath
    tensors: Mapping[str, StoredTensor]

    @property
    def family(self) -> Family:
        return FAMILIES[self.config.model_type]

    @cached_property
    def _reader(self) -> WeightReader:
        return WeightReader(self.family, self.config, self.layout, self.file, self.tensors)

    def weights(self, group: int | None) -> list[npt.NDArray[np.float32]]:
        """The weights of a group of layers, None: of the embeddings, in the order and shape of the family's table."""
        return [self._reader(row, group) for row in rows_of(self.family, self.config, group is not None)]

    def head(self) -> dict[str, npt.NDArray[np.float32]]:
        """The weights by role of the head that guesses words; empty if the checkpoint has none."""
        return {row.role: self._reader(row, None) for row in self.family.head if self._reader.name_of(row)}

    def beside(self, role: str) -> npt.NDArray[np.float32]:
        """A weight of what a checkpoint may have beside the encoder; where it is missing, the error names it."""
        return self._reader(next(row for row in self.family.beside if row.role == role), None)

    def words(self) -> npt.NDArray[np.float32]:
        """The table of words `(V, E)`."""
        return self._reader(self._words_row, None)

    @property
    def _words_row(self):
        return next(row for row in self.family.weights(self.config) if row.role == _WORDS)

    def in_huggingface_names(self) -> Checkpoint:
        """The same as Hugging Face's files call it, and with a configuration in its words; values are read later."""
        settings = {**self.settings, **self.family.settings(self.config), "dtype": "float32"}
        settings.pop("torch_dtype", None)
        if self.layout == "huggingface":
            renamed = {_today(name): tensor for name, tensor in self.tensors.items()}
            return replace(self, settings=settings, tensors=renamed)
        tensors = {}
        rows: list[tuple[Weight, int | None]] = [(row, None) for row in rows_of(self.family, self.config, False)]
        of_layers = rows_of(self.family, self.config, True)
        rows += [(row, number) for number in range(self.family.groups(self.config)) for row in of_layers]
        rows += [(row, None) for row in (*self.family.head, *self.family.beside) if self._reader.name_of(row)]
        for row, group in rows:
            shape = sizes_of(row, self.config)
            shape = shape[::-1] if row.transposed == "huggingface" else shape
            tensors[_full_name(self.family, row, group)] = StoredTensor(shape, partial(self._converted, row, group))
        return replace(self, settings=settings, layout="huggingface", tensors=tensors)

    def _converted(self, row, group):
        return as_stored(row, self.config, self._reader(row, group))

    def changed(self, config: EncoderConfig, tensors: Mapping[str, npt.NDArray[Any]]) -> Checkpoint:
        """The same with other sizes and some other tensors, by Hugging Face's names as `name_of` and `tensors` have them."""
        held = {name: StoredTensor(values.shape, partial(_itself, values)) for name, values in tensors.items()}
        settings = {**self.settings, **self.family.settings(config)}
        return replace(self, config=config, settings=settings, tensors={**self.tensors, **held})

    def name_of(self, row: Weight, group: int | None = None) -> str | None:
        """The name of a row's tensor; None: there is none."""
        return self._reader.name_of(row, group)

    @property
    def words_name(self) -> str:
        """The name of the table of words."""
        return str(self.name_of(self._words_row))

    def of_heads(self) -> list[str]:
        """The names of tensors beside the encoder that have a row, or a number, for each word."""
        own = self._reader.owns
        return [
            name
            for name, tensor in self.tensors.items()
            if tensor.shape[:1] == (self.config.vocab_size,) and name != self.words_name and not own(name)
        ]

    def with_head(self, weights: Mapping[str, npt.NDArray[Any]]) -> Checkpoint:
        """The same with a head, weights by role. Beside a head the encoder's names have their prefix."""
        prefix, old = self.family.hf_prefix, self._reader.prefix
        tensors = {
            (prefix + name[len(old) :] if self._reader.owns(name) else name): tensor
            for name, tensor in self.tensors.items()
        }
        rows = {row.role: row for row in self.family.head}
        for role, values in weights.items():
            stored = as_stored(rows[role], self.config, np.asarray(values, np.float32))
            tensors[_full_name(self.family, rows[role], None)] = StoredTensor(stored.shape, partial(_itself, stored))
        return replace(self, tensors=tensors)


def _full_name(family, row, group):
    name = row.huggingface.format(i=group)
    return name[1:] if name.startswith("/") else family.hf_prefix + name


def _itself(values):
    return values


def _today(name):
    """A name of Hugging Face's as it is since 2019."""
    for before, now in (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")):
        if name.endswith(before):
            return name.removesuffix(before) + now
    return name

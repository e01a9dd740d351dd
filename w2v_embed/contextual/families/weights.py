"""Tensors of a checkpoint → the weights of an encoder, each found, of the right shape, and none left over."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ...shown import quoted
from . import FAMILIES

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..._types import StrPath
    from ..checkpoints.stored import StoredTensor
    from .family import EncoderConfig, Family, Weight

    Arrays: TypeAlias = dict[str, npt.NDArray[np.float32]]

# Heads, optimizer slots and buffers are no weights of an encoder; the pooler is not used to encode.
_SLOTS = re.compile(
    r".*/(adam_[mv]|Adam(_\d+)?|AdamWeightDecay\w*|LAMB\w*)$|.*\.(position_ids|token_type_ids|positions_encoding)$"
)
# Hugging Face's files made before 2019 have Google's words for what a norm has.
_NORM = re.compile(r"norm\.(weight|bias)$", re.IGNORECASE)
_BEFORE = {"weight": "gamma", "bias": "beta"}
_OF_THE_LAYER = "[{i}]"


def load_weights(
    config: EncoderConfig, layout: str, file: StrPath, tensors: Mapping[str, StoredTensor]
) -> tuple[Arrays, list[Arrays], int]:
    """Read the weights that a configuration asks for.

    Args:
        layout: "google" or "huggingface".
        file: what the tensors were read from, for messages.
        tensors: by their names.

    Returns:
        `(embedding, layers, checksum)`: a dict of float32 arrays, a list of such dicts (one a layer), and a number that
        tells these weights from others.

    Raises:
        ValueError: if a tensor is missing, has another shape than the configuration says, belongs to the encoder and
            has no place in it, or holds NaN or infinity.
    """
    family = FAMILIES[config.model_type]
    reader = _Reader(family, config, layout, file, tensors)
    rows = family.weights(config)

    def read(layer: int | None) -> Arrays:
        parts: dict[str, list[npt.NDArray[np.float32]]] = {}
        for row in rows:
            if ("{i}" in row.huggingface) == (layer is not None):
                parts.setdefault(row.role, []).append(reader(row, layer))
        return {role: part[0] if len(part) == 1 else np.concatenate(part, axis=-1) for role, part in parts.items()}

    embedding, layers = read(None), [read(layer) for layer in range(config.num_layers)]
    reader.refuse_leftovers()
    return embedding, layers, reader.checksum


class _Reader:
    """Takes tensors by their name without the prefix (`bert.`, `model/transformer/`) and remembers which it took."""

    def __init__(self, family: Family, config: EncoderConfig, layout: str, file, tensors):
        self.family, self.config, self.google = family, config, layout == "google"
        self.file, self.tensors = file, tensors
        self.checksum = 0
        self.taken: set[str] = set()
        self.shared: dict[str, npt.NDArray[np.float32]] = {}
        self.prefix = self._common_prefix(family.prefix if self.google else "")

    def _common_prefix(self, default):
        """The prefix of most tensors that could be the encoder's; a file may hold others of the same end."""
        counts = {}
        for name in self.tensors:
            match = re.match(rf"((?:[^./]+[./])*?){self.family.roots}", name)
            if match:
                counts[match[1]] = counts.get(match[1], 0) + 1
        return max(counts, key=counts.get, default=default)

    def __call__(self, row: Weight, layer: int | None):
        """The array of a row of the table."""
        name = row.google if self.google else row.huggingface
        shape = tuple(size if isinstance(size, int) else getattr(self.config, size) for size in row.shape)
        turned = row.transposed == "huggingface" and not self.google
        stored = shape[::-1] if turned else shape
        if name.endswith(_OF_THE_LAYER):
            values = self._once(name.removesuffix(_OF_THE_LAYER), (self.config.num_layers, *stored))[layer]
        elif "{i}" in name:
            values = self._tensor(name.format(i=layer), stored)
        else:
            values = self._once(name, stored)
        if row.shape[-2:] == ("num_heads", "head_size"):
            values = values.reshape(*shape[:-2], -1)
        values = values.T if turned or row.transposed == "always" else values
        return values * np.float32(self.config.query_scale) if row.scaled else values

    def _once(self, name, shape):
        """A tensor that several layers may ask for."""
        if name not in self.shared:
            self.shared[name] = self._tensor(name, shape)
        return self.shared[name]

    def _tensor(self, name, shape):
        names = [self.prefix + name]
        if not self.google and (ending := _NORM.search(name)):
            names.append(f"{names[0].removesuffix(ending[1])}{_BEFORE[ending[1]]}")
        full = next((n for n in names if n in self.tensors), None)
        if full is None:
            raise ValueError(
                f"{self.file} has no tensor {names[0]!r}, which the configuration needs, of shape {shape}. "
                "Is this the configuration of this model?"
            )
        if self.tensors[full].shape != shape:
            raise ValueError(
                f"{self.file}: tensor {full!r} must have shape {shape} by the configuration, received one of shape "
                f"{self.tensors[full].shape}."
            )
        self.taken.add(full)
        values = np.ascontiguousarray(self.tensors[full].load(), np.float32)
        if not np.isfinite(values).all():
            raise ValueError(
                f"{self.file}: tensor {full!r} holds NaN or infinity: the file is damaged or not trained well."
            )
        self.checksum = zlib.crc32(values, self.checksum)
        return values

    def refuse_leftovers(self) -> None:
        for name in sorted(self.tensors.keys() - self.taken):
            if not name.startswith(self.prefix) or _SLOTS.fullmatch(name):
                continue
            own = name[len(self.prefix) :]
            # Behind a prefix all is the encoder's; without one, heads stand beside it.
            if (self.prefix or re.match(self.family.roots, own)) and not re.fullmatch(self.family.not_used, own):
                raise ValueError(
                    f"{self.file}: tensor {quoted(name)} belongs to the encoder and has no place in it by the "
                    "configuration: the model would compute something else without it."
                )

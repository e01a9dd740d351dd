"""Tensors of a checkpoint → the weights of an encoder, each found, of the right shape, and none left over."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

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
    reader = WeightReader(family, config, layout, file, tensors)

    def read(layer: int | None) -> Arrays:
        rows = rows_of(family, config, layer is not None)
        return assembled(config, ((row, reader(row, layer)) for row in rows), np.concatenate)

    embedding, groups = read(None), [read(group) for group in range(family.groups(config))]
    reader.refuse_leftovers()
    layers = [groups[family.group(config, layer)] for layer in range(config.num_layers)]
    return embedding, layers, reader.checksum


def rows_of(family: Family, config: EncoderConfig, of_a_layer: bool) -> list[Weight]:
    """The rows of a family's table: those of each layer, or those of the embeddings."""
    return [row for row in family.weights(config) if ("{i}" in row.huggingface) == of_a_layer]


def assembled(
    config: EncoderConfig, parts: Iterable[tuple[Weight, Any]], concatenate: Callable[..., Any]
) -> dict[str, Any]:
    """What `embed` and `layer` take, by role: arrays or tensors of the rows of a table, scaled and put side by side.

    Args:
        parts: rows, each with its weight in the shape of `working_shape`.
        concatenate: of NumPy or of the backend.
    """
    roles: dict[str, list[Any]] = {}
    for row, weight in parts:
        roles.setdefault(row.role, []).append(weight * config.query_scale if row.scaled else weight)
    return {role: held[0] if len(held) == 1 else concatenate(held, axis=-1) for role, held in roles.items()}


def sizes_of(row: Weight, config: EncoderConfig) -> tuple[int, ...]:
    """The shape of a row in Google's files."""
    return tuple(size if isinstance(size, int) else getattr(config, size) for size in row.shape)


def working_shape(row: Weight, config: EncoderConfig) -> tuple[int, ...]:
    """The shape of a row as it is computed with: heads and their numbers are one axis, and matrices stand to the right."""
    shape = sizes_of(row, config)
    if _has_heads(row):
        shape = (*shape[:-2], shape[-2] * shape[-1])
    return shape[::-1] if row.transposed == "always" else shape


def as_stored(row: Weight, config: EncoderConfig, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A weight of `working_shape` as Hugging Face's files have it."""
    if row.transposed == "always":
        values = values.T
    values = values.reshape(sizes_of(row, config))
    return np.ascontiguousarray(values.T if row.transposed == "huggingface" else values)


def _has_heads(row):
    return row.shape[-2:] == ("num_heads", "head_size")


class WeightReader:
    """Takes tensors by their name without the prefix (`bert.`, `model/transformer/`) and remembers which it took.

    Args:
        family, config, layout, file, tensors: as in `load_weights`.

    Attributes:
        prefix: of the encoder's names.
        checksum: of what was read.
    """

    prefix: str
    checksum: int

    def __init__(
        self,
        family: Family,
        config: EncoderConfig,
        layout: str,
        file: StrPath,
        tensors: Mapping[str, StoredTensor],
    ) -> None:
        self.family: Family = family
        self.config: EncoderConfig = config
        self.google: bool = layout == "google"
        self.file: StrPath = file
        self.tensors: Mapping[str, StoredTensor] = tensors
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

    def __call__(self, row: Weight, layer: int | None) -> npt.NDArray[np.float32]:
        """The array of a row of the table, in the shape of `working_shape`."""
        name = row.google if self.google else row.huggingface
        shape = sizes_of(row, self.config)
        turned = row.transposed == "huggingface" and not self.google
        stored = shape[::-1] if turned else shape
        if name.endswith(_OF_THE_LAYER):
            values = self._once(name.removesuffix(_OF_THE_LAYER), (self.config.num_layers, *stored))[layer]
        elif "{i}" in name:
            values = self._tensor(name.format(i=layer), stored)
        else:
            values = self._once(name, stored)
        if _has_heads(row):
            values = values.reshape(*shape[:-2], -1)
        return values.T if turned or row.transposed == "always" else values

    def name_of(self, row: Weight, layer: int | None = None) -> str | None:
        """The name of a row's tensor in the file; None: it has none."""
        name = row.google if self.google else row.huggingface
        names = self._names(name.removesuffix(_OF_THE_LAYER).format(i=layer))
        return next((full for full in names if full in self.tensors), None)

    def _once(self, name, shape):
        """A tensor that several layers may ask for."""
        if name not in self.shared:
            self.shared[name] = self._tensor(name, shape)
        return self.shared[name]

    def _names(self, name):
        """What a tensor may be called: a head's stands beside the encoder, without its prefix."""
        names = [name[1:] if name.startswith("/") else self.prefix + name]
        if not self.google and (ending := _NORM.search(name)):
            names.append(f"{names[0].removesuffix(ending[1])}{_BEFORE[ending[1]]}")
        return names

    def _tensor(self, name, shape):
        names = self._names(name)
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

    def owns(self, name: str) -> bool:
        """Whether a tensor is the encoder's: behind a prefix all is; without one, heads stand beside it."""
        own = name[len(self.prefix) :]
        return name.startswith(self.prefix) and bool(self.prefix or re.match(self.family.roots, own))

    def refuse_leftovers(self) -> None:
        for name in sorted(self.tensors.keys() - self.taken):
            if not self.owns(name) or _SLOTS.fullmatch(name):
                continue
            if not re.fullmatch(self.family.not_used, name[len(self.prefix) :]):
                raise ValueError(
                    f"{self.file}: tensor {quoted(name)} belongs to the encoder and has no place in it by the "
                    "configuration: the model would compute something else without it."
                )

"""An encoder that runs: embeddings in, hidden states of each layer out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backend import compiled, fuses_gelu, ops, to_array, to_tensors
from .blocks import in_dtype

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..backend import Tensor
    from .family import EncoderConfig, Family


class Model:
    """Configuration, weights on the device, compiled functions.

    Args:
        family: of the encoder; its `layer` is compiled once and called with each layer's weights.
        embedding: dict of arrays.
        layers: list of dicts of arrays, one a layer.
        dtype: in which weights are held and layers compute; states come out in float32 whatever it is.

    Attributes:
        embedding: the tensors of the embeddings.
        layers: those of each layer.
        weight: one of them, which knows where it lies; None: it is no tensor of the backend.
        context, embed, layer: the family's functions, of tensors.
    """

    embedding: dict[str, Tensor]
    layers: list[dict[str, Tensor]]
    context: Callable[..., Mapping[str, Tensor]]
    embed: Callable[..., Tensor]
    layer: Callable[..., Tensor]

    def __init__(
        self,
        family: Family,
        config: EncoderConfig,
        embedding: Mapping[str, npt.NDArray[Any]],
        layers: Sequence[Mapping[str, npt.NDArray[Any]]],
        dtype: str = "float32",
    ) -> None:
        self.dtype = dtype
        if config.hidden_act == "gelu" and not fuses_gelu() and all({"ff1", "ff2"} <= layer.keys() for layer in layers):
            config, layers = replace(config, hidden_act="gelu_folded"), _fold_gelu(layers)
        self.embedding = to_tensors(embedding, dtype)
        shared = {role: self.embedding[role] for role in family.shared}
        made = {
            id(layer): {**to_tensors(layer, dtype), **shared} for layer in layers
        }  # layers may have the same weights
        self.layers = [made[id(layer)] for layer in layers]
        self.weight: Tensor = self.embedding["words"]
        self.context = partial(family.context, config)
        self.embed = compiled(partial(family.embed, config))
        self.layer = compiled(partial(family.layer, config))

    def states(
        self,
        input_ids: npt.NDArray[np.int32],
        attention_mask: npt.NDArray[np.int32],
        token_type_ids: npt.NDArray[np.int32],
        mems: npt.NDArray[np.float32] | None = None,
        *,
        wanted: Collection[int] | None = None,
    ) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        """Yield the outputs `(B, T, H)` that are wanted, each behind its number: 0 of the embeddings, 1 of the first layer, …

        Args:
            input_ids, attention_mask, token_type_ids: int32 arrays `(B, T)`.
            mems: float32 array `(layers, B, M, H)` or None.
            wanted: numbers of outputs; None for all. Layers above the highest are not computed.
        """
        last = len(self.layers) if wanted is None else max(wanted)
        memory = 0 if mems is None else mems.shape[2]
        ids, mask, types = (
            ops.convert_to_tensor(array, "int32") for array in (input_ids, attention_mask, token_type_ids)
        )
        context = self.shared_by_layers(mask, types, memory)
        x = self.embed(self.embedding, ids, types)
        if wanted is None or 0 in wanted:
            yield 0, to_array(x)
        for i, weights in enumerate(self.layers[:last]):
            if mems is not None and memory:
                x = self.layer(weights, x, {**context, "mems": ops.convert_to_tensor(mems[i], self.dtype)})
            else:
                x = self.layer(weights, x, context)
            if wanted is None or i + 1 in wanted:
                yield i + 1, to_array(x)

    def shared_by_layers(self, attention_mask: Tensor, token_type_ids: Tensor, memory: int) -> dict[str, Tensor]:
        """The family's `context` as the layers take it."""
        return in_dtype(self.context(attention_mask, token_type_ids, memory), self.dtype)


def _fold_gelu(layers: Sequence[Mapping[str, npt.NDArray[Any]]]) -> list[dict[str, npt.NDArray[Any]]]:
    """Move the factors of the exact GELU, x / 2 · (1 + erf(x / √2)), into the kernels before and after it."""
    half = np.float32(0.5**0.5)
    folded = {
        id(layer): {**layer, **{name: layer[name] * half for name in ("ff1", "ff1_bias", "ff2") if name in layer}}
        for layer in layers
    }
    return [folded[id(layer)] for layer in layers]

"""NEZHA: a BERT whose attention sees relative distances in place of positions. https://arxiv.org/abs/1909.00204."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ...sinusoid import sinusoid_table
from ..backend import ops
from .bert import Bert
from .blocks import dense, scores, shift, split_heads, unheads, unshift, weights_of
from .family import EncoderConfig, Weight

if TYPE_CHECKING:
    from ..backend import Tensor
    from .config import Settings


@dataclass(frozen=True)
class NezhaConfig(EncoderConfig):
    """The settings of a NEZHA.

    Args:
        max_relative_position: the distance from which on all distances are alike.
    """

    max_relative_position: int = 64


class Nezha(Bert):
    """NEZHA, of which a text may have any length."""

    name = "nezha"
    title = "NEZHA"
    hf_prefix = "nezha."
    options: ClassVar[tuple[str, ...]] = ("max_relative_position",)
    config: ClassVar[type[EncoderConfig]] = NezhaConfig

    def recognises(self, settings: Settings) -> bool:
        return settings.typed("use_relative_position", bool, False)

    def configure(self, settings: Settings, options: Mapping[str, Any], **common: Any) -> NezhaConfig:
        settings.values.update(options)
        return NezhaConfig(
            **common,
            **self.sizes(settings),
            max_relative_position=settings.size("max_relative_position", 64),
        )

    def weights(self, config: Any) -> Sequence[Weight]:
        return [row for row in super().weights(config) if row.role != "positions"]

    def settings(self, config: Any) -> dict[str, Any]:
        return {**super().settings(config), "max_relative_position": config.max_relative_position}

    def longest(self, config: Any) -> int | None:
        return None

    def context(self, config: Any, attention_mask: Tensor, token_type_ids: Tensor, memory: int) -> Mapping[str, Tensor]:
        """`distances` is the row of the sinusoid for each distance key - query from -T to T - 1, clipped: `(2T, D)`."""
        length, clip = ops.shape(attention_mask)[1], config.max_relative_position
        table = ops.convert_to_tensor(sinusoid_table(np.arange(2 * clip + 1), config.head_size), "float32")
        distances = ops.take(table, ops.clip(ops.arange(-length, length), -clip, clip) + clip, axis=0)
        return {**super().context(config, attention_mask, token_type_ids, memory), "distances": distances}

    def attended(self, config: Any, w: Mapping[str, Tensor], x: Tensor, context: Mapping[str, Tensor]) -> Tensor:
        q, k, v = split_heads(dense(x, w["qkv"], w["qkv_bias"]), 3, config.num_heads)
        # q · R for all 2T distances at once instead of a table (T, T, D), and the same backwards for the values.
        relative = shift(dense(q, ops.transpose(context["distances"])), ops.shape(x)[1])
        weights = weights_of(config, scores(q, k) + relative + context["bias"])
        return unheads(ops.matmul(weights, v) + dense(unshift(weights), context["distances"]))

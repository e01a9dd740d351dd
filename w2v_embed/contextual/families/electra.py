"""ELECTRA: a BERT whose table of words may be narrower than its layers. https://arxiv.org/abs/2003.10555."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from .bert import Bert
from .blocks import dense
from .family import EncoderConfig, Weight

if TYPE_CHECKING:
    from ..backend import Tensor
    from .config import Settings

_H, _E = "hidden_size", "embedding_size"
_HEAD = (
    Weight(
        "dense", "/generator_predictions/dense/kernel", "/generator_predictions.dense.weight", (_H, _E), "huggingface"
    ),
    Weight("dense_bias", "/generator_predictions/dense/bias", "/generator_predictions.dense.bias", (_E,)),
    Weight("gamma", "/generator_predictions/LayerNorm/gamma", "/generator_predictions.LayerNorm.weight", (_E,)),
    Weight("beta", "/generator_predictions/LayerNorm/beta", "/generator_predictions.LayerNorm.bias", (_E,)),
    Weight("bias", "/generator_predictions/output_bias", "/generator_lm_head.bias", ("vocab_size",)),
)
_NARROW = ("words", "types", "positions", "gamma", "beta")


@dataclass(frozen=True)
class NarrowConfig(EncoderConfig):
    """The settings of an encoder whose embeddings have a width of their own.

    Args:
        embedding_size: that width.
    """

    embedding_size: int = 128


def narrowed(rows: Sequence[Weight]) -> list[Weight]:
    """Rows of a BERT's table, those of the embeddings in their own width."""
    return [
        row._replace(shape=tuple(_E if size == _H else size for size in row.shape)) if row.role in _NARROW else row
        for row in rows
    ]


class Electra(Bert):
    """ELECTRA, its discriminator or its generator."""

    name = "electra"
    title = "ELECTRA"
    prefix = "electra/"
    hf_prefix = "electra."
    roots = r"(embeddings|embeddings_project|encoder)[./]"
    config: ClassVar[type[EncoderConfig]] = NarrowConfig
    head: ClassVar[Sequence[Weight]] = _HEAD
    head_act: ClassVar[str | None] = "gelu"
    beside: ClassVar[Sequence[Weight]] = ()

    def configure(self, settings: Settings, options: Mapping[str, Any], **common: Any) -> NarrowConfig:
        return NarrowConfig(**common, **self.sizes(settings), embedding_size=settings.size("embedding_size", 128))

    def weights(self, config: Any) -> Sequence[Weight]:
        rows = narrowed(super().weights(config))
        if config.embedding_size == config.hidden_size:
            return rows
        return [
            *rows,
            Weight("wider", "embeddings_project/kernel", "embeddings_project.weight", (_E, _H), "huggingface"),
            Weight("wider_bias", "embeddings_project/bias", "embeddings_project.bias", (_H,)),
        ]

    def embed(self, config: Any, w: Mapping[str, Tensor], input_ids: Tensor, token_type_ids: Tensor) -> Tensor:
        x = super().embed(config, w, input_ids, token_type_ids)
        return dense(x, w["wider"], w["wider_bias"]) if "wider" in w else x

"""RoBERTa: a BERT whose positions count from behind the padding's id. https://arxiv.org/abs/1907.11692."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ..backend import ops
from ..tokenizers import JsonTokenizer, Tokenizer
from .bert import Bert
from .blocks import norm
from .family import EncoderConfig, Weight

if TYPE_CHECKING:
    from ..backend import Tensor
    from .config import Settings

_H = "hidden_size"
HEAD = (
    Weight("dense", "/lm_head/dense/kernel", "/lm_head.dense.weight", (_H, _H), "huggingface"),
    Weight("dense_bias", "/lm_head/dense/bias", "/lm_head.dense.bias", (_H,)),
    Weight("gamma", "/lm_head/layer_norm/gamma", "/lm_head.layer_norm.weight", (_H,)),
    Weight("beta", "/lm_head/layer_norm/beta", "/lm_head.layer_norm.bias", (_H,)),
    Weight("bias", "/lm_head/bias", "/lm_head.bias", ("vocab_size",)),
)


@dataclass(frozen=True)
class RobertaConfig(EncoderConfig):
    """The settings of a RoBERTa.

    Args:
        padding_id: the id of padding: padded tokens have this position, and the first of the others the next one.
    """

    padding_id: int = 1


class Roberta(Bert):
    """RoBERTa, of which a text may have as many tokens as there are positions behind the padding's."""

    name = "roberta"
    title = "RoBERTa"
    hf_prefix = "roberta."
    tokenizer: ClassVar[type[Tokenizer]] = JsonTokenizer
    config: ClassVar[type[EncoderConfig]] = RobertaConfig
    head: ClassVar[Sequence[Weight]] = HEAD
    head_act: ClassVar[str | None] = "gelu"

    def configure(self, settings: Settings, options: Mapping[str, Any], **common: Any) -> RobertaConfig:
        sizes, padding = self.sizes(settings), settings.size("pad_token_id", 1, least=0)
        if sizes["max_position_embeddings"] <= padding + 1:
            raise ValueError(
                f"{settings.path}: max_position_embeddings must be above pad_token_id + 1, {padding + 1}, received "
                f"{sizes['max_position_embeddings']}: positions count from there."
            )
        return RobertaConfig(**common, **sizes, padding_id=padding)

    def longest(self, config: Any) -> int | None:
        return int(config.max_position_embeddings - config.padding_id - 1)

    def embed(self, config: Any, w: Mapping[str, Tensor], input_ids: Tensor, token_type_ids: Tensor) -> Tensor:
        there = ops.cast(ops.not_equal(input_ids, config.padding_id), "int32")
        positions = ops.cast(ops.cumsum(there, axis=1), "int32") * there + config.padding_id
        x = ops.take(w["words"], input_ids, axis=0) + ops.take(w["positions"], positions, axis=0)
        if "types" in w:
            x = x + ops.take(w["types"], token_type_ids, axis=0)
        return config.drop(norm(x, w["gamma"], w["beta"], config.layer_norm_eps), "hidden")

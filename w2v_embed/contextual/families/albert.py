"""ALBERT: a BERT whose layers share their weights, over a narrow table of words. https://arxiv.org/abs/1909.11942."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ..tokenizers import JsonTokenizer, Tokenizer
from .bert import Bert
from .blocks import dense
from .electra import NarrowConfig, narrowed
from .family import EncoderConfig, Family, Weight

if TYPE_CHECKING:
    from ..backend import Tensor
    from .config import Settings

_H, _E = "hidden_size", "embedding_size"
_HF, _GOOGLE = "encoder.albert_layer_groups.{i}.albert_layers.0.", "encoder/transformer/group_{i}/inner_group_0/"
# The ends of a BERT's names: Hugging Face's, and Google's.
_NAMES = {
    "attention.self.": ("attention.", "attention_1/self/"),
    "attention.output.LayerNorm.": ("attention.LayerNorm.", "LayerNorm/"),
    "attention.output.dense.": ("attention.dense.", "attention_1/output/dense/"),
    "intermediate.dense.": ("ffn.", "ffn_1/intermediate/dense/"),
    "output.dense.": ("ffn_output.", "ffn_1/intermediate/output/dense/"),
    "output.LayerNorm.": ("full_layer_layer_norm.", "LayerNorm_1/"),
}
_HEAD = (
    Weight("dense", "/cls/predictions/transform/dense/kernel", "/predictions.dense.weight", (_H, _E), "huggingface"),
    Weight("dense_bias", "/cls/predictions/transform/dense/bias", "/predictions.dense.bias", (_E,)),
    Weight("gamma", "/cls/predictions/transform/LayerNorm/gamma", "/predictions.LayerNorm.weight", (_E,)),
    Weight("beta", "/cls/predictions/transform/LayerNorm/beta", "/predictions.LayerNorm.bias", (_E,)),
    Weight("bias", "/cls/predictions/output_bias", "/predictions.bias", ("vocab_size",)),
)
_POOLER = (
    Weight("pooler", "pooler/dense/kernel", "pooler.weight", (_H, _H), "huggingface"),
    Weight("pooler_bias", "pooler/dense/bias", "pooler.bias", (_H,)),
)


@dataclass(frozen=True)
class AlbertConfig(NarrowConfig):
    """The settings of an ALBERT.

    Args:
        num_groups: how many groups of layers there are; all of one group have the same weights.
    """

    num_groups: int = 1


class Albert(Bert):
    """ALBERT: as many layers as a BERT has, of the weights of one."""

    name = "albert"
    title = "ALBERT"
    config_file = "albert_config.json"
    hf_prefix = "albert."
    neutral: ClassVar[Mapping[str, tuple[object, ...]]] = {**Family.neutral, "inner_group_num": (None, 1)}
    tokenizer: ClassVar[type[Tokenizer]] = JsonTokenizer
    config: ClassVar[type[EncoderConfig]] = AlbertConfig
    head: ClassVar[Sequence[Weight]] = _HEAD
    beside: ClassVar[Sequence[Weight]] = _POOLER

    def recognises(self, settings: Settings) -> bool:
        return "num_hidden_groups" in settings.values

    def configure(self, settings: Settings, options: Mapping[str, Any], **common: Any) -> AlbertConfig:
        width, groups = settings.size("embedding_size", 128), settings.size("num_hidden_groups", 1)
        sizes = self.sizes(settings)
        if groups > sizes["num_layers"]:
            raise ValueError(
                f"{settings.path}: num_hidden_groups must be at most num_hidden_layers, {sizes['num_layers']}, "
                f"received {groups}."
            )
        return AlbertConfig(**common, **sizes, embedding_size=width, num_groups=groups)

    def groups(self, config: Any) -> int:
        return int(config.num_groups)

    def group(self, config: Any, layer: int) -> int:
        return layer * config.num_groups // config.num_layers

    def weights(self, config: Any) -> Sequence[Weight]:
        wider = (
            Weight("wider", "encoder/embedding_hidden_mapping_in/kernel", "encoder.embedding_hidden_mapping_in.weight",
                   (_E, _H), "huggingface"),
            Weight("wider_bias", "encoder/embedding_hidden_mapping_in/bias", "encoder.embedding_hidden_mapping_in.bias", (_H,)),
        )  # fmt: skip
        return [*map(_of_a_group, narrowed(super().weights(config))), *wider]

    def embed(self, config: Any, w: Mapping[str, Tensor], input_ids: Tensor, token_type_ids: Tensor) -> Tensor:
        return dense(super().embed(config, w, input_ids, token_type_ids), w["wider"], w["wider_bias"])


def _of_a_group(row):
    """A row of a BERT's table by the names that it has here."""
    own = row.huggingface.removeprefix("encoder.layer.{i}.")
    bert = next((each for each in _NAMES if own.startswith(each)), None)
    if bert is None:
        return row
    name, google = _NAMES[bert]
    end = row.google.rpartition("/")[2]
    part = f"{own.removeprefix(bert).partition('.')[0]}/" if bert == "attention.self." else ""
    return row._replace(huggingface=f"{_HF}{name}{own.removeprefix(bert)}", google=f"{_GOOGLE}{google}{part}{end}")

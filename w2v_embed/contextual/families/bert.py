"""BERT: words, learned positions and segments; each layer attends to the whole text. https://arxiv.org/abs/1810.04805."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ..backend import ops
from ..tokenizers import Tokenizer, WordPieceTokenizer
from .blocks import after_attention, attention, blocking, dense, norm
from .family import EncoderConfig, Family, Weight

if TYPE_CHECKING:
    from ..backend import Tensor
    from .config import Settings

_H, _F = "hidden_size", "intermediate_size"
# fmt: off
_WEIGHTS = (
    Weight("words", "embeddings/word_embeddings", "embeddings.word_embeddings.weight", ("vocab_size", _H)),
    Weight("types", "embeddings/token_type_embeddings", "embeddings.token_type_embeddings.weight", ("type_vocab_size", _H)),
    Weight("positions", "embeddings/position_embeddings", "embeddings.position_embeddings.weight",
           ("max_position_embeddings", _H)),
    Weight("gamma", "embeddings/LayerNorm/gamma", "embeddings.LayerNorm.weight", (_H,)),
    Weight("beta", "embeddings/LayerNorm/beta", "embeddings.LayerNorm.bias", (_H,)),
    # The scores are divided by sqrt(head_size): so is the query, once and for all.
    Weight("qkv", "encoder/layer_{i}/attention/self/query/kernel", "encoder.layer.{i}.attention.self.query.weight",
           (_H, _H), "huggingface", scaled=True),
    Weight("qkv_bias", "encoder/layer_{i}/attention/self/query/bias", "encoder.layer.{i}.attention.self.query.bias",
           (_H,), scaled=True),
    Weight("qkv", "encoder/layer_{i}/attention/self/key/kernel", "encoder.layer.{i}.attention.self.key.weight",
           (_H, _H), "huggingface"),
    Weight("qkv_bias", "encoder/layer_{i}/attention/self/key/bias", "encoder.layer.{i}.attention.self.key.bias", (_H,)),
    Weight("qkv", "encoder/layer_{i}/attention/self/value/kernel", "encoder.layer.{i}.attention.self.value.weight",
           (_H, _H), "huggingface"),
    Weight("qkv_bias", "encoder/layer_{i}/attention/self/value/bias", "encoder.layer.{i}.attention.self.value.bias", (_H,)),
    Weight("out", "encoder/layer_{i}/attention/output/dense/kernel", "encoder.layer.{i}.attention.output.dense.weight",
           (_H, _H), "huggingface"),
    Weight("out_bias", "encoder/layer_{i}/attention/output/dense/bias", "encoder.layer.{i}.attention.output.dense.bias", (_H,)),
    Weight("gamma1", "encoder/layer_{i}/attention/output/LayerNorm/gamma",
           "encoder.layer.{i}.attention.output.LayerNorm.weight", (_H,)),
    Weight("beta1", "encoder/layer_{i}/attention/output/LayerNorm/beta",
           "encoder.layer.{i}.attention.output.LayerNorm.bias", (_H,)),
    Weight("ff1", "encoder/layer_{i}/intermediate/dense/kernel", "encoder.layer.{i}.intermediate.dense.weight",
           (_H, _F), "huggingface"),
    Weight("ff1_bias", "encoder/layer_{i}/intermediate/dense/bias", "encoder.layer.{i}.intermediate.dense.bias", (_F,)),
    Weight("ff2", "encoder/layer_{i}/output/dense/kernel", "encoder.layer.{i}.output.dense.weight", (_F, _H), "huggingface"),
    Weight("ff2_bias", "encoder/layer_{i}/output/dense/bias", "encoder.layer.{i}.output.dense.bias", (_H,)),
    Weight("gamma2", "encoder/layer_{i}/output/LayerNorm/gamma", "encoder.layer.{i}.output.LayerNorm.weight", (_H,)),
    Weight("beta2", "encoder/layer_{i}/output/LayerNorm/beta", "encoder.layer.{i}.output.LayerNorm.bias", (_H,)),
)
# Beside the encoder, so without its prefix.
_HEAD = (
    Weight("dense", "/cls/predictions/transform/dense/kernel", "/cls.predictions.transform.dense.weight",
           (_H, _H), "huggingface"),
    Weight("dense_bias", "/cls/predictions/transform/dense/bias", "/cls.predictions.transform.dense.bias", (_H,)),
    Weight("gamma", "/cls/predictions/transform/LayerNorm/gamma", "/cls.predictions.transform.LayerNorm.weight", (_H,)),
    Weight("beta", "/cls/predictions/transform/LayerNorm/beta", "/cls.predictions.transform.LayerNorm.bias", (_H,)),
    Weight("bias", "/cls/predictions/output_bias", "/cls.predictions.bias", ("vocab_size",)),
)
_POOLER = (
    Weight("pooler", "pooler/dense/kernel", "pooler.dense.weight", (_H, _H), "huggingface"),
    Weight("pooler_bias", "pooler/dense/bias", "pooler.dense.bias", (_H,)),
)
# fmt: on


def renamed(rows: Sequence[Weight], *names: tuple[str, str]) -> list[Weight]:
    """Rows of a table by other names: parts of Hugging Face's are replaced; Google has no files of such a family."""
    result = []
    for row in rows:
        name = row.huggingface
        for old, new in names:
            name = name.replace(old, new)
        result.append(row._replace(huggingface=name, google=name.replace(".", "/")))
    return result


class Bert(Family):
    """BERT and all that was trained in its shape: SBERT, MiniLM, MacBERT, BERT-wwm."""

    name = "bert"
    title = "BERT"
    config_file = "bert_config.json"
    prefix = "bert/"
    roots = r"(embeddings|encoder)[./]"
    tokenizer: ClassVar[type[Tokenizer]] = WordPieceTokenizer
    head: ClassVar[Sequence[Weight]] = _HEAD
    beside: ClassVar[Sequence[Weight]] = _POOLER

    def configure(self, settings: Settings, options: Mapping[str, Any], **common: Any) -> EncoderConfig:
        return EncoderConfig(**common, **self.sizes(settings))

    def sizes(self, settings: Settings) -> dict[str, Any]:
        """The sizes of a BERT, as `EncoderConfig` calls them."""
        hidden, number = settings.size("hidden_size"), settings.size("num_attention_heads")
        if hidden % number:
            raise ValueError(
                f"{settings.path}: hidden_size must be a multiple of num_attention_heads, {number}, received {hidden}."
            )
        return {
            "vocab_size": settings.size("vocab_size"),
            "hidden_size": hidden,
            "num_layers": settings.size("num_hidden_layers"),
            "num_heads": number,
            "head_size": hidden // number,
            "intermediate_size": settings.size("intermediate_size"),
            "type_vocab_size": settings.size("type_vocab_size", 2),
            "max_position_embeddings": settings.size("max_position_embeddings"),
        }

    def weights(self, config: Any) -> Sequence[Weight]:
        return _WEIGHTS

    def longest(self, config: Any) -> int | None:
        return config.max_position_embeddings

    def embed(self, config: Any, w: Mapping[str, Tensor], input_ids: Tensor, token_type_ids: Tensor) -> Tensor:
        x = ops.take(w["words"], input_ids, axis=0) + ops.take(w["types"], token_type_ids, axis=0)
        if "positions" in w:
            x = x + w["positions"][: ops.shape(input_ids)[1]]
        return config.drop(norm(x, w["gamma"], w["beta"], config.layer_norm_eps), "hidden")

    def context(self, config: Any, attention_mask: Tensor, token_type_ids: Tensor, memory: int) -> Mapping[str, Tensor]:
        return {"bias": blocking(attention_mask)[:, None, None, :]}

    def layer(self, config: Any, w: Mapping[str, Tensor], x: Tensor, context: Mapping[str, Tensor]) -> Tensor:
        return after_attention(config, w, x, self.attended(config, w, x, context))

    def attended(self, config: Any, w: Mapping[str, Tensor], x: Tensor, context: Mapping[str, Tensor]) -> Tensor:
        """What each token takes from the text, `(B, T, H)`."""
        return attention(config, dense(x, w["qkv"], w["qkv_bias"]), context["bias"])

"""XLNet: relative distances as in Transformer-XL, and a memory of the segment before. https://arxiv.org/abs/1906.08237."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, get_args

import numpy as np

from ..._types import AttentionType
from ...checks import one_of
from ..backend import ops
from ..tokenizers import SentencePieceTokenizer, Tokenizer
from .blocks import after_attention, blocking, dense, heads, scores, shift, split_heads, unheads, weights_of
from .family import EncoderConfig, Family, Weight

if TYPE_CHECKING:
    from ..backend import Tensor
    from .config import Settings

_L, _H, _N, _D, _F = "num_layers", "hidden_size", "num_heads", "head_size", "intermediate_size"
# fmt: off
_WEIGHTS = (
    Weight("words", "word_embedding/lookup_table", "word_embedding.weight", ("vocab_size", _H)),
    Weight("query", "layer_{i}/rel_attn/q/kernel", "layer.{i}.rel_attn.q", (_H, _N, _D), scaled=True),
    Weight("kv", "layer_{i}/rel_attn/k/kernel", "layer.{i}.rel_attn.k", (_H, _N, _D)),
    Weight("kv", "layer_{i}/rel_attn/v/kernel", "layer.{i}.rel_attn.v", (_H, _N, _D)),
    Weight("position", "layer_{i}/rel_attn/r/kernel", "layer.{i}.rel_attn.r", (_H, _N, _D)),
    Weight("out", "layer_{i}/rel_attn/o/kernel", "layer.{i}.rel_attn.o", (_H, _N, _D), "always"),
    Weight("u", "r_w_bias[{i}]", "layer.{i}.rel_attn.r_w_bias", (_N, _D), scaled=True),
    Weight("v", "r_r_bias[{i}]", "layer.{i}.rel_attn.r_r_bias", (_N, _D), scaled=True),
    Weight("s", "r_s_bias[{i}]", "layer.{i}.rel_attn.r_s_bias", (_N, _D), scaled=True),
    Weight("segments", "seg_embed[{i}]", "layer.{i}.rel_attn.seg_embed", (2, _N, _D)),
    Weight("gamma1", "layer_{i}/rel_attn/LayerNorm/gamma", "layer.{i}.rel_attn.layer_norm.weight", (_H,)),
    Weight("beta1", "layer_{i}/rel_attn/LayerNorm/beta", "layer.{i}.rel_attn.layer_norm.bias", (_H,)),
    Weight("ff1", "layer_{i}/ff/layer_1/kernel", "layer.{i}.ff.layer_1.weight", (_H, _F), "huggingface"),
    Weight("ff1_bias", "layer_{i}/ff/layer_1/bias", "layer.{i}.ff.layer_1.bias", (_F,)),
    Weight("ff2", "layer_{i}/ff/layer_2/kernel", "layer.{i}.ff.layer_2.weight", (_F, _H), "huggingface"),
    Weight("ff2_bias", "layer_{i}/ff/layer_2/bias", "layer.{i}.ff.layer_2.bias", (_H,)),
    Weight("gamma2", "layer_{i}/ff/LayerNorm/gamma", "layer.{i}.ff.layer_norm.weight", (_H,)),
    Weight("beta2", "layer_{i}/ff/LayerNorm/beta", "layer.{i}.ff.layer_norm.bias", (_H,)),
)
# fmt: on
# Of no use to encode: the query stream begins from it.
_MASK = (Weight("mask", "mask_emb/mask_emb", "mask_emb", (1, 1, _H)),)
_HEAD = (Weight("bias", "/model/lm_loss/bias", "/lm_loss.bias", ("vocab_size",)),)
_BIASES = ("u", "v", "s")


@dataclass(frozen=True)
class XLNetConfig(EncoderConfig):
    """The settings of an XLNet.

    Args:
        attention_type: "bi", or "uni": no token sees those behind it.
        clamp_len: the distance from which on all distances are alike; -1 = none.
        untie_r: whether each layer has its own biases in Google's file.
    """

    attention_type: str = "bi"
    clamp_len: int = -1
    untie_r: bool = True


class XLNet(Family):
    """XLNet, of which a text may have any length and any number of segments."""

    name = "xlnet"
    title = "XLNet"
    config_file = "xlnet_config.json"
    prefix = "model/transformer/"
    hf_prefix = "transformer."
    roots = r"(word_embedding|layer|mask_emb|seg_embed|r_[wrs]_bias|layer_\d+)([./]|$)"
    not_used = r"(pooler|mask_emb)[./].*|mask_emb"
    act_key = "ff_activation"
    neutral: ClassVar[Mapping[str, tuple[object, ...]]] = {
        **Family.neutral,
        "bi_data": (None, False),
        "same_length": (None, False),
        "reuse_len": (None, 0, -1),
    }
    options: ClassVar[tuple[str, ...]] = ("attention_type",)
    config: ClassVar[type[EncoderConfig]] = XLNetConfig
    head: ClassVar[Sequence[Weight]] = _HEAD
    beside: ClassVar[Sequence[Weight]] = _MASK
    dropout_keys: ClassVar[tuple[str, str]] = ("dropout", "dropout")
    has_memory = True
    tokenizer: ClassVar[type[Tokenizer]] = SentencePieceTokenizer

    def recognises(self, settings: Settings) -> bool:
        return "d_model" in settings.values

    def configure(self, settings: Settings, options: Mapping[str, Any], **common: Any) -> XLNetConfig:
        attention = options.get("attention_type", settings.get("attn_type", "bi"))
        origin = "the argument" if "attention_type" in options else f"{settings.path}: attn_type"
        one_of(f"attention_type ({origin})", attention, get_args(AttentionType))
        hidden, number = settings.size("d_model"), settings.size("n_head")
        if hidden % 2:
            raise ValueError(f"{settings.path}: d_model must be even, received {hidden}.")
        words = "vocab_size" if "vocab_size" in settings.values else "n_token"
        return XLNetConfig(
            **common,
            vocab_size=settings.size(words, named="vocab_size"),
            hidden_size=hidden,
            num_layers=settings.size("n_layer"),
            num_heads=number,
            head_size=settings.size("d_head", hidden // number),
            intermediate_size=settings.size("d_inner"),
            mem_len=settings.size("mem_len", 0, least=0) or None,
            attention_type=attention,
            clamp_len=settings.size("clamp_len", -1, least=-1),
            untie_r=settings.typed("untie_r", bool, True),
        )

    def weights(self, config: Any) -> Sequence[Weight]:
        if config.untie_r:
            return _WEIGHTS
        # All layers share Google's biases.
        return [
            row._replace(google=row.google.removesuffix("[{i}]")) if row.role in _BIASES else row for row in _WEIGHTS
        ]

    def settings(self, config: Any) -> dict[str, Any]:
        return {**super().settings(config), "attn_type": config.attention_type}

    def segments(self, config: Any) -> int:
        """It only asks whether two segments are the same, so any number names one."""
        return 1 << 31

    def embed(self, config: Any, w: Mapping[str, Tensor], input_ids: Tensor, token_type_ids: Tensor) -> Tensor:
        return config.drop(ops.take(w["words"], input_ids, axis=0), "hidden")

    def context(self, config: Any, attention_mask: Tensor, token_type_ids: Tensor, memory: int) -> Mapping[str, Tensor]:
        """Distances as sinusoids `(T + K, H)`, blocked keys `(B, 1, T, K)` and keys of another segment `(B, 1, T, K)`."""
        batch, length = ops.shape(attention_mask)
        keys = memory + length
        own = ops.arange(length)[:, None] + memory  # the key of each query's own position
        nothing = ops.zeros((batch, memory), "int32")
        seen = ops.concatenate([nothing + 1, ops.cast(attention_mask, "int32")], axis=1)[:, None, :]
        if config.attention_type == "uni":
            seen = seen * ops.cast(ops.arange(keys) <= own, "int32")
        seen = ops.maximum(seen, ops.cast(ops.equal(ops.arange(keys), own), "int32"))
        types = ops.cast(token_type_ids, "int32")
        other = ops.not_equal(ops.concatenate([nothing, types], axis=1)[:, None, :], types[:, :, None])
        return {
            "positions": _sinusoids(keys, length, config),
            "bias": blocking(seen)[:, None],
            "other": ops.cast(other, "float32")[:, None],
        }

    def layer(self, config: Any, w: Mapping[str, Tensor], x: Tensor, context: Mapping[str, Tensor]) -> Tensor:
        # The query stream has the content's keys, and queries of some places only. (See `two_streams`.)
        number, size, targets = config.num_heads, config.head_size, context.get("targets")
        seen = context.get("content", x)
        seen = ops.concatenate([context["mems"], seen], axis=1) if "mems" in context else seen
        q = dense(x, w["query"])
        q = q if targets is None else ops.matmul(ops.transpose(targets, (0, 2, 1)), q)
        k, v = split_heads(dense(seen, w["kv"]), 2, number)
        r = heads(dense(context["positions"], w["position"])[None], number)

        total = scores(heads(q + w["u"], number), k)
        total = total + shift(scores(heads(q + w["v"], number), r), ops.shape(seen)[1])
        # The score of the same segment is alike for all keys of a query, so only the difference to it matters.
        other_less_same = ops.reshape(w["segments"][1] - w["segments"][0], (1, number, 1, size))
        difference = ops.sum(heads(q + w["s"], number) * other_less_same, axis=-1, keepdims=True)
        total = total + difference * context["other"] + context["bias"]
        attended = unheads(ops.matmul(weights_of(config, total), v))
        return after_attention(config, w, x, attended if targets is None else ops.matmul(targets, attended))


def _sinusoids(keys, length, config):
    """All sines before all cosines, of the distances from `keys` down to `1 - length`.

    The angles need float64: NumPy has it everywhere, and TensorFlow, whose lengths may be open while a graph is built, as well.
    """
    xp: Any = np if isinstance(length, int) else ops
    positions = xp.arange(keys, -length, -1, dtype="float64")
    if config.clamp_len > 0:
        positions = xp.clip(positions, -config.clamp_len, config.clamp_len)
    angles = positions[:, None] * 10000.0 ** (-np.arange(0, config.hidden_size, 2) / config.hidden_size)
    return ops.cast(xp.concatenate([xp.sin(angles), xp.cos(angles)], axis=1), "float32")

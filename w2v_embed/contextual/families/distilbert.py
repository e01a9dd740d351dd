"""DistilBERT: a BERT of fewer layers, without segments. https://arxiv.org/abs/1910.01108."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ..backend import ops
from .bert import Bert, renamed
from .blocks import norm
from .family import Weight

if TYPE_CHECKING:
    from ..backend import Tensor
    from .config import Settings

_H = "hidden_size"
_LAYER = "transformer.layer.{i}."
_NAMES = (
    ("encoder.layer.{i}.", _LAYER),
    ("attention.self.query", "attention.q_lin"),
    ("attention.self.key", "attention.k_lin"),
    ("attention.self.value", "attention.v_lin"),
    ("attention.output.dense", "attention.out_lin"),
    ("attention.output.LayerNorm", "sa_layer_norm"),
    ("intermediate.dense", "ffn.lin1"),
    (f"{_LAYER}output.dense", f"{_LAYER}ffn.lin2"),
    (f"{_LAYER}output.LayerNorm", f"{_LAYER}output_layer_norm"),
)
_HEAD = (
    Weight("dense", "/vocab_transform/kernel", "/vocab_transform.weight", (_H, _H), "huggingface"),
    Weight("dense_bias", "/vocab_transform/bias", "/vocab_transform.bias", (_H,)),
    Weight("gamma", "/vocab_layer_norm/gamma", "/vocab_layer_norm.weight", (_H,)),
    Weight("beta", "/vocab_layer_norm/beta", "/vocab_layer_norm.bias", (_H,)),
    Weight("bias", "/vocab_projector/bias", "/vocab_projector.bias", ("vocab_size",)),
)


class DistilBert(Bert):
    """DistilBERT and all that was distilled in its shape."""

    name = "distilbert"
    title = "DistilBERT"
    hf_prefix = "distilbert."
    roots = r"(embeddings|transformer)[./]"
    act_key = "activation"
    takes_segments: ClassVar[bool] = False
    head: ClassVar[Sequence[Weight]] = _HEAD
    beside: ClassVar[Sequence[Weight]] = ()
    dropout_keys: ClassVar[tuple[str, str]] = ("dropout", "attention_dropout")

    def sizes(self, settings: Settings) -> dict[str, Any]:
        hidden, number = settings.size("dim"), settings.size("n_heads")
        if hidden % number:
            raise ValueError(f"{settings.path}: dim must be a multiple of n_heads, {number}, received {hidden}.")
        return {
            "vocab_size": settings.size("vocab_size"),
            "hidden_size": hidden,
            "num_layers": settings.size("n_layers"),
            "num_heads": number,
            "head_size": hidden // number,
            "intermediate_size": settings.size("hidden_dim"),
            "type_vocab_size": 1,
            "max_position_embeddings": settings.size("max_position_embeddings"),
        }

    def weights(self, config: Any) -> Sequence[Weight]:
        return [row for row in renamed(super().weights(config), *_NAMES) if row.role != "types"]

    def embed(self, config: Any, w: Mapping[str, Tensor], input_ids: Tensor, token_type_ids: Tensor) -> Tensor:
        x = ops.take(w["words"], input_ids, axis=0) + w["positions"][: ops.shape(input_ids)[1]]
        return config.drop(norm(x, w["gamma"], w["beta"], config.layer_norm_eps), "hidden")

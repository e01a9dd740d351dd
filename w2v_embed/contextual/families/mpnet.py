"""MPNet: positions as in RoBERTa, and one table of what is added for how far keys are away. https://arxiv.org/abs/2004.09297."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..backend import ops
from .bert import renamed
from .blocks import attention, dense
from .family import EncoderConfig, Family, Weight
from .roberta import Roberta, RobertaConfig

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..backend import Tensor
    from .config import Settings

_NAMES = (
    ("attention.self.query", "attention.attn.q"),
    ("attention.self.key", "attention.attn.k"),
    ("attention.self.value", "attention.attn.v"),
    ("attention.output.dense", "attention.attn.o"),
    ("attention.output.LayerNorm", "attention.LayerNorm"),
)
_FARTHEST = 128  # from there on all distances are alike


@dataclass(frozen=True)
class MPNetConfig(RobertaConfig):
    """The settings of an MPNet.

    Args:
        buckets: how many kinds of distances there are, half of them for keys that come later.
    """

    buckets: int = 32


class MPNet(Roberta):
    """MPNet, of which many sentence encoders are made."""

    name = "mpnet"
    title = "MPNet"
    hf_prefix = "mpnet."
    takes_segments: ClassVar[bool] = False
    config: ClassVar[type[EncoderConfig]] = MPNetConfig
    # transformers reads this number and computes with 32
    neutral: ClassVar[Mapping[str, tuple[object, ...]]] = {
        **Family.neutral,
        "relative_attention_num_buckets": (None, 32),
    }
    shared: ClassVar[tuple[str, ...]] = ("relative",)

    def configure(self, settings: Settings, options: Mapping[str, Any], **common: Any) -> MPNetConfig:
        settings.values.update(type_vocab_size=1, pad_token_id=1)  # whatever the file says, as transformers has it
        sizes = self.sizes(settings)
        return MPNetConfig(**common, **sizes, padding_id=1)

    def weights(self, config: Any) -> Sequence[Weight]:
        rows = [row for row in renamed(super().weights(config), *_NAMES) if row.role != "types"]
        name = "encoder.relative_attention_bias.weight"
        return [*rows, Weight("relative", name.replace(".", "/"), name, ("buckets", "num_heads"))]

    def context(self, config: Any, attention_mask: Tensor, token_type_ids: Tensor, memory: int) -> Mapping[str, Tensor]:
        """`buckets` is the kind of the distance of each key `(T, T)`."""
        places = ops.arange(ops.shape(attention_mask)[1])
        distances = places[None, :] - places[:, None]
        kinds = ops.take(
            ops.convert_to_tensor(_kinds(config.buckets)), ops.minimum(ops.abs(distances), _FARTHEST), axis=0
        )
        later = ops.cast(distances > 0, "int32") * (config.buckets // 2)
        return {**super().context(config, attention_mask, token_type_ids, memory), "buckets": kinds + later}

    def attended(self, config: Any, w: Mapping[str, Tensor], x: Tensor, context: Mapping[str, Tensor]) -> Tensor:
        relative = ops.take(w["relative"], ops.cast(context["buckets"], "int32"), axis=0)  # (T, T, N)
        relative = ops.transpose(relative, (2, 0, 1))[None]
        return attention(config, dense(x, w["qkv"], w["qkv_bias"]), relative + context["bias"])


def _kinds(buckets: int) -> npt.NDArray[np.int32]:
    """The kinds of distances from 0 to `_FARTHEST`: near ones one by one, then by their logarithm, as T5 has it."""
    half, distances = buckets // 2, np.arange(_FARTHEST + 1)
    exact = half // 2
    far = np.log(np.maximum(distances, 1).astype(np.float32) / np.float32(exact)) / np.float32(
        math.log(_FARTHEST / exact)
    )
    kinds = np.where(distances < exact, distances, exact + (far * np.float32(half - exact)).astype(np.int32))
    return np.minimum(kinds, half - 1).astype(np.int32)

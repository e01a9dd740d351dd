"""Parts that layers of several families are made of; shapes as in `family`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, get_args

import numpy as np

from ..._types import HiddenAct
from ..backend import fused_attention, fused_dense, fused_norm, ops, product, standardize_dtype

if TYPE_CHECKING:
    from ..backend import Tensor
    from .family import EncoderConfig

# Hugging Face's names. "gelu" is the exact one, by the error function; the others approximate it by tanh.
HIDDEN_ACTS: Final[tuple[str, ...]] = get_args(HiddenAct)

# Added to the score of a key that must not be seen: its weight becomes exactly 0, and a text of nothing but padding
# still has finite numbers, as it would not with -inf.
BLOCKED: Final = np.float32(-1e9)
_BLOCKED_FLOAT16: Final = -3e4  # the other is infinite there

_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "gelu": lambda x: ops.gelu(x, approximate=False),
    "gelu_new": lambda x: ops.gelu(x, approximate=True),
    "gelu_pytorch_tanh": lambda x: ops.gelu(x, approximate=True),
    "relu": lambda x: ops.relu(x),
    "silu": lambda x: ops.silu(x),
    "tanh": lambda x: ops.tanh(x),
    "gelu_folded": lambda x: x + x * ops.erf(x),
}


def dense(x: Tensor, kernel: Tensor, bias: Tensor | None = None, activation: str | None = None) -> Tensor:
    """Multiply the last axis of `x` by a matrix."""
    y = fused_dense(x, kernel, bias, activation)
    if y is not None:
        return y
    y = product(x, kernel, bias)
    return y if activation is None else _ACTIVATIONS[activation](y)


def heads(x: Tensor, number: int) -> Tensor:
    """`(B, T, N · D)` → `(B, N, T, D)`."""
    shape = ops.shape(x)
    return ops.transpose(ops.reshape(x, (-1, shape[1], number, x.shape[-1] // number)), (0, 2, 1, 3))


def unheads(x: Tensor) -> Tensor:
    """`(B, N, T, D)` → `(B, T, N · D)`."""
    shape = ops.shape(x)
    return ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (-1, shape[2], x.shape[1] * x.shape[3]))


def split_heads(x: Tensor, parts: int, number: int) -> list[Tensor]:
    """`(B, T, parts · N · D)` → as many of `(B, N, T, D)`: queries, keys and values out of one product."""
    return [heads(part, number) for part in ops.split(x, parts, axis=-1)]


def scores(q: Tensor, k: Tensor) -> Tensor:
    """Products of each query `(B, N, T, D)` with each key `(B, N, K, D)`: `(B, N, T, K)`."""
    return ops.matmul(q, ops.transpose(k, (0, 1, 3, 2)))


def weights_of(config: EncoderConfig, scores: Tensor, added: Tensor | None = None) -> Tensor:
    """Attention weights of scores; what they are divided by is mostly in the queries already.

    Args:
        added: to the scores, once they are scaled.
    """
    scores = scores if config.score_scale == 1 else scores * config.score_scale
    scores = scores if added is None else scores + added
    return config.drop(_in_float32(partial(ops.softmax, axis=-1), scores), "attention")


def attention(config: EncoderConfig, qkv: Tensor, added: Tensor) -> Tensor:
    """What each token takes from the others `(B, T, N · D)`, by queries, keys and values side by side `(B, T, 3 · N · D)`.

    Args:
        added: to the scores, once they are scaled.
    """
    made = fused_attention(qkv, added, config.num_heads, config.score_scale)
    if made is not None:
        return made
    q, k, v = split_heads(qkv, 3, config.num_heads)
    return unheads(ops.matmul(weights_of(config, scores(q, k), added), v))


def after_attention(config: EncoderConfig, w: Mapping[str, Tensor], x: Tensor, attended: Tensor) -> Tensor:
    """The second half of a layer: output, norm, feed forward, norm."""
    eps = config.layer_norm_eps
    x = norm(x + config.drop(dense(attended, w["out"], w.get("out_bias")), "hidden"), w["gamma1"], w["beta1"], eps)
    inner = dense(x, w["ff1"], w["ff1_bias"], config.hidden_act)
    return norm(x + config.drop(dense(inner, w["ff2"], w["ff2_bias"]), "hidden"), w["gamma2"], w["beta2"], eps)


def norm(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    """Layer normalisation of the last axis."""
    made = fused_norm(x, gamma, beta, eps)
    if made is not None:
        return made
    return _in_float32(partial(ops.layer_normalization, axis=-1, epsilon=eps), x, gamma, beta)


def blocking(mask: Tensor) -> Tensor:
    """What is added to the scores of keys: 0 where `mask` is not 0, else what makes their weight 0."""
    return ops.where(ops.equal(mask, 0), BLOCKED, np.float32(0))


def in_dtype(context: Mapping[str, Tensor], dtype: str) -> dict[str, Tensor]:
    """What a family's `context` returned, for layers that compute in another type."""
    if dtype == "float16":
        context = {name: ops.maximum(value, _BLOCKED_FLOAT16) for name, value in context.items()}
    return {name: ops.cast(value, dtype) for name, value in context.items()}


def _in_float32(function, *tensors):
    """What sums over many values does so in float32, also where a model computes in 16 bits."""
    dtype = tensors[0].dtype
    if standardize_dtype(dtype) == "float32":
        return function(*tensors)
    return ops.cast(function(*(ops.cast(tensor, "float32") for tensor in tensors)), dtype)


def shift(x: Tensor, keys: int | Tensor) -> Tensor:
    """`(B, N, T, T + K)` → `(B, N, T, K)`: element (i, j) of the result is element (i, T - i + j).

    Rows of the result begin one column further left each: read with rows one shorter, the numbers fall into place.
    Section 3.3 and appendix B of Transformer-XL, https://arxiv.org/abs/1901.02860.
    """
    number, (_, _, queries, width) = x.shape[1], ops.shape(x)
    flat = ops.reshape(x, (-1, number, queries * width))[:, :, queries:]
    return ops.reshape(flat, (-1, number, queries, width - 1))[:, :, :, :keys]


def unshift(x: Tensor) -> Tensor:
    """`(B, N, T, T)` → `(B, N, T, 2T)`: the inverse of `shift`, with zeros where nothing comes from."""
    number, (_, _, queries, keys) = x.shape[1], ops.shape(x)
    flat = ops.reshape(ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, keys - 1))), (-1, number, queries * (2 * keys - 1)))
    return ops.reshape(ops.pad(flat, ((0, 0), (0, 0), (queries, 0))), (-1, number, queries, 2 * keys))

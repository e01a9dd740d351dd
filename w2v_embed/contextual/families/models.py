"""The encoders as functions of tensors: embeddings in, hidden states of each layer out.

Shapes: B texts, T tokens, M tokens of memory before them, K = M + T keys, H the hidden size, N heads of D numbers.
Each model has `embed`, a `layer` that is compiled once and called for each layer's weights, and `context`, what all
layers share: it is made in NumPy from the lengths and the mask.

BERT: https://arxiv.org/abs/1810.04805. NEZHA: https://arxiv.org/abs/1909.00204. XLNet: https://arxiv.org/abs/1906.08237.
"""

from dataclasses import replace
from functools import partial

import numpy as np

from ...sinusoid import sinusoid_table
from ..backend import compiled, fused_dense, fuses_gelu, ops, to_tensors

# Added to the score of a key that must not be seen: its weight becomes exactly 0, and a text of nothing but padding
# still has finite numbers, as it would not with -inf.
_BLOCKED = np.float32(-1e9)

_ACTIVATIONS = {
    "gelu": partial(ops.gelu, approximate=False),
    "gelu_new": partial(ops.gelu, approximate=True),
    "gelu_pytorch_tanh": partial(ops.gelu, approximate=True),
    "relu": ops.relu,
    "gelu_folded": lambda x: x + x * ops.erf(x),
}


class Model:
    """An encoder that runs: configuration, weights on the device, compiled functions.

    Args:
        config: an `EncoderConfig`.
        embedding: dict of arrays.
        layers: list of dicts of arrays, one a layer.
    """

    def __init__(self, config, embedding, layers):
        if config.hidden_act == "gelu" and not fuses_gelu():
            config, layers = replace(config, hidden_act="gelu_folded"), [_fold_gelu(layer) for layer in layers]
        self.config = config
        self.embedding = to_tensors(embedding)
        self.layers = [to_tensors(layer) for layer in layers]
        embed, layer, self._context = {
            "bert": (_bert_embed, _bert_layer, _bert_context),
            "nezha": (_bert_embed, _nezha_layer, _nezha_context),
            "xlnet": (_xlnet_embed, _xlnet_layer, _xlnet_context),
        }[config.model_type]
        self._embed = compiled(partial(embed, config))
        self._layer = compiled(partial(layer, config))

    def states(self, input_ids, attention_mask, token_type_ids, mems=None, last=None):
        """Yield the output of the embeddings and of each layer up to `last`, tensors of shape `(B, T, H)`.

        Args:
            input_ids, attention_mask, token_type_ids: int32 arrays `(B, T)`.
            mems: float32 array `(layers, B, M, H)` or None.
            last: index of the last output that is wanted; None for all.
        """
        last = len(self.layers) if last is None else last
        memory = 0 if mems is None else mems.shape[2]
        context = to_tensors(self._context(self.config, attention_mask, token_type_ids, memory))
        x = self._embed(self.embedding, *(ops.convert_to_tensor(ids, "int32") for ids in (input_ids, token_type_ids)))
        yield x
        for i, weights in enumerate(self.layers[:last]):
            if memory:
                x = self._layer(weights, x, {**context, "mems": ops.convert_to_tensor(mems[i], "float32")})
            else:
                x = self._layer(weights, x, context)
            yield x


def _fold_gelu(layer):
    """Move the factors of the exact GELU, x / 2 · (1 + erf(x / √2)), into the kernels before and after it."""
    half = np.float32(0.5**0.5)
    return {**layer, **{name: layer[name] * half for name in ("ff1", "ff1_bias", "ff2")}}


def _dense(x, kernel, bias=None, activation=None):
    """Multiply the last axis of `x` by a matrix. Two axes at a time: a product of three is slower on TensorFlow."""
    y = fused_dense(x, kernel, bias, activation)
    if y is not None:
        return y
    shape = ops.shape(x)
    y = ops.matmul(ops.reshape(x, (-1, shape[-1])), kernel)
    y = ops.reshape(y if bias is None else y + bias, (*shape[:-1], ops.shape(kernel)[-1]))
    return y if activation is None else _ACTIVATIONS[activation](y)


def _heads(x, heads):
    """`(B, T, N · D)` → `(B, N, T, D)`."""
    shape = ops.shape(x)
    return ops.transpose(ops.reshape(x, (-1, shape[1], heads, x.shape[-1] // heads)), (0, 2, 1, 3))


def _unheads(x):
    """`(B, N, T, D)` → `(B, T, N · D)`."""
    shape = ops.shape(x)
    return ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (-1, shape[2], x.shape[1] * x.shape[3]))


def _weights(config, scores):
    """Attention weights of scores; what they are divided by is mostly in the queries already."""
    return ops.softmax(scores if config.score_scale == 1 else scores * config.score_scale, axis=-1)


def _after_attention(config, w, x, attended):
    """The second half of a layer, alike in all three: output, norm, feed forward, norm."""
    eps = config.layer_norm_eps
    x = _norm(x + _dense(attended, w["out"], w.get("out_bias")), w["gamma1"], w["beta1"], eps)
    inner = _dense(x, w["ff1"], w["ff1_bias"], config.hidden_act)
    return _norm(x + _dense(inner, w["ff2"], w["ff2_bias"]), w["gamma2"], w["beta2"], eps)


def _norm(x, gamma, beta, eps):
    return ops.layer_normalization(x, gamma, beta, axis=-1, epsilon=eps)


def _bert_embed(config, w, input_ids, token_type_ids):
    x = ops.take(w["words"], input_ids, axis=0) + ops.take(w["types"], token_type_ids, axis=0)
    if "positions" in w:
        x = x + w["positions"][: ops.shape(input_ids)[1]]
    return _norm(x, w["gamma"], w["beta"], config.layer_norm_eps)


def _bert_context(config, attention_mask, token_type_ids, memory):
    return {"bias": np.where(attention_mask, 0, _BLOCKED)[:, None, None, :]}


def _bert_layer(config, w, x, context):
    q, k, v = (_heads(part, config.num_heads) for part in ops.split(_dense(x, w["qkv"], w["qkv_bias"]), 3, axis=-1))
    weights = _weights(config, ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))) + context["bias"])
    return _after_attention(config, w, x, _unheads(ops.matmul(weights, v)))


def _nezha_context(config, attention_mask, token_type_ids, memory):
    """`distances` is the row of the sinusoid for each distance key - query from -T to T - 1, clipped: `(2T, D)`."""
    length, clip, size = attention_mask.shape[1], config.max_relative_position, config.head_size
    rows = np.clip(np.arange(-length, length), -clip, clip) + clip
    distances = sinusoid_table(rows, size)
    return {**_bert_context(config, attention_mask, token_type_ids, memory), "distances": distances}


def _nezha_layer(config, w, x, context):
    q, k, v = (_heads(part, config.num_heads) for part in ops.split(_dense(x, w["qkv"], w["qkv_bias"]), 3, axis=-1))
    # q · R for all 2T distances at once instead of a table (T, T, D), and the same backwards for the values.
    relative = _shift(_dense(q, ops.transpose(context["distances"])), ops.shape(x)[1])
    scores = ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))) + relative + context["bias"]
    weights = _weights(config, scores)
    attended = ops.matmul(weights, v) + _dense(_unshift(weights), context["distances"])
    return _after_attention(config, w, x, _unheads(attended))


def _shift(x, keys):
    """`(B, N, T, T + K)` → `(B, N, T, K)`: element (i, j) of the result is element (i, T - i + j).

    Rows of the result begin one column further left each: read with rows one shorter, the numbers fall into place.
    Section 3.3 and appendix B of Transformer-XL, https://arxiv.org/abs/1901.02860.
    """
    heads, (_, _, queries, width) = x.shape[1], ops.shape(x)
    flat = ops.reshape(x, (-1, heads, queries * width))[:, :, queries:]
    return ops.reshape(flat, (-1, heads, queries, width - 1))[:, :, :, :keys]


def _unshift(x):
    """`(B, N, T, T)` → `(B, N, T, 2T)`: the inverse of `_shift`, with zeros where nothing comes from."""
    heads, (_, _, queries, keys) = x.shape[1], ops.shape(x)
    flat = ops.reshape(ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, keys - 1))), (-1, heads, queries * (2 * keys - 1)))
    return ops.reshape(ops.pad(flat, ((0, 0), (0, 0), (queries, 0))), (-1, heads, queries, 2 * keys))


def _xlnet_embed(config, w, input_ids, token_type_ids):
    return ops.take(w["words"], input_ids, axis=0)


def _xlnet_context(config, attention_mask, token_type_ids, memory):
    """Distances as sinusoids `(T + K, H)`, blocked keys `(B, 1, T, K)` and keys of another segment `(B, 1, T, K)`."""
    batch, length = attention_mask.shape
    keys = memory + length
    positions = np.arange(keys, -length, -1.0)
    if config.clamp_len > 0:
        positions = np.clip(positions, -config.clamp_len, config.clamp_len)
    sinusoids = sinusoid_table(positions, config.hidden_size)

    nothing = np.zeros((batch, memory), attention_mask.dtype)
    own = np.arange(length)[:, None] + memory  # the key of each query's own position
    blocked = np.concatenate([nothing, 1 - attention_mask], axis=1)[:, None, :] != 0
    if config.attention_type == "uni":
        blocked = blocked | (np.arange(keys) > own)
    blocked = blocked & (np.arange(keys) != own)
    other = np.concatenate([nothing, token_type_ids], axis=1)[:, None, :] != token_type_ids[:, :, None]
    return {
        "positions": np.concatenate([sinusoids[:, ::2], sinusoids[:, 1::2]], axis=1),
        "bias": np.where(blocked, _BLOCKED, np.float32(0))[:, None],
        "other": other[:, None],
    }


def _xlnet_layer(config, w, x, context):
    heads, size = config.num_heads, config.head_size
    seen = ops.concatenate([context["mems"], x], axis=1) if "mems" in context else x
    q = _dense(x, w["query"])
    k, v = (_heads(part, heads) for part in ops.split(_dense(seen, w["kv"]), 2, axis=-1))
    r = _heads(_dense(context["positions"], w["position"])[None], heads)

    scores = ops.matmul(_heads(q + w["u"], heads), ops.transpose(k, (0, 1, 3, 2)))
    scores = scores + _shift(ops.matmul(_heads(q + w["v"], heads), ops.transpose(r, (0, 1, 3, 2))), ops.shape(seen)[1])
    # The score of the same segment is alike for all keys of a query, so only the difference to it matters.
    other_less_same = ops.reshape(w["segments"][1] - w["segments"][0], (1, heads, 1, size))
    difference = ops.sum(_heads(q + w["s"], heads) * other_less_same, axis=-1, keepdims=True)
    scores = scores + difference * context["other"] + context["bias"]
    return _after_attention(config, w, x, _unheads(ops.matmul(_weights(config, scores), v)))

"""Tensors of a checkpoint → the weights of an encoder, each found, of the right shape, and none left over."""

import re
import zlib

import numpy as np

from ..files import shown

# Heads, optimizer slots and buffers are no weights of an encoder; the pooler is not used to encode.
_SLOTS = re.compile(
    r".*/(adam_[mv]|Adam(_\d+)?|AdamWeightDecay\w*|LAMB\w*)$|.*\.(position_ids|token_type_ids|positions_encoding)$"
)
_ROOTS = {
    "bert": r"(embeddings|encoder)[./]",
    "xlnet": r"(word_embedding|layer|mask_emb|seg_embed|r_[wrs]_bias|layer_\d+)([./]|$)",
}
_ROOTS["nezha"] = _ROOTS["bert"]
_NOT_USED = r"(pooler|mask_emb)[./].*|mask_emb"
_DEFAULT_PREFIX = {("google", "bert"): "bert/", ("google", "nezha"): "bert/", ("google", "xlnet"): "model/transformer/"}


def load_weights(config, layout, file, tensors):
    """Read the weights that a configuration asks for.

    Args:
        config: an `EncoderConfig`.
        layout: "google" or "huggingface".
        file: what the tensors were read from, for messages.
        tensors: `{name: StoredTensor}`.

    Returns:
        `(embedding, layers, checksum)`: a dict of float32 arrays, a list of such dicts (one a layer), and a number that
        tells these weights from others.

    Raises:
        ValueError: if a tensor is missing, has another shape than the configuration says, belongs to the encoder and
            has no place in it, or holds NaN or infinity.
    """
    reader = _Reader(config, layout, file, tensors)
    read = _xlnet if config.model_type == "xlnet" else _bert
    embedding, layers = read(reader, config, google=layout == "google")
    reader.refuse_leftovers()
    return embedding, layers, reader.checksum


def _bert(reader, config, google):
    hidden, inner = config.hidden_size, config.intermediate_size
    dot, weight = ("/", "") if google else (".", ".weight")
    embedding = {"words": reader(f"embeddings{dot}word_embeddings{weight}", (config.vocab_size, hidden))}
    embedding["types"] = reader(f"embeddings{dot}token_type_embeddings{weight}", (config.type_vocab_size, hidden))
    if config.model_type == "bert":
        shape = (config.max_position_embeddings, hidden)
        embedding["positions"] = reader(f"embeddings{dot}position_embeddings{weight}", shape)
    embedding["gamma"], embedding["beta"] = reader.norm(f"embeddings{dot}LayerNorm", hidden)

    # The scores are divided by sqrt(head_size): so is the query, once and for all.
    scale = np.float32(config.query_scale)
    layers = []
    for i in range(config.num_layers):
        place = f"encoder/layer_{i}/" if google else f"encoder.layer.{i}."
        attention = f"{place}attention{dot}"
        (q, qb), (k, kb), (v, vb) = (
            reader.dense(f"{attention}self{dot}{part}", hidden, hidden) for part in ("query", "key", "value")
        )
        layer = {
            "qkv": np.concatenate([q * scale, k, v], axis=1),
            "qkv_bias": np.concatenate([qb * scale, kb, vb]),
        }
        layer["out"], layer["out_bias"] = reader.dense(f"{attention}output{dot}dense", hidden, hidden)
        layer["gamma1"], layer["beta1"] = reader.norm(f"{attention}output{dot}LayerNorm", hidden)
        layer["ff1"], layer["ff1_bias"] = reader.dense(f"{place}intermediate{dot}dense", hidden, inner)
        layer["ff2"], layer["ff2_bias"] = reader.dense(f"{place}output{dot}dense", inner, hidden)
        layer["gamma2"], layer["beta2"] = reader.norm(f"{place}output{dot}LayerNorm", hidden)
        layers.append(layer)
    return embedding, layers


def _xlnet(reader, config, google):
    hidden, heads, head, inner = config.hidden_size, config.num_heads, config.head_size, config.intermediate_size
    words = "word_embedding/lookup_table" if google else "word_embedding.weight"
    embedding = {"words": reader(words, (config.vocab_size, hidden))}

    if google:
        # One tensor for all layers; without `untie_r` they share the biases of the position and of the word.
        shape = (config.num_layers, heads, head) if config.untie_r else (heads, head)
        biases = {name: reader(name, shape) for name in ("r_w_bias", "r_r_bias", "r_s_bias")}
        segments = reader("seg_embed", (config.num_layers, 2, heads, head))

    norm = "/LayerNorm" if google else ".layer_norm"
    scale = np.float32(config.query_scale)
    layers = []
    for i in range(config.num_layers):
        place = f"layer_{i}" if google else f"layer.{i}"
        attention = f"{place}/rel_attn" if google else f"{place}.rel_attn"

        def kernel(part, attention=attention):
            name = f"{attention}/{part}/kernel" if google else f"{attention}.{part}"
            return reader(name, (hidden, heads, head)).reshape(hidden, heads * head)

        layer = {"query": kernel("q") * scale, "kv": np.concatenate([kernel("k"), kernel("v")], axis=1)}
        layer["position"], layer["out"] = kernel("r"), kernel("o").T
        for role, name in (("u", "r_w_bias"), ("v", "r_r_bias"), ("s", "r_s_bias")):
            if google:
                value = biases[name][i] if config.untie_r else biases[name]
            else:
                value = reader(f"{attention}.{name}", (heads, head))
            layer[role] = value.reshape(heads * head) * scale
        layer["segments"] = segments[i] if google else reader(f"{attention}.seg_embed", (2, heads, head))
        layer["gamma1"], layer["beta1"] = reader.norm(attention + norm, hidden)
        ff = f"{place}/ff/" if google else f"{place}.ff."
        layer["ff1"], layer["ff1_bias"] = reader.dense(f"{ff}layer_1", hidden, inner)
        layer["ff2"], layer["ff2_bias"] = reader.dense(f"{ff}layer_2", inner, hidden)
        layer["gamma2"], layer["beta2"] = reader.norm(ff[:-1] + norm, hidden)
        layers.append(layer)
    return embedding, layers


class _Reader:
    """Takes tensors by their name without the prefix (`bert.`, `model/transformer/`) and remembers which it took."""

    def __init__(self, config, layout, file, tensors):
        self.google, self.file, self.tensors = layout == "google", file, tensors
        self.taken, self.checksum = set(), 0
        self.roots = re.compile(_ROOTS[config.model_type])
        self.prefix = self._common_prefix(_DEFAULT_PREFIX.get((layout, config.model_type), ""))

    def _common_prefix(self, default):
        """The prefix of most tensors that could be the encoder's; a file may hold others of the same end."""
        counts = {}
        for name in self.tensors:
            match = re.match(rf"((?:[^./]+[./])*?){self.roots.pattern}", name)
            if match:
                counts[match[1]] = counts.get(match[1], 0) + 1
        return max(counts, key=counts.get, default=default)

    def __call__(self, name, shape, old_name=None):
        names = [self.prefix + n for n in (name, old_name) if n]
        full = next((n for n in names if n in self.tensors), None)
        if full is None:
            raise ValueError(
                f"{self.file} has no tensor {names[0]!r}, which the configuration needs, of shape {shape}. "
                "Is this the configuration of this model?"
            )
        if self.tensors[full].shape != shape:
            raise ValueError(
                f"{self.file}: tensor {full!r} should have shape {shape} by the configuration, "
                f"it has {self.tensors[full].shape}."
            )
        self.taken.add(full)
        values = np.ascontiguousarray(self.tensors[full].load(), np.float32)
        if not np.isfinite(values).all():
            raise ValueError(
                f"{self.file}: tensor {full!r} holds NaN or infinity: the file is damaged or not trained well."
            )
        self.checksum = zlib.crc32(values, self.checksum)
        return values

    def dense(self, name, rows, columns):
        """A kernel of shape `(rows, columns)`, which torch stores transposed, and its bias."""
        if self.google:
            return self(f"{name}/kernel", (rows, columns)), self(f"{name}/bias", (columns,))
        return self(f"{name}.weight", (columns, rows)).T, self(f"{name}.bias", (columns,))

    def norm(self, name, size):
        if self.google:
            return self(f"{name}/gamma", (size,)), self(f"{name}/beta", (size,))
        # files made before 2019 have Google's words for them
        return self(f"{name}.weight", (size,), f"{name}.gamma"), self(f"{name}.bias", (size,), f"{name}.beta")

    def refuse_leftovers(self):
        for name in sorted(self.tensors.keys() - self.taken):
            if not name.startswith(self.prefix) or _SLOTS.fullmatch(name):
                continue
            own = name[len(self.prefix) :]
            # Behind a prefix all is the encoder's; without one, heads stand beside it.
            if (self.prefix or self.roots.match(own)) and not re.fullmatch(_NOT_USED, own):
                raise ValueError(
                    f"{self.file}: tensor {shown(name)} belongs to the encoder and has no place in it by the configuration: "
                    "the model would compute something else without it."
                )

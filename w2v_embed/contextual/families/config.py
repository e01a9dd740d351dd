"""What kind of encoder a folder holds, and its sizes: `config.json`, `bert_config.json` or `xlnet_config.json`."""

import math
from dataclasses import dataclass
from pathlib import Path

from ..files import checked, read_json, shown

CONFIG_FILES = ("config.json", "bert_config.json", "xlnet_config.json")
MODEL_TYPES = ("bert", "nezha", "xlnet")
# Hugging Face's names. "gelu" is the exact one, by the error function; the others approximate it by tanh.
HIDDEN_ACTS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu")
ATTENTION_TYPES = ("bi", "uni")

# Of all sizes. Those that a tensor has are checked against it as well; the others stay far from what overflows.
_LARGEST = 1 << 24

# Settings that would change what an encoder computes, and the values that leave it as it is computed here.
_NEUTRAL = {
    "position_embedding_type": (None, "absolute"),
    "is_decoder": (None, False),
    "add_cross_attention": (None, False),
    "bi_data": (None, False),
    "same_length": (None, False),
    "reuse_len": (None, 0, -1),
}


@dataclass(frozen=True)
class EncoderConfig:
    """The settings of an encoder, under one name whatever the file calls them.

    Args:
        model_type: "bert", "nezha" or "xlnet".
        hidden_act: one of `HIDDEN_ACTS`; "gelu" of a file from Google has become "gelu_new" here.
        max_position_embeddings: the rows of BERT's table of positions; None for XLNet, which has no such bound.
        max_relative_position: NEZHA only, the distance from which on all distances are alike.
        untie_r: XLNet only, whether each layer has its own biases in Google's file.
    """

    model_type: str
    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    head_size: int
    intermediate_size: int
    hidden_act: str
    layer_norm_eps: float
    type_vocab_size: int = 2
    max_position_embeddings: int | None = None
    max_relative_position: int = 64
    attention_type: str = "bi"
    clamp_len: int = -1
    mem_len: int | None = None
    untie_r: bool = True

    @property
    def query_scale(self):
        """The part of 1 / sqrt(head_size) that the queries' weights take: a power of two, which rounds none of them."""
        return 2.0 ** -round(math.log2(self.head_size) / 2)

    @property
    def score_scale(self):
        """The rest of it; 1 where the head size is a power of four, as 64 is."""
        return self.head_size**-0.5 / self.query_scale


def read_config(folder, layout, *, attention_type=None, hidden_act=None, max_relative_position=None):
    """Read the configuration in a folder; the keywords overrule what it says.

    Args:
        folder: the folder.
        layout: "google" or "huggingface", of the checkpoint: "gelu" means the approximation by tanh in Google's code.

    Returns:
        an `EncoderConfig`.

    Raises:
        FileNotFoundError: if there is no configuration.
        ValueError: if it is no JSON, lacks a size, or asks for what is not computed here.
    """
    folder = Path(folder)
    path = next((folder / name for name in CONFIG_FILES if (folder / name).is_file()), None)
    if path is None:
        raise FileNotFoundError(f"{folder / CONFIG_FILES[0]} is missing; {' or '.join(CONFIG_FILES[1:])} would do too.")
    settings = _Settings(path)
    model_type = _model_type(settings)
    for key, neutral in _NEUTRAL.items():
        value = settings.get(key)
        if (type(value), value) not in [(type(allowed), allowed) for allowed in neutral]:
            raise ValueError(f"{path}: {key} = {shown(value)} is not supported; known are {_listed(neutral)}.")

    act_key = "ff_activation" if model_type == "xlnet" else "hidden_act"
    act = settings.get(act_key, "gelu") if hidden_act is None else hidden_act
    if act not in HIDDEN_ACTS:
        origin = f"{path}: {act_key}" if hidden_act is None else "the argument"
        raise ValueError(f"hidden_act {shown(act)} ({origin}) is unknown; known are {_listed(HIDDEN_ACTS)}.")
    if layout == "google" and hidden_act is None and act == "gelu":
        act = "gelu_new"
    eps = settings.typed("layer_norm_eps", float, 1e-12)
    if not 0 < eps < 1:
        raise ValueError(f"{path}: layer_norm_eps should lie between 0 and 1, got {eps!r}.")

    if model_type == "xlnet":
        if max_relative_position is not None:
            raise ValueError(
                f"max_relative_position={max_relative_position!r} is for NEZHA; {path} describes an XLNet."
            )
        return _xlnet(settings, attention_type, hidden_act=act, layer_norm_eps=eps)
    if attention_type is not None:
        raise ValueError(
            f"attention_type={attention_type!r} is for XLNet; {path} describes a model of type {model_type}."
        )
    return _bert(settings, model_type, max_relative_position, hidden_act=act, layer_norm_eps=eps)


def _bert(settings, model_type, max_relative_position, **common):
    hidden, heads = settings.size("hidden_size"), settings.size("num_attention_heads")
    if hidden % heads:
        raise ValueError(f"{settings.path}: hidden_size {hidden} is no multiple of num_attention_heads {heads}.")
    if model_type == "nezha":
        if max_relative_position is not None:
            settings.values["max_relative_position"] = max_relative_position
        common["max_relative_position"] = settings.size("max_relative_position", 64)
    elif max_relative_position is not None:
        raise ValueError(
            f"max_relative_position={max_relative_position!r} is for NEZHA; {settings.path} describes a BERT."
        )
    return EncoderConfig(
        model_type=model_type,
        vocab_size=settings.size("vocab_size"),
        hidden_size=hidden,
        num_layers=settings.size("num_hidden_layers"),
        num_heads=heads,
        head_size=hidden // heads,
        intermediate_size=settings.size("intermediate_size"),
        type_vocab_size=settings.size("type_vocab_size", 2),
        max_position_embeddings=settings.size("max_position_embeddings"),
        **common,
    )


def _xlnet(settings, attention_type, **common):
    attention = settings.get("attn_type", "bi") if attention_type is None else attention_type
    if attention not in ATTENTION_TYPES:
        origin = f"{settings.path}: attn_type" if attention_type is None else "the argument"
        raise ValueError(
            f"attention_type ({origin}) must be one of {_listed(ATTENTION_TYPES)}, got {shown(attention)}."
        )
    hidden, heads = settings.size("d_model"), settings.size("n_head")
    return EncoderConfig(
        model_type="xlnet",
        vocab_size=settings.size("vocab_size" if "vocab_size" in settings.values else "n_token", named="vocab_size"),
        hidden_size=hidden,
        num_layers=settings.size("n_layer"),
        num_heads=heads,
        head_size=settings.size("d_head", hidden // heads),
        intermediate_size=settings.size("d_inner"),
        attention_type=attention,
        clamp_len=settings.size("clamp_len", -1, least=-1),
        mem_len=settings.size("mem_len", 0, least=0) or None,
        untie_r=settings.typed("untie_r", bool, True),
        **common,
    )


def _model_type(settings):
    """Google's files have no `model_type`: XLNet calls its width d_model, NEZHA says `use_relative_position`."""
    model_type = settings.get("model_type")
    if model_type is None:
        if "d_model" in settings.values:
            return "xlnet"
        return "nezha" if settings.typed("use_relative_position", bool, False) else "bert"
    if model_type not in MODEL_TYPES:
        raise ValueError(
            f"{settings.path}: model_type {shown(model_type)} is not supported; known are {_listed(MODEL_TYPES)}."
        )
    return model_type


class _Settings:
    """The keys and values of a configuration file, with errors that name the file and the key."""

    def __init__(self, path):
        self.path, self.values = path, read_json(path)

    def get(self, key, default=None):
        """Return a value; a key that is null counts as absent."""
        value = self.values.get(key)
        return default if value is None else value

    def size(self, key, default=None, *, named=None, least=1):
        value = self.typed(key, int, default)
        if value is None:
            raise ValueError(f"{self.path} has no {named or key}: add it, it is a size of the model.")
        if not least <= value <= _LARGEST:
            told = f"{least} or more" if value < least else f"at most {_LARGEST:,}"
            raise ValueError(f"{self.path}: {key} should be {told}, got {shown(value)}.")
        return value

    def typed(self, key, kind, default):
        value = self.get(key, default)
        return value if value is None else checked(self.path, key, value, kind)


def _listed(values):
    return ", ".join(repr(value) for value in values)

"""What a family of encoders is: how its configuration is read, its tensors are called, and its layers are computed.

Shapes: B texts, T tokens, M tokens of memory before them, K = M + T keys, H the hidden size, N heads of D numbers.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

if TYPE_CHECKING:
    from ..backend import Tensor
    from ..tokenizers import Tokenizer
    from .config import Settings


@dataclass(frozen=True)
class EncoderConfig:
    """The settings of an encoder, under one name whatever the file calls them; a family with more of them has a subclass.

    Args:
        model_type: the name of its family.
        hidden_act: one of `HIDDEN_ACTS`; "gelu" of a file from Google has become "gelu_new" here.
        max_position_embeddings: how many tokens a text may have unless the caller says otherwise; None = any number.
        mem_len: how many tokens of memory a segment hands to the next, in a family that has memory; None = not said.
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
    mem_len: int | None = None

    def drop(self, x: Any, of: Literal["hidden", "attention"]) -> Any:
        """Where values are left out at random while a model trains; here, none are. (See `trainable`.)"""
        return x

    @property
    def query_scale(self) -> float:
        """The part of 1 / sqrt(head_size) that the queries' weights take: a power of two, which rounds none of them."""
        return 2.0 ** -round(math.log2(self.head_size) / 2)

    @property
    def score_scale(self) -> float:
        """The rest of it; 1 where the head size is a power of four, as 64 is."""
        return self.head_size**-0.5 / self.query_scale


class Weight(NamedTuple):
    """A row of a family's table: one tensor of its files, and what it becomes.

    Args:
        role: what `embed` and `layer` call it. Several rows of one role become one array, side by side in this order. "ff1",
            "ff1_bias" and "ff2" are what stands before and behind the activation `hidden_act` and nothing else: where the exact
            GELU is slow, its factors move into them.
        google: its name in Google's files, behind the prefix; with `{i}` it is one of each layer's, `name[{i}]` is row i of a
            tensor that all layers share.
        huggingface: its name in Hugging Face's files. A name that begins with "/" stands without a prefix: a head's.
        shape: names of sizes of the configuration, and numbers. The axes of heads and of their numbers become one.
        transposed: whether the file's matrix is the transpose of the one that is multiplied by: "huggingface" (Google's is not)
            or "always". The shape is Google's.
        scaled: whether it takes `query_scale`.
    """

    role: str
    google: str
    huggingface: str
    shape: tuple[str | int, ...]
    transposed: Literal["never", "huggingface", "always"] = "never"
    scaled: bool = False


class Family(ABC):
    """Encoders that differ in their sizes alone. A new one is a subclass in a file of its own, and a line in the table.

    Attributes:
        name: what `model_type` says in a configuration.
        title: what people call it.
        config_file: a configuration of this name is the family's, too, beside config.json.
        prefix: of its names in Google's files, if a file has none that tells.
        hf_prefix: of its names in Hugging Face's files, where a head stands beside it.
        roots: a pattern of the beginnings of its names, behind the prefix: what begins so and has no place is refused.
        not_used: a pattern of the names, behind the prefix, that an encoder can do without.
        act_key: what its configuration calls the activation.
        neutral: settings that would change what is computed, and the values that leave it as it is computed here.
        options: arguments of `from_pretrained` that are for this family.
        takes_segments: whether transformers' model takes segments.
        has_memory: whether a segment's states can be handed to the next (`mems`).
        tokenizer: the class of its tokenizer.
        config: the class of its settings.
        head: the head that guesses words, of which the table of words is the last matrix: roles "dense", "dense_bias", "gamma",
            "beta", "bias". A checkpoint may lack it.
        head_act: its activation; None = that of the layers.
        beside: what a checkpoint may have that is neither computed here nor its head.
        shared: roles of the embeddings that each layer gets as well.
        dropout_keys: what its configuration calls the shares that are dropped: of states, of attention.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    config_file: ClassVar[str] = "config.json"
    prefix: ClassVar[str] = ""
    hf_prefix: ClassVar[str] = "bert."
    roots: ClassVar[str]
    not_used: ClassVar[str] = r"pooler[./].*"
    act_key: ClassVar[str] = "hidden_act"
    neutral: ClassVar[Mapping[str, tuple[object, ...]]] = {
        "position_embedding_type": (None, "absolute"),
        "is_decoder": (None, False),
        "add_cross_attention": (None, False),
    }
    options: ClassVar[tuple[str, ...]] = ()
    takes_segments: ClassVar[bool] = True
    has_memory: ClassVar[bool] = False
    tokenizer: ClassVar[type[Tokenizer]]
    config: ClassVar[type[EncoderConfig]] = EncoderConfig
    head: ClassVar[Sequence[Weight]] = ()
    head_act: ClassVar[str | None] = None
    beside: ClassVar[Sequence[Weight]] = ()
    shared: ClassVar[tuple[str, ...]] = ()
    dropout_keys: ClassVar[tuple[str, str]] = ("hidden_dropout_prob", "attention_probs_dropout_prob")

    def recognises(self, settings: Settings) -> bool:
        """Whether a configuration without a `model_type` is one of this family's."""
        return False

    @abstractmethod
    def configure(self, settings: Settings, options: Mapping[str, Any], **common: Any) -> EncoderConfig:
        """Read the settings.

        Args:
            settings: of the file.
            options: those of `self.options` that the caller gave.
            common: what all families share, as `EncoderConfig` calls it: model_type, hidden_act, layer_norm_eps.
        """

    @abstractmethod
    def weights(self, config: Any) -> Sequence[Weight]:
        """The table of the tensors, in the order in which they are read."""

    def groups(self, config: Any) -> int:
        """How many layers have weights of their own."""
        return int(config.num_layers)

    def group(self, config: Any, layer: int) -> int:
        """The number by which the weights of a layer are called, `{i}` in their names."""
        return layer

    def settings(self, config: Any) -> dict[str, Any]:
        """What config.json says, in Hugging Face's words, of that in which a configuration may differ from its file."""
        return {"model_type": self.name, self.act_key: config.hidden_act, "vocab_size": config.vocab_size}

    def longest(self, config: Any) -> int | None:
        """How many tokens the model can see at once; None = any number."""
        return None

    def segments(self, config: Any) -> int:
        """How many kinds of segment there are: `token_type_ids` lie below it."""
        return config.type_vocab_size

    @abstractmethod
    def embed(self, config: Any, w: Mapping[str, Tensor], input_ids: Tensor, token_type_ids: Tensor) -> Tensor:
        """The output of the embeddings, `(B, T, H)`, of ids `(B, T)`."""

    @abstractmethod
    def context(self, config: Any, attention_mask: Tensor, token_type_ids: Tensor, memory: int) -> Mapping[str, Tensor]:
        """What all layers share, made by `ops` out of mask and segments `(B, T)` and the M tokens of `memory`."""

    @abstractmethod
    def layer(self, config: Any, w: Mapping[str, Tensor], x: Tensor, context: Mapping[str, Tensor]) -> Tensor:
        """One layer, `(B, T, H)` → `(B, T, H)`; compiled once. `context["mems"]`: the memory `(B, M, H)`, if any."""

"""An encoder → a `keras.Model` that trains, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, get_args

from .._types import EncoderOutputs, HeadName
from ..checks import one_of, whole
from ..shown import logger, quoted
from .backend import keras
from .families.weights import as_stored
from .pooling import whole_numbers
from .trainable import EncoderEmbeddings, EncoderLayer, TiedHead, settings_of

if TYPE_CHECKING:
    from .checkpoint import Checkpoint

_USUAL_DROPOUT = 0.1
_TABLE = "words"


def to_keras(
    checkpoint: Checkpoint,
    *,
    trainable: bool,
    layers: int | Iterable[int] | None,
    dropout: float | None,
    head: str | None,
    outputs: str,
    dtype: Any,
    seed: int,
) -> Any:
    """See `ContextualEncoder.to_keras`."""
    config, family = checkpoint.config, checkpoint.family
    if head is not None:
        one_of("head", head, get_args(HeadName), or_else="None")
    one_of("outputs", outputs, get_args(EncoderOutputs))
    trained = _trained(trainable, layers, config.num_layers)
    options = {"dropout": _dropout(checkpoint, dropout), "dtype": dtype, "seed": whole("seed", seed, 0)}
    of_all: dict[str, Any] = {"family": family.name, "settings": settings_of(config)}

    inputs = [
        keras.Input((None,), dtype="int32", name=name) for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    ids, mask, types = inputs
    exposed = [*family.shared, *([_TABLE] if head else [])]
    embeddings = EncoderEmbeddings(**of_all, exposed=exposed, name="embeddings", **options)
    embeddings.store(checkpoint.weights(None))
    embeddings.trainable = 0 in trained
    x, *held = embeddings(ids, types) if exposed else [embeddings(ids, types)]
    shared, states, made = held[: len(family.shared)], [x], {}
    for number in range(1, config.num_layers + 1):
        group = family.group(config, number - 1)
        if group not in made:
            made[group] = EncoderLayer(**of_all, group=group, name=f"layer_{number}", **options)
            made[group].store(checkpoint.weights(group))
            made[group].trainable = False
        made[group].trainable = made[group].trainable or number in trained
        states.append(made[group](states[-1], mask, types, *([shared] if shared else [])))
    result = states if outputs == "all" else states[-1]
    if head:
        tied = _head(checkpoint, of_all, options)
        tied.trainable = trainable
        logits = tied(states[-1], held[-1])
        result = [*states, logits] if outputs == "all" else logits
    return keras.Model(inputs, result, name=family.name)


def _trained(trainable, layers, count):
    """The numbers of the layers that train."""
    if layers is None:
        return set(range(count + 1)) if trainable else set()
    if not trainable:
        raise ValueError(
            f"layers must be None with trainable=False, which trains none of them, received {quoted(layers)}."
        )
    return {number % (count + 1) for number in whole_numbers("layers", layers, -count - 1, count)}


def _dropout(checkpoint, dropout):
    """The shares of states and of attention that are dropped."""
    keys = checkpoint.family.dropout_keys
    values = [checkpoint.settings.get(key, _USUAL_DROPOUT) if dropout is None else dropout for key in keys]
    for key, value in zip(keys, values):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
            named = "dropout" if dropout is not None else f"{key} of the configuration"
            raise ValueError(
                f"{named} must be a number from 0 to below 1, received {quoted(value)}. Pass dropout=0.1, say."
            )
    return [float(value) for value in values]


def _head(checkpoint, of_all, options):
    weights = checkpoint.head()
    needed = {row.role for row in checkpoint.family.head}
    if not needed:
        raise ValueError(
            f"head must be None for {checkpoint.family.title}: no head that guesses words is known for it."
        )
    transform = needed <= weights.keys()
    if not transform:
        if checkpoint.config.hidden_size != checkpoint.words().shape[1]:
            raise ValueError(
                f"{checkpoint.file} has no head, and states of {checkpoint.config.hidden_size} numbers cannot meet a table of "
                f"{checkpoint.words().shape[1]} without one. Take a checkpoint with its head."
            )
        logger.warning(
            "%s has no whole head that guesses words: states meet the table without a transformation", checkpoint.file
        )
    tied = TiedHead(**of_all, transform=transform, name="head", **options)
    tied.store([weights.get(row.role) for row, _ in tied.stored()])
    return tied


def from_keras(checkpoint: Checkpoint, model: Any) -> Checkpoint:
    """The checkpoint with the weights of a model that holds its layers; see `ContextualEncoder.from_keras`."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a keras.Model that holds an encoder's layers, received {quoted(model)}.")
    checkpoint, config = checkpoint.in_huggingface_names(), checkpoint.config
    groups: set[int | None] = set()
    tensors: dict[str, Any] = {}
    head: dict[str, Any] = {}
    for layer in _layers_of(model):
        if layer.settings != settings_of(config):
            differ = sorted(key for key, value in settings_of(config).items() if layer.settings.get(key) != value)
            raise ValueError(
                f"the model must be this encoder's, made by to_keras: its layer {layer.name!r} differs in {', '.join(differ)}."
            )
        if isinstance(layer, TiedHead):
            head = {row.role: values for row, values in layer.stored()}
            continue
        group = layer.group if isinstance(layer, EncoderLayer) else None
        if group in groups:
            raise ValueError("the model must hold one encoder, it holds several: pass the part that is meant.")
        groups.add(group)
        for row, values in layer.stored():
            tensors[str(checkpoint.name_of(row, group))] = as_stored(row, config, values.astype("float32"))
    missing = {None, *range(checkpoint.family.groups(config))} - groups
    if missing:
        told = sorted("embeddings" if group is None else f"layer {group + 1}" for group in missing)
        raise ValueError(
            f"the model must hold all layers of the encoder, {', '.join(told)} missing: pass what to_keras made."
        )
    same_rows = _copies(checkpoint, tensors[checkpoint.words_name])
    changed = checkpoint.changed(config, {**tensors, **same_rows})
    return changed.with_head(head) if head else changed


def _copies(checkpoint, words):
    """What a file holds beside the table as a copy of it: the tied matrix of a head."""
    old = checkpoint.words()
    return {
        name: words
        for name in checkpoint.of_heads()
        if checkpoint.tensors[name].shape == old.shape and (checkpoint.tensors[name].load() == old).all()
    }


def _layers_of(model: Any) -> Iterator[Any]:
    """The encoder's layers in a model, wherever they are; each once."""
    waiting, seen = [model], set()
    while waiting:
        layer = waiting.pop()
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        if isinstance(layer, EncoderEmbeddings | EncoderLayer | TiedHead):
            yield layer
        else:
            waiting += getattr(layer, "layers", [])
            waiting += [layer.layer] if hasattr(layer, "layer") else []

"""XLNet's query stream: what it says of a place without seeing the word there, under any order in which the words are guessed.

Beside the content stream h, which `hidden_states` computes, runs a second one, g, which begins from the mask's embedding. In
each layer its queries meet keys and values of h, of the places that the order allows and never of its own. Section 2.3 of
https://arxiv.org/abs/1906.08237.

Shapes: B texts, T tokens, P places that are guessed, H the hidden size, M tokens of memory, K = M + T keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .backend import ops
from .families.blocks import BLOCKED
from .families.models import Model
from .families.xlnet import XLNet
from .inputs import checked_inputs

if TYPE_CHECKING:
    import numpy.typing as npt

    from .states import PretrainedModel

    Floats = npt.NDArray[np.float32]


class QueryStates(NamedTuple):
    """The states of both streams, of the embeddings and of each layer.

    Attributes:
        content: float32 `(layers + 1, B, T, H)`, of the words.
        query: float32 `(layers + 1, B, P, H)`, of the places that are guessed.
    """

    content: Floats
    query: Floats


def query_states(
    encoder: PretrainedModel,
    input_ids: npt.ArrayLike,
    *,
    perm_mask: npt.ArrayLike | None = None,
    target_mapping: npt.ArrayLike | None = None,
    attention_mask: npt.ArrayLike | None = None,
    token_type_ids: npt.ArrayLike | None = None,
    mems: npt.ArrayLike | None = None,
) -> QueryStates:
    """Compute both streams of an XLNet.

    Args:
        encoder: a `ContextualEncoder` of an XLNet.
        input_ids: `(B, T)` whole numbers.
        perm_mask: `(B, T, T)`: 1 where the token of the second axis must not see that of the third, else 0; None = all are
            seen. A place that is guessed must not see itself, or its states say what stands there.
        target_mapping: `(B, P, T)`: row p of a text is 1 at the place that is guessed and 0 elsewhere; None = every place.
        attention_mask, token_type_ids, mems: as in `hidden_states`.

    Returns:
        `QueryStates`. The logits of the words at a place are `query[-1] @ table.T + bias`, by the head of the checkpoint.

    Raises:
        ValueError: if the encoder is no XLNet, computes by another engine than Keras or in 16 bits, or lacks the mask's
            embedding (`mask_emb`); or a shape or a value is another.

    >>> from w2v_embed.contextual import ContextualEncoder, query_states
    >>> encoder = ContextualEncoder.from_pretrained("tests/data/reference/xlnet_hf")
    >>> unseen, place = np.zeros((1, 4, 4)), np.zeros((1, 1, 4))
    >>> unseen[:, :, 3], place[:, 0, 3] = 1, 1  # the last word is guessed: nobody sees it
    >>> query_states(encoder, [[5, 6, 7, 8]], perm_mask=unseen, target_mapping=place).query.shape
    (4, 1, 1, 32)
    """
    config, family = encoder.config, encoder._family
    if not isinstance(family, XLNet):
        raise ValueError(f"encoder must be an XLNet, which alone has a query stream, received a {family.title}.")
    model = encoder._model
    if not isinstance(model, Model) or model.dtype != "float32":
        raise ValueError(
            'encoder must be loaded with engine="keras" and compute_dtype="float32", which alone compute two streams, '
            f"received {encoder.engine!r} and {encoder.compute_dtype!r}."
        )
    ids, mask, types, memory = checked_inputs(family, config, input_ids, attention_mask, token_type_ids, mems)
    batch, length = ids.shape
    hidden = np.zeros((batch, length, length)) if perm_mask is None else np.asarray(perm_mask)
    everywhere = np.broadcast_to(np.eye(length), (batch, length, length))
    targets = everywhere if target_mapping is None else np.asarray(target_mapping)
    places = targets.shape[1] if targets.ndim == 3 else length
    _check("perm_mask", hidden, (batch, length, length))
    _check("target_mapping", targets, (batch, places, length))
    content = np.zeros((config.num_layers + 1, batch, length, config.hidden_size), np.float32)
    query = np.zeros((config.num_layers + 1, batch, places, config.hidden_size), np.float32)
    query[0] = encoder._checkpoint.beside("mask").reshape(-1)
    if not ids.size:
        return QueryStates(content, query)

    held = 0 if memory is None else memory.shape[2]
    tensors = [ops.convert_to_tensor(array, "int32") for array in (ids, mask, types)]
    context = model.shared_by_layers(tensors[1], tensors[2], held)
    blocked, own = _blocked(config, mask, hidden, held)
    of_content = {**context, "bias": _bias(blocked * ~own)}
    of_query = {**context, "bias": _bias(blocked), "targets": ops.convert_to_tensor(targets, "float32")}
    x, g = model.embed(model.embedding, *tensors[::2]), ops.convert_to_tensor(query[0], "float32")
    content[0] = ops.convert_to_numpy(x)
    for number, weights in enumerate(model.layers):
        seen: dict[str, Any] = {}
        if memory is not None and held:
            seen["mems"] = ops.convert_to_tensor(memory[number], "float32")
        g = model.layer(weights, g, {**of_query, **seen, "content": x})
        x = model.layer(weights, x, {**of_content, **seen})
        content[number + 1], query[number + 1] = ops.convert_to_numpy(x), ops.convert_to_numpy(g)
    return QueryStates(content, query)


def _check(name, array, shape):
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, received {array.shape}.")
    if array.dtype.kind not in "iubf" or not np.isin(array, (0, 1)).all():
        raise ValueError(f"{name} must be 0 or 1 everywhere, received others, in an array of type {array.dtype}.")


def _blocked(config, mask, hidden, memory):
    """Which keys are not seen, `(B, T, K)`, and which are each place's own."""
    batch, length = mask.shape
    blocked = np.concatenate([np.zeros((batch, length, memory), bool), (mask[:, None] == 0) | (hidden != 0)], axis=2)
    own = np.eye(length, memory + length, memory, dtype=bool)
    if config.attention_type == "uni":
        blocked |= np.arange(memory + length) > np.arange(length)[:, None] + memory
    return blocked, own


def _bias(blocked):
    return ops.convert_to_tensor(np.where(blocked, BLOCKED, np.float32(0))[:, None], "float32")

"""What callers hand to an encoder, checked: ids, texts, lists of words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ..shown import quoted

if TYPE_CHECKING:
    import numpy.typing as npt

    from .families import EncoderConfig, Family

_T = TypeVar("_T")

# Texts are tokenised, sorted by length and pooled this many batches at a time: memory stays flat over any corpus.
_BATCHES_AT_ONCE = 64


def iterable_of_texts(texts: Iterable[_T]) -> Iterable[_T]:
    """`texts`, if it is no single one."""
    if isinstance(texts, str | bytes) or not hasattr(texts, "__iter__"):
        raise TypeError(
            f"texts must be an iterable of strings, received {quoted(texts)}. Put a single text into a list."
        )
    return texts


def flattened(texts: Iterable[str | tuple[str, str]]) -> list[str]:
    """Texts and the texts of pairs, one after another; each is checked."""
    flat: list[str] = []
    for number, text in enumerate(texts):
        if isinstance(text, str):
            flat.append(text)
            continue
        if not isinstance(text, tuple | list) or len(text) != 2 or not all(isinstance(part, str) for part in text):
            raise TypeError(f"text {number} must be a string, received {quoted(text)}; or a pair of strings.")
        flat += text
    return flat


def list_of_words(words: Iterable[str]) -> list[str]:
    """`words` as a list, if it is no single one."""
    if isinstance(words, str | bytes):
        raise TypeError(f"words must be a list of words, received the string {quoted(words)}. Split it first.")
    return list(words)


def chunks(items: Iterable[_T], batch_size: int) -> Iterator[list[_T]]:
    """Yield the items in lists of many batches."""
    remaining = iter(items)
    while chunk := list(islice(remaining, batch_size * _BATCHES_AT_ONCE)):
        yield chunk


def checked_inputs(
    family: Family,
    config: EncoderConfig,
    input_ids: npt.ArrayLike,
    attention_mask: npt.ArrayLike | None,
    token_type_ids: npt.ArrayLike | None,
    mems: npt.ArrayLike | None,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float32] | None]:
    """Return int32 arrays `(B, T)` and float32 mems or None, of what `ContextualEncoder.hidden_states` takes."""
    ids = _whole_numbers("input_ids", input_ids, config.vocab_size)
    if ids.ndim != 2:
        raise ValueError(
            f"input_ids must have shape (batch, length), received {ids.shape}. Put a single text into a list."
        )
    longest = family.longest(config)
    if longest is not None and ids.shape[1] > longest:
        raise ValueError(
            f"input_ids must have {longest} positions at most, which is what the model has (max_position_embeddings), "
            f"received {ids.shape[1]}. Cut the texts, or encode them in windows."
        )
    mask = np.ones_like(ids) if attention_mask is None else _whole_numbers("attention_mask", attention_mask, 2)
    kinds = family.segments(config)
    types = np.zeros_like(ids) if token_type_ids is None else _whole_numbers("token_type_ids", token_type_ids, kinds)
    for name, array in (("attention_mask", mask), ("token_type_ids", types)):
        if array.shape != ids.shape:
            raise ValueError(f"{name} must have the shape of input_ids, {ids.shape}, received {array.shape}.")
    return ids, mask, types, None if mems is None else _checked_mems(family, config, mems, len(ids))


def _checked_mems(family: Family, config: EncoderConfig, mems: npt.ArrayLike, batch: int) -> npt.NDArray[np.float32]:
    array = np.asarray(mems, np.float32)
    if not family.has_memory:
        raise ValueError(f"mems must be None for {family.title}, which has no memory, received shape {array.shape}.")
    if array.ndim != 4 or array.shape != (config.num_layers, batch, array.shape[2], config.hidden_size):
        raise ValueError(
            f"mems must have shape (layers, batch, memory, hidden) = ({config.num_layers}, {batch}, any, "
            f"{config.hidden_size}), received {array.shape}."
        )
    return array


def _whole_numbers(name: str, values: npt.ArrayLike, end: int) -> npt.NDArray[np.int32]:
    """Return an int32 array of numbers from 0 to `end` - 1."""
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} must be rows of one length, (batch, length): {error}. Pad them.") from error
    if array.dtype.kind not in "iub" and array.size:
        raise TypeError(f"{name} must be whole numbers, received an array of type {array.dtype}.")
    wrong = (array < 0) | (array >= end)
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(f"{name} must be from 0 to {end - 1}, received {array[place]} at {place}.")
    return array.astype(np.int32)

"""Texts as they are given: lists, arrays, tensors, streams; str or bytes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from ..shown import quoted

_BATCH = 1024  # texts that are split together


def text_batches(texts: Any) -> Iterator[list[str]]:
    """The texts of a list, an array or another iterable, each a str or UTF-8 in bytes, some at a time."""
    if isinstance(texts, (str, bytes)):
        raise TypeError(f"texts must be a list of texts, received a single one: {quoted(texts)}. Pass [text].")
    if callable(getattr(texts, "numpy", None)):  # a tensor of TensorFlow
        texts = texts.numpy()
    if getattr(texts, "ndim", 1) != 1:
        raise ValueError(f"texts must be a list or an array (n,), received one of shape {texts.shape}")
    try:
        rest = iter(texts)
    except TypeError:
        raise TypeError(f"texts must be a list of texts, received {quoted(texts)}") from None
    done = 0
    while batch := list(islice(rest, _BATCH)):
        if set(map(type, batch)) != {str}:
            batch = [_text(value, done + number) for number, value in enumerate(batch)]
        yield batch
        done += len(batch)


def _text(value: Any, number: int) -> str:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise ValueError(
                f"texts in bytes must be UTF-8, received {quoted(value)} at place {number} ({error})"
            ) from None
    raise TypeError(f"texts must be str, received {quoted(value)} ({type(value).__name__}) at place {number}")

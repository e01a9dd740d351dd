"""The words of a vocabulary that stand for something else: padding, and unknown words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..shown import quoted
from ..vocabulary import is_padding

_UNKNOWN_WORDS = frozenset({"<unk>", "[unk]", "<oov>", "[oov]"})  # in lower case


def padding_id_of(word_index: Mapping[str, int]) -> int:
    """The id of a padding token, where that is not 0.

    Raises:
        ValueError: there is none.
    """
    for word, index in word_index.items():
        if is_padding(word):
            return index
    first = next(word for word, index in word_index.items() if index == 0)
    raise ValueError(
        f"word_index must leave an id for padding, received one in which 0 is the word {quoted(first)}. Number the "
        'words from 1 on, or put "<pad>" first.'
    )


def unknown_word_of(source: Any, word_index: Mapping[str, int], told: str | bool | None) -> str | None:
    """The word whose id unknown ones get, or None."""
    if told is False:
        return None
    if told is not None:
        if not isinstance(told, str) or told not in word_index:
            raise ValueError(f"unknown must be None, False or a word of word_index, received {quoted(told)}")
        return told
    model = getattr(source, "model", None)
    own = getattr(source, "oov_token", None) or getattr(source, "unk_token", None) or getattr(model, "unk_token", None)
    if isinstance(own, str) and own in word_index:
        return own
    return next((word for word in word_index if word.lower() in _UNKNOWN_WORDS), None)

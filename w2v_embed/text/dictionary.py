"""jieba's dictionary, as a user has made it: kept apart, and told as what differs from the one that jieba ships.

jieba.load_userdict() and jieba.add_word() change what the whole process splits by; an encoder splits for ever as on the day on
which it was made, here and in the process that loads it.
"""

from __future__ import annotations

from typing import Any

from ..checks import MOST_COUNT, whole
from ..shown import logger, quoted
from ..splitting import jieba_module

# jieba enters each beginning of a word into its table: a longer word would cost the square of its length.
_LONGEST_WORD = 64


def own_copy(tokenizer: Any = None) -> Any:
    """A `jieba.Tokenizer` that splits as `tokenizer` (None: as jieba.cut) does now, whatever becomes of that."""
    jieba = jieba_module()
    tokenizer = tokenizer or jieba.dt
    tokenizer.check_initialized()
    return _made(dict(tokenizer.FREQ), tokenizer.total)


def differences(tokenizer: Any) -> dict[str, Any]:
    """What JSON says of the dictionary of `tokenizer`.

    Returns:
        dict of `shipped` (the sum of the counts in the dictionary that jieba ships, by which it is known), `total` (the sum
        that `tokenizer` has), `words` (those whose count is another one, 0 for a word that is none any more) and `parted`
        (words that jieba was told to take apart).
    """
    shipped, own = _shipped(), tokenizer.FREQ
    words = {word: count for word, count in own.items() if count != shipped.FREQ.get(word, 0)}
    words |= {word: 0 for word, count in shipped.FREQ.items() if count and word not in own}
    long = next((word for word in words if len(word) > _LONGEST_WORD), None)
    if long is not None:
        raise ValueError(
            f"words of jieba's dictionary must have {_LONGEST_WORD} characters or less to be saved, received {quoted(long)}"
        )
    parted = sorted(jieba_module().finalseg.Force_Split_Words)
    return {"shipped": shipped.total, "total": tokenizer.total, "words": words, "parted": parted}


def restored(told: Any) -> Any:
    """The `jieba.Tokenizer` of what `differences` told.

    Raises:
        ValueError: it is nothing that `differences` tells.
    """
    if not isinstance(told, dict) or not isinstance(told.get("words"), dict):
        raise ValueError(f'the encoder\'s "jieba" must be an object with "words", received {quoted(told)}')
    words, parted = told["words"], told.get("parted", [])
    if not isinstance(parted, list) or not all(isinstance(word, str) for word in parted):
        raise ValueError(f'"parted" of the encoder\'s "jieba" must be a list of words, received {quoted(parted)}')
    long = next((word for word in (*words, *parted) if len(word) > _LONGEST_WORD), None)
    if long is not None:
        raise ValueError(
            f'words of the encoder\'s "jieba" must have {_LONGEST_WORD} characters or less, received {quoted(long)}'
        )
    for word, count in words.items():
        whole(f'in the encoder\'s "jieba", the count of {quoted(word)}', count, 0, MOST_COUNT)
    total = whole('"total" of the encoder\'s "jieba"', told.get("total"), 1, MOST_COUNT)
    shipped = _shipped()
    if told.get("shipped") != shipped.total:
        logger.warning(
            "the encoder was made with another dictionary of jieba than the one that is installed (its counts come to %s, not "
            "%d): some texts may be split in another way. Install the jieba that it was made with.",
            quoted(told.get("shipped")),
            shipped.total,
        )
    counts = shipped.FREQ
    counts.update(words)
    for word in words:
        for end in range(1, len(word)):
            counts.setdefault(word[:end], 0)
    finalseg = jieba_module().finalseg
    for word in parted:  # jieba keeps these for the whole process
        finalseg.add_force_split(word)
    return _made(counts, total)


def _shipped():
    tokenizer = jieba_module().Tokenizer()
    tokenizer.initialize()
    return tokenizer


def _made(counts, total):
    tokenizer = jieba_module().Tokenizer()
    tokenizer.FREQ, tokenizer.total, tokenizer.initialized = counts, total, True
    return tokenizer

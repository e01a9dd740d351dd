"""Texts, and the words of vectors → the `TextEncoder` of a classifier."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..shown import plain_errors
from ..text.encoder import TextEncoder

if TYPE_CHECKING:
    from .._types import Split


@plain_errors
def fit_encoder(
    texts: Sequence[str],
    *,
    more_words: Iterable[str] = (),
    min_count: int = 1,
    split: Split = "whitespace",
    lower: bool = False,
    length: int | None = 32,
) -> TextEncoder:
    """Number the words of texts, and after them others that have a vector: texts that come later may use them.

    Args:
        texts: what will be trained on.
        more_words: for example the first 20,000 of the vectors, `kv.index_to_key[:20_000]`.
        min_count: leave out words that the texts have more rarely, unless they are among `more_words`.
        split, lower, length: as for `TextEncoder`.

    Returns:
        a `TextEncoder`; 0 is padding, and unknown words are left out.

    Example:
        >>> fit_encoder(["to be or", "not to be"], more_words=["or", "question"], min_count=2).word_index
        {'be': 1, 'to': 2, 'or': 3, 'question': 4}
    """
    encoder = TextEncoder.fit(texts, min_count=min_count, split=split, lower=lower, length=length)
    words = dict.fromkeys([*encoder.word_index, *(word.lower() if lower else word for word in more_words)])
    word_index = {word: number for number, word in enumerate(words, 1)}
    return TextEncoder(word_index, split=encoder.split, lower=lower, length=length)

"""The part of an encoder's vocabulary that a corpus needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ..shown import logger
from .inputs import chunks, flattened, iterable_of_texts
from .recombining import Recombination, recombined

if TYPE_CHECKING:
    from .encoder import ContextualEncoder

_Encoder = TypeVar("_Encoder", bound="ContextualEncoder")
_AT_ONCE = 32


def trim_vocabulary(encoder: _Encoder, corpus: Iterable[str], *, keep: Iterable[str] = ()) -> _Encoder:
    """Return an encoder that has only the words that a corpus needs: its texts get the same states from fewer rows.

    Special tokens stay. A text with other words than those of the corpus comes in smaller pieces, or in unknown ones: give as
    much text as you can. `steps` of the result, and the log, tell words and bytes of the table before and after.

    Args:
        encoder: a `ContextualEncoder`, its tokenizer one of BERT's, or a tokenizer.json.
        corpus: an iterable of texts, read once, or of pairs.
        keep: more texts, words say, of which the pieces stay.

    Returns:
        an encoder of the same kind.

    Raises:
        ValueError: if the corpus has no text, or the tokenizer cannot be trimmed.

    >>> from w2v_embed.contextual import ContextualEncoder, trim_vocabulary
    >>> encoder = ContextualEncoder.from_pretrained("tests/data/reference/bert_hf")
    >>> small = trim_vocabulary(encoder, ["the bank of the river", "kings"])
    >>> small.config.vocab_size < encoder.config.vocab_size
    True
    >>> bool((small.encode(["kings of the bank"]) == encoder.encode(["kings of the bank"])).all())
    True
    """
    tokenizer, used, count = encoder.tokenizer, set(), 0
    for texts in (iterable_of_texts(corpus), iterable_of_texts(keep)):
        for chunk in chunks(texts, _AT_ONCE):
            count += len(chunk)
            for ids in tokenizer.pieces(flattened(chunk)):
                used.update(ids)
    if not count:
        raise ValueError("corpus must have texts, received none.")
    kept = np.array(sorted(tokenizer.needed(used)), np.int64)
    trimmed = tokenizer.kept(kept.tolist())
    width, before = encoder._checkpoint.words().shape[1], encoder.config.vocab_size
    step = {
        "step": "trim_vocabulary",
        "words_before": before,
        "words_after": len(kept),
        "bytes_before": 4 * before * width,
        "bytes_after": 4 * len(kept) * width,
    }
    logger.info("the vocabulary has %d of %d words after trimming", len(kept), before)
    return recombined(encoder, trimmed, Recombination(kept), step)

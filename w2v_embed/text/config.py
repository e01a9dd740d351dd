"""A TextEncoder as JSON: what it says of the splitting, and the checks of what a file says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

from .._types import SplitName
from ..checks import one_of, whole
from ..shown import quoted
from ..splitting import kind_of, without_panic
from ..vocabulary import read_vocabulary
from .dictionary import differences, own_copy, restored
from .spelling import Spelling

if TYPE_CHECKING:
    from .._types import Split

_MOST_ROWS = 1 << 31


def own_split(split: Split) -> Any:
    """`split`, in a copy where others may change it."""
    kind = kind_of(split)
    if kind == "jieba":
        return own_copy(None if isinstance(split, str) else split)
    return _tokenizer(_told(split)) if kind == "tokenizer" else split


def split_config(split: Split) -> dict[str, Any]:
    """What JSON says of it."""
    kind = kind_of(split)
    if kind == "callable":
        raise ValueError(
            'split must be "whitespace", "jieba", "characters" or a tokenizers.Tokenizer for an encoder that is saved, '
            f"received the callable {quoted(split)}. Split the texts before, and join the words with spaces."
        )
    if kind == "tokenizer":
        return {"split": kind, "tokenizer": json.loads(_told(split))}
    return {"split": kind, **({"jieba": differences(split)} if kind == "jieba" else {})}


def split_of(config: Mapping[str, Any]) -> Any:
    """What splits as `split_config` says."""
    kind = one_of('"split" of the encoder', config.get("split"), (*get_args(SplitName), "tokenizer"))
    if kind == "jieba":
        return restored(config.get("jieba"))
    return _tokenizer(json.dumps(config.get("tokenizer"))) if kind == "tokenizer" else kind


def checked_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """All but the splitting, checked: what `TextEncoder` has as attributes."""
    if not isinstance(config, Mapping) or config.get("format") != "w2v_embed.TextEncoder":
        raise ValueError(f"an encoder's \"format\" must be 'w2v_embed.TextEncoder', received {quoted(config)}")
    if config.get("version") not in (1, 2):
        raise ValueError(
            f'"version" of the encoder must be 1 or 2, received {quoted(config.get("version"))}. A newer w2v_embed reads it.'
        )
    words = config.get("word_index")
    if not isinstance(words, dict):
        raise ValueError(f'"word_index" of the encoder must be an object word -> id, received {quoted(words)}')
    rows = whole('"rows" of the encoder', config.get("rows"), 1, _MOST_ROWS)
    vocabulary = read_vocabulary(words, rows)
    if len(vocabulary.word_index) < len(words):
        raise ValueError(f'"rows" of the encoder must be more than every id of its words, received {rows}')
    if not isinstance(config.get("lower"), bool):
        raise ValueError(f'"lower" of the encoder must be true or false, received {quoted(config.get("lower"))}')
    special = {
        name: None
        if config.get(name) is None and name != "padding_id"
        else whole(f'"{name}" of the encoder', config.get(name), 0, rows - 1)
        for name in ("padding_id", "unknown_id")
    }
    kept = {name: config.get(name) for name in ("length", "truncate", "lower")}
    spelling = None
    if config["version"] == 2:
        spelling = Spelling.from_config(config.get("subwords"), config.get("ngrams_per_text"))
    return {"word_index": vocabulary.word_index, "rows": rows, "spelling": spelling, **special, **kept}


def spelling_config(spelling: Spelling | None) -> dict[str, Any]:
    """What JSON says of n-grams, where there are any."""
    return {} if spelling is None else {"ngrams_per_text": spelling.most, "subwords": spelling.get_config()}


def _told(tokenizer):
    try:
        return tokenizer.to_str()
    except Exception as error:
        raise ValueError(
            f"split must be a tokenizers.Tokenizer that can be saved, received one of which to_str() says: {error}"
        ) from None


def _tokenizer(text):
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ImportError('the encoder needs tokenizers: pip install "w2v-embed[contextual]"') from error
    try:
        tokenizer = without_panic(Tokenizer.from_str, text)
    except Exception as error:
        raise ValueError(
            f'"tokenizer" of the encoder must be a tokenizer of Hugging Face, received {quoted(text)}: {error}'
        ) from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer

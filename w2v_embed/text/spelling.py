"""The n-grams of words without an id, numbered as the rows of an `OpenVocabularyEmbedding`."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import whole
from ..shown import quoted
from ..subwords.model import keys_sha256, subword_model
from ..subwords.ngrams import LONGEST, known_ngrams

if TYPE_CHECKING:
    from .._types import Ids, StrPath
    from ..subwords.model import SubwordModel
    from ..subwords.ngrams import Keys

MOST_NGRAMS = 1 << 16  # of a text
_MOST_KEYS = 1 << 24


class Spelling:
    """Words → the ids of their n-grams, from 1 on; 0 stands for nothing.

    Args:
        keys: uint64 `(n,)`, ascending: the hashes of the n-grams; the id of one is its place and 1.
        min_n, max_n: characters of an n-gram.
        most: n-grams of a text.

    Raises:
        ValueError, TypeError: something else.
    """

    def __init__(self, keys: Keys, min_n: int, max_n: int, most: int) -> None:
        self.keys: Keys = keys
        self.min_n: int = whole("min_n", min_n, 1, LONGEST)
        self.max_n: int = whole("max_n", max_n, self.min_n, LONGEST)
        self.most: int = whole("ngrams_per_text", most, 1, MOST_NGRAMS)
        if not len(keys):
            raise ValueError("subwords must have n-grams, received a model with none")

    @classmethod
    def of(cls, subwords: SubwordModel | StrPath, most: int) -> Spelling:
        """That of a `SubwordModel`, or of its file."""
        model = subword_model(subwords)
        return cls(model.keys, model.min_n, model.max_n, most)

    @property
    def sha256(self) -> str:
        """By which the layer with the rows of these n-grams is known."""
        return keys_sha256(self.keys)

    def ngrams(self, words: Sequence[str]) -> tuple[Ids, Ids]:
        """(int64 `(len(words),)`: how many n-grams each word has, 0 where they are more than a text may have; int32: their ids,
        word by word)."""
        numbers, places = known_ngrams(words, self.keys, self.min_n, self.max_n)
        counts = np.bincount(numbers, minlength=len(words))
        fit = counts <= self.most
        return np.where(fit, counts, 0), (places[fit[numbers]] + 1).astype(np.int32)

    def get_config(self) -> dict[str, Any]:
        """What JSON says of it."""
        raw = np.ascontiguousarray(self.keys, "<u8").tobytes()
        return {"min_n": self.min_n, "max_n": self.max_n, "keys": base64.b64encode(raw).decode()}

    @classmethod
    def from_config(cls, config: Any, most: Any) -> Spelling:
        """What `get_config` said."""
        if not isinstance(config, Mapping) or not isinstance(config.get("keys"), str):
            raise ValueError(
                f'"subwords" of the encoder must be an object with "keys", in base64, received {quoted(config)}'
            )
        try:
            raw = base64.b64decode(config["keys"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError(
                f'"keys" of the encoder must be base64, received {quoted(config["keys"])} ({error})'
            ) from None
        keys = np.frombuffer(raw, "<u8") if len(raw) % 8 == 0 else np.zeros(0, np.uint64)
        if not 0 < len(keys) <= _MOST_KEYS or not (keys[:-1] < keys[1:]).all():
            raise ValueError(f'"keys" of the encoder must be ascending numbers of 8 bytes, received {len(raw):,} bytes')
        return cls(keys.astype(np.uint64), config.get("min_n"), config.get("max_n"), most)  # type: ignore[arg-type]

"""Objects in memory that know vectors of words: gensim's, and whatever can be asked for them, such as encoders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...checks import whole
from ...readers.damage import DamageReport
from ...readers.ngrams import NGrams
from ...shown import quoted
from ..blocks import blocks_of
from .base import BaseSource
from .held import HeldRows

if TYPE_CHECKING:
    from ..._types import Bools, Floats, Ids


class GensimSource(HeldRows):
    """gensim's `KeyedVectors`. (Only `key_to_index` is asked: gensim's `in` takes ids for words.)"""

    def __init__(self, kv: Any, report: DamageReport) -> None:
        super().__init__(type(kv).__name__, kv.key_to_index, kv.vectors, report)
        self._kv = kv
        self.has_ngrams: bool = self.ngrams() is not None

    def ngrams(self) -> NGrams | None:
        return NGrams.of(self._kv)


class AskedSource(BaseSource):
    """An object with `vector_size` and `vectors_for(words) -> (rows, found)`.

    It is asked for all words that are to be filled at once: encoders make vectors in batches of their own, and some fit to the
    words that they are asked for first. Rows that may be lent are kept, for making them again may take minutes.
    """

    costly: bool = True

    def __init__(self, value: Any, report: DamageReport) -> None:
        name = type(value).__name__
        super().__init__(name, whole(f"{name}.vector_size", value.vector_size), report)
        self._value = value
        self._kept: dict[str, Floats | None] = {}  # of each word that it was asked whether it has it

    def has(self, words: Sequence[str]) -> Bools:
        new = [word for word in words if word not in self._kept]
        self._kept.update(dict.fromkeys(new))
        for numbers, rows in self._rows_of(new):
            self._kept.update(zip([new[k] for k in numbers.tolist()], rows))
        return np.fromiter((self._kept[word] is not None for word in words), np.bool_, len(words))

    def lend(self, words: Sequence[str]) -> Iterable[tuple[Ids, Floats]]:
        numbers = np.flatnonzero(self.has(words))
        for some in blocks_of(len(numbers), self.dim):
            rows = [self._kept[words[k]] for k in numbers[some].tolist()]
            yield numbers[some], np.stack([row for row in rows if row is not None])

    def _rows_of(self, words):
        if not words:
            return
        shape, answer = (len(words), self.dim), self._value.vectors_for(words)
        must = f"{self.name}.vectors_for must return rows of shape {shape} and bools of shape {shape[:1]}"
        if not isinstance(answer, (tuple, list)) or len(answer) != 2:
            raise ValueError(f"{must}, received {quoted(answer)}")
        rows, found = map(np.asarray, answer)
        if rows.shape != shape or found.shape != shape[:1] or found.dtype != np.bool_:
            raise ValueError(f"{must}, received {rows.shape} and {found.dtype} {found.shape}")
        yield self._finite(words, np.flatnonzero(found), rows[found])

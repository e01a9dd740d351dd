"""Several sources as one, whose rows are theirs side by side, or the means of theirs."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..blocks import blocks_of
from ..shared import Agreement, sample
from .base import BaseSource

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..._types import Bools, Floats, Ids

    Masks = npt.NDArray[np.int64]

_MOST = 62  # sources: each has a bit of an int64


class Combined(BaseSource):
    """Several sources as one: it has a word that any of them has.

    Args:
        parts: list of the sources.
        dim: numbers a word.

    Attributes:
        parts: list of the sources.
        masks: of the words that `fill` was asked for: a bit for each source that has it.
    """

    def __init__(self, parts: Sequence[BaseSource], dim: int) -> None:
        if len(parts) > _MOST:
            raise ValueError(f"vectors must be at most {_MOST} sources to be combined, received {len(parts)}")
        ngrams = [part for part in parts if part.has_ngrams]
        super().__init__(" + ".join(part.name for part in parts), dim, (ngrams or parts)[0].report)
        self.parts: Sequence[BaseSource] = parts
        self.has_ngrams: bool = bool(ngrams)
        self.masks: Masks = np.zeros(0, np.int64)
        self._mask_of: dict[str, int] = {}
        self._words: Sequence[str] = ()
        self._dtype: np.dtype[Any] = np.dtype(np.float32)
        if all(hasattr(part, "word_keys") for part in parts):
            self.word_keys: Callable[[], list[Ids]] = self._keys

    def fill(
        self,
        words: Sequence[str],
        matrix: Floats,
        places: Ids,
        candidates: Callable[[Sequence[str]], Collection[str]] | None = None,
    ) -> Bools:
        self._words, self.masks, self._dtype = words, np.zeros(len(words), np.int64), matrix.dtype
        for number, part in enumerate(self.parts):
            found = self._fill(number, part, words, matrix, places, candidates)
            self.masks[found] |= 1 << number
        self._finish(matrix, places)
        return self.masks > 0

    def _fill(self, number, part, words, matrix, places, candidates):
        """Write the rows of one source → bools: which words were found."""
        raise NotImplementedError

    def _finish(self, matrix, places):
        """Make the rows what they are to be, when those of all sources are there."""
        raise NotImplementedError

    def _add(self, number, before, rows, whole):
        """Put `rows` of one source to the rows of their words, `whole`; `before` are the masks of those that did so before."""
        raise NotImplementedError

    def _done(self, rows, masks):
        """The rows of which all sources have given theirs."""
        return rows

    def has(self, words: Sequence[str]) -> Bools:
        return np.logical_or.reduce([part.has(words) for part in self.parts])

    def _keys(self):
        return [keys for part in self.parts for keys in part.word_keys()]  # type: ignore[attr-defined]

    def lend(self, words: Sequence[str]) -> Iterable[tuple[Ids, Floats]]:
        rows, masks = np.zeros((len(words), self.dim), self._dtype), np.zeros(len(words), np.int64)
        for number, part in enumerate(self.parts):
            for got, lent in part.lend(words):
                rows[got] = self._add(number, masks[got], lent.astype(self._dtype, copy=False), rows[got])
                masks[got] |= 1 << number
        self._mask_of.update(zip(words, masks.tolist()))
        known = np.flatnonzero(masks)
        for some in blocks_of(len(known), self.dim):
            yield known[some], self._done(rows[known[some]], masks[known[some]])

    def ngrams(self) -> Any:
        made = [(number, ngrams) for number, part in enumerate(self.parts) if (ngrams := part.ngrams())]
        return _CombinedNGrams(self, made) if made else None

    def _made(self, word, made):
        """The row that n-grams of some sources make for a word; None where none does."""
        rows, mask = np.zeros((1, self.dim)), np.zeros(1, np.int64)
        for number, ngrams in made:
            row = ngrams.row(word)
            if row is not None:
                rows = self._add(number, mask, np.asarray(row)[None].astype(self._dtype), rows.astype(self._dtype))
                mask |= 1 << number
        self._mask_of[word] = int(mask[0])
        return self._done(rows, mask)[0] if mask[0] else None

    def steps(self) -> list[dict[str, Any]]:
        return [step for part in self.parts for step in part.steps()]

    # ── whose rows they are ──

    def name_of(self, mask: int) -> str:
        """The names of the sources that a mask has a bit for."""
        return " + ".join(part.name for number, part in enumerate(self.parts) if mask >> number & 1)

    def whose(self, words: Iterable[str]) -> str:
        """The names of the sources that have rows of these words, which were asked for before."""
        if self._words:  # the dict takes a while to make, and fallbacks alone ask
            self._mask_of = {**dict(zip(self._words, self.masks.tolist())), **self._mask_of}
            self._words = ()
        mask = 0
        for word in words:
            mask |= self._mask_of[word]
        return self.name_of(mask)


class Concat(Combined):
    """Rows side by side, with zeros where a source has none.

    Args:
        parts: list of the sources.
        balance: whether rows of the later sources are scaled so that on average they are as long as those of the first.
    """

    def __init__(self, parts: Sequence[BaseSource], balance: bool) -> None:
        bounds = [0]
        for part in parts:
            bounds.append(bounds[-1] + part.dim)
        super().__init__(parts, bounds[-1])
        self._columns = [slice(*some) for some in pairwise(bounds)]
        self._balance, self._scales = balance, [1.0] * len(parts)

    def _fill(self, number, part, words, matrix, places, candidates):
        return part.fill(words, matrix[:, self._columns[number]], places, candidates)

    def _finish(self, matrix, places):
        if not self._balance:
            return
        length = 0.0
        for number, columns in enumerate(self._columns):
            block, own = matrix[:, columns], places[self.masks >> number & 1 > 0]
            mean = _mean_length(block, own)
            length = length or mean
            if mean and mean != length:
                self._scales[number] = length / mean
                for some in blocks_of(len(own), block.shape[1]):
                    block[own[some]] *= self._dtype.type(self._scales[number])

    def _add(self, number, before, rows, whole):
        whole[:, self._columns[number]] = rows * self._dtype.type(self._scales[number])
        return whole

    def steps(self) -> list[dict[str, Any]]:
        blocks = [
            {"source": part.name, "dim": part.dim, "scale": round(scale, 6)}
            for part, scale in zip(self.parts, self._scales)
        ]
        return [*super().steps(), {"step": "concat", "blocks": blocks}]


class Average(Combined):
    """The means of the rows of those sources that have a word.

    Args:
        parts: list of the sources, whose rows are of one space.
        seed: of what is drawn; None: nobody asks whether rows agree.
    """

    def __init__(self, parts: Sequence[BaseSource], seed: int | None) -> None:
        super().__init__(parts, parts[0].dim)
        self._seed, self._told = seed, list[dict[str, Any]]()

    def _fill(self, number, part, words, matrix, places, candidates):
        if not number:
            return part.fill(words, matrix, places, candidates)
        rows = np.zeros((len(words), self.dim), matrix.dtype)
        found = part.fill(words, rows, np.arange(len(words)), candidates)
        both = np.flatnonzero(found & (self.masks > 0))
        if self._seed is not None and found.any() and self.masks.any():
            self._compare(number, [words[k] for k in both.tolist()], rows[both], matrix[places[both]])
        numbers, last = np.flatnonzero(found), number == len(self.parts) - 1
        for some in blocks_of(len(numbers), self.dim):
            own = numbers[some]
            made = self._add(number, self.masks[own], rows[own], matrix[places[own]])
            matrix[places[own]] = self._done(made, self.masks[own] | 1 << number) if last else made
        return found

    def _compare(self, number, words, rows, others):
        chosen = sample(words, self.parts[0], self._seed)
        names = " and ".join(dict.fromkeys(part.name for part in self.parts[:number]))
        told = Agreement(self.parts[number].name, names, len(self._words), rows[chosen], others[chosen])
        self._told += told.steps()

    def _finish(self, matrix, places):
        # The last source's are done, and what one source alone has is its own mean.
        last = 1 << len(self.parts) - 1
        own = np.flatnonzero((self.masks < last) & (self.masks & (self.masks - 1) > 0))
        for some in blocks_of(len(own), self.dim):
            at = places[own[some]]
            matrix[at] = self._done(matrix[at], self.masks[own[some]])

    def _add(self, number, before, rows, whole):
        if before.all():
            return np.add(whole, rows, out=whole)
        return np.where(before[:, None] > 0, whole + rows, rows)

    def _done(self, rows, masks):
        counts = sum((masks >> number & 1).astype(rows.dtype) for number in range(len(self.parts)))
        return np.divide(rows, counts[:, None], out=rows)

    def steps(self) -> list[dict[str, Any]]:
        return [*super().steps(), *self._told, {"step": "average", "sources": [part.name for part in self.parts]}]


class _CombinedNGrams:
    """Rows that n-grams of several sources make."""

    def __init__(self, source: Combined, made: list[tuple[int, Any]]) -> None:
        self._source, self._made = source, made

    def serves(self, word: str) -> bool:
        return any(ngrams.serves(word) for _, ngrams in self._made)

    def row(self, word: str) -> Floats | None:
        return self._source._made(word, self._made)


def _mean_length(rows: Floats, numbers: Ids) -> float:
    """The mean length of the rows `numbers`; their order does not matter, for the sum is exact."""
    return math.fsum(_lengths(rows, numbers)) / max(len(numbers), 1)


def _lengths(rows: Floats, numbers: Ids) -> Iterator[float]:
    for some in blocks_of(len(numbers), rows.shape[1]):
        yield from np.sqrt(np.square(rows[numbers[some]].astype(np.float64)).sum(axis=1)).tolist()

"""The words by which sources of vectors are held against each other.

They are those of the vocabulary and the most frequent of a source (a file's first ones). Which of them are taken depends on the
seed and on the words, never on the order of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, zip_longest
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..readers.scan.keys import keys_of
from ..shown import logger
from .alignment import LEAST_WORDS, median_cosine, usable

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._types import Floats
    from .sources.base import BaseSource, Frequent

_Item = TypeVar("_Item")

_MOST = 20_000  # words that a map is learned on
_MOST_NUMBERS = 1 << 24  # of their rows
_SAMPLE, _COSTLY_SAMPLE = 2000, 100  # words that are looked at where no map is learned
_ALIKE = 0.5  # median cosine of rows that are of one space
_ALIKE_MADE = 0.2  # and of such that are made of n-grams, which come only near the true ones


def drawn(words: Sequence[str], seed: int, purpose: int = 0) -> npt.NDArray[np.int64]:
    """The numbers of `words` in an order that is drawn: each word's place is keyed by seed and word."""
    mask = (1 << 64) - 1
    keys = keys_of(words).view(np.uint64) ^ np.uint64((seed * 0x9E3779B97F4A7C15 + purpose * 0xD1342543DE82EF95) & mask)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # as SplitMix64 mixes bits
        keys = (keys ^ (keys >> np.uint64(shift))) * np.uint64(factor)
    return np.argsort(keys ^ (keys >> np.uint64(31)), kind="stable")


def sample(words: Sequence[str], source: BaseSource, seed: int) -> npt.NDArray[np.int64]:
    """The numbers of some of `words`, by which `source` is compared with others."""
    return np.sort(drawn(words, seed)[: _COSTLY_SAMPLE if source.costly else _SAMPLE])


class SharedWords:
    """The words that a map can be learned on, the best first.

    Args:
        words: those of the vocabulary.
        sources: list of the sources, of which the first one's space is the maps' target.
        seed: of what is drawn.

    Attributes:
        words: list of them: those of the vocabulary, and where these are few, in turn with them the most frequent of the first
            source that has a list of its words.
        seed: as it was given.
        most: how many of these a map may be learned on: memory for their rows is bounded.
        given: some of them with the rows that the first source has, where these are known already.
    """

    def __init__(self, words: Sequence[str], sources: Sequence[BaseSource], seed: int) -> None:
        self.seed: int = seed
        self.most: int = min(_MOST, _MOST_NUMBERS // max(source.dim for source in sources))
        most = self.most + self.most // 2  # for not all of them are in both
        own = (words[k] for k in drawn(words, seed)[:most].tolist())
        self.given: Frequent = [], None
        frequent: list[str] = []
        if len(words) < most:
            for source in sources:
                frequent, rows = source.frequent(self.most)
                if frequent:
                    self.given = (frequent, rows) if source is sources[0] else self.given
                    break
        self.words: list[str] = list(islice(dict.fromkeys(in_turn(own, filter(None, frequent))), most))


def in_turn(*lists: Iterable[_Item]) -> Iterator[_Item]:
    """One item of each, and so on, until all are empty."""
    nothing = object()
    return (one for one in chain.from_iterable(zip_longest(*lists, fillvalue=nothing)) if one is not nothing)  # type: ignore[misc]


class Agreement:
    """How well the rows of a source agree with those of the sources before it.

    Args:
        name, before: names of the source, and of those before it.
        looked_for: how many words were looked for in both.
        rows, others: arrays `(n, dim)`: of the words that both have the rows of the one, and of the others.

    Attributes:
        words: how many words could be compared.
        cosine: the median cosine of their rows; None where there are none.
    """

    def __init__(self, name: str, before: str, looked_for: int, rows: Floats, others: Floats) -> None:
        good = usable(rows) & usable(others)
        self._told = {"source": name, "with": before, "looked_for": looked_for}
        self.words: int = int(good.sum())
        self.cosine: float | None = median_cosine(rows[good], others[good]) if self.words else None

    def steps(self, made: bool = False) -> list[dict[str, Any]]:
        """What is to be told of them: nothing where they are of one space. `made`: the rows are made of n-grams."""
        if self.cosine is not None and self.cosine >= (_ALIKE_MADE if made else _ALIKE):
            return []
        if made and self.words < LEAST_WORDS:  # some are made badly in the same space, too
            return []
        cosine = None if self.cosine is None else round(self.cosine, 4)
        return [{"step": "mix", **self._told, "words": self.words, "median_cosine": cosine}]


def warn_of(steps: Iterable[Mapping[str, Any]]) -> None:
    """Log what these steps have that is to be warned of: rows of several spaces."""
    for step in steps:
        if step.get("step") == "mix":
            logger.warning("%s", _told(step))


def _told(step):
    cosine, words, looked_for = step["median_cosine"], step["words"], step["looked_for"]
    seen = f"none of {looked_for:,} words is in both, so that nothing tells whether they are of one space"
    if cosine is not None:
        seen = f"they are not of one space: the median cosine is {cosine:.2f} over {words:,} words that both have"
    return (
        f"rows of {step['source']} are mixed with rows of {step['with']}, and {seen}. Map them into one space "
        '(align="ridge"), put them side by side (combine="concat"), or say that it is meant (align=False).'
    )

"""Sources of which, beside what they fill, the rows of some given words are wanted: to hold them against others, or map them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import compress
from typing import TYPE_CHECKING, Any

import numpy as np

from ..alignment import LEAST_WORDS, Learned, learn, usable
from ..blocks import blocks_of
from ..shared import Agreement, SharedWords, drawn, sample
from .base import BaseSource

if TYPE_CHECKING:
    from ..._types import AlignName, Bools, Floats, Ids

    Candidates = Callable[[Sequence[str]], Collection[str]]

WIDEST = 4096  # numbers a word, for a map: it takes the cube of them
_WAYS_OUT = 'Leave it out, put the sources side by side (combine="concat"), or mix rows as they are (align=False).'


class Watched(BaseSource):
    """Another source, of which the rows of some words are wanted, too, once it was asked to fill.

    Args:
        source: the source.
        words: list of the words.

    Attributes:
        words: list of the words; it may be set until `fill` is called.
        wanted: array `(len(words), dim)`: their rows; zeros where there is none.
        known: bool array: which of them have one with a direction.
    """

    def __init__(self, source: BaseSource, words: Sequence[str] = ()) -> None:
        super().__init__(source.name, source.dim, source.report)
        self._source, self.words = source, words
        self.has_ngrams: bool = source.has_ngrams
        self.costly: bool = source.costly
        self.wanted: Floats = np.zeros((0, source.dim), np.float32)
        self.known: Bools = np.zeros(0, np.bool_)
        if hasattr(source, "word_keys"):
            self.word_keys: Callable[[], list[Ids]] = source.word_keys

    def fill(self, words: Sequence[str], matrix: Floats, places: Ids, candidates: Candidates | None = None) -> Bools:
        if not self.words:
            return self._source.fill(words, matrix, places, candidates)
        numbers = {word: k for k, word in enumerate(self.words)}
        own = np.fromiter((numbers.pop(word, -1) for word in words), np.int64, len(words))
        others, left = list(numbers), np.fromiter(numbers.values(), np.int64, len(numbers))

        def asked(missing: Sequence[str]) -> Collection[str]:
            return set(candidates(missing) if candidates else ()).union(others)

        self._source.reads_all = True
        found = self._source.fill(words, matrix, places, asked)
        self.held: Collection[str] = self._source.held
        self.wanted = np.zeros((len(self.words), self._source.dim), np.promote_types(matrix.dtype, np.float32))
        there = np.flatnonzero(found & (own >= 0))
        self.wanted[own[there]] = matrix[places[there]]
        for got, rows in self._source.lend(others) if others else ():
            self.wanted[left[got]] = rows
        self.known = usable(self.wanted)
        return found

    def frequent(self, most: int) -> list[str]:
        return self._source.frequent(most)

    def has(self, words: Sequence[str]) -> Bools:
        return self._source.has(words)

    def lend(self, words: Sequence[str]) -> Iterable[tuple[Ids, Floats]]:
        return self._source.lend(words)

    def ngrams(self) -> Any:
        return self._source.ngrams()


class Compared(Watched):
    """A source whose rows come beside those of others, as they are: do they agree?

    Args:
        source: the source.
        before: list of the `Compared` sources before it.
        seed: of what is drawn.
    """

    def __init__(self, source: BaseSource, before: Sequence[Compared], seed: int) -> None:
        super().__init__(source)
        self._before, self._seed = before, seed
        self._filled: tuple[list[str], Ids] = [], np.empty(0, np.int64)
        self._steps: list[dict[str, Any]] = []

    def fill(self, words: Sequence[str], matrix: Floats, places: Ids, candidates: Candidates | None = None) -> Bools:
        earlier = [word for one in self._before for word in one._filled[0]]
        chosen = sample(earlier, self, self._seed)
        self.words = [earlier[k] for k in chosen.tolist()]
        found = super().fill(words, matrix, places, candidates)
        if self.words and (found.any() or candidates is not None):
            where = np.concatenate([one._filled[1] for one in self._before])[chosen[self.known]]
            names = " and ".join(dict.fromkeys(one.name for one in self._before if one._filled[0]))
            self._steps = Agreement(
                self.name, names, len(self.words), self.wanted[self.known], matrix[where]
            ).steps()
        self.wanted = self.wanted[:0]
        self._filled = list(compress(words, found.tolist())), places[found]
        return found

    def steps(self) -> list[dict[str, Any]]:
        return self._steps


class Aligned(Watched):
    """A source whose rows are mapped into the space of another one, which was filled before.

    Args:
        source: the source.
        target: the one whose space it is, watched for the shared words.
        shared: the `SharedWords`.
        kind: of the map.
    """

    def __init__(self, source: BaseSource, target: Watched, shared: SharedWords, kind: AlignName) -> None:
        super().__init__(source)
        for one in (source, target):
            if one.dim > WIDEST:
                raise ValueError(
                    f"vectors that are mapped must have at most {WIDEST} numbers, received {one.dim} of {one.name}. {_WAYS_OUT}"
                )
        self._target, self._shared, self._kind = target, shared, kind
        self.dim: int = target.dim
        self._learned: Learned

    def fill(self, words: Sequence[str], matrix: Floats, places: Ids, candidates: Candidates | None = None) -> Bools:
        shared = np.flatnonzero(self._target.known)
        shared = shared[: self._shared.most] if self.costly else shared
        self.words = [self._shared.words[k] for k in shared.tolist()]
        rows = np.zeros((len(words), self._source.dim), matrix.dtype)
        found = super().fill(words, rows, np.arange(len(words)), candidates)
        self._learn(np.flatnonzero(self.known)[: self._shared.most], self._target.wanted[shared])
        self._dtype = matrix.dtype
        numbers = np.flatnonzero(found)
        for some in self._blocks(numbers):
            good, mapped = self._mapped(words, numbers[some], rows[numbers[some]])
            found[np.setdiff1d(numbers[some], good)] = False
            matrix[places[good]] = mapped
        return found

    def _learn(self, both, targets):
        """Learn the map on the words that have the numbers `both`."""
        target, n = self._target.name, len(both)
        if n < LEAST_WORDS:
            raise ValueError(
                f"{self.name} must share at least {LEAST_WORDS} words with {target}, so that its rows can be mapped into that "
                f"space, received {n} shared word{'s' if n != 1 else ''}. {_WAYS_OUT}"
            )
        order = drawn([self.words[k] for k in both.tolist()], self._shared.seed, 1)
        self._learned = learn(self.wanted[both], targets[both], self._kind, order)
        self.wanted = self.wanted[:0]
        judged = self._learned.judgement
        if judged.by_luck:
            raise ValueError(
                f"{self.name} must go into the space of {target} by a map that is better than chance, received, on "
                f"{self._learned.held} words held out of {n} that both have, a median cosine of {judged.cosine:.2f} (with other "
                f"words {judged.other:.2f}) and {judged.kept:.1f} of {judged.neighbours} neighbours kept (by chance "
                f"{judged.by_chance:.1f}). {_WAYS_OUT}"
            )

    def _blocks(self, numbers):
        return blocks_of(len(numbers), max(self.dim, self._source.dim))

    def _mapped(self, words, numbers, rows):
        """(numbers, mapped rows), without those that the map makes too great."""
        if self._learned.map is None:
            return numbers, rows
        with np.errstate(over="ignore"):
            return self._finite(words, numbers, self._learned.map(rows).astype(self._dtype))

    def lend(self, words: Sequence[str]) -> Iterable[tuple[Ids, Floats]]:
        for numbers, rows in self._source.lend(words):
            for some in self._blocks(numbers):
                yield self._mapped(words, numbers[some], rows[some])

    def ngrams(self) -> Any:
        ngrams = self._source.ngrams()
        return ngrams and _MappedNGrams(ngrams, self)

    def steps(self) -> list[dict[str, Any]]:
        return [{"step": "align", "source": self.name, "to": self._target.name, **self._learned.figures()}]


class _MappedNGrams:
    """What makes rows out of n-grams, which are then mapped."""

    def __init__(self, ngrams, source):
        self._ngrams, self._source, self.serves = ngrams, source, ngrams.serves

    def row(self, word):
        row, mapping = self._ngrams.row(word), self._source._learned.map
        return row if row is None or mapping is None else mapping(np.asarray(row)[None])[0]

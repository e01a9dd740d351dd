"""Sources of which more is wanted than the rows that they fill: rows of other words, to compare sources, or to learn a map."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import chain, compress
from typing import TYPE_CHECKING, Any

import numpy as np

from ..alignment import LEAST_WORDS, Learned, learn, usable
from ..blocks import blocks_of
from ..shared import Agreement, SharedWords, drawn, sample
from .base import BaseSource
from .held import HeldRows

if TYPE_CHECKING:
    from ..._types import AlignName, Bools, Floats, Ids
    from .base import Frequent

    Candidates = Callable[[Sequence[str]], Collection[str]]

WIDEST = 4096  # numbers a word, for a map: it takes the cube of them
_WAYS_OUT = 'Leave it out, put the sources side by side (combine="concat"), or mix rows as they are (align=False).'


class Wrapped(BaseSource):
    """Another source, of which more is asked than to fill rows."""

    def __init__(self, source: BaseSource) -> None:
        super().__init__(source.name, source.dim, source.report)
        self._source = source
        self.has_ngrams: bool = source.has_ngrams
        self.costly: bool = source.costly
        if hasattr(source, "word_keys"):
            self.word_keys: Callable[[], list[Ids]] = source.word_keys

    def has(self, words: Sequence[str]) -> Bools:
        return self._source.has(words)

    def lend(self, words: Sequence[str]) -> Iterable[tuple[Ids, Floats]]:
        return self._source.lend(words)

    def ngrams(self) -> Any:
        return self._source.ngrams()


class Watched(Wrapped):
    """Another source, of which the rows of some words are wanted, too, once it was asked to fill.

    Args:
        source: the source.
        words: list of the words.
        given: some words with their rows, as far as they are known already.

    Attributes:
        words: list of the words; it may be set until `fill` is called.
        wanted: array `(len(words), dim)`: their rows; zeros where there is none.
        known: bool array: which of them have one with a direction.
    """

    def __init__(self, source: BaseSource, words: Sequence[str] = (), given: Frequent = ([], None)) -> None:
        super().__init__(source)
        self.words: Sequence[str] = words
        self._given = given
        self.wanted: Floats = np.zeros((0, source.dim), np.float32)
        self.known: Bools = np.zeros(0, np.bool_)

    def fill(self, words: Sequence[str], matrix: Floats, places: Ids, candidates: Candidates | None = None) -> Bools:
        numbers = {word: k for k, word in enumerate(self.words)}
        wanted = np.zeros((len(numbers), self.dim), np.promote_types(matrix.dtype, np.float32))
        own = np.fromiter((numbers.pop(word, -1) for word in words), np.int64, len(words))
        given, rows = self._given
        if rows is not None:
            at = np.fromiter((numbers.pop(word, -1) for word in given), np.int64, len(given))
            wanted[at[at >= 0]] = rows[at >= 0]
        found = self._fill(words, matrix, places, candidates, list(numbers))
        there = np.flatnonzero(found & (own >= 0))
        wanted[own[there]] = matrix[places[there]]
        left = np.fromiter(numbers.values(), np.int64, len(numbers))
        for got, rows in self._lent(list(numbers)) if numbers else ():
            wanted[left[got]] = rows
        self.wanted, self.known = wanted, usable(wanted) if len(wanted) else self.known
        return found

    def _lent(self, words):
        return self._source.lend(words)

    def _fill(self, words, matrix, places, candidates, others):
        """As `fill`, of the source, which will be asked for the rows of `others`, wherever they stand."""
        asked, also = candidates, set(others)
        if also:
            self._source.reads_all = True
            asked = (lambda missing: also.union(candidates(missing))) if candidates else (lambda _: also)
        found = self._source.fill(words, matrix, places, asked)
        self.held: Collection[str] = self._source.held
        return found


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
        self.words: Sequence[str] = [earlier[k] for k in chosen.tolist()]
        found = super().fill(words, matrix, places, candidates)
        if self.words and (found.any() or candidates is not None):
            where = np.concatenate([one._filled[1] for one in self._before])[chosen[self.known]]
            names = " and ".join(dict.fromkeys(one.name for one in self._before if one._filled[0]))
            told = Agreement(self.name, names, len(self.words), self.wanted[self.known], matrix[where])
            self._steps = told.steps(made=self._source.only_ngrams)
        self._filled = list(compress(words, found.tolist())), places[found]
        return found

    def _lent(self, words):
        return self._source.made(words) if self._source.only_ngrams else super()._lent(words)

    def steps(self) -> list[dict[str, Any]]:
        return self._steps


class Aligned(Wrapped):
    """A source whose rows are mapped into the space of another one, which was filled before.

    The words by which the map is learned are looked for together with those that are to be filled: its data is read once.

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
        self._dtype: np.dtype[Any]
        self._beside = HeldRows(source.name, {}, np.empty((0, source.dim)), source.report)

    def fill(self, words: Sequence[str], matrix: Floats, places: Ids, candidates: Candidates | None = None) -> Bools:
        both = np.flatnonzero(self._target.known)
        both = both[: self._shared.most] if self.costly else both
        shared = [self._shared.words[k] for k in both.tolist()]
        place_of = dict(zip(shared, range(len(shared))))
        for word in words:
            place_of.pop(word, None)
        beside, n = list(place_of), len(words)
        rows = np.zeros((n + len(beside), self._source.dim), matrix.dtype)
        every = [*words, *beside]
        found = self._source.fill(every, rows, np.arange(len(rows)), candidates and without(candidates, place_of))
        self.held: Collection[str] = {*self._source.held, *compress(beside, found[n:].tolist())}
        self._learn(shared, both, every, rows, found)
        there = np.flatnonzero(found[n:])
        held = {beside[k]: place for place, k in enumerate(there.tolist())}
        self._beside = HeldRows(self.name, held, rows[n + there], self.report)
        self._dtype, found, numbers = matrix.dtype, found[:n], np.flatnonzero(found[:n])
        for some in self._blocks(numbers):
            good, mapped = self._mapped(words, numbers[some], rows[numbers[some]])
            found[np.setdiff1d(numbers[some], good)] = False
            matrix[places[good]] = mapped
        return found

    def _learn(self, shared, both, every, rows, found):
        """Learn the map on those words of `shared` that were found; `both` are their numbers in the target."""
        place_of = dict(zip(every, range(len(every))))
        own = np.fromiter(map(place_of.__getitem__, shared), np.int64, len(shared))
        good = np.flatnonzero(found[own])
        good = good[usable(rows[own[good]])][: self._shared.most] if len(good) else good
        target, n = self._target.name, len(good)
        if n < LEAST_WORDS:
            raise ValueError(
                f"{self.name} must share at least {LEAST_WORDS} words with {target}, so that its rows can be mapped into that "
                f"space, received {n} shared word{'s' if n != 1 else ''}. {_WAYS_OUT}"
            )
        order = drawn([shared[k] for k in good.tolist()], self._shared.seed, 1)
        self._learned = learn(rows[own[good]], self._target.wanted[both[good]], self._kind, order)
        judged = self._learned.judgement
        if judged.by_luck:
            raise ValueError(
                f"{self.name} must go into the space of {target} by a map that is better than chance, received, on "
                f"{self._learned.held} words held out of {n} that both have, a median cosine of {judged.cosine:.2f} (with "
                f"other words {judged.other:.2f}) and {judged.kept:.1f} of {judged.neighbours} neighbours kept (by chance "
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

    def has(self, words: Sequence[str]) -> Bools:
        there = self._beside.has(words)
        left = np.flatnonzero(~there)
        there[left] = self._source.has([words[k] for k in left.tolist()])
        return there

    def lend(self, words: Sequence[str]) -> Iterable[tuple[Ids, Floats]]:
        left = np.flatnonzero(~self._beside.has(words))
        others = ((left[got], rows) for got, rows in self._source.lend([words[k] for k in left.tolist()]))
        for numbers, rows in chain(self._beside.lend(words), others):
            for some in self._blocks(numbers):
                yield self._mapped(words, numbers[some], rows[some])

    def ngrams(self) -> Any:
        ngrams = self._source.ngrams()
        return ngrams and _MappedNGrams(ngrams, self)

    def steps(self) -> list[dict[str, Any]]:
        return [{"step": "align", "source": self.name, "to": self._target.name, **self._learned.figures()}]


def without(candidates: Candidates, words: Collection[str]) -> Candidates:
    """`candidates`, which are not asked about `words`, and do not name them."""
    return lambda missing: set(candidates([word for word in missing if word not in words])).difference(words)


class _MappedNGrams:
    """What makes rows out of n-grams, which are then mapped."""

    def __init__(self, ngrams, source):
        self._ngrams, self._source, self.serves = ngrams, source, ngrams.serves

    def row(self, word):
        row, mapping = self._ngrams.row(word), self._source._learned.map
        return row if row is None or mapping is None else mapping(np.asarray(row)[None])[0]

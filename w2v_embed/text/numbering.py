"""The words of texts → their ids: the inner loop of `TextEncoder`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, compress, islice, repeat
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from ..readers.scan.hot import hot_loops
from ..splitting import batches, kind_of, real_words

if TYPE_CHECKING:
    from .._types import Bools, Ids, Split
    from .spelling import Spelling

_Given = TypeVar("_Given")
_Result = TypeVar("_Result")
_WORTH_THREADS = 1 << 22  # bytes
_MARK = "\ufeff"
_NOTHING = np.zeros(0, np.int32)


class Numbered(NamedTuple):
    """Texts as numbers.

    Attributes:
        ids: int32, of all texts in one array; `-c` is a word of `c` n-grams.
        sizes: int64, how many ids each text has.
        strange: the words without an id, those that have n-grams, too.
        ngrams: int32, the n-grams of all of these, word by word.
    """

    ids: Ids
    sizes: Ids
    strange: list[str]
    ngrams: Ids


def kept_of(numbered: Numbered, kept: Bools) -> Numbered:
    """Without the ids that are not `kept`. (Their n-grams stay.)"""
    if kept.all():
        return numbered
    of = np.repeat(np.arange(len(numbered.sizes)), numbered.sizes)
    sizes = np.bincount(of[kept], minlength=len(numbered.sizes))
    return numbered._replace(ids=numbered.ids[kept], sizes=sizes)


class Numbering:
    """Texts → ids, whatever splits them.

    Args:
        ids: dict word → id, of the words that texts can have.
        split: as for `TextEncoder`.
        lower: whether the words are lower-cased.
        unknown_id: id of other words; None: they are left out.
        spelling: n-grams of other words; None: they have none.
    """

    threads: int = 1  # how many run `batch` at the same time

    def __init__(
        self,
        ids: Mapping[str, int],
        split: Split,
        lower: bool,
        unknown_id: int | None,
        spelling: Spelling | None = None,
    ) -> None:
        self._ids = ids
        self._split_all = batches(split)
        self._lower = lower
        self._unknown_id = unknown_id
        self._spelling = spelling

    def batch(self, texts: Sequence[str]) -> Numbered:
        """What is known of texts, in their order."""
        ids, sizes, strange = self._numbered(texts)
        if not strange:
            return Numbered(ids, sizes, strange, _NOTHING)
        real = set(real_words(set(strange)))
        is_real = [word in real for word in strange]
        kept = ids >= 0
        places, strange = np.flatnonzero(~kept)[is_real], list(compress(strange, is_real))
        if self._unknown_id is not None:
            ids[places] = self._unknown_id
            kept[places] = True
        ngrams = _NOTHING
        if self._spelling is not None:
            counts, ngrams = self._spelt(self._spelling, strange)
            made = counts > 0
            ids[places[made]] = -counts[made]
            kept[places[made]] = True
        return kept_of(Numbered(ids, sizes, strange, ngrams), kept)

    def _spelt(self, spelling, strange):
        """(how many n-grams each of the strange words has; these, word by word)"""
        number = {word: place for place, word in enumerate(dict.fromkeys(strange))}
        counts, ngrams = spelling.ngrams(list(number))
        of = np.fromiter(map(number.__getitem__, strange), np.int64, len(strange))
        # from each one's begin among `ngrams` as many as it has
        sizes, begins = counts[of], (np.cumsum(counts) - counts)[of]
        return sizes, ngrams[np.repeat(begins - (np.cumsum(sizes) - sizes), sizes) + np.arange(sizes.sum())]

    def _numbered(self, texts):
        """(ids, -1 for what has none; words of each text; those that have none)"""
        parts = self._split_all(unmarked(texts))
        sizes = np.fromiter(map(len, parts), np.int64, len(parts))
        words = list(chain.from_iterable(parts))
        if self._lower:
            words = list(map(str.lower, words))
        ids = np.fromiter(map(self._ids.get, words, repeat(-1)), np.int32, len(words))
        return ids, sizes, [words[place] for place in np.flatnonzero(ids < 0).tolist()]


class AtSpace(Numbering):
    """The same at white space, in a compiled loop."""

    def __init__(self, ids: Mapping[str, int], lower: bool, *others: Any) -> None:
        super().__init__(ids, "whitespace", lower, *others)
        self._hot, threads = hot_loops(_WORTH_THREADS)
        self.threads: int = threads
        self._table = self._hot.make_table([word.encode("utf-8", "surrogatepass") for word in ids])
        self._by_number = np.fromiter(ids.values(), np.int32, len(ids))

    def _numbered(self, texts):
        joined = "\n".join(texts)
        if joined.count("\n") >= len(texts) or _MARK in joined:
            # Newlines of their own part words as a space does.
            joined = "\n".join(text.replace("\n", " ") for text in unmarked(texts))
        if self._lower:
            joined = joined.lower()
        raw = f"{joined}\n".encode("utf-8", "surrogatepass")
        ids, sizes, strange = self._hot.number_words(raw, len(texts), self._table, self._by_number)
        return ids, sizes, [word.decode("utf-8", "surrogatepass") for word in strange]


def unmarked(texts: Sequence[str]) -> list[str]:
    """Texts without a byte order mark at their beginning, which `count_words` takes off each line, too."""
    return list(map(str.removeprefix, texts, repeat(_MARK)))


def numbering(ids: Mapping[str, int], split: Split, lower: bool, *others: Any) -> Numbering:
    """What numbers the words that `split` finds; the arguments are those of `Numbering`."""
    if kind_of(split) == "whitespace":
        return AtSpace(ids, lower, *others)
    return Numbering(ids, split, lower, *others)


def in_turn(call: Callable[[_Given], _Result], items: Iterator[_Given], threads: int) -> Iterator[_Result]:
    """`call(item)` for each of `items`, in their order, by several threads where there are several items.

    (Not by `relay`, whose workers take the items themselves: these are the user's, who may not let other threads have them.)
    """
    first = list(islice(items, 2))
    if threads == 1 or len(first) < 2:
        yield from map(call, chain(first, items))
        return
    waiting: deque[Future[_Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in chain(first, items):
            waiting.append(pool.submit(call, item))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

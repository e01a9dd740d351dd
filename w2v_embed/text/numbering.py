"""The words of texts → their ids: the inner loop of `TextEncoder`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, compress, islice, repeat
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ..readers.scan.hot import hot_loops
from ..splitting import batches, kind_of, real_words

if TYPE_CHECKING:
    from .._types import Ids, Split

_Given = TypeVar("_Given")
_Result = TypeVar("_Result")
_WORTH_THREADS = 1 << 22  # bytes
_MARK = "\ufeff"


class Numbering:
    """Texts → ids, whatever splits them.

    Args:
        ids: dict word → id, of the words that texts can have.
        split: as for `TextEncoder`.
        lower: whether the words are lower-cased.
        unknown_id: id of other words; None: they are left out.
    """

    threads: int = 1  # how many run `batch` at the same time

    def __init__(self, ids: Mapping[str, int], split: Split, lower: bool, unknown_id: int | None) -> None:
        self._ids = ids
        self._split_all = batches(split)
        self._lower = lower
        self._unknown_id = unknown_id

    def batch(self, texts: Sequence[str]) -> tuple[Ids, Ids, list[str]]:
        """The ids of all texts in one array, int32; how many each text has, int64; the words without an id."""
        ids, sizes, strange = self._numbered(texts)
        if not strange:
            return ids, sizes, strange
        real = set(real_words(set(strange)))
        is_real = [word in real for word in strange]
        if self._unknown_id is not None:
            ids[np.flatnonzero(ids < 0)[is_real]] = self._unknown_id
        kept = ids >= 0
        if not kept.all():
            sizes = np.bincount(np.repeat(np.arange(len(sizes)), sizes)[kept], minlength=len(sizes))
            ids = ids[kept]
        return ids, sizes, list(compress(strange, is_real))

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

    def __init__(self, ids: Mapping[str, int], lower: bool, unknown_id: int | None) -> None:
        super().__init__(ids, "whitespace", lower, unknown_id)
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


def numbering(ids: Mapping[str, int], split: Split, lower: bool, unknown_id: int | None) -> Numbering:
    """What numbers the words that `split` finds."""
    if kind_of(split) == "whitespace":
        return AtSpace(ids, lower, unknown_id)
    return Numbering(ids, split, lower, unknown_id)


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

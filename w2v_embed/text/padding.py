"""Ids of texts → one array, cut and filled up; behind the words the n-grams of those that have no id."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .numbering import Numbered, kept_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._types import Bools, Ids, TruncateName

_MOST_IDS = 1 << 30  # of an answer whose length nobody has told


def joined(parts: list[Numbered]) -> Numbered:
    """Batches of texts as one; the strange words are left out."""
    none, no_sizes = np.zeros(0, np.int32), np.zeros(0, np.int64)
    return Numbered(
        np.concatenate([none, *(part.ids for part in parts)]),
        np.concatenate([no_sizes, *(part.sizes for part in parts)]),
        [],
        np.concatenate([none, *(part.ngrams for part in parts)]),
    )


def padded(numbered: Numbered, padding_id: int, length: int | None, truncate: TruncateName) -> npt.NDArray[np.int32]:
    """The ids as int32 `(n, length)`."""
    if length is not None:
        numbered = _cut(numbered, length, truncate)
    sizes = numbered.sizes
    if length is None:
        length = int(sizes.max(initial=0))
        if length * len(sizes) > _MOST_IDS:
            raise ValueError(
                f"length must be told where texts differ so much, received None for {len(sizes):,} texts, the longest of "
                f"{length:,} words"
            )
    return _filled(numbered.ids, sizes, length, padding_id)


def padded_with_ngrams(
    numbered: Numbered,
    padding_id: int,
    length: int | None,
    truncate: TruncateName,
    *,
    most: int,
    unknown_id: int | None,
) -> npt.NDArray[np.int32]:
    """The ids, and behind them the n-grams of each text, int32 `(n, length + most)`. Words whose n-grams have no room, behind
    those of the words before them, are as other unknown ones."""
    if length is not None:
        numbered = _cut(numbered, length, truncate)
    ids, sizes = numbered.ids.copy(), numbered.sizes
    counts = np.maximum(-ids, 0).astype(np.int64)
    before = np.concatenate([[0], np.cumsum(counts)])
    begins = before[np.concatenate([[0], np.cumsum(sizes)[:-1]])] if len(sizes) else before[:0]
    no_room = (counts > 0) & (before[1:] - np.repeat(begins, sizes) > most)
    ngrams = numbered.ngrams[np.repeat(~no_room, counts)]
    counts[no_room] = 0
    kept = np.ones(len(ids), np.bool_)
    if unknown_id is None:
        kept = ~no_room
    else:
        ids[no_room] = unknown_id
    of_texts = np.bincount(np.repeat(np.arange(len(sizes)), sizes), counts, len(sizes)).astype(np.int64)
    words = padded(kept_of(numbered._replace(ids=ids), kept), padding_id, length, truncate)
    return np.concatenate([words, _filled(ngrams, of_texts, most, 0)], axis=1)


def _cut(numbered: Numbered, length: int, truncate: TruncateName) -> Numbered:
    """At most `length` ids of each text."""
    ids, sizes = numbered.ids, numbered.sizes
    if sizes.max(initial=0) <= length:
        return numbered
    place = np.arange(len(ids)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    if truncate == "begin":
        place -= np.repeat(np.maximum(sizes - length, 0), sizes)
    kept: Bools = (place >= 0) & (place < length)
    if len(numbered.ngrams):
        numbered = numbered._replace(ngrams=numbered.ngrams[np.repeat(kept, np.maximum(-ids, 0))])
    return numbered._replace(ids=ids[kept], sizes=np.minimum(sizes, length))


def _filled(ids: Ids, sizes: Ids, length: int, value: int) -> npt.NDArray[np.int32]:
    filled = np.full((len(sizes), length), value, np.int32)
    filled[np.arange(length) < sizes[:, None]] = ids
    return filled

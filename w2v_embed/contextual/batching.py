"""Ids of texts → batches of few padded tokens: windows over long texts, rows of like length together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..checks import whole
from ..shown import quoted
from .backend import compiles_each_shape, compiles_long

if TYPE_CHECKING:
    import numpy.typing as npt

    from .tokenizers import Tokenizer


class Window(NamedTuple):
    """A part of a text that the model sees at once: the ids `start` to `stop` between the special tokens.

    Of its ids those from `keep_from` to `keep_to` count; what windows share counts where it is farther from an edge.
    """

    text: int
    start: int
    stop: int
    keep_from: int
    keep_to: int
    first: bool
    last: bool


class Pair(list[int]):
    """The ids of two texts that a model sees together, special tokens between them.

    Args:
        first, second: their ids.
        tokenizer: says what stands between them, and of which segments all are.

    Attributes:
        first, second: how many ids they have.
    """

    first: int
    second: int

    def __init__(self, first: list[int], second: list[int], tokenizer: Tokenizer) -> None:
        super().__init__([*first, *tokenizer.middle, *second])
        self.first, self.second, self._tokenizer = len(first), len(second), tokenizer

    def cut(self, room: int | None) -> Pair:
        """As much as there is room for, taken from the end of whichever text is longer."""
        middle = len(self._tokenizer.middle)
        if room is None or len(self) <= room:
            return self
        room = max(room - middle, 0)
        short = min(self.first, self.second, room // 2)
        first, second = (short, room - short) if self.first <= self.second else (room - short, short)
        begin = self.first + middle
        return Pair(self[:first], self[begin : begin + second], self._tokenizer)

    @property
    def types(self) -> list[int]:
        """Segments, special tokens before and behind included."""
        before = len(self._tokenizer.head) + self.first + len(self._tokenizer.middle)
        return [*[0] * before, *[self._tokenizer.second_type] * self.second, *self._tokenizer.pair_tail_types]

    @property
    def between(self) -> slice:
        """Where the special tokens between the texts are."""
        return slice(self.first, self.first + len(self._tokenizer.middle))


class Batch(NamedTuple):
    """Rows for the model `(B, T)`, and for each its window, the column of its first id, and its ids if they are a `Pair`."""

    input_ids: npt.NDArray[np.int32]
    attention_mask: npt.NDArray[np.int32]
    token_type_ids: npt.NDArray[np.int32]
    windows: list[Window]
    columns: npt.NDArray[np.int64]
    pairs: list[Pair | None]


def checked_room(
    max_length: int | None, stride: int | None, special: int, usual: int | None, longest: int | None
) -> int | None:
    """Return how many ids a text may have beside its special tokens, None if any.

    Args:
        max_length, stride: as `ContextualEncoder.encode` takes them.
        special: how many special tokens a text gets.
        usual: `max_length` where it is None.
        longest: what the model can see at once; None = any number.
    """
    length = usual if max_length is None else whole("max_length", max_length, special + 1, longest, or_none=True)
    room = None if length is None else length - special
    if stride is not None:
        if room is None:
            raise ValueError(
                f"stride must be None without max_length, received {quoted(stride)}: this model takes texts of any length."
            )
        whole("stride", stride, 1, room, or_none=True)
    return room


def windows(text: int, length: int, room: int | None, stride: int | None) -> list[Window]:
    """Return the windows of one text of `length` ids where the model has room for `room` (None: for any number).

    Args:
        stride: from the beginning of a window to that of the next; None = one window, the rest is cut.
    """
    if room is None or length <= room:
        return [Window(text, 0, length, 0, length, True, True)]
    if stride is None:
        return [Window(text, 0, room, 0, room, True, True)]
    starts = [*range(0, length - room, stride), length - room]
    # Neighbours meet in the middle of what they share.
    borders = [0, *((a + room + b) // 2 for a, b in pairwise(starts)), length]
    last = len(starts) - 1
    return [Window(text, s, s + room, borders[i], borders[i + 1], i == 0, i == last) for i, s in enumerate(starts)]


def batches(
    ids: Sequence[list[int]], all_windows: list[Window], tokenizer: Tokenizer, batch_size: int, longest: int | None
) -> Iterator[Batch]:
    """Yield a `Batch` for each `batch_size` windows, longest first: one that is too large for memory fails at once.

    Args:
        ids: a list of ids for each text.
        longest: no row gets longer than this, padding included; None = no bound.
    """
    ordered = sorted(all_windows, key=lambda window: window.start - window.stop)
    for begin in range(0, len(ordered), batch_size):
        yield _batch(ids, ordered[begin : begin + batch_size], tokenizer, batch_size, longest)


def _batch(ids, rows, tokenizer, batch_size, longest):
    head, tail = tokenizer.head, tokenizer.tail
    extra = len(head) + len(tail)
    height, length = padded_shape(len(rows), rows[0].stop - rows[0].start + extra, batch_size, longest)
    input_ids = np.full((height, length), tokenizer.pad_id, np.int32)
    mask = np.zeros((height, length), np.int32)
    types = np.full((height, length), tokenizer.pad_type, np.int32)
    columns = np.zeros(len(rows), np.int64)
    for row, window in enumerate(rows):
        size = window.stop - window.start
        begin = length - size - extra if tokenizer.pads_left else 0
        end = begin + size + extra
        input_ids[row, begin:end] = [*head, *ids[window.text][window.start : window.stop], *tail]
        mask[row, begin:end] = 1
        types[row, begin:end] = 0
        types[row, end - len(tail) : end] = tokenizer.tail_types
        if isinstance(ids[window.text], Pair):
            types[row, begin:end] = ids[window.text].types
        columns[row] = begin + len(head)
    pairs = [held if isinstance(held := ids[window.text], Pair) else None for window in rows]
    return Batch(input_ids, mask, types, rows, columns, pairs)


def padded_shape(rows: int, length: int, batch_size: int, longest: int | None) -> tuple[int, int]:
    """Return the height and length of a batch: as it is, or a bit more where each new shape costs a compilation."""
    if not compiles_each_shape():
        return rows, length
    step = 8 if length <= 64 else 32 if length <= 256 else 64
    step *= 2 if compiles_long() else 1
    rounded = -(-length // step) * step
    height = 4 ** -(-(rows - 1).bit_length() // 2)  # 1, 4, 16, 64, …
    return min(batch_size, height), rounded if longest is None else max(length, min(rounded, longest))

"""What every fallback is: one step of a choice of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from ...readers.scan.keys import WordSet


class Step:
    """A fallback. Those that `respells` say for each word how else it may be spelled; others make its row of several.

    Attributes:
        name: of the fallback.
        respells: whether steps behind it try its spellings, too.
        of_ngrams: whether the vectors' n-grams make its rows, of the words as they are, and no other words lend them.
        cacheable: whether its name alone says what it does.
    """

    name: str = ""
    respells: ClassVar[bool] = False
    of_ngrams: ClassVar[bool] = False
    cacheable: ClassVar[bool] = True

    def change(self, label: str, forms: Mapping[int, str]) -> list[tuple[str, dict[int, str]]]:
        """For each way to respell `forms` (label, those that it changes); forms are by position, as in `Fallbacks`."""
        raise NotImplementedError

    def candidates(self, forms: Sequence[str]) -> set[str]:
        """All words that could lend one of `forms` a row."""
        raise NotImplementedError

    def find(self, forms: Sequence[str], known: WordSet) -> tuple[list[int], list[str], list[int]]:
        """Which of `forms` get a row: (their numbers; lenders and counts as in `Loans`)."""
        raise NotImplementedError

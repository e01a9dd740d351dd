"""What sources of this package have in common, beside the `Source` protocol."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ...readers.damage import DamageReport

if TYPE_CHECKING:
    from ..._types import Bools, Floats, Ids
    from ...readers.ngrams import NGrams

    Frequent: TypeAlias = tuple[list[str], Floats | None]


class BaseSource:
    """A source that says which words it has and lends rows, and so fills a matrix.

    A user's own source may have `report`, `ngrams()` and `close()`, too, and `word_keys()`: list of int64 arrays, the keys (see
    `readers.scan.keys`) of all words that it can lend, which spares asking it for each with `has`.

    Attributes:
        name, dim: see `Source`.
        report: the `DamageReport` of what was wrong.
        has_ngrams: whether `ngrams()` makes rows for other words.
        only_ngrams: whether it has nothing else, so that who passes it has asked for them.
        held: words whose rows are kept for `lend`, so that later sources need not keep theirs.
        reads_all: whether `fill` shall go on to the end of the data, so that `lend` finds the candidates wherever they stand.
        costly: whether each word that it is asked for takes long.
    """

    has_ngrams: bool = False
    reads_all: bool = False
    costly: bool = False
    only_ngrams: bool = False
    held: Collection[str] = ()

    def __init__(self, name: str, dim: int, report: DamageReport) -> None:
        self.name: str = name
        self.dim: int = dim
        self.report: DamageReport = report

    def fill(
        self,
        words: Sequence[str],
        matrix: Floats,
        places: Ids,
        candidates: Callable[[Sequence[str]], Collection[str]] | None = None,
    ) -> Bools:
        """Write the rows of those of `words` that it has into `matrix`, see `Source`."""
        found = np.zeros(len(words), np.bool_)
        for numbers, rows in self._rows_of(words):
            matrix[places[numbers]] = rows
            found[numbers] = True
        return found

    def has(self, words: Sequence[str]) -> Bools:
        """Which of `words` it can lend, see `Source`."""
        raise NotImplementedError

    def lend(self, words: Sequence[str]) -> Iterable[tuple[Ids, Floats]]:
        """The rows of those of `words` that it has, see `Source`."""
        raise NotImplementedError

    def _rows_of(self, words: Sequence[str]) -> Iterable[tuple[Ids, Floats]]:
        """As `lend`, for rows that are asked for once."""
        return self.lend(words)

    def made(self, words: Sequence[str]) -> Iterable[tuple[Ids, Floats]]:
        """The rows that n-grams make, as `lend` tells them, where there is nothing else (`only_ngrams`)."""
        return ()

    def ngrams(self) -> NGrams | None:
        """What makes rows for words that it does not have."""
        return None

    def frequent(self, most: int) -> Frequent:
        """Up to `most` of its words, the most frequent first as far as their order tells, or none where it has no list of them;
        and their rows, or None where these are not at hand."""
        return [], None

    def steps(self) -> list[dict[str, Any]]:
        """What was done to its rows, and what is to be told of them, see `EmbeddingMatrix.steps`."""
        return []

    def close(self) -> None:
        """It is needed no more."""

    def _finite(self, words, numbers, rows):
        """(numbers, rows) without the rows that are not finite, which are reported."""
        good = np.isfinite(rows).all(axis=1)
        if good.all():
            return numbers, rows
        for k in numbers[~good].tolist():
            self.report.add("not finite", "expected finite numbers in its vector", f"word {words[k]!r}")
        return numbers[good], rows[good]

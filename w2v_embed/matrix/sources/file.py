"""The rows of some words, out of a file that is only streamed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...readers.damage import Damages
from ...readers.ngrams import NGrams
from ...readers.opened import Opened
from ...readers.scan.keys import WordSet, keys_of
from ...readers.sidecar import IndexedFile
from .base import BaseSource
from .held import HeldRows

if TYPE_CHECKING:
    from ..._types import Bools, Floats, FormatName, Ids, OnError, Progress, StrPath
    from ...readers.remote import Place
    from .base import Frequent

_SIDE_BYTES = 1 << 25  # of the first room for side rows


class FileSource(BaseSource):
    """A vector file, which `fill` streams once, to the last word that is looked for, or to its end.

    Fallbacks need rows of other words, for the words that are not found. Where the file can be read at any place, the run notes
    where each word lies, and `lend` reads the rows that it is asked for. Out of a packed or narrow file the rows of all
    candidates are collected in the same run. Memory for them is bounded by what they can still be needed for: where room runs
    out, rows that only words found by now would have used are dropped.

    Args:
        path: a file of any format that `load_vectors` reads.
        encoding, format, on_error, trust, progress, index: as for `build_matrix`.
    """

    def __init__(
        self,
        path: Path | Place,
        *,
        encoding: str = "utf-8",
        format: FormatName | None = None,
        on_error: OnError = "raise",
        trust: bool = False,
        progress: Progress = None,
        index: bool | StrPath | None = False,
    ) -> None:
        self._opened = IndexedFile(path, format, encoding, on_error, trust, index=index)
        self._as_opened = path, format, encoding
        super().__init__(path.name, self._opened.dim, self._opened.report)
        self.has_ngrams: bool = self._opened.has_ngrams
        self._progress, self._found = progress, list[str]()
        self._side = HeldRows(self.name, {}, np.empty((0, self.dim)), self.report)

    def fill(
        self,
        words: Sequence[str],
        matrix: Floats,
        places: Ids,
        candidates: Callable[[Sequence[str]], Collection[str]] | None = None,
    ) -> Bools:
        self._opened.look_for(list(words), candidates)
        sink = _Rows(words, matrix, places, self._opened.side, candidates, self.reads_all)
        self._opened.run(sink, self._progress, log=False)
        found = sink.found[: len(words)]
        self._found = list(compress(words, found.tolist()))
        held, rows = sink.side_rows()
        self.held: Collection[str] = {word: k for k, word in enumerate(held)}
        self._side = HeldRows(self.name, self.held, rows, self.report)
        return found

    def frequent(self, most: int) -> Frequent:
        layout, first = self._opened.layout, _First(most)
        with suppress(ValueError):  # who reads all of it says what is wrong
            if layout.table:
                return (layout.first_words(most) if layout.first_words else []), None
            with Opened(*self._as_opened, "skip") as again:
                again.look_for(None)
                again.run(first, log=False)
        return first.frequent(self.dim)

    def ngrams(self) -> NGrams | None:
        return NGrams.of(getattr(self._opened.reader, "kv", None), self.report)

    def word_keys(self) -> list[Ids]:
        """List of int64 arrays: the keys (see `keys`) of the words that were found, and of those that `lend` may find."""
        return self._opened.noted_keys() if self._opened.goes_back else [keys_of([*self._found, *self.held])]

    def has(self, words: Sequence[str]) -> Bools:
        return WordSet(self.word_keys()).has(words) if self._opened.goes_back else self._side.has(words)

    def lend(self, words: Sequence[str]) -> Iterable[tuple[Ids, Floats]]:
        if not self._opened.goes_back:
            return self._side.lend(words)
        sink = _Lent(words)
        self._opened.go_back(words, sink)
        return sink.lent

    def close(self) -> None:
        self._opened.source.close()


class _First:
    """Collects the first words of a file, and their rows."""

    def __init__(self, most):
        self._most, self._row_of, self._rows = most, {}, []
        self.count = 0

    def add(self, block):
        """As a sink of `Opened.run`."""
        rows = block.rows[: self._most - self.count].copy()  # which is the reader's
        for k, word in enumerate(block.words[: len(rows)], self.count):
            self._row_of.setdefault(word, k)
        self._rows.append(rows)
        self.count += len(rows)
        return (block.records if self.count >= self._most else None), Damages()

    def frequent(self, dim):
        """As of `BaseSource`."""
        rows = np.concatenate([np.empty((0, dim), np.float32), *self._rows])
        return list(self._row_of), rows[list(self._row_of.values())]


class _Found:
    """Which of some words have been found. The first of two equal words counts.

    Attributes:
        words: list of the words; side: list of others that are wanted, too.
        found: bool array, of the words and then of the side words.
        count: how many of the words were found.
    """

    def __init__(self, words: Sequence[str], side: Sequence[str] = ()) -> None:
        self.words, self.side = words, side
        self.found = np.zeros(len(words) + len(side), np.bool_)
        self.count = 0

    def first_of_equal(self, block):
        """The rows of words that were not found before, as an index; the `Damages`: those that were."""
        again, targets = Damages(), block.targets
        new = ~self.found[targets]
        if new.all() and len(set(targets.tolist())) == len(targets):
            return slice(None), again
        new = np.flatnonzero(new)
        _, first = np.unique(targets[new], return_index=True)
        new = np.sort(new[first])
        for k in np.setdiff1d(np.arange(len(targets)), new).tolist():
            again.add(block.again(k, self._word(targets[k])))
        return new, again

    def _word(self, target):
        return self.words[target] if target < len(self.words) else self.side[target - len(self.words)]

    def end(self, where):
        """`where` are the records of the words that were found last: the last of them where no word is left, or None."""
        if self.count < len(self.words):
            return None
        return int(where[-1]) if len(where) else -1


class _Lent(_Found):
    """Keeps the rows of the wanted words.

    Attributes:
        lent: list of (numbers of some words, their rows), one a block.
    """

    def __init__(self, words):
        super().__init__(words)
        self.lent = []

    def add(self, block):
        """As a sink of `Opened.run`."""
        new, again = self.first_of_equal(block)
        targets = block.targets[new].copy()  # which are the reader's
        self.found[targets] = True
        self.count += len(targets)
        self.lent.append((targets, block.rows[new].copy()))
        return self.end(block.where[new]), again


class _Rows(_Found):
    """Fills the rows of the wanted words in a matrix, and collects those of side words."""

    def __init__(self, words, matrix, places, side, candidates, reads_all):
        super().__init__(words, side)
        self.matrix, self.places, self.candidates, self.reads_all = matrix, places, candidates, reads_all
        # Of the side rows: the numbers of their words, and the rows, of which the first `n_kept` are in use.
        dim = matrix.shape[1]
        room = min(len(side), _SIDE_BYTES // (dim * matrix.itemsize) + 1)
        self.kept = np.empty(room, np.int64)
        self.rows = np.empty((room, dim), np.promote_types(matrix.dtype, np.float32))
        self.n_kept = 0

    def add(self, block):
        """As a sink of `Opened.run`. Only one thread at a time can be here: the usual block must be quick."""
        new, again = self.first_of_equal(block)
        targets, rows, where = block.targets[new], block.rows[new], block.where[new]
        self.found[targets] = True
        if self.side:
            inside = targets < len(self.words)
            self._keep(targets[~inside] - len(self.words), rows[~inside])
            targets, rows, where = targets[inside], rows[inside], where[inside]
        self.matrix[self.places[targets]] = rows
        self.count += len(targets)
        return None if self.reads_all else self.end(where), again

    def missing(self):
        """List of the words not found so far."""
        return list(compress(self.words, (~self.found[: len(self.words)]).tolist()))

    def _keep(self, numbers, rows):
        if self.n_kept + len(numbers) > len(self.kept):
            needed = self._sweep()
            stay = self._are_in(numbers, needed)
            numbers, rows = numbers[stay], rows[stay]
            room = 2 * (self.n_kept + len(numbers))
            if room > len(self.kept):
                self.kept.resize(room, refcheck=False)
                self.rows.resize((room, self.rows.shape[1]), refcheck=False)
        end = self.n_kept + len(numbers)
        self.kept[self.n_kept : end] = numbers
        self.rows[self.n_kept : end] = rows
        self.n_kept = end

    def _sweep(self):
        """Drop the side rows that no missing word can use; returns the set of the words that are still of use."""
        needed = self.candidates(self.missing())
        stay = np.flatnonzero(self._are_in(self.kept[: self.n_kept], needed))
        self.n_kept = len(stay)
        self.kept[: self.n_kept] = self.kept[stay]
        self.rows[: self.n_kept] = self.rows[stay]
        return needed

    def _are_in(self, numbers, needed):
        return np.fromiter((self.side[number] in needed for number in numbers.tolist()), np.bool_, len(numbers))

    def side_rows(self):
        """The side words that were found and kept, and their rows."""
        return [self.side[number] for number in self.kept[: self.n_kept].tolist()], self.rows[: self.n_kept]

"""The rows that are judged: those of some words, or of all words of a vocabulary, in the order of the file.

As gensim has it: only the first so many words count, and where case does not, of words that are alike in capitals the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import whole
from ..matrix.sources import path_of, source_of
from ..parts import listed
from ..readers.blocks import first_of_equal
from ..readers.damage import Damages
from ..readers.load import Collected
from ..readers.opened import Opened

if TYPE_CHECKING:
    from .._types import Floats
    from ..readers.blocks import Block

_NO_LIMIT = 1 << 62


def checked_options(case_insensitive: object, restrict_vocab: object) -> tuple[Callable[[str], str], int]:
    """(what makes a key of a word, how many words count)"""
    most = _NO_LIMIT if restrict_vocab is None else whole("restrict_vocab", restrict_vocab, 1, or_none=True)
    return (str.upper if case_insensitive else str), most


def rows_for(
    vectors: Any, words: Sequence[str], key: Callable[[str], str], most: int, **reading: Any
) -> tuple[dict[str, int], Floats]:
    """The rows of those of `words` that are among the first `most` of `vectors`.

    Args:
        vectors: as for `build_matrix`, but not a list.
        key: word → what words that count as one share.
        reading: as for `source_of`.

    Returns:
        (dict key → row, array `(rows, dim)`)
    """
    wanted = dict.fromkeys(map(key, words))
    path = path_of(vectors)
    if path is not None:
        return _from_file(path, words, wanted, key, most, **reading)
    known = listed(vectors)
    if known is None:
        return _asked(vectors, words, key, **reading)
    names, places, matrix = known
    row_of: dict[str, int] = {}
    for word, place in zip(names[:most], places):
        if (name := key(word)) in wanted:
            row_of.setdefault(name, place)
    rows = _finite(np.asarray(matrix[list(row_of.values())]), list(row_of))
    return {name: k for k, name in enumerate(row_of)}, rows


def all_rows(vectors: Any, most: int, **reading: Any) -> tuple[list[str], Floats]:
    """The first `most` words of `vectors` and their rows, float32 `(words, dim)`, which may be written into."""
    path = path_of(vectors)
    if path is None:
        known = listed(vectors)
        if known is None:
            raise TypeError(
                "analogies must go through all words: vectors must be a path, a gensim KeyedVectors or an EmbeddingMatrix, "
                f"received {type(vectors).__name__}. Make a matrix of the words that count: build_matrix(vectors, words)"
            )
        names, places, matrix = known
        names = names[:most]
        return names, _finite(np.array(matrix[places[:most]], np.float32), names)
    with _opened(path, **reading) as opened:
        opened.look_for(None)
        collected = Collected(opened, None, None if most == _NO_LIMIT else most)
        opened.run(collected, reading.get("progress"))
        return list(collected.index), collected.vectors()


def _opened(path, *, format=None, encoding="utf-8", on_error="raise", trust=False, progress=None):
    return Opened(path, format, encoding, on_error, trust)


def _finite(rows, names):
    wrong = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(wrong):
        raise ValueError(f"expected finite numbers in the vector of {names[wrong[0]]!r}; {len(wrong)} rows have others")
    return rows


def _asked(vectors, words, key, **reading):
    """Rows of what can only be asked: for the word as it is written, and where case does not count, as others write it."""
    forms = [str, str.lower, str.title, str.upper] if key is str.upper else [str]
    asked = list(dict.fromkeys(form(word) for form in forms for word in words))
    source = source_of(vectors, **reading)
    rows = np.zeros((len(asked), source.dim), np.float32)
    found = source.fill(asked, rows, np.arange(len(asked)))
    source.report.log()
    row_of: dict[str, int] = {}
    for k in np.flatnonzero(found).tolist():
        row_of.setdefault(key(asked[k]), k)
    return row_of, rows


def _from_file(path, words, wanted, key, most, **reading):
    with _opened(path, **reading) as opened:
        # Of a table the records are no words; and which words differ in case alone, only the words tell.
        exact = None if key is str.upper or opened.layout.table else list(wanted)
        opened.look_for(exact)
        chosen = _Chosen(opened, exact, wanted, key, most)
        opened.run(chosen, reading.get("progress"))
    rows = np.stack(chosen.rows) if chosen.rows else np.zeros((0, opened.dim), np.float32)
    return chosen.row_of, rows


class _Chosen:
    """Keeps the rows of wanted words, as a sink of `Opened.run`, which it stops where no more can come."""

    def __init__(self, opened: Opened, exact: list[str] | None, wanted: dict[str, None], key: Any, most: int) -> None:
        self._opened, self._exact, self._wanted, self._key, self._most = opened, exact, wanted, key, most
        self._seen: dict[str, None] = {}
        self.row_of: dict[str, int] = {}
        self.rows: list[Floats] = []

    @property
    def count(self) -> int:
        """How many words it has met."""
        return len(self._seen)

    def add(self, block: Block) -> tuple[int | None, Damages]:
        """See `Opened.run`."""
        exact, where = self._exact, block.where
        names = block.words or [] if exact is None else [exact[k] for k in block.targets.tolist()]
        keep, again = first_of_equal(names, block, self._seen)
        for k in range(len(names)) if keep is None else keep:
            before = len(self._seen) if exact is None else self._opened.records + int(where[k])
            if before >= self._most:
                return int(where[k]) - 1, again
            self._seen[names[k]] = None
            name = self._key(names[k])
            if name in self._wanted and name not in self.row_of:
                self.row_of[name] = len(self.rows)
                self.rows.append(block.rows[k].copy())
                if len(self.rows) == len(self._wanted):
                    return int(where[k]), again
        past = self._opened.records + block.records if exact is not None else len(self._seen)
        return (block.records - 1 if past >= self._most else None), again

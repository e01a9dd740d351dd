"""The parts of an `EmbeddingMatrix`, held against each other: when one is made, and when a file says what they are."""

from __future__ import annotations

import json
import operator
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

import numpy as np

from ._types import FallbackName
from .shown import quoted

if TYPE_CHECKING:
    import numpy.typing as npt

    Codes: TypeAlias = npt.NDArray[np.int32]
    Label: TypeAlias = tuple[str, str | None]  # of an origin: the source, and the fallback that found it there
    Step: TypeAlias = dict[str, Any]  # what was done to the rows: its name under "step", and how

# Codes of a row's origin, and what they are called; higher codes are further sources.
UNUSED, PADDING, OOV, FIRST_SOURCE = range(4)
ORIGINS: tuple[str, ...] = ("unused", "padding", "oov")


def checked(
    rows: int,
    word_index: Mapping[str, int],
    origins: npt.ArrayLike | None = None,
    sources: Iterable[str | Sequence[str | None]] = (),
    padding_row: int | None = None,
) -> tuple[dict[str, int], Codes, tuple[Label, ...], int | None]:
    """The parts that belong to a matrix of `rows` rows.

    Args:
        word_index: dict word → id.
        origins: a code for each row; None: words have their rows from the one source.
        sources: what codes from `FIRST_SOURCE` on mean: names, or pairs (name, fallback or None).
        padding_row: 0 or None.

    Returns:
        (dict word → int, int32 array of origins, tuple of pairs, padding_row)

    Raises:
        ValueError: they do not fit together.
    """
    word_index, ids = checked_ids(dict(word_index), rows)
    return word_index, *checked_rows(rows, word_index, ids, origins, sources, padding_row)


def checked_rows(
    rows: int,
    words: Collection[str],
    ids: npt.NDArray[np.int64],
    origins: npt.ArrayLike | None = None,
    sources: Iterable[str | Sequence[str | None]] = (),
    padding_row: int | None = None,
) -> tuple[Codes, tuple[Label, ...], int | None]:
    """As `checked`, of words whose `ids` are."""
    padding_row = _checked_padding(padding_row, rows)
    labels = tuple(map(_checked_source, sources))
    if origins is None:
        if len(labels) > 1:
            raise ValueError(f"origins must say which rows are from which of the {len(labels)} sources, received None")
        codes = np.full(rows, UNUSED, np.int32)
        codes[ids] = FIRST_SOURCE
        codes[[] if padding_row is None else [0]] = PADDING
        return codes, labels or (("unnamed", None),), padding_row
    codes = _checked_origins(origins, rows, labels)
    bare = np.flatnonzero(codes[ids] == UNUSED)
    if len(bare):
        word = list(words)[bare[0]]
        raise ValueError(f"the row {ids[bare[0]]} of the word {word!r} is marked as unused; expected where it is from")
    padding = np.flatnonzero(codes == PADDING).tolist()
    if padding != ([] if padding_row is None else [0]):
        raise ValueError(f"the rows {padding[:5]} are marked as padding, but padding_row is {padding_row}")
    return codes, labels, padding_row


def check_told(
    word_index: Mapping[str, int], codes: Codes, derived: Iterable[str], suggestions: Mapping[str, Collection[str]]
) -> None:
    """Raise where what is told about words does not fit them.

    Args:
        word_index, codes: as `checked` returns them.
        derived: words that have a `Derivation`, or a dict of these.
        suggestions: dict fallback → list of words.
    """
    for word in derived:
        if word not in word_index or codes[word_index[word]] < FIRST_SOURCE:
            raise ValueError(f"derived has the word {word!r}, which has no row from a source")
    names = get_args(FallbackName)
    for name, words in suggestions.items():
        if name not in names or not all(word in word_index for word in words):
            raise ValueError(
                f"suggestions must be out of {', '.join(names)}, with words of the word index; received {name!r}"
            )


def checked_steps(steps: Iterable[Mapping[str, object]]) -> tuple[Step, ...]:
    """`steps` as they come back out of JSON.

    Raises:
        ValueError: one is no dict of JSON values, or has no name.

    >>> checked_steps([{"step": "pca", "dim": 100, "kept": (1, 2)}])
    ({'step': 'pca', 'dim': 100, 'kept': [1, 2]},)
    """
    made = []
    for step in steps:
        try:
            made.append(json.loads(json.dumps(step, allow_nan=False)))
        except (TypeError, ValueError, RecursionError):
            made.append(None)
        if not isinstance(made[-1], dict) or not isinstance(made[-1].get("step"), str):
            raise ValueError(f'steps must be dicts of JSON values with a name under "step", received {quoted(step)}')
    return tuple(made)


def listed(vectors: Any) -> tuple[list[str], list[int], Any] | None:
    """The words that have a vector of their own in what keeps all in memory, an `EmbeddingMatrix` or gensim's KeyedVectors:
    (words in the order of their rows, these, the matrix). None where it has no list of its words."""
    if hasattr(vectors, "word_index") and hasattr(vectors, "origins"):
        row_of, matrix = exact_words(vectors.word_index, vectors.origins, vectors.sources), vectors.matrix
    elif hasattr(vectors, "key_to_index"):
        row_of, matrix = vectors.key_to_index, vectors.vectors
    else:
        return None
    words = sorted(row_of, key=row_of.__getitem__)
    return words, [row_of[word] for word in words], matrix


def exact_words(word_index: Mapping[str, int], codes: Codes, sources: Iterable[Label]) -> dict[str, int]:
    """dict word → row of the words that have a vector of their own: not padding, not made for unknown words, not made of
    n-grams or lent by other words."""
    own, of_row = own_codes(sources), codes.tolist()
    return {word: index for word, index in word_index.items() if of_row[index] in own}


def own_codes(sources: Iterable[Label]) -> set[int]:
    """The codes of rows that are those of their words in a source."""
    return {code for code, (_, fallback) in enumerate(sources, FIRST_SOURCE) if fallback is None}


def checked_ids(word_index: dict[str, int], rows: int) -> tuple[dict[str, int], npt.NDArray[np.int64]]:
    """A dict word → id of a matrix of `rows` rows: (the same, of str and int; its ids)."""
    if not set(map(type, word_index.values())) <= {int} or not set(map(type, word_index)) <= {str}:
        word_index = dict(map(_checked_id, word_index.items()))
    highest = max(word_index.values(), default=-1)
    if highest >= rows:
        raise ValueError(f"the word index goes up to the id {highest}, but the matrix has {rows} rows")
    lowest = min(word_index.values(), default=0)
    if lowest < 0:
        raise ValueError(
            f"ids must not be negative, received {lowest} for the word {_word_at(word_index, lowest)[0]!r}"
        )
    ids = np.fromiter(word_index.values(), np.int64, len(word_index))
    taken = np.zeros(rows, bool)
    taken[ids] = True
    if len(ids) > np.count_nonzero(taken):
        twice = int(np.flatnonzero(np.bincount(ids) > 1)[0])
        first, second = _word_at(word_index, twice)[:2]
        raise ValueError(f"the words {first!r} and {second!r} both have the id {twice}")
    return word_index, ids


def _checked_id(item: tuple[Any, Any]) -> tuple[str, int]:
    word, number = item
    if not isinstance(word, str):
        raise ValueError(f"words must be str, received {word!r} with the id {number!r}")
    try:
        if isinstance(number, (bool, np.bool_)):
            raise TypeError
        return word, operator.index(number)
    except TypeError:
        raise ValueError(f"ids must be whole numbers, received {number!r} for the word {word!r}") from None


def _word_at(word_index: dict[str, int], number: int) -> list[str]:
    return [word for word, index in word_index.items() if index == number]


def _checked_padding(padding_row: object, rows: int) -> int | None:
    if padding_row is None:
        return None
    if isinstance(padding_row, bool) or not isinstance(padding_row, (int, np.integer)) or padding_row != 0 or not rows:
        raise ValueError(
            f"padding_row must be None or 0 in a matrix with rows, received {padding_row!r} for {rows} rows"
        )
    return 0


def _checked_source(source: object) -> Label:
    if isinstance(source, str):
        return source, None
    if isinstance(source, (list, tuple)) and len(source) == 2:
        name, fallback = source
        if isinstance(name, str) and (fallback is None or isinstance(fallback, str)):
            return name, fallback
    raise ValueError(f"sources must be names or pairs (name, fallback or None), received {source!r}")


def _checked_origins(origins: npt.ArrayLike, rows: int, sources: tuple[Label, ...]) -> Codes:
    codes = np.asarray(origins)
    if codes.shape != (rows,) or (rows and codes.dtype.kind not in "iu"):
        raise ValueError(
            f"origins must be a whole number for each of the {rows} rows, received {codes.dtype} of shape {codes.shape}"
        )
    highest = FIRST_SOURCE + len(sources) - 1
    wrong = np.flatnonzero((codes < 0) | (codes > highest))
    if len(wrong):
        raise ValueError(
            f"origins must be from 0 to {highest}, with {len(sources)} sources, received {codes[wrong[0]]} at {wrong[0]}"
        )
    return codes.astype(np.int32)

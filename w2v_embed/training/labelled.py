"""Labelled texts: read, and parted so that no text stands on both sides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ..shown import plain_errors, quoted
from ..texts import read_text

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._types import StrPath

Labels: TypeAlias = "Sequence[str] | Sequence[Collection[str]]"  # one a text, or several


@plain_errors
def read_labelled(path: StrPath, *, encoding: str = "utf-8", unlabelled: bool = False) -> tuple[list[str], list[str]]:
    """Read lines `label<TAB>text`. Labels are texts, also where they are numbers; blank lines are passed over.

    Args:
        path: the file.
        encoding: of a file that is neither UTF-8 nor begins with a byte order mark.
        unlabelled: whether nothing may stand before the tab, as where a text has any number of labels (see `label_sets`).

    Returns:
        (labels, texts)

    Raises:
        FileNotFoundError, ValueError: no such file, a line without a tab or without a label, or no line at all.

    Example:
        >>> labels, texts = read_labelled("data/titles.tsv")
        >>> labels[0], len(texts)
        ('science', 5000)
    """
    labels: list[str] = []
    texts: list[str] = []
    for number, line in enumerate(read_text(path, encoding).split("\n"), 1):
        label, tab, text = line.partition("\t")
        if not tab and not label.strip():
            continue
        if not tab or not (label.strip() or unlabelled):
            what = "no label before the tab" if tab else "no tab"
            raise ValueError(f"{path}, line {number}: expected label<TAB>text, got {quoted(line[:40])}: {what}")
        labels.append(label.strip())
        texts.append(text)
    if not labels:
        raise ValueError(f"{path}: expected lines label<TAB>text, got none")
    return labels, texts


def label_sets(labels: Sequence[str], separator: str) -> list[tuple[str, ...]]:
    """The labels of texts that have several: what stands between the separators, each once.

    Args:
        labels: of each text, as `read_labelled` gives them.
        separator: between two labels.

    Example:
        >>> label_sets(["sports, china", "", "economy"], ",")
        [('sports', 'china'), (), ('economy',)]
    """
    if not isinstance(separator, str) or not separator.strip():
        raise ValueError(f"separator must be a text such as ',', received {quoted(separator)}")
    return [tuple(dict.fromkeys(part for part in map(str.strip, label.split(separator)) if part)) for label in labels]


def split_rows(labels: Labels, texts: Sequence[Hashable], seed: int, *shares: float) -> list[npt.NDArray[np.int64]]:
    """Part rows at random: equal texts go to the same side, and each label has a row in what is left for training.

    Args:
        labels: of each row, one or several.
        texts: of each row; equal ones are never parted, but for empty ones, which tell nothing.
        seed: another one parts them otherwise.
        shares: of the rows that each part shall have, together below 1. A part has some more or fewer where texts repeat.

    Returns:
        list of the rows of each part, in the order in which they were drawn, and last of all others.

    Example:
        >>> [part.tolist() for part in split_rows(["a", "a", "b", "b"], ["x", "x", "y", "z"], 0, 0.5)]
        [[3], [0, 1, 2]]
    """
    numbers: dict[Hashable, int] = {}
    groups = np.array([numbers.setdefault(text or ("", row), len(numbers)) for row, text in enumerate(texts)], np.int64)
    places = np.empty(len(numbers), np.int64)
    places[np.random.default_rng(seed).permutation(len(numbers))] = np.arange(len(numbers))
    places = places[groups]  # of each row its group's place
    order = np.argsort(places, kind="stable")
    sizes = np.bincount(places, minlength=len(numbers))
    ends = np.round(np.cumsum(shares) * len(groups))
    parts = np.searchsorted(ends, np.cumsum(sizes) - sizes, side="right")  # of each group, by place
    last = {label: places[row] for row in order.tolist() for label in labels_of(labels[row])}
    parts[list(last.values())] = len(shares)
    return [order[parts[places[order]] == part] for part in range(len(shares) + 1)]


def labels_of(one: str | Collection[str]) -> Collection[str]:
    """The labels that a text has."""
    return (one,) if isinstance(one, str) else one


def check_labels(labels: Labels, rows: Iterable[int]) -> None:
    """Raise where a classifier would have nothing to learn from these rows."""
    rows = list(rows)
    seen = Counter(label for row in rows for label in labels_of(labels[row]))
    if len(seen) < 2:
        raise ValueError(
            f"labels must be two different ones at least where a classifier is trained, received {quoted(list(seen))} in "
            f"{len(rows)} texts. Pass more texts, or more of them for training."
        )

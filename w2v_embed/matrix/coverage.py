"""How much of a vocabulary has a vector."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from heapq import nsmallest
from html import escape
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import MOST_COUNT, checked_count
from ..parts import OOV, UNUSED
from ..shown import json_text, shown, shown_word
from .fallbacks import FINDS, Derivation

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from .._types import Counts
    from .embedding_matrix import EmbeddingMatrix


_EXACT = 1 << 53  # from here on two whole numbers may be one float


@dataclass(frozen=True)
class Coverage:
    """Which words of a vocabulary got a vector, and from where. Padding words are not counted.

    Attributes:
        found: list of the words with a vector, in the order of their ids.
        missing: list of the words without.
        sources: dict word → where its vector came from, for the words found.
        derived: dict word → `Derivation`, for the words that a fallback found.
        suggestions: dict name of a fallback that was not used → list of the missing words that it would find.
        unused: how many rows belong to no word, their ids being holes or reserved; such rows are zero.

    Example:
        >>> coverage = Coverage(["the", "cat"], ["zzz"], {"the": "glove.txt", "cat": "glove.txt"})
        >>> round(coverage.rate, 3), coverage.by_source, coverage.by_fallback
        (0.667, {'glove.txt': 2}, {'exact': 2})
    """

    found: list[str]
    missing: list[str]
    sources: dict[str, str]
    derived: dict[str, Derivation] = field(default_factory=dict)
    suggestions: dict[str, list[str]] = field(default_factory=dict)
    unused: int = 0

    @property
    def rate(self) -> float:
        """Share of the words that were found, from 0 to 1; 0 where there are no words."""
        total = len(self.found) + len(self.missing)
        return len(self.found) / total if total else 0.0

    @property
    def by_source(self) -> dict[str, int]:
        """dict source → how many words came from it."""
        return dict(Counter(map(self.sources.__getitem__, self.found)))

    @property
    def by_fallback(self) -> dict[str, int]:
        """dict "exact" or fallback → how many words were found by it."""
        return dict(Counter(how or "" for how in ways_of(self, self.found)))

    def how(self, word: str) -> str | None:
        """How `word` was found: "exact" or the fallback; None where it was not."""
        if word in self.derived:
            return self.derived[word].fallback
        return "exact" if word in self.sources else None

    def weighted_rate(self, counts: Counts) -> float:
        """Share of the running text that was found.

        Args:
            counts: how often each word occurs: a dict, a Counter, a pandas Series, or the path of a text or of a .json file of
                counts (see `corpus.read_counts`). Words that are not in the vocabulary count neither way; words of the
                vocabulary without a count count 0.

        Returns:
            A float from 0 to 1; 0 where nothing was counted.

        Raises:
            TypeError, ValueError: the counts are no mapping, or one is negative or no number.
        """
        values = checked_counts(counts, self.found + self.missing).amounts
        found, missing = sum(values[: len(self.found)]), sum(values[len(self.found) :])
        return found / (found + missing) if found + missing else 0.0

    def ranked(self, counts: Counts | None = None) -> list[tuple[str, float]]:
        """The words from the most frequent on, with their counts: list of (word, count). Without counts: by id, each 1."""
        words = self.found + self.missing
        return [(word, 1) for word in words] if counts is None else checked_counts(counts, words).ranked()

    def top_missing(self, counts: Counts | None = None, n: int = 20) -> list[tuple[str, float]]:
        """The `n` most frequent missing words: list of (word, count). Without counts: the first ones, each 1."""
        if counts is None:
            return [(word, 1) for word in self.missing[:n]]
        return checked_counts(counts, self.found + self.missing).ranked(
            range(len(self.found), len(self.found) + len(self.missing)), n
        )

    def by_rank(self, counts: Counts | None, points: int = 200) -> list[tuple[int, float, float]]:
        """Coverage of the most frequent words: list of (how many words, share of them found, share of their tokens found)."""
        words = self.found + self.missing
        order, tokens = np.arange(len(words)), np.ones(len(words))
        if counts is not None:
            counted = checked_counts(counts, words)
            order = counted.order()
            tokens = counted.numbers[order]
        found = order < len(self.found)
        ranks = sorted({round(len(words) ** (k / points)) for k in range(points + 1)} - {0} if words else ())
        at = np.array(ranks, np.int64) - 1
        sums = (np.cumsum(each)[at].tolist() for each in (found, np.where(found, tokens, 0.0), tokens))
        return [(rank, n / rank, some / every if every else 0.0) for rank, n, some, every in zip(ranks, *sums)]

    def to_frame(self, counts: Counts | None = None) -> pd.DataFrame:
        """A pandas DataFrame, one row a word.

        Columns: `word`, `found` (bool), `source` (None where missing), `how` ("exact", the fallback, None), `derived_from` (the
        words whose rows it got, joined by " + ", or None), and `count` where counts are given.
        """
        import pandas as pd

        def texts(values):
            return pd.Series(values, dtype=object)  # pandas' own text would turn None into NaN

        words = self.found + self.missing
        columns: dict[str, Any] = {
            "word": words,
            "found": [True] * len(self.found) + [False] * len(self.missing),
            "source": texts(list(map(self.sources.get, words))),
            "how": texts(ways_of(self, words)),
            "derived_from": texts(
                [" + ".join(self.derived[word].words) if word in self.derived else None for word in words]
            ),
        }
        if counts is not None:
            columns["count"] = checked_counts(counts, words).amounts
        return pd.DataFrame(columns)

    def to_dict(self, counts: Counts | None = None, examples: int = 100) -> dict[str, Any]:
        """The figures as JSON values; the missing words are cut at `examples`."""
        if counts is not None:
            counts = checked_counts(counts, self.found + self.missing)
        facts = {
            "words": len(self.found) + len(self.missing),
            "found": len(self.found),
            "rate": self.rate,
            "by_source": self.by_source,
            "by_fallback": self.by_fallback,
            "missing": len(self.missing),
            "unused": self.unused,
            "top_missing": [
                list(item) if counts is not None else item[0] for item in self.top_missing(counts, examples)
            ],
            "suggestions": {name: len(words) for name, words in self.suggestions.items()},
        }
        if counts is not None:
            facts["token_rate"] = self.weighted_rate(counts)
        return facts

    def to_json(self, counts: Counts | None = None, examples: int = 100) -> str:
        """`to_dict` as text."""
        return json_text(self.to_dict(counts, examples), indent=2)

    def suggested(self) -> list[str]:
        """What else could be tried, as sentences, the most helpful first.

        >>> Coverage([], ["The", "QX"], {}, {}, {"lower": ["The"]}).suggested()
        ['1 missing word: found when lower-cased (fallback lower)']
        """
        ordered = sorted(self.suggestions.items(), key=lambda item: -len(item[1]))
        return [
            f"{len(words):,} missing word{'s' if len(words) > 1 else ''}: {FINDS[name]} (fallback {name})"
            for name, words in ordered
        ]

    def summary(self, examples: int = 10, counts: Counts | None = None) -> str:
        """The coverage as text, with the first missing words, or with counts the most frequent ones.

        >>> print(Coverage(["the"], ["zzz"], {"the": "glove.txt"}).summary())
        1 of 2 words found (50.0 %)
          glove.txt: 1
        missing: 1, the first: zzz
        """
        lines = [f"{len(self.found):,} of {len(self.found) + len(self.missing):,} words found ({_percent(self.rate)})"]
        if counts is not None:
            counts = counted = checked_counts(counts, self.found + self.missing)
            lines[0] += f", {_percent(self.weighted_rate(counts))} of the {sum(counted.amounts):,} tokens"
        lines += [f"  {shown(source)}: {count:,}" for source, count in self.by_source.items()]
        if self.missing:
            top = self.top_missing(counts, examples)
            told = ", ".join(
                shown_word(word) if counts is None else f"{shown_word(word)} ({count:,})" for word, count in top
            )
            lines.append(
                f"missing: {len(self.missing):,}, the {'first' if counts is None else 'most frequent'}: {told}"
            )
        lines += [f"  {sentence}" for sentence in self.suggested()]
        if self.unused:
            lines.append(f"unused rows: {self.unused:,} (ids that belong to no word)")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """What a notebook shows: the share as a bar, where words came from, the first missing ones."""
        words = len(self.found) + len(self.missing)
        top = "".join(f"<code>{_html(word)}</code> " for word, _ in self.top_missing(n=12))
        rows = "".join(f"<tr><td>{_html(name)}</td><td>{count:,}</td></tr>" for name, count in self.by_source.items())
        return (
            f"<div><b>{len(self.found):,}</b> of {words:,} words found ({_percent(self.rate)})"
            f'<div style="background:#8884;height:6px;width:20em"><div style="background:#2a78d6;height:6px;'
            f'width:{100 * self.rate:.1f}%"></div></div><table>{rows}</table>'
            + (f"missing: {len(self.missing):,}, the first: {top}" if top else "")
            + "</div>"
        )

    def __repr__(self) -> str:
        return f"Coverage(found={len(self.found)}, missing={len(self.missing)}, rate={self.rate:.3f})"


def coverage_of(em: EmbeddingMatrix, labels: Sequence[str]) -> Coverage:
    """The coverage that the rows of `em` tell; `labels` are the names of its origins, from 0 on."""
    origins = em.origins.tolist()
    found: list[str] = []
    missing: list[str] = []
    sources: dict[str, str] = {}
    for word, index in em.word_index.items():
        if origins[index] > OOV:
            found.append(word)
            sources[word] = labels[origins[index]]
        elif origins[index] == OOV:
            missing.append(word)
    unused = int((em.origins == UNUSED).sum()) if em.word_index else 0  # a bare array has no ids
    return Coverage(found, missing, sources, em.derived, em.suggestions, unused)


def ways_of(coverage: Coverage, words: Iterable[str]) -> list[str | None]:
    """`coverage.how` of many words, at once."""
    derived, sources = coverage.derived, coverage.sources
    if not derived:
        return ["exact" if word in sources else None for word in words]
    return [derived[word].fallback if word in derived else "exact" if word in sources else None for word in words]


class Counted(Mapping[str, float]):
    """Counts that were checked: nobody checks them twice.

    Attributes:
        words: list of words, each another one.
        amounts: list of their counts.
        numbers: the same as a float64 array.
    """

    def __init__(self, words: list[str], amounts: list[float]) -> None:
        self.words: list[str] = words
        self.amounts: list[float] = amounts
        self.numbers: npt.NDArray[np.float64] = np.array(amounts, np.float64)
        self._exact = _EXACT if _are_plain(amounts) else 0  # from here on two counts may be one float

    def __getitem__(self, word: str) -> float:
        return self._of[word]

    def __iter__(self) -> Iterator[str]:
        return iter(self.words)

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def _of(self) -> dict[str, float]:
        return dict(zip(self.words, self.amounts))

    def ranked(self, places: range | list[int] | None = None, most: int | None = None) -> list[tuple[str, float]]:
        """list of (word, count) in the order that `order` says."""
        return [(self.words[k], self.amounts[k]) for k in self.order(places, most).tolist()]

    def order(self, places: range | list[int] | None = None, most: int | None = None) -> npt.NDArray[np.int64]:
        """The places in `words` by falling count, equal ones in alphabetical order; of all or of `places`, cut at `most`."""
        order = np.arange(len(self.words)) if places is None else np.array(places, np.int64)
        order = order[np.argsort(-self.numbers[order], kind="stable")]  # quick where they come like that
        numbers = self.numbers[order]
        ends = np.append(np.flatnonzero(numbers[1:] != numbers[:-1]) + 1, len(order))
        begins = np.append(0, ends[:-1])
        needed = (ends - begins > 1) & (begins < len(order) if most is None or most < 0 else begins < most)
        for begin, end in zip(begins[needed].tolist(), ends[needed].tolist()):
            key: Callable[[int], Any] = self.words.__getitem__
            if numbers[begin] >= self._exact:
                key = lambda k: (-self.amounts[k], self.words[k])  # noqa: E731
            equal = order[begin:end].tolist()
            if most is not None and begin < most < end:
                order[begin:most] = nsmallest(most - begin, equal, key)
            else:
                order[begin:end] = sorted(equal, key=key)
        return order[:most]


def checked_counts(counts: Counts, words: list[str]) -> Counted:
    """The counts of `words`, out of anything that counts. What it returned is taken as it is, for the same words."""
    if isinstance(counts, Counted):
        return counts
    counts = mapping_of(counts)
    values = list(map(counts.get, words, repeat(0)))
    if not _are_plain(values):  # NumPy's numbers are none of JSON's
        values = [value.item() if isinstance(value, np.number) else value for value in values]
    with suppress(OverflowError):
        if _are_plain(values):
            counted = Counted(words, values)
            if ((counted.numbers >= 0) & (counted.numbers < MOST_COUNT)).all():
                return counted
    return Counted(words, [checked_count(counts, word) for word in words])  # one by one: it says which is wrong


def mapping_of(counts: Counts) -> Mapping[str, float]:
    """Counts as a mapping word → count, which nobody has checked."""
    if isinstance(counts, (str, os.PathLike)):
        from ..corpus import read_counts

        counts = read_counts(counts)
    if not isinstance(counts, Mapping) and not hasattr(counts, "to_dict"):
        raise TypeError(
            f"counts must map words to numbers (dict, Counter, pandas Series) or be a path, received {type(counts).__name__}"
        )
    return counts if isinstance(counts, Mapping) else counts.to_dict()


def all_counts(counts: Counts) -> tuple[Mapping[str, float], Counted, float]:
    """Counts as a mapping, all of them checked, and their sum.

    Raises:
        TypeError, ValueError: they are none, one is negative or no number, or nothing was counted.
    """
    mapping = mapping_of(counts)
    told = checked_counts(mapping, list(mapping))
    total = math.fsum(told.amounts)
    if not total:
        raise ValueError(f"counts must count something, received {len(told)} words, none of which occurs")
    return mapping, told, total


def _are_plain(values):
    return set(map(type, values)) <= {int, float}


def _html(text):
    return escape(shown_word(text))


def _percent(share):
    return f"{100 * share:.1f} %"

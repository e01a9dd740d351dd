"""How much of a vocabulary has a vector."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Coverage:
    """Which words of a vocabulary got a vector, and from where. Padding words are not counted.

    Attributes:
        found: list of the words with a vector, in the order of their ids.
        missing: list of the words without.
        sources: dict word → where its vector came from, for the words found.

    Example:
        >>> coverage = Coverage(["the", "cat"], ["zzz"], {"the": "glove.txt", "cat": "glove.txt"})
        >>> round(coverage.rate, 3), coverage.by_source
        (0.667, {'glove.txt': 2})
    """

    found: list
    missing: list
    sources: dict

    @property
    def rate(self):
        """Share of the words that were found, from 0 to 1; 0 where there are no words."""
        total = len(self.found) + len(self.missing)
        return len(self.found) / total if total else 0.0

    @property
    def by_source(self):
        """dict source → how many words came from it."""
        counts = {}
        for word in self.found:
            source = self.sources[word]
            counts[source] = counts.get(source, 0) + 1
        return counts

    def weighted_rate(self, counts):
        """Share of the running text that was found.

        Args:
            counts: how often each word occurs: a dict, a Counter, a pandas Series. Words that are not in the vocabulary count
                neither way; words of the vocabulary without a count count 0.

        Returns:
            A float from 0 to 1; 0 where nothing was counted.

        Raises:
            TypeError, ValueError: the counts are no mapping, or one is negative or no number.
        """
        if not isinstance(counts, Mapping) and not hasattr(counts, "to_dict"):
            raise TypeError(
                f"counts must map words to numbers (dict, Counter, pandas Series), received {type(counts).__name__}"
            )
        counts = counts if isinstance(counts, Mapping) else counts.to_dict()
        found, missing = (sum(_count(counts, word) for word in words) for words in (self.found, self.missing))
        return found / (found + missing) if found + missing else 0.0

    def to_frame(self):
        """A pandas DataFrame, one row a word: `word`, `found` (bool), `source` (None where missing)."""
        import pandas as pd

        return pd.DataFrame(
            {
                "word": self.found + self.missing,
                "found": [True] * len(self.found) + [False] * len(self.missing),
                "source": [self.sources[word] for word in self.found] + [None] * len(self.missing),
            }
        )

    def summary(self, examples=10):
        """The coverage as text, with the first missing words.

        >>> print(Coverage(["the"], ["zzz"], {"the": "glove.txt"}).summary())
        1 of 2 words found (50.0 %)
          glove.txt: 1
        missing: 1, the first: zzz
        """
        lines = [
            f"{len(self.found):,} of {len(self.found) + len(self.missing):,} words found ({self.rate:.1%})".replace(
                "%", " %"
            )
        ]
        lines += [f"  {source}: {count:,}" for source, count in self.by_source.items()]
        if self.missing:
            lines.append(f"missing: {len(self.missing):,}, the first: {', '.join(self.missing[:examples])}")
        return "\n".join(lines)

    def __repr__(self):
        return f"Coverage(found={len(self.found)}, missing={len(self.missing)}, rate={self.rate:.3f})"


def _count(counts, word):
    count = counts.get(word, 0)
    try:
        good = count >= 0
    except TypeError:
        good = False
    if not good:
        raise ValueError(f"counts must be numbers from 0 on, received {count!r} for the word {word!r}")
    return count

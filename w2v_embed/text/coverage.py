"""How much of some texts has ids."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ..shown import quoted


@dataclass(frozen=True)
class TextCoverage:
    """How much of some texts an encoder has ids for.

    Attributes:
        texts, words: how many there are.
        known: how many of the words have an id.
        unknown: the others, word → how often.
        empty: how many texts have no word with an id, and none of n-grams, so that a model sees nothing of them.
        spelt: how many of the unknown words get a row out of their n-grams, as long as the text has room for them.
    """

    texts: int
    words: int
    known: int
    unknown: Counter[str]
    empty: int
    spelt: int = 0

    @property
    def rate(self) -> float:
        """The share of the words that have an id; 1.0 where there are no words."""
        return self.known / self.words if self.words else 1.0

    def summary(self, examples: int = 5) -> str:
        """The same in one line, with the most frequent unknown words.

        >>> TextCoverage(2, 4, 3, Counter(zebra=1), 0).summary()
        "3 of 4 words (75.0%) have an id; 1 unknown: 'zebra'. 0 of 2 texts have no known word"
        """
        told = ", ".join(quoted(word) for word, _ in self.unknown.most_common(examples))
        more = ", …" if len(self.unknown) > examples else ""
        spelt = f". {self.spelt:,} of {self.unknown.total():,} unknown ones have n-grams" if self.spelt else ""
        return (
            f"{self.known:,} of {self.words:,} words ({self.rate:.1%}) have an id; {len(self.unknown):,} unknown"
            f"{': ' if told else ''}{told}{more}{spelt}. {self.empty:,} of {self.texts:,} texts have no known word"
        )

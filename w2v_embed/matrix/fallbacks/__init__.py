"""Fallbacks: where else to look for a word that the vectors do not have.

Everything here is about words alone: which other words lend their rows (`resolve`), and which could, where that must be known
beforehand (`candidates`). The rows themselves come in `lending`.

Fallbacks work in the order in which they were given, and build on each other: ("nfkc", "lower") finds "ＩＰＨＯＮＥ" under
"iphone" (nfkc+lower). A word takes the first form that is known.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice, zip_longest
from typing import TYPE_CHECKING, NamedTuple, get_args

from ... import _types
from ...checks import one_of
from ...shown import quoted
from .forms import Form, Own, fold_digits, open_cc, without_markers
from .means import Characters, Parts, Subwords
from .step import Step

if TYPE_CHECKING:
    from ...readers.scan.keys import WordSet

# name → (what makes its step; what it finds, as the end of a sentence "… missing words: …")
_TABLE: dict[str, tuple[Callable[[], Step], str]] = {
    "nfkc": (
        lambda: Form("nfkc", partial(unicodedata.normalize, "NFKC")),
        "found when full-width and other compatibility characters are folded",
    ),
    "lower": (lambda: Form("lower", str.lower), "found when lower-cased"),
    "title": (lambda: Form("title", str.title), "found when Capitalised"),
    "upper": (lambda: Form("upper", str.upper), "found in UPPER CASE"),
    "simplified": (lambda: Form("simplified", open_cc("t2s")), "found in simplified characters"),
    "traditional": (lambda: Form("traditional", open_cc("s2t")), "found in traditional characters"),
    "digits": (
        lambda: Form("digits", fold_digits("#"), fold_digits("0")),
        "found when digits are folded to # or 0",
    ),
    "markers": (
        lambda: Form("markers", without_markers),
        "found without their subword marker; are these pieces, and the vectors of whole words?",
    ),
    "parts": (Parts, "they split into known words; is the segmenter's dictionary different from the vectors'?"),
    "characters": (Characters, "Chinese, and every character is known"),
    "subwords": (Subwords, "the vectors' n-grams make a row for them"),
}
NAMES: tuple[_types.FallbackName, ...] = get_args(_types.FallbackName)
FINDS: dict[str, str] = {name: finds for name, (_, finds) in _TABLE.items()}


class Derivation(NamedTuple):
    """How a word got its row without being in the vectors: its row is the mean of the rows of `words`.

    Attributes:
        fallback: name of the fallback, or of a chain of them ("nfkc+lower").
        words: the words whose rows were taken; empty where the row is made of character n-grams.
    """

    fallback: str
    words: tuple[str, ...]


class Loans(NamedTuple):
    """Rows that one fallback gets for some words, in columns: many small tuples would keep the garbage collector busy.

    Attributes:
        fallback: name of the fallback, or of a chain of them.
        borrowers: list of the words' positions, among all that were to be resolved.
        lenders: list of the words that lend their rows, those of one borrower after those of another.
        counts: list of how many lend to each borrower.
    """

    fallback: str
    borrowers: list[int]
    lenders: list[str]
    counts: list[int]


class Resolution:
    """Which of some words get a row, and from which.

    Attributes:
        words: list of the words.
        loans: list of `Loans`.
    """

    def __init__(self, words: list[str], loans: list[Loans]) -> None:
        self.words: list[str] = words
        self.loans: list[Loans] = loans

    def derived(self) -> dict[str, Derivation]:
        """dict word → `Derivation`."""
        lenders = self.lenders()
        return {
            self.words[k]: Derivation(some.fallback, tuple(islice(lenders, count)))
            for some in self.loans
            for k, count in zip(some.borrowers, some.counts)
        }

    def lenders(self) -> Iterator[str]:
        """The words that lend, one by one, some of them many times."""
        return chain.from_iterable(some.lenders for some in self.loans)

    def found(self) -> list[str]:
        """The words that get a row."""
        return [self.words[k] for k in sorted(chain.from_iterable(some.borrowers for some in self.loans))]

    def missing(self) -> list[str]:
        """The words that get none."""
        found = set().union(*(some.borrowers for some in self.loans))
        return [word for k, word in enumerate(self.words) if k not in found]


class Fallbacks:
    """An ordered choice of fallbacks.

    Args:
        fallbacks: names out of `NAMES`, and callables: word → another word, a list of words of which the first known one
            counts, or None.

    Raises:
        TypeError, ValueError: one is no name and no callable.
        ImportError: "simplified" and "traditional" need OpenCC.

    Example:
        >>> from w2v_embed.readers.scan.keys import WordSet
        >>> plan = Fallbacks(["lower", "parts"])
        >>> plan.resolve(["The", "New-York", "qwxyz"], WordSet.of(["the", "new", "york"])).derived()["New-York"]
        Derivation(fallback='lower+parts', words=('new', 'york'))
    """

    def __init__(self, fallbacks: Iterable[_types.Fallback]) -> None:
        if isinstance(fallbacks, str) or not isinstance(fallbacks, Iterable):
            alone = isinstance(fallbacks, str) or callable(fallbacks)
            raise TypeError(
                f"fallbacks must be a list of names or callables, received {quoted(fallbacks)}"
                + (f" alone; write [{quoted(fallbacks)}]" if alone else "")
            )
        self.given: tuple[_types.Fallback, ...] = tuple(fallbacks)
        self._steps = [_step(fallback) for fallback in self.given]
        self.names: list[str] = [step.name for step in self._steps]
        self.cacheable: bool = all(step.cacheable for step in self._steps)
        self.needs_subwords: bool = any(step.of_ngrams for step in self._steps)

    def candidates(self, words: Sequence[str]) -> set[str]:
        """All words that could lend one of `words` a row, as a set."""
        candidates: set[str] = set()
        for step, spellings in self._steps_of(words):
            for _, forms in spellings:
                candidates |= step.candidates(list(forms.values()))
        candidates.discard("")
        return candidates

    def resolve(self, words: list[str], known: WordSet) -> Resolution:
        """The `Resolution`, where `known` is the `WordSet` of the words that have a row (for "subwords" a `lending.Known`)."""
        loans: list[Loans] = []
        found: set[int] = set()
        for step, spellings in self._steps_of(words, found):
            before = len(found)
            for label, forms in spellings:
                if len(found) > before:
                    forms = _left(forms, found)
                there, lenders, counts = step.find(list(forms.values()), known)
                if there:
                    positions = list(forms)
                    borrowers = [positions[k] for k in there]
                    found.update(borrowers)
                    label = label if step.respells else _chain(label, step)
                    loans.append(Loans(label, borrowers, lenders, counts))
        return Resolution(words, loans)

    def _steps_of(
        self, words: Sequence[str], found: Collection[int] = ()
    ) -> Iterator[tuple[Step, list[tuple[str, dict[int, str]]]]]:
        """For each step the spellings in the order in which they are tried, some words' at a time: (label, dict position in
        `words` → form).

        A step that respells yields its new ones, another step the words as they are and all spellings so far; n-grams are made
        of the words as they are. Words whose positions are in `found` by then are left out.
        """
        spellings, left = [("", dict(enumerate(words)))], len(words)
        for step in self._steps:
            if len(words) - len(found) < left:
                left = len(words) - len(found)
                spellings = [(label, _left(forms, found)) for label, forms in spellings]
            if not step.respells:
                yield step, spellings[:1] if step.of_ngrams else spellings
                continue
            changes = [step.change(_chain(label, step), forms) for label, forms in spellings]
            # all changes of the words as they are come before those of their other spellings
            first, of_others = len(spellings), zip_longest(*changes[1:])
            for label, forms in [*changes[0], *filter(None, chain.from_iterable(of_others))]:
                for _, others in spellings:
                    if forms and others:
                        forms = {k: form for k, form in forms.items() if others.get(k) != form}
                if forms:
                    spellings.append((label, forms))
            yield step, spellings[first:]


def _left(forms: Mapping[int, str], found: Collection[int]) -> dict[int, str]:
    return {k: form for k, form in forms.items() if k not in found}


def _chain(label: str, step: Step) -> str:
    return f"{label}+{step.name}" if label else step.name


def _step(fallback: _types.Fallback) -> Step:
    if isinstance(fallback, str):
        return _TABLE[one_of("each of fallbacks", fallback, _TABLE, or_else="a callable")][0]()
    if callable(fallback):
        return Own(fallback)
    raise TypeError(f"fallbacks must be names ({', '.join(NAMES)}) or callables, received {quoted(fallback)}")

"""Fallbacks that spell a word differently."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from .step import Step

if TYPE_CHECKING:
    from ...readers.scan.keys import WordSet

_DIGIT = re.compile("[0-9]")
_HALVES = re.compile("([\ud800-\udfff]+)")
_MARKERS = re.compile(r"^(?:##|[▁Ġ]+)", re.MULTILINE)  # BERT's, SentencePiece's, GPT-2's


class Form(Step):
    """A fallback that spells a word differently.

    Args:
        name: of the fallback.
        changes: callables, word → word, which leave newlines alone; each is one way.
    """

    respells: ClassVar[bool] = True

    def __init__(self, name: str, *changes: Callable[[str], str]) -> None:
        self.name: str = name
        self._changes = changes

    def change(self, label: str, forms: Mapping[int, str]) -> list[tuple[str, dict[int, str]]]:
        words = list(forms.values())
        changed = self._changed(words) if words else []
        return [(label, _differing(forms, words, new)) for new in changed]

    def _changed(self, words: list[str]) -> Iterable[list[str]]:
        """For each change the list of all words after it."""
        return [_at_once(change, words) for change in self._changes]

    def candidates(self, forms: Sequence[str]) -> set[str]:
        return set(forms)

    def find(self, forms: Sequence[str], known: WordSet) -> tuple[list[int], list[str], list[int]]:
        there = np.flatnonzero(known.has(forms)).tolist()
        return there, [forms[k] for k in there], [1] * len(there)


def _differing(forms, words, changed):
    if changed is words:
        return {}
    return {k: new for k, old, new in zip(forms, words, changed) if new != old and new}


def _at_once(change, words):
    """`[change(word) for word in words]`, for a change that leaves newlines alone: one call for all, many times as fast."""
    text = "\n".join(words)
    changed = change(text)
    if changed == text:
        return words
    changed = changed.split("\n")
    return changed if len(changed) == len(words) else [change(word) for word in words]


def fold_digits(digit: str) -> Callable[[str], str]:
    """What turns each digit into `digit`."""
    return lambda text: _DIGIT.sub(digit, text) if any(digit in text for digit in "0123456789") else text


def without_markers(text: str) -> str:
    """`text` without what tokenizers put before their pieces."""
    return _MARKERS.sub("", text) if any(marker in text for marker in "#▁Ġ") else text


def open_cc(configuration: str) -> Callable[[str], str]:
    """OpenCC's conversion between the Chinese scripts.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import opencc
    except ImportError as error:
        raise ImportError(
            'the fallbacks "simplified" and "traditional" need OpenCC: pip install "w2v-embed[chinese]"'
        ) from error
    convert = opencc.OpenCC(configuration).convert

    def converted(text):
        if text.isascii():
            return text
        try:
            return convert(text)
        except (
            UnicodeEncodeError
        ):  # half a character, which OpenCC cannot be given: it stays, between what is converted
            return "".join(part if k % 2 else convert(part) for k, part in enumerate(_HALVES.split(text)))

    return converted


class Own(Form):
    """The user's own: a callable, word → another word, a list of words of which the first known one counts, or None."""

    cacheable: ClassVar[bool] = False

    def __init__(self, function: Callable[[str], str | Sequence[str] | None]) -> None:
        super().__init__(getattr(function, "__name__", type(function).__name__))
        self._function = function

    def _changed(self, words):
        answers = [self._answers(word) for word in words]
        for place in range(max(map(len, answers), default=0)):
            yield [answer[place] if place < len(answer) else word for word, answer in zip(words, answers)]

    def _answers(self, word):
        answer = self._function(word)
        answers = [] if answer is None else [answer] if isinstance(answer, str) else answer
        if not isinstance(answers, (list, tuple)) or not all(isinstance(one, str) for one in answers):
            raise TypeError(
                f"the fallback {self.name} must return a word, a list of words or None, received {answer!r} for {word!r}"
            )
        return answers

"""Fallbacks that make the row of a word of several others: of its characters, its parts, or fastText's n-grams of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain, compress
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np

from .step import Step

if TYPE_CHECKING:
    from ...readers.scan.keys import WordSet
    from ..lending import Known

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Patterns, which take some time to compile: `re` does it when they are first used, and keeps them.
_HAN_ONLY = f"[{_HAN}]+"
_HAN_LINES = f"(?m)^[{_HAN}]+$"
_RUNS = rf"[{_HAN}]+|[^\W_{_HAN}]+"  # what lies between punctuation, and between Chinese and other scripts
_LONGEST_RUN = 24  # characters; a longer stretch of Chinese is no word
_LONGEST_PART = 6
_NO_WAY = 1 << 62


class Characters(Step):
    """Mean of the characters of a Chinese word, where each has a row."""

    name = "characters"

    def candidates(self, forms: Sequence[str]) -> set[str]:
        return set(re.findall(_HAN_ONLY, "\n".join(set("".join(forms)))))

    def find(self, forms: Sequence[str], known: WordSet) -> tuple[list[int], list[str], list[int]]:
        characters = sorted(self.candidates(forms))
        there_are = set(compress(characters, known.has(characters).tolist()))
        there = [k for k, form in enumerate(forms) if len(form) > 1 and there_are.issuperset(form)]
        found = [forms[k] for k in there]
        return there, list("".join(found)), list(map(len, found))


class Parts(Step):
    """Mean of the parts of a word that splits into known words.

    Words are cut at punctuation and where Chinese meets another script; a stretch of Chinese, which shows no boundaries, into
    as few known words as it takes. Letters are never cut elsewhere ("carpet" is no car and no pet). One part at least has two
    characters.
    """

    name = "parts"

    def candidates(self, forms: Sequence[str]) -> set[str]:
        runs = set(re.findall(_RUNS, "\n".join(forms)))
        chinese: dict[int, list[str]] = {}  # length → the runs of it
        for run in runs:
            if 1 < len(run) <= _LONGEST_RUN and _is_chinese(run):
                chinese.setdefault(len(run), []).append(run)
        candidates = runs.union(*chain(*chinese.values()))
        for n, some in chinese.items():
            for length in range(2, min(n, _LONGEST_PART + 1)):
                for begin in range(n - length + 1):
                    candidates.update([run[begin : begin + length] for run in some])
        return candidates

    def find(self, forms: Sequence[str], known: WordSet) -> tuple[list[int], list[str], list[int]]:
        lines = set(re.findall(_HAN_LINES, "\n".join(forms)))
        chinese = [k for k, form in enumerate(forms) if form in lines]  # and nothing else
        there, lenders, counts = [], [], []
        for cut, bounds in _cuts([forms[k] for k in chinese], known):
            n = len(bounds) - 1
            if n < bounds[-1]:  # not all are single characters
                cut = [chinese[k] for k in cut]
                parts = [""] * (n * len(cut))
                for k, part in enumerate(map(slice, bounds, bounds[1:])):
                    parts[k::n] = [forms[number][part] for number in cut]
                there += cut
                lenders += parts
                counts += [n] * len(cut)
        if len(chinese) < len(forms):
            mixed = {k: re.findall(_RUNS, form) for k, form in enumerate(forms) if form not in lines}
            for k, parts in self._of_runs({k: runs for k, runs in mixed.items() if runs != [forms[k]]}, known):
                there.append(k)
                lenders += parts
                counts.append(len(parts))
        return there, lenders, counts

    def _of_runs(self, runs_of, known):
        """For each number of a form whose runs are known or can be cut: (the number, list of parts)."""
        runs = list(set(chain.from_iterable(runs_of.values())))
        parts_of = {run: [run] for run in compress(runs, known.has(runs).tolist())}
        left = [run for run in runs if run not in parts_of and _is_chinese(run)]
        for cut, bounds in _cuts(left, known):
            parts = list(map(slice, bounds, bounds[1:]))
            parts_of.update((left[k], [left[k][part] for part in parts]) for k in cut)
        for k, runs in runs_of.items():
            parts = list(chain.from_iterable(parts_of.get(run, ("",)) for run in runs))
            if len(parts) > 1 and "" not in parts and max(map(len, parts)) > 1:
                yield k, parts


def _is_chinese(run):
    return run[:1] >= "\u3400" and re.fullmatch(_HAN_ONLY, run) is not None


def _cuts(runs, known):
    """How a list of runs is cut into known words, as few as can be, longer ones first; without the runs that none make.

    All runs of one length are cut at once; their parts are looked for without making strings of them. Yields (list of the
    numbers of some runs, list of the bounds of their parts).
    """
    lengths = np.fromiter(map(len, runs), np.int64, len(runs))
    for n in range(2, min(lengths.max(initial=0), _LONGEST_RUN) + 1):
        numbers = np.flatnonzero(lengths == n)
        if not len(numbers):
            continue
        some = [runs[k] for k in numbers.tolist()]
        stretches = [(begin, end) for end in range(1, n + 1) for begin in range(max(0, end - _LONGEST_PART), end)]
        stretches = [(begin, end) for begin, end in reversed(stretches) if end - begin < n]
        buf = np.frombuffer("".join(some).encode(), np.uint8)
        at = np.append(np.flatnonzero(buf & 0xC0 != 0x80), len(buf))  # where characters begin
        at = at[np.arange(len(some)) * n + np.arange(n + 1)[:, None]]
        begins, ends = np.array(stretches).T
        there = known.has_stretches(buf, at[begins].ravel(), at[ends].ravel()).reshape(len(stretches), len(some))
        # Of the runs from each character on: how many parts at least, and in the low bits, the last character's lowest, where
        # these end. Of equally many the lowest bits are those of the longest first part.
        best = np.full((n + 1, len(some)), _NO_WAY)
        best[n] = 0
        for (begin, end), these in zip(stretches, there):
            one_more = best[end] + ((1 << _LONGEST_RUN) + (1 << n - end))
            np.minimum(best[begin], one_more, out=best[begin], where=these)
        for way in np.unique(best[0]).tolist():
            if way < _NO_WAY:
                ends = [end for end in range(1, n + 1) if way >> n - end & 1]
                yield numbers[best[0] == way].tolist(), [0, *ends]


class Subwords(Step):
    """fastText's character n-grams; they make a row for every word that is long enough to have one."""

    name = "subwords"
    of_ngrams: ClassVar[bool] = True

    def candidates(self, forms: Sequence[str]) -> set[str]:
        return set()

    def find(self, forms: Sequence[str], known: WordSet) -> tuple[list[int], list[str], list[int]]:
        makes = cast("Known", known).makes
        there = [k for k, form in enumerate(forms) if makes(form)]
        return there, [], [0] * len(there)

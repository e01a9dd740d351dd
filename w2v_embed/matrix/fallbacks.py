"""Fallbacks: where else to look for a word that the vectors do not have.

Everything here is about words alone: which other words lend their rows (`resolve`), and which could, where that must be known
beforehand (`candidates`). The rows themselves come in `lending`.

Fallbacks work in the order in which they were given, and build on each other: ("nfkc", "lower") finds "ＩＰＨＯＮＥ" under
"iphone" (nfkc+lower). A word takes the first form that is known.
"""

import re
import unicodedata
from itertools import chain, compress, islice, zip_longest
from typing import NamedTuple

import numpy as np

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_HAN_ONLY = re.compile(f"[{_HAN}]+")
_HAN_LINES = re.compile(f"^[{_HAN}]+$", re.MULTILINE)
_RUNS = re.compile(rf"[{_HAN}]+|[^\W_{_HAN}]+")  # what lies between punctuation, and between Chinese and other scripts
_LONGEST_RUN = 24  # characters; a longer stretch of Chinese is no word
_LONGEST_PART = 6
_NO_WAY = 1 << 62
_DIGIT = re.compile("[0-9]")
_MARKERS = re.compile(r"^(?:##|[▁Ġ]+)", re.MULTILINE)  # BERT's, SentencePiece's, GPT-2's


class Derivation(NamedTuple):
    """How a word got its row without being in the vectors: its row is the mean of the rows of `words`.

    Attributes:
        fallback: name of the fallback, or of a chain of them ("nfkc+lower").
        words: the words whose rows were taken; empty where the row is made of character n-grams.
    """

    fallback: str
    words: tuple


class Loans(NamedTuple):
    """Rows that one fallback gets for some words, in columns: many small tuples would keep the garbage collector busy.

    Attributes:
        fallback: name of the fallback, or of a chain of them.
        borrowers: list of the words' positions, among all that were to be resolved.
        lenders: list of the words that lend their rows, those of one borrower after those of another.
        counts: list of how many lend to each borrower.
    """

    fallback: str
    borrowers: list
    lenders: list
    counts: list


class Resolution:
    """Which of some words get a row, and from which.

    Attributes:
        words: list of the words.
        loans: list of `Loans`.
    """

    def __init__(self, words, loans):
        self.words, self.loans = words, loans

    def derived(self):
        """dict word → `Derivation`."""
        lenders = self.lenders()
        return {
            self.words[k]: Derivation(some.fallback, tuple(islice(lenders, count)))
            for some in self.loans
            for k, count in zip(some.borrowers, some.counts)
        }

    def lenders(self):
        """The words that lend, one by one, some of them many times."""
        return chain.from_iterable(some.lenders for some in self.loans)

    def found(self):
        """The words that get a row."""
        return [self.words[k] for k in sorted(chain.from_iterable(some.borrowers for some in self.loans))]

    def missing(self):
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

    def __init__(self, fallbacks):
        if isinstance(fallbacks, str) or callable(fallbacks):
            raise TypeError(
                f"fallbacks must be a list of names or callables, received {fallbacks!r} alone; write [{fallbacks!r}]"
            )
        self.given = tuple(fallbacks)
        self._steps = [_step(fallback) for fallback in self.given]
        self.names = [step.name for step in self._steps]
        self.cacheable = not any(isinstance(step, _Callable) for step in self._steps)
        self.needs_subwords = any(isinstance(step, _Subwords) for step in self._steps)

    def candidates(self, words):
        """All words that could lend one of `words` a row, as a set."""
        candidates = set()
        for step, spellings in self._steps_of(words):
            for _, forms in spellings:
                candidates |= step.candidates(list(forms.values()))
        candidates.discard("")
        return candidates

    def resolve(self, words, known):
        """The `Resolution`, where `known` is the `WordSet` of the words that have a row (for "subwords" a `lending.Known`)."""
        loans, found = [], set()
        for step, spellings in self._steps_of(words, found):
            before = len(found)
            for label, forms in spellings:
                if len(found) > before:
                    forms = _left(forms, found)
                there, lenders, counts = step.sources(list(forms.values()), known)
                if there:
                    positions = list(forms)
                    borrowers = [positions[k] for k in there]
                    found.update(borrowers)
                    label = label if isinstance(step, _Form) else _chain(label, step)
                    loans.append(Loans(label, borrowers, lenders, counts))
        return Resolution(words, loans)

    def _steps_of(self, words, found=()):
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
            if not isinstance(step, _Form):
                yield step, spellings[:1] if isinstance(step, _Subwords) else spellings
                continue
            changes = [step.change(_chain(label, step), forms) for label, forms in spellings]
            # all changes of the words as they are come before those of their other spellings
            changes = [*changes[0], *filter(None, chain.from_iterable(zip_longest(*changes[1:])))]
            first = len(spellings)
            for label, forms in changes:
                for _, others in spellings:
                    if forms and others:
                        forms = {k: form for k, form in forms.items() if others.get(k) != form}
                if forms:
                    spellings.append((label, forms))
            yield step, spellings[first:]


def _left(forms, found):
    return {k: form for k, form in forms.items() if k not in found}


def _chain(label, step):
    return f"{label}+{step.name}" if label else step.name


# ── other forms of a word ──


class _Form:
    """A fallback that spells a word differently."""

    def __init__(self, name, *changes):
        self.name, self._changes = name, changes

    def change(self, label, forms):
        """For each change (label, the forms that it changes). `forms` is a dict position → form."""
        words = list(forms.values())
        changed = self._changed(words) if words else []
        return [(label, _differing(forms, words, new)) for new in changed]

    def _changed(self, words):
        """For each change the list of all words after it."""
        return [_at_once(change, words) for change in self._changes]

    def candidates(self, forms):
        return set(forms)

    def sources(self, forms, known):
        """Which forms get a row: (list of their numbers in `forms`; lenders and counts as in `Loans`)."""
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


def _fold_digits(digit):
    return lambda text: _DIGIT.sub(digit, text) if any(digit in text for digit in "0123456789") else text


def _without_markers(text):
    return _MARKERS.sub("", text) if any(marker in text for marker in "#▁Ġ") else text


def _open_cc(configuration):
    try:
        import opencc
    except ImportError as error:
        raise ImportError(
            'the fallbacks "simplified" and "traditional" need OpenCC: pip install "w2v-embed[chinese]"'
        ) from error
    convert = opencc.OpenCC(configuration).convert
    return lambda text: text if text.isascii() else convert(text)


class _Callable(_Form):
    """The user's own."""

    def __init__(self, function):
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


# ── means of several words ──


class _Characters:
    """Mean of the characters of a Chinese word, where each has a row."""

    name = "characters"

    def candidates(self, forms):
        return set(_HAN_ONLY.findall("\n".join(set("".join(forms)))))

    def sources(self, forms, known):
        characters = sorted(self.candidates(forms))
        known = set(compress(characters, known.has(characters).tolist()))
        there = [k for k, form in enumerate(forms) if len(form) > 1 and known.issuperset(form)]
        found = [forms[k] for k in there]
        return there, list("".join(found)), list(map(len, found))


class _Parts:
    """Mean of the parts of a word that splits into known words.

    Words are cut at punctuation and where Chinese meets another script; a stretch of Chinese, which shows no boundaries, into
    as few known words as it takes. Letters are never cut elsewhere ("carpet" is no car and no pet). One part at least has two
    characters.
    """

    name = "parts"

    def candidates(self, forms):
        runs = set(_RUNS.findall("\n".join(forms)))
        chinese = {}  # length → the runs of it
        for run in runs:
            if 1 < len(run) <= _LONGEST_RUN and _is_chinese(run):
                chinese.setdefault(len(run), []).append(run)
        candidates = runs.union(*chain(*chinese.values()))
        for n, some in chinese.items():
            for length in range(2, min(n, _LONGEST_PART + 1)):
                for begin in range(n - length + 1):
                    candidates.update([run[begin : begin + length] for run in some])
        return candidates

    def sources(self, forms, known):
        lines = set(_HAN_LINES.findall("\n".join(forms)))
        chinese = [k for k, form in enumerate(forms) if form in lines]  # and nothing else
        there, lenders, counts = [], [], []
        for cut, bounds in _cuts([forms[k] for k in chinese], known):
            n = len(bounds) - 1
            if n < bounds[-1]:  # not all are single characters
                cut = [chinese[k] for k in cut]
                parts = [None] * (n * len(cut))
                for k, part in enumerate(map(slice, bounds, bounds[1:])):
                    parts[k::n] = [forms[number][part] for number in cut]
                there += cut
                lenders += parts
                counts += [n] * len(cut)
        if len(chinese) < len(forms):
            mixed = {k: _RUNS.findall(form) for k, form in enumerate(forms) if form not in lines}
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
    return run[:1] >= "\u3400" and _HAN_ONLY.fullmatch(run) is not None


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


class _Subwords:
    """fastText's character n-grams; they make a row for every word that is long enough to have one."""

    name = "subwords"

    def candidates(self, forms):
        return set()

    def sources(self, forms, known):
        there = [k for k, form in enumerate(forms) if known.makes(form)]
        return there, [], [0] * len(there)


# ── names ──

_MAKERS = {
    "nfkc": lambda: _Form("nfkc", lambda text: unicodedata.normalize("NFKC", text)),
    "lower": lambda: _Form("lower", str.lower),
    "title": lambda: _Form("title", str.title),
    "upper": lambda: _Form("upper", str.upper),
    "simplified": lambda: _Form("simplified", _open_cc("t2s")),
    "traditional": lambda: _Form("traditional", _open_cc("s2t")),
    "digits": lambda: _Form("digits", _fold_digits("#"), _fold_digits("0")),
    "markers": lambda: _Form("markers", _without_markers),
    "parts": _Parts,
    "characters": _Characters,
    "subwords": _Subwords,
}
NAMES = tuple(_MAKERS)

# What each finds, as the end of a sentence "… missing words: …".
FINDS = {
    "nfkc": "found when full-width and other compatibility characters are folded",
    "lower": "found when lower-cased",
    "title": "found when Capitalised",
    "upper": "found in UPPER CASE",
    "simplified": "found in simplified characters",
    "traditional": "found in traditional characters",
    "digits": "found when digits are folded to # or 0",
    "markers": "found without their subword marker; are these pieces, and the vectors of whole words?",
    "parts": "they split into known words; is the segmenter's dictionary different from the vectors'?",
    "characters": "Chinese, and every character is known",
    "subwords": "the vectors' n-grams make a row for them",
}


def _step(fallback):
    if isinstance(fallback, str):
        if fallback not in _MAKERS:
            raise ValueError(f"fallbacks must be out of {', '.join(NAMES)}, or callables; received {fallback!r}")
        return _MAKERS[fallback]()
    if callable(fallback):
        return _Callable(fallback)
    raise TypeError(f"fallbacks must be names ({', '.join(NAMES)}) or callables; received {fallback!r}")

"""Fallbacks: where else to look for a word that the vectors do not have.

Everything here is about words alone: which other words could lend a row (`candidates`), and which of them do (`resolve`). The
rows themselves are read in one pass with those of the vocabulary, see `matrix`.

Fallbacks work in the order in which they were given, and build on each other: ("nfkc", "lower") finds "ＩＰＨＯＮＥ" under
"iphone" (nfkc+lower). A word takes the first form that is known.
"""

import itertools
import re
import unicodedata
from typing import NamedTuple

import numpy as np

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_HAN_ONLY = re.compile(f"[{_HAN}]+")
_RUNS = re.compile(rf"[{_HAN}]+|[^\W_{_HAN}]+")  # what lies between punctuation, and between Chinese and other scripts
_LONGEST_RUN = 24  # characters; a longer stretch of Chinese is no word
_LONGEST_PART = 6
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


class Fallbacks:
    """An ordered choice of fallbacks.

    Args:
        fallbacks: names out of `NAMES`, and callables: word → another word, a list of words of which the first known one
            counts, or None.

    Raises:
        TypeError, ValueError: one is no name and no callable.
        ImportError: "simplified" and "traditional" need OpenCC.

    Example:
        >>> plan = Fallbacks(["lower", "parts"])
        >>> plan.resolve(["The", "New-York", "qwxyz"], {"the", "new", "york"})
        {0: Derivation(fallback='lower', words=('the',)), 1: Derivation(fallback='lower+parts', words=('new', 'york'))}
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
        self._last = None
        self.needs_subwords = any(isinstance(step, _Subwords) for step in self._steps)

    def candidates(self, words):
        """All words that could lend one of `words` a row, as a set."""
        candidates = set()
        for step, variants in self._run(words):
            forms = [form for _, form, _ in variants]
            candidates |= step.candidates(forms if isinstance(step, _Form) else words + forms)
        candidates.discard("")
        return candidates

    def resolve(self, words, known):
        """The words that get a row: dict position in `words` → `Derivation`. `known` holds the words that have one."""
        found = {}
        for step, variants in self._run(words):
            if not isinstance(step, _Form):
                variants = [*((k, word, "") for k, word in enumerate(words)), *variants]
            variants = [variant for variant in variants if variant[0] not in found]
            for (k, _, label), sources in zip(variants, step.sources([form for _, form, _ in variants], known)):
                if sources is not None and k not in found:
                    found[k] = Derivation(label if isinstance(step, _Form) else _chain(label, step), sources)
        return {k: found[k] for k in sorted(found)}

    def _run(self, words):
        """As `_steps_of`; the last result is kept, since `candidates` and `resolve` mostly ask for the same words."""
        if self._last is None or self._last[0] != words:
            self._last = list(words), list(self._steps_of(words))
        return self._last[1]

    def _steps_of(self, words):
        """For each step the spellings (position of the word, form, label) in the order in which they are tried.

        A step that respells yields its own ones, another step all those before it; the words as they are come on top.
        """
        variants, tried = [], set()
        for step in self._steps:
            if not isinstance(step, _Form):
                yield step, variants
                continue
            new = []
            for changed in step.change(words):
                if changed is not words:
                    new += [(k, form, step.name) for k, (form, word) in enumerate(zip(changed, words)) if form != word]
            forms = [form for _, form, _ in variants]
            for changed in step.change(forms) if forms else ():
                if changed is not forms:
                    pairs = zip(variants, changed)
                    new += [(k, form, _chain(label, step)) for (k, old, label), form in pairs if form != old]
            fresh = []
            for k, form, label in new:
                if form and form != words[k] and (k, form) not in tried:
                    tried.add((k, form))
                    fresh.append((k, form, label))
            variants = variants + fresh
            yield step, fresh


def _chain(label, step):
    return f"{label}+{step.name}" if label else step.name


# ── other forms of a word ──


class _Form:
    """A fallback that spells a word differently."""

    def __init__(self, name, *changes):
        self.name, self._changes = name, changes

    def change(self, words):
        """For each change the list of the changed words."""
        return [_at_once(change, words) for change in self._changes]

    def candidates(self, forms):
        return set(forms)

    def sources(self, forms, known):
        """For each form the words whose rows make its row, or None."""
        return [(form,) if there else None for form, there in zip(forms, map(known.__contains__, forms))]


def _at_once(change, words):
    """`[change(word) for word in words]`, for a change that leaves newlines alone: one call for all, many times as fast."""
    text = "\n".join(words)
    changed = change(text)
    if changed == text:
        return words
    changed = changed.split("\n")
    return changed if len(changed) == len(words) else [change(word) for word in words]


def _fold_digits(digit):
    return lambda text: _DIGIT.sub(digit, text)


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

    def change(self, words):
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
        known = {character for character in self.candidates(forms) if character in known}
        return [
            tuple(form) if len(form) > 1 and known.issuperset(form) and _HAN_ONLY.fullmatch(form) else None
            for form in forms
        ]


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
            if 2 < len(run) <= _LONGEST_RUN and run >= "\u3400" and _is_chinese(run):
                chinese.setdefault(len(run), []).append(run)
        candidates = runs.union(*itertools.chain(*chinese.values()))
        for n, some in chinese.items():
            for length in range(2, min(n, _LONGEST_PART + 1)):
                for begin in range(n - length + 1):
                    candidates.update([run[begin : begin + length] for run in some])
        return candidates

    def sources(self, forms, known):
        runs_of = [(form,) if _is_chinese(form) else _RUNS.findall(form) for form in forms]
        cuts = _cut({run for runs in runs_of for run in runs if len(run) <= _LONGEST_RUN and _is_chinese(run)}, known)
        return [self._of_runs(form, runs, cuts, known) for form, runs in zip(forms, runs_of)]

    def _of_runs(self, form, runs, cuts, known):
        parts = []
        for run in runs:
            count, stops = cuts.get(run, (0, ()))
            if run != form and run in known:
                parts.append(run)
            elif 0 < count <= len(run) and (count < len(run) or len(runs) > 1):
                begin = 0
                while begin < len(run):
                    parts.append(run[begin : stops[begin]])
                    begin = stops[begin]
            else:
                return None
        return tuple(parts) if len(parts) > 1 and max(map(len, parts)) > 1 else None


def _is_chinese(run):
    return run[:1] >= "\u3400" and _HAN_ONLY.fullmatch(run) is not None


def _cut(runs, known):
    """dict run → how many known words it takes at least, longer ones first (more than its length: there are none that make it),
    and where a word that begins at each of its characters ends.

    All runs of one length are cut at once.
    """
    cuts, of_length = {}, {}
    for run in runs:
        of_length.setdefault(len(run), []).append(run)
    for n, some in of_length.items():
        fewest, ends = np.full((n + 1, len(some)), n + 1), np.zeros((n, len(some)), np.int64)
        fewest[n] = 0
        for begin in reversed(range(n)):
            for end in range(min(n, begin + _LONGEST_PART), begin, -1):
                if end - begin < n:
                    there = map(known.__contains__, [run[begin:end] for run in some])
                    better = np.fromiter(there, np.bool_, len(some)) & (fewest[end] + 1 < fewest[begin])
                    fewest[begin, better], ends[begin, better] = fewest[end, better] + 1, end
        cuts.update(zip(some, zip(fewest[0].tolist(), ends.T.tolist())))
    return cuts


class _Subwords:
    """fastText's character n-grams; they make a row for every word."""

    name = "subwords"

    def candidates(self, forms):
        return set()

    def sources(self, forms, known):
        return [()] * len(forms)


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
}


def _step(fallback):
    if isinstance(fallback, str):
        if fallback not in _MAKERS:
            raise ValueError(f"fallbacks must be out of {', '.join(NAMES)}, or callables; received {fallback!r}")
        return _MAKERS[fallback]()
    if callable(fallback):
        return _Callable(fallback)
    raise TypeError(f"fallbacks must be names ({', '.join(NAMES)}) or callables; received {fallback!r}")

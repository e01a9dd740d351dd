"""Analogies: a is to b as c is to which word?

3CosAdd (Mikolov et al. 2013) takes the word x for which cos(x, b) + cos(x, c) - cos(x, a) is the greatest; 3CosMul (Levy and
Goldberg 2014) that of the greatest p(b) p(c) / (p(a) + 1e-6), p being (1 + cos) / 2. a, b, c are no answers, nor are words that
differ from them in case alone where that does not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..shown import plain_errors
from .files import read_analogies
from .rows import all_rows, checked_options

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._types import Floats, FormatName, Ids, OnError, OneSource, Progress, StrPath

    Singles = npt.NDArray[np.float32]

_QUESTIONS = 4096  # whose words' cosines are held at a time
_TOGETHER = 128  # questions whose scores are
_CELLS = 1 << 22  # of a table of cosines
_LOOKED_AT = 5  # gensim gives up where so many of the best words are among the asked
_EPSILON = np.float32(1e-6)


@dataclass(frozen=True)
class Category:
    """Of one category: how many questions there are, how many of these have vectors of all words and count, how many were
    answered rightly by 3CosAdd and by 3CosMul."""

    questions: int
    covered: int
    counted: int
    correct: int
    correct_mul: int

    @property
    def accuracy(self) -> float:
        """Share of the counted questions that 3CosAdd answers rightly; 0 where there are none."""
        return self.correct / self.counted if self.counted else 0.0

    @property
    def accuracy_mul(self) -> float:
        """The same by 3CosMul."""
        return self.correct_mul / self.counted if self.counted else 0.0

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return {
            "accuracy": self.accuracy,
            "accuracy_mul": self.accuracy_mul,
            "covered": self.covered,
            "questions": self.questions,
        }


@dataclass(frozen=True)
class Analogies(Category):
    """What `analogies` found.

    Attributes:
        questions: how many the file has.
        covered: of how many all four words have vectors.
        counted: how many count: these, or all of them.
        correct, correct_mul: how many are answered rightly by 3CosAdd and by 3CosMul.
        by_category: dict category → `Category`, in the order of the file.
    """

    by_category: dict[str, Category]

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return {**super().to_dict(), "by_category": {name: one.to_dict() for name, one in self.by_category.items()}}


@plain_errors
def analogies(
    vectors: OneSource,
    questions: StrPath,
    *,
    restrict_vocab: int | None = 300_000,
    case_insensitive: bool = True,
    dummy4unknown: bool = False,
    format: FormatName | None = None,
    encoding: str = "utf-8",
    on_error: OnError = "raise",
    progress: Progress = None,
    trust: bool = False,
) -> Analogies:
    """Ask word vectors for the fourth word. By 3CosAdd the figures are those of gensim's `evaluate_word_analogies`.

    All words up to `restrict_vocab` are read and may be answers; beside their rows some tens of MB are needed.

    Args:
        vectors: a path, a gensim KeyedVectors, or an `EmbeddingMatrix`, of which the words with vectors of their own count.
        questions: file of analogies: questions-words.txt, CA8's; see docs/refining.md.
        restrict_vocab: of the vectors only the first so many words count, and are answers; None for all.
        case_insensitive: whether words that differ in case alone are one: the first of them in the vectors.
        dummy4unknown: count questions with unknown words as wrong answers; else they are left out.
        format, encoding, on_error, progress, trust: as for `load_vectors`.

    Returns:
        An `Analogies`.

    Raises:
        FileNotFoundError, TypeError, ValueError: says what is wrong, where, and how to go on.

    Example:
        >>> from w2v_embed import EmbeddingMatrix
        >>> words = ["man", "king", "woman", "queen", "tax"]
        >>> rows = [[1, 0, 0], [1, 1, 0], [1, 0, 1], [1, 1, 1], [0, 0, -1.0]]
        >>> em = EmbeddingMatrix(rows, {word: k for k, word in enumerate(words)})
        >>> file = getfixture("tmp_path") / "questions.txt"
        >>> _ = file.write_text(": family\\nman king woman queen\\nman king boy prince\\n")
        >>> result = analogies(em, file)
        >>> result.accuracy, result.accuracy_mul, result.covered, result.by_category["family"].questions
        (1.0, 1.0, 1, 2)
    """
    reading = {"format": format, "encoding": encoding, "on_error": on_error, "progress": progress, "trust": trust}
    key, most = checked_options(reading, case_insensitive, restrict_vocab)
    categories = read_analogies(questions, encoding)
    asked = [tuple(map(key, question)) for some in categories.values() for question in some]
    words, rows = all_rows(vectors, most, **reading)
    of_key: dict[str, list[int]] = {word: [] for question in asked for word in question}
    for k, word in enumerate(words):
        if (name := key(word)) in of_key:
            of_key[name].append(k)
    known = np.array([all(of_key[word] for word in question) for question in asked], np.bool_)
    right = np.zeros((2, len(asked)), np.bool_)
    right[:, known] = _answer(rows, [asked[k] for k in np.flatnonzero(known).tolist()], of_key)
    by_category, begin = {}, 0
    for name, some in categories.items():
        part = slice(begin, begin + len(some))
        begin += len(some)
        by_category[name] = Category(*_counts(known[part], right[:, part], dummy4unknown))
    return Analogies(*_counts(known, right, dummy4unknown), by_category)


def _counts(
    known: npt.NDArray[np.bool_], right: npt.NDArray[np.bool_], all_count: bool
) -> tuple[int, int, int, int, int]:
    covered = int(known.sum())
    return len(known), covered, len(known) if all_count else covered, int(right[0].sum()), int(right[1].sum())


def _answer(rows: Floats, asked: list[tuple[str, ...]], of_key: dict[str, list[int]]) -> npt.NDArray[np.bool_]:
    """Which of the questions are answered rightly: bool `(2, len(asked))`, by 3CosAdd and by 3CosMul.

    Args:
        rows: float32 `(words, dim)`; they are made 1 long.
        asked: list of four keys, all of them known.
        of_key: dict key → the words that have it, in their order.
    """
    right = np.zeros((2, len(asked)), np.bool_)
    empty = _unit(rows)
    for begin in range(0, len(asked), _QUESTIONS):
        some = asked[begin : begin + _QUESTIONS]
        abc = np.array([[of_key[word][0] for word in question[:3]] for question in some])
        never = [sorted({k for word in question[:3] for k in of_key[word]}) for question in some]
        best, scores = _best(rows, abc, never, empty)
        for k, question in enumerate(some):
            if empty[abc[k]].any():
                continue
            right[:, begin + k] = np.isin(best[:, k], of_key[question[3]]) & ~np.isneginf(scores[:, k])
            if right[0, k + begin] and _gives_up(rows, abc[k], never[k], scores[0, k]):
                right[0, k + begin] = False
    return right


def _gives_up(rows, abc, never, score):
    """Whether five other spellings of the asked words are better still: gensim looks at no more than five words."""
    others = [k for k in never if k not in abc]
    if len(others) < _LOOKED_AT:
        return False
    a, b, c = rows[abc]
    return np.count_nonzero(rows[others] @ (b + c - a) > score) >= _LOOKED_AT


def _unit(rows):
    """Make rows 1 long, in place; returns which are zeros, and are no answers."""
    empty = np.zeros(len(rows), np.bool_)
    step = max(_CELLS // rows.shape[1], 1)
    for begin in range(0, len(rows), step):
        some = rows[begin : begin + step]
        norms = np.sqrt(np.einsum("ij,ij->i", some, some, dtype=np.float64))
        empty[begin : begin + step] = norms == 0
        some /= np.where(norms > 0, norms, 1.0).astype(np.float32)[:, None]
    return empty


def _best(rows: Singles, abc: Ids, never: list[list[int]], empty: npt.NDArray[np.bool_]) -> tuple[Ids, Singles]:
    """For each question the word of the greatest score, `(2, n)`, and this score: -inf where no word is left.

    Args:
        rows: `(words, dim)`, each 1 long.
        abc: `(n, 3)`, the words asked about.
        never: for each question the words that are no answer.
        empty: `(words,)`, words that are none to any.
    """
    n = len(abc)
    used, abc = np.unique(abc, return_inverse=True)
    a, b, c = abc.reshape(n, 3).T
    asking = np.repeat(np.arange(n), [len(some) for some in never])
    barred = np.array([k for some in never for k in some], np.int64)
    best, scores = np.zeros((2, n), np.int64), np.full((2, n), -np.inf, np.float32)
    asked, step = rows[used], max(_CELLS // len(used), 64)
    for begin in range(0, len(rows), step):
        cosines = asked @ rows[begin : begin + step].T
        likeness = (1 + cosines) / 2
        here = np.flatnonzero((barred >= begin) & (barred < begin + step))
        nowhere = np.flatnonzero(empty[begin : begin + step])
        for first in range(0, n, _TOGETHER):
            some = slice(first, first + _TOGETHER)
            low, high = np.searchsorted(asking[here], [first, first + _TOGETHER])
            out = asking[here[low:high]] - first, barred[here[low:high]] - begin
            add = cosines[b[some]]
            add += cosines[c[some]]
            add -= cosines[a[some]]
            mul = likeness[b[some]]
            mul *= likeness[c[some]]
            mul /= likeness[a[some]] + _EPSILON
            for k, score in enumerate((add, mul)):
                score[out] = score[:, nowhere] = -np.inf
                top = score.argmax(axis=1)
                value = score[np.arange(len(top)), top]
                better = value > scores[k, some]
                scores[k, some][better] = value[better]
                best[k, some][better] = top[better] + begin
    return best, scores

"""Candidates + labelled texts → `Comparison`: who covers what, who classifies best, and whether that is luck."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from .._types import ClassifierName, TextPoolingName
from ..checks import one_of, whole
from ..corpus import make_word_index
from ..matrix.build import build_matrix
from ..matrix.refining import NothingFoundError
from ..postprocess import by_counts
from ..progress import text_reporter
from ..shown import plain_errors, quoted
from ..splitting import splitter
from ..training.labelled import check_labels, split_rows
from .probe import probe
from .result import Candidate, Comparison, Result
from .significance import corrected_t_test, holm

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._types import Bools, Floats, Split, TextProgress
    from ..matrix.embedding_matrix import EmbeddingMatrix

    Rows = npt.NDArray[np.int64]
    Parts = tuple[Rows, Rows]  # of a split: for testing, and for training

_MOST_MISSING = 12  # words that a result names
_LONGEST = 256  # words of a text that the Keras classifiers see


@plain_errors
def compare(
    labels: Sequence[str],
    texts: Sequence[str],
    candidates: Iterable[Candidate],
    *,
    split: Split = "whitespace",
    pooling: TextPoolingName = "mean",
    seeds: int = 10,
    test: float = 0.2,
    examples: int | None = None,
    classifier: ClassifierName | None = None,
    progress: TextProgress = None,
) -> Comparison:
    """Judge word vectors by how well labelled texts are classified with them.

    For each candidate the matrix of all words is made once. Then, for each seed, the texts are parted at random, the same for
    all candidates, a probe (`pooling`, then logistic regression) is trained on one part and guesses the labels of the other.
    Equal texts are never parted. What is fitted, is fitted on the part for training, but for `postprocess`, whose steps see the
    rows of all words, and no label.

    Args:
        labels, texts: of the same length, as `read_labelled` gives them.
        candidates: `Candidate`s.
        split: how texts become words, as for `count_words`.
        pooling: as for `TextVectorizer`.
        seeds: how many random splits.
        test: share of the texts for testing, above 0 and below 1.
        examples: train on so many texts only; None: on all that are not for testing.
        classifier: also train this Keras classifier on each split: "mean", "cnn" or "bilstm". Takes minutes.
        progress: None, True for a bar on stderr, or a callable (splits done, splits in all).

    Returns:
        a `Comparison`.

    Raises:
        ValueError, TypeError, FileNotFoundError, ImportError: an argument is none, a candidate cannot be read, there is only
            one label, or what is needed is not installed.

    Example:
        >>> from w2v_embed.comparison import Candidate, compare, read_labelled
        >>> labels, texts = read_labelled("data/titles.tsv")
        >>> found = compare(labels[:600], texts[:600], [Candidate(["data/vectors.bin"])], split="jieba", seeds=2)
        >>> found.winner.accuracy > 0.6
        True
    """
    one_of("pooling", pooling, get_args(TextPoolingName))
    if classifier is not None:
        one_of("classifier", classifier, get_args(ClassifierName))
    whole("seeds", seeds)
    whole("examples", examples if examples is not None else 1, or_none=True)
    if isinstance(test, bool) or not isinstance(test, (int, float)) or not 0 < test < 1:
        raise ValueError(f"test must be a number above 0 and below 1, received {quoted(test)}.")
    named = _named(candidates)
    if len(labels) != len(texts):
        raise ValueError(f"labels and texts must be of the same length, received {len(labels)} and {len(texts)}.")
    words_of = splitter(split)
    words = [tuple(words_of(text)) for text in texts]
    counts = Counter(chain.from_iterable(words))
    if not counts:
        raise ValueError(f"texts must hold words, received {len(texts)} texts without any.")
    splits = [_split(labels, words, seed, test, examples) for seed in range(seeds)]
    judge = _Judge(np.asarray(labels, object), words, counts, splits, pooling, classifier)
    tell = text_reporter(progress, range(len(named) * seeds), "splits")
    results = [judge(candidate, tell) for candidate in named]
    results.sort(key=lambda result: (-result.accuracy, result.shape[1]))
    return Comparison(
        results=_tested(results, splits, len(texts)),
        texts=len(texts),
        labels=dict(Counter(labels).most_common()),
        words=len(counts),
        tokens=counts.total(),
        train=float(np.mean([len(train) for _, train in splits])),
        test=float(np.mean([len(test) for test, _ in splits])),
        seeds=seeds,
        repeated=sum(n for text, n in Counter(words).items() if text and n > 1),
        pooling=pooling,
        classifier=classifier,
        baseline=judge.baseline(),
    )


def _named(candidates):
    """The candidates, each with a name of its own."""
    named: list[Candidate] = []
    for candidate in candidates:
        if not isinstance(candidate, Candidate):
            raise TypeError(f"candidates must be Candidates, received {quoted(candidate)}.")
        name = candidate.name or _name(candidate, os.path.basename)
        named.append(Candidate(list(candidate.vectors), dict(candidate.options), name))
    if not named:
        raise ValueError("candidates must be one Candidate at least, received none.")
    twice = {name for name, n in Counter(candidate.name for candidate in named).items() if n > 1}
    for place, candidate in enumerate(named):
        if candidate.name in twice:  # two folders have files of one name
            named[place] = Candidate(candidate.vectors, candidate.options, f"{_name(candidate, str)} ({place + 1})")
    return named


def _name(candidate: Candidate, of: Callable[[str], str]) -> str:
    """What it is made of, and how."""
    names = [
        of(os.fspath(one)) if isinstance(one, (str, os.PathLike)) else type(one).__name__ for one in candidate.vectors
    ]
    how = [str(value) for name, value in candidate.options.items() if name == "combine"]
    how += [f"align {value}" for name, value in candidate.options.items() if name == "align" and value]
    how += [str(step) for step in candidate.options.get("postprocess", ())]
    return " + ".join(names) + (f" ({', '.join(how)})" if how else "")


def _split(labels, words, seed, share, examples):
    """The rows for testing, and those for training."""
    test, train = split_rows(labels, words, seed, share)
    train = train[:examples]
    if not len(test):
        raise ValueError(
            f"texts must be more, or test larger: of {len(words)} texts none is left for testing, where "
            "equal ones stay together and each label keeps one for training."
        )
    check_labels(labels, train)
    return test, train


def _tested(results: list[Result], splits: list[Parts], texts: int) -> list[Result]:
    """The results, each compared with the first."""
    first = results[0]
    ratio = float(np.mean([len(test) / (texts - len(test)) for test, _ in splits]))
    values = holm([corrected_t_test(first.accuracies, result.accuracies, ratio) for result in results[1:]])
    tested = [
        Result(**{**vars(result), "p": p, "difference": result.accuracy - first.accuracy})
        for result, p in zip(results[1:], values)
    ]
    return [first, *tested]


class _Judge:
    """Makes `Result`s of candidates, all on the same splits."""

    def __init__(
        self,
        labels: npt.NDArray[np.object_],
        words: list[tuple[str, ...]],
        counts: Counter[str],
        splits: list[Parts],
        pooling: TextPoolingName,
        classifier: ClassifierName | None,
    ) -> None:
        self._labels, self._words, self._counts, self._splits = labels, words, counts, splits
        self._pooling, self._classifier = pooling, classifier

    def baseline(self) -> float:
        """Mean accuracy of guessing the most frequent label of the training part."""
        return float(
            np.mean(
                [
                    (self._labels[test] == Counter(self._labels[train]).most_common(1)[0][0]).mean()
                    for test, train in self._splits
                ]
            )
        )

    def __call__(self, candidate: Candidate, tell: Callable[[int], object]) -> Result:
        start = time.perf_counter()
        options = dict(candidate.options)
        if "postprocess" in options:
            options["postprocess"] = [by_counts(step, self._counts) for step in options["postprocess"]]
        em = self._matrix(candidate, options)
        seconds = time.perf_counter() - start
        hits: list[Bools] = []
        keras: list[float] = []
        for seed, (test, train) in enumerate(self._splits):
            hits.append(probe(self._pooled(em, train), self._labels, train, test) == self._labels[test])
            if self._classifier is not None:
                keras.append(self._keras(self._classifier, em, test, train, seed))
            tell(1)
        of = np.concatenate([self._labels[test] for test, _ in self._splits])
        right = np.concatenate(hits)
        return Result(
            candidate,
            em.coverage.rate,
            em.coverage.weighted_rate(self._counts),
            em.coverage.top_missing(self._counts, _MOST_MISSING),
            em.shape,
            em.matrix.nbytes,
            _source_bytes(candidate.vectors),
            seconds,
            [float(hit.mean()) for hit in hits],
            keras,
            {label: float(right[of == label].mean()) for label in sorted(set(of.tolist()))},
        )

    def _matrix(self, candidate: Candidate, options: dict[str, Any]) -> EmbeddingMatrix:
        """The matrix of all words. Where none is found there is nothing to refine; the others shall be tried all the same."""
        index = make_word_index(self._counts)
        try:
            return build_matrix(list(candidate.vectors), index, **options)
        except NothingFoundError:
            return build_matrix(list(candidate.vectors), index, **{**options, "postprocess": ()})

    def _pooled(self, em: EmbeddingMatrix, train: Rows) -> Floats:
        """The vectors of all texts, by what is fitted on those for training."""
        from ..vectorizer import TextVectorizer

        vectorizer = TextVectorizer(em, pooling=self._pooling, split=_as_it_is)
        return vectorizer.fit([self._words[row] for row in train]).transform(self._words)

    def _keras(self, kind: ClassifierName, em: EmbeddingMatrix, test: Rows, train: Rows, seed: int) -> float:
        """Accuracy of the Keras classifier; a fifth of the texts for training says when to stop."""
        from ..training.classifiers import Settings, encode, guess

        ids = encode(self._words, em.word_index, min(max(map(len, self._words)), _LONGEST))
        labels = np.unique(self._labels.astype(str), return_inverse=True)[1]
        held = len(train) // 5
        validation, rest = (train[:held], train[held:]) if held else (train, train)
        guesses = guess(Settings(kind, "trainable", epochs=18), em, ids, labels, rest, validation, test, seed)
        return float((guesses == labels[test]).mean())


def _as_it_is(words: Any) -> Any:
    return words


def _source_bytes(vectors: Sequence[Any]) -> int | None:
    """The size of the files, if all are files."""
    if not all(isinstance(one, (str, os.PathLike)) and os.path.isfile(one) for one in vectors):
        return None
    return sum(os.path.getsize(one) for one in vectors)

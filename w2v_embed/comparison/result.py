"""What a comparison finds: candidates, what came of each, and all of them as a table, JSON and a page."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..shown import json_text, plain_errors, quoted, shown

if TYPE_CHECKING:
    from .._types import OneSource, StrPath


@dataclass(frozen=True)
class Candidate:
    """Vectors that are in question, and how the matrix is made of them.

    Attributes:
        vectors: list of what `build_matrix` takes.
        options: dict of more arguments of `build_matrix`, such as fallbacks, combine, align and postprocess. A step
            "frequency_weight:sif" is by the frequencies in the texts.
        name: as tables call it.
    """

    vectors: Sequence[OneSource]
    options: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""


@dataclass(frozen=True)
class Result:
    """What came of a candidate.

    Attributes:
        candidate: the `Candidate`.
        types, tokens: share of the words, and of the running words, with a vector.
        missing: the most frequent words without: list of (word, count).
        shape: of the matrix.
        nbytes: of the matrix.
        source_bytes: of the files that it was made of; None where one is no file.
        seconds: for making the matrix.
        accuracies: of the probe, one a split.
        keras: of the Keras classifier, one a split; empty where none was trained.
        by_label: dict label → share of its texts for testing, of all splits, that the probe got right.
        difference: mean accuracy, less that of the first candidate.
        p: that a difference to the first as large as this one is luck (`significance`); None for the first itself, and for one
            split.
    """

    candidate: Candidate
    types: float
    tokens: float
    missing: list[tuple[str, float]]
    shape: tuple[int, int]
    nbytes: int
    source_bytes: int | None
    seconds: float
    accuracies: list[float]
    keras: list[float]
    by_label: dict[str, float]
    difference: float = 0.0
    p: float | None = None

    @property
    def accuracy(self) -> float:
        """Mean accuracy of the probe."""
        return float(np.mean(self.accuracies))

    @property
    def spread(self) -> float:
        """Standard deviation of the accuracy over the splits; 0 for one split."""
        return _spread(self.accuracies)

    def as_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        told = {name: value for name, value in vars(self).items() if name != "candidate"}
        means = {"name": self.candidate.name, "accuracy": self.accuracy, "spread": self.spread}
        if self.keras:
            means |= {"keras_accuracy": float(np.mean(self.keras)), "keras_spread": _spread(self.keras)}
        vectors = [
            str(one) if isinstance(one, (str, os.PathLike)) else type(one).__name__ for one in self.candidate.vectors
        ]
        options = {name: value if _plain(value) else quoted(value) for name, value in self.candidate.options.items()}
        return {**means, "vectors": vectors, "options": options, **told}


@dataclass(frozen=True)
class Comparison:
    """Candidates in the order of their accuracy.

    Attributes:
        results: list of `Result`, the best first; of equally good ones the narrower.
        texts, labels: how many texts, and dict label → how many of them.
        words, tokens: how many different words, and running words.
        train, test: how many texts on each side of a split, on average.
        seeds: how many splits.
        repeated: texts that another one equals; these stay on one side.
        pooling: of the probe.
        classifier: the Keras classifier, or None.
        baseline: mean accuracy of guessing the most frequent label.
    """

    results: list[Result]
    texts: int
    labels: dict[str, int]
    words: int
    tokens: int
    train: float
    test: float
    seeds: int
    repeated: int
    pooling: str
    classifier: str | None
    baseline: float

    @property
    def winner(self) -> Result:
        """The first."""
        return self.results[0]

    @cached_property
    def ties(self) -> list[Result]:
        """Those that are not told apart from the first: p from 0.05 on, or unknown."""
        return [result for result in self.results[1:] if result.p is None or result.p >= 0.05]

    def notes(self) -> list[str]:
        """What must be known to read the table, as sentences."""
        splits = f"{self.seeds} random split{'s' if self.seeds > 1 else ''}"
        notes = [
            f"Accuracy: {self.pooling} pooling and logistic regression, trained on {self.train:,.0f} texts and tested on "
            f"{self.test:,.0f}: mean ± standard deviation over {splits}. Guessing the most frequent label: {self.baseline:.3f}."
        ]
        if self.seeds > 1:
            notes.append("p: corrected resampled t-test against the first, over the same splits, by Holm's way.")
        else:
            notes.append("One split tells nothing about luck: more seeds give a spread and p.")
        if self.ties:
            names = "; ".join(result.candidate.name for result in self.ties)
            notes.append(f"Not told apart from the first: {names}.")
        if self.classifier:
            best = max(self.results, key=lambda result: float(np.mean(result.keras)))
            same = best is self.winner
            told = "the same is first" if same else f"here {best.candidate.name} is first"
            notes.append(
                f"Keras: the classifier {self.classifier!r}, its embedding trained, on the same splits; {told}."
            )
        if self.repeated:
            notes.append(f"{self.repeated:,} texts repeat others; equal texts are always on the same side of a split.")
        if not any(result.types for result in self.results):
            notes.append(
                'No candidate has any of the words. Chinese needs split="jieba"; capitals, fallbacks=["lower"].'
            )
        return notes

    def cells(self) -> list[list[str]]:
        """The results as a table: its head, and a line a candidate."""
        keras = ["Keras"] if self.classifier else []
        lines = [
            ["vectors", "words", "tokens", "columns", "matrix", "made in", "accuracy", *keras, "to the first", "p"]
        ]
        for result in self.results:
            line = [
                shown(result.candidate.name),
                f"{result.types:.1%}",
                f"{result.tokens:.1%}",
                f"{result.shape[1]:,}",
                f"{result.nbytes / 1e6:,.1f} MB",
                f"{result.seconds:.1f} s",
                f"{result.accuracy:.3f} ± {result.spread:.3f}",
                *([f"{np.mean(result.keras):.3f} ± {_spread(result.keras):.3f}"] if self.classifier else []),
                "" if result is self.winner else f"{result.difference:+.3f}",
                "" if result.p is None else f"{result.p:.3f}" if result.p >= 0.001 else "< 0.001",
            ]
            lines.append(line)
        return lines

    def table(self) -> str:
        """The results as a table in Markdown."""
        head, *lines = [[cell.replace("|", "\\|") for cell in line] for line in self.cells()]
        return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---", *["---:"] * (len(head) - 1)], *lines])

    def as_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        told = {name: value for name, value in vars(self).items() if name not in ("results", "ties")}
        return {**told, "notes": self.notes(), "results": [result.as_dict() for result in self.results]}

    def to_json(self) -> str:
        """The same as text."""
        return json_text(self.as_dict(), indent=1)

    @plain_errors
    def write_report(self, path: StrPath, *, command: str | None = None, title: str | None = None) -> None:
        """Write one self-contained HTML page with pictures.

        Args:
            path: .html file to write.
            command: what makes the matrix of the first, for people to copy.
            title: heading of the page.

        Raises:
            ImportError: the libraries that draw are not installed.
        """
        from ..reports.comparison import write_report

        write_report(self, path, command=command, title=title)


def _spread(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _plain(value: object) -> bool:
    """Whether JSON can hold it."""
    if isinstance(value, (list, tuple)):
        return all(map(_plain, value))
    return value is None or isinstance(value, (str, bool, int, float))

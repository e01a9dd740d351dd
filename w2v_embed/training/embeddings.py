"""What pretrained vectors bring: classifiers that treat them in different ways, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import keras
import numpy as np

from .._types import TrainingName
from ..checks import one_of, whole
from ..progress import text_reporter
from ..shown import plain_errors
from .arrays import check_matrix, make_arrays
from .classifiers import Settings, learn
from .measures import guessed, measures

if TYPE_CHECKING:
    from .._types import ClassifierName, ClassWeight, TextProgress
    from ..matrix.embedding_matrix import EmbeddingMatrix
    from ..text.encoder import TextEncoder
    from .labelled import Labels


@dataclass(frozen=True)
class SideBySide:
    """Accuracies of classifiers that differ in what is done with the embedding.

    Attributes:
        examples: how many texts each column was trained on.
        test: how many gave the accuracies.
        accuracies: embedding → of each of `examples` one accuracy a seed.
    """

    examples: list[int]
    test: int
    accuracies: dict[str, list[list[float]]]

    def table(self) -> str:
        """Mean ± standard deviation over the seeds, in Markdown."""
        lines = ["| embedding |" + "".join(f" {number:,} examples |" for number in self.examples)]
        lines.append("| --- |" + " --- |" * len(self.examples))
        for embedding, columns in self.accuracies.items():
            cells = (f" {np.mean(scores):.3f} ± {np.std(scores):.3f} |" for scores in columns)
            lines.append(f"| {embedding} |" + "".join(cells))
        return "\n".join(lines)


@plain_errors
def compare_embeddings(
    labels: Labels,
    texts: Sequence[str],
    matrix: EmbeddingMatrix,
    *,
    encoder: TextEncoder,
    embeddings: Sequence[TrainingName] = get_args(TrainingName),
    examples: Sequence[int | None] = (None,),
    seeds: int = 3,
    classifier: ClassifierName = "mean",
    class_weight: ClassWeight = None,
    held_out: float = 0.4,
    epochs: int = 24,
    patience: int = 4,
    rate: float = 5e-3,
    batch_size: int = 64,
    seed: int = 0,
    progress: TextProgress = None,
) -> SideBySide:
    """Train the same classifier with each way to treat the embedding, on the same texts, and test all on the same others.

    Args:
        labels, texts, matrix, encoder, classifier, class_weight, held_out, epochs, patience, rate, batch_size: as for `train`.
        embeddings: what is compared, as `embedding` of `train`.
        examples: to train on so many texts, None: on all that are not held out; a column each.
        seeds: so many times each, with other draws of the texts for training.
        seed: of the parting.
        progress: None, True for a bar on stderr, or a callable (classifiers done, classifiers in all).

    Returns:
        a `SideBySide`.

    Raises:
        ValueError, TypeError: as `train`.
    """
    for embedding in embeddings:
        one_of("embeddings", embedding, get_args(TrainingName))
    for number in examples:
        whole("examples", 2 if number is None else number, 2, or_none=True)
    check_matrix(matrix, encoder)
    arrays = make_arrays(labels, texts, encoder, class_weight, held_out, seed)
    truth, validation = arrays.truth[arrays.test], arrays.part(arrays.validation)
    tell = text_reporter(progress, range(len(embeddings) * len(examples) * whole("seeds", seeds)), "classifiers")
    found: dict[str, list[list[float]]] = {}
    for embedding in embeddings:
        settings = Settings(classifier, embedding, epochs, patience, rate, batch_size, arrays.several)
        found[embedding] = [[] for _ in examples]
        for scores, number in zip(found[embedding], examples):
            for draw in range(seeds):
                rows = arrays.part(arrays.chosen(number, draw))
                model, _ = learn(
                    settings, matrix, rows, validation, length=encoder.length, classes=len(arrays.names), seed=draw
                )
                guesses = guessed(np.asarray(model.predict(arrays.ids[arrays.test], verbose=0)), arrays.several)
                scores.append(measures(truth, guesses, arrays.names, arrays.several)["accuracy"])
                keras.backend.clear_session()
                tell(1)
    sizes = [min(number or len(arrays.rest), len(arrays.rest)) for number in examples]
    return SideBySide(sizes, len(arrays.test), found)

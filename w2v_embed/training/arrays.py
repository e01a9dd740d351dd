"""Labelled texts → the arrays that a classifier is trained on, parted for training, validation and test."""

from __future__ import annotations

import numbers
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import above_zero
from ..shown import quoted
from .labelled import check_labels, labels_of, split_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from .._types import Bools, ClassWeight
    from ..matrix.embedding_matrix import EmbeddingMatrix
    from ..text.encoder import TextEncoder
    from .labelled import Labels

    Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Arrays:
    """What a classifier is trained on.

    Attributes:
        names: of the labels, in alphabetical order.
        several: whether a text may have any number of labels.
        ids: int32 `(texts, length)`.
        truth: bool `(texts, labels)`.
        weights: of each text, float32 `(texts,)`; None: all weigh the same.
        validation, test, rest: the rows that say when to stop, those that nobody looks at before the end, and all others.
    """

    names: list[str]
    several: bool
    ids: npt.NDArray[np.int32]
    truth: Bools
    weights: npt.NDArray[np.float32] | None
    validation: Rows
    test: Rows
    rest: Rows

    def part(self, rows: Rows) -> tuple[Any, ...]:
        """(ids, labels) of some rows, as Keras takes them, and their weights, if there are any."""
        truth = self.truth[rows]
        labels = truth.astype(np.float32) if self.several else truth.argmax(axis=1)
        return (self.ids[rows], labels, *(() if self.weights is None else (self.weights[rows],)))

    def chosen(self, examples: int | None, seed: int) -> Rows:
        """So many of the rows that are for training."""
        return self.rest[np.random.default_rng(seed).permutation(len(self.rest))[:examples]]


def make_arrays(
    labels: Labels,
    texts: Sequence[str],
    encoder: TextEncoder,
    class_weight: ClassWeight,
    held_out: float,
    seed: int,
) -> Arrays:
    """Encode and part labelled texts; the arguments are those of `train`."""
    if isinstance(held_out, bool) or not isinstance(held_out, numbers.Real) or not 0 < held_out < 1:
        raise ValueError(f"held_out must be a number above 0 and below 1, received {quoted(held_out)}")
    if len(labels) != len(texts):
        raise ValueError(f"labels and texts must be of the same length, received {len(labels)} and {len(texts)}")
    several = _have_several(labels)
    check_labels(labels, range(len(labels)))
    names = sorted({label for one in labels for label in labels_of(one)})
    numbers_of = {name: number for number, name in enumerate(names)}
    truth = np.zeros((len(labels), len(names)), bool)
    for row, one in enumerate(labels):
        truth[row, [numbers_of[label] for label in labels_of(one)]] = True
    ids = encoder(texts)
    if not ids.any():
        raise ValueError(f"texts must hold words that the encoder knows, received {len(texts)} texts without any")
    # What the model sees as the same text is never parted; what it sees nothing of, tells nothing.
    seen = [row.tobytes() if row.any() else b"" for row in ids]
    validation, test, rest = split_rows(labels, seen, seed, held_out / 2, held_out / 2)
    if not len(validation) or not len(test):
        raise ValueError(
            f"texts must be more, or held_out larger: of {len(texts)} texts {len(validation)} are left for validation and "
            f"{len(test)} for the test, where equal ones stay together and each label keeps one for training"
        )
    check_labels(labels, rest)
    weights = None if class_weight is None else _weights(class_weight, truth, rest, names)
    return Arrays(names, several, ids, truth, weights, validation, test, rest)


def check_matrix(matrix: EmbeddingMatrix, encoder: TextEncoder) -> None:
    """Raise where the ids of the encoder are not the rows of the matrix, with padding at 0."""
    if encoder.ngrams_per_text:
        raise ValueError(
            "encoder must be without subwords, as these classifiers have no OpenVocabularyEmbedding, received one that writes "
            "n-grams. Build the model with that layer, and save it by save_model."
        )
    if encoder.padding_id != 0 or matrix.padding_row != 0:
        raise ValueError(
            f"encoder and matrix must have padding at 0, received padding_id={encoder.padding_id} and "
            f"padding_row={matrix.padding_row}. Number the words from 1 on."
        )
    if encoder.word_index != matrix.word_index:
        raise ValueError(
            "matrix must be made for the words of the encoder, as build_matrix(vectors, encoder.word_index) does, received one "
            f"of {len(matrix.word_index):,} words for an encoder of {len(encoder.word_index):,}"
        )


def _have_several(labels):
    kinds = {isinstance(one, str) for one in labels}
    wrong = next((one for one in labels if not isinstance(one, (str, Collection))), None)
    inner = (label for one in labels if not isinstance(one, str) and isinstance(one, Collection) for label in one)
    wrong = wrong or next((label for label in inner if not isinstance(label, str)), None)
    if len(kinds) > 1 or wrong is not None:
        told = quoted(wrong) if wrong is not None else "both"
        raise TypeError(
            f"labels must be a str for each text, or a list of str for each where texts have several, received {told}"
        )
    return kinds == {False}


def _weights(class_weight, truth, rest, names):
    """Of each text the mean of its labels' weights, 1 where it has none."""
    if isinstance(class_weight, Mapping):
        unknown = [name for name in class_weight if name not in names]
        if unknown:
            raise ValueError(
                f"class_weight must name labels of the texts, {quoted(names)}, received {quoted(unknown[0])}"
            )
        of = [above_zero(f"class_weight of {quoted(name)}", class_weight.get(name, 1.0)) for name in names]
    elif class_weight == "balanced":
        counts = truth[rest].sum(axis=0)
        of = counts.sum() / (len(names) * counts)
    else:
        raise ValueError(
            f'class_weight must be None, "balanced" or a dict label -> number, received {quoted(class_weight)}'
        )
    totals = truth.sum(axis=1)
    return np.where(totals, truth @ np.asarray(of, np.float64) / np.maximum(totals, 1), 1.0).astype(np.float32)

"""How often words occur → a weight for each id: what is rare counts for more in the mean of a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .checks import above_zero, whole
from .figures import idf, sif
from .matrix.coverage import all_counts, checked_counts, mapping_of
from .matrix.embedding_matrix import EmbeddingMatrix
from .shown import plain_errors, quoted
from .vocabulary import read_vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from ._types import Counts, WordIndex


@plain_errors
def sif_weights(counts: Counts, vocabulary: EmbeddingMatrix | WordIndex, *, a: float = 1e-3) -> npt.NDArray[np.float32]:
    """Smooth inverse frequency: a / (a + share of the text), which is 1 for a word without a count.

    Args:
        counts: how often each word occurs, as for `Coverage.weighted_rate`: in the whole text, words of other vocabularies,
            too. `count_words` counts them.
        vocabulary: an `EmbeddingMatrix`, or what `build_matrix` takes as `word_index`.
        a: words whose share is far above it nearly vanish.

    Returns:
        float32 `(rows,)`: the weight of each id. That of padding is 0, that of an id without a word 1.

    Raises:
        TypeError, ValueError: the counts are no mapping, one is negative or no number, or nothing was counted.

    Example:
        >>> sif_weights({"the": 999, "cat": 1}, ["<pad>", "the", "cat", "dog"]).round(3)
        array([0. , 0.001, 0.5 , 1. ], dtype=float32)

    Reference: Arora et al. 2017, A Simple but Tough-to-Beat Baseline for Sentence Embeddings. It divides a text's sum by its
    length, where `WeightedMeanPooling` divides by the sum of the weights, and then takes a common direction away.
    """
    a = above_zero("a", a)
    mapping, _, total = all_counts(counts)
    return _by_id(mapping, vocabulary, lambda numbers: sif(numbers / total, a))


@plain_errors
def idf_weights(counts: Counts, vocabulary: EmbeddingMatrix | WordIndex, *, texts: int) -> npt.NDArray[np.float32]:
    """Inverse document frequency: ln((1 + texts) / (1 + texts with the word)) + 1, so that no weight is 0.

    Args:
        counts: in how many texts each word occurs: `word_docs` of Keras' legacy Tokenizer, or for texts of a line each
            `count_words(path, split=lambda line: set(line.split()))`.
        vocabulary: an `EmbeddingMatrix`, or what `build_matrix` takes as `word_index`.
        texts: how many there are.

    Returns:
        float32 `(rows,)`: the weight of each id. That of padding is 0, that of an id without a word that of a word in no text.

    Raises:
        TypeError, ValueError: the counts are no mapping, or one is negative, no number, or above the number of texts.

    Example:
        >>> idf_weights({"the": 9, "cat": 1}, ["<pad>", "the", "cat", "dog"], texts=9).round(3)
        array([0. , 1. , 2.609, 3.303], dtype=float32)
    """
    texts = whole("texts", texts)
    mapping = mapping_of(counts)
    checked = checked_counts(mapping, list(mapping))
    if len(checked) and checked.numbers.max() > texts:
        word = checked.words[int(checked.numbers.argmax())]
        raise ValueError(
            f"counts must say in how many of the {texts} texts a word occurs, received {mapping[word]} for the word "
            f"{quoted(word)}. Count each word once a text."
        )
    return _by_id(mapping, vocabulary, lambda numbers: idf(numbers, texts))


def _by_id(
    counts: Counts,
    vocabulary: EmbeddingMatrix | WordIndex,
    weigh: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
) -> npt.NDArray[np.float32]:
    if isinstance(vocabulary, EmbeddingMatrix):
        word_index, rows, padding_row = vocabulary.word_index, len(vocabulary.matrix), vocabulary.padding_row
    else:
        read = read_vocabulary(vocabulary)
        word_index, rows, padding_row = read.word_index, read.rows, read.padding_row
    numbers = np.zeros(rows)
    numbers[list(word_index.values())] = checked_counts(counts, list(word_index)).numbers
    weights = weigh(numbers).astype(np.float32)
    if padding_row is not None:
        weights[padding_row] = 0
    return weights

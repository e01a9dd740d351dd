"""A trained table and its vocabulary → a table for another vocabulary, whose words keep their rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..shown import quoted
from ..vocabulary import read_vocabulary
from .build import build_matrix
from .embedding_matrix import EmbeddingMatrix

if TYPE_CHECKING:
    from .._types import Fallback, Oov, Table, WordIndex


def warm_start(
    old_matrix: Table,
    old_vocabulary: WordIndex,
    new_vocabulary: WordIndex,
    *,
    oov: Oov = "normal",
    fallbacks: Sequence[Fallback] = (),
    seed: int = 0,
) -> EmbeddingMatrix:
    """Make a table for a new vocabulary out of a trained one: words of both keep their rows bit for bit.

    So a model that was trained with one vocabulary goes on with another: what `keras.utils.warmstart_embedding_matrix` of
    Keras 2 did. Special tokens are words like others: "[UNK]" keeps its row where both have it, and so does padding.

    Args:
        old_matrix: array `(rows, dim)`: `layer.get_weights()`, `np.asarray(layer.embeddings)`, an `EmbeddingMatrix`.
        old_vocabulary, new_vocabulary: as for `build_matrix`: a `TextVectorization` layer, a list of words, dict word → id, a
            file.
        oov: rows of new words, as for `build_matrix`: "normal" draws them like the rows that are kept.
        fallbacks: old words that lend their rows to new ones, as for `build_matrix`.
        seed: of what is drawn.

    Returns:
        an `EmbeddingMatrix`; its `coverage` says which words kept their rows.

    Raises:
        ValueError: if the matrix has not a row for each old word, or no word is in both.

    >>> em = warm_start([[0.0, 0.0], [5.0, 5.0], [1.0, 2.0]], ["", "[UNK]", "cat"], ["", "[UNK]", "dog", "cat"], oov="zeros")
    >>> em.matrix.tolist(), em.coverage.missing
    ([[0.0, 0.0], [5.0, 5.0], [0.0, 0.0], [1.0, 2.0]], ['dog'])
    """
    old = read_vocabulary(old_vocabulary)
    table = np.asarray(old_matrix)
    if table.ndim == 3 and len(table) == 1:
        table = table[0]  # Keras' list of one array
    if table.ndim != 2 or len(table) < old.rows:
        raise ValueError(
            f"old_matrix must have a row for each of the {old.rows} ids of its vocabulary, received shape {table.shape}. "
            "Is it the table of this vocabulary?"
        )
    if not np.issubdtype(table.dtype, np.floating):
        table = table.astype(np.float32)
    held = EmbeddingMatrix(table[: old.rows], old.word_index, padding_row=old.padding_row, sources=["the old table"])
    em = build_matrix(held, new_vocabulary, oov=oov, fallbacks=fallbacks, seed=seed, dtype=table.dtype)
    if not em.coverage.found:
        raise ValueError(
            f"new_vocabulary must share words with old_vocabulary, it shares none: {quoted(list(em.word_index)[:5])} and "
            f"{quoted(list(old.word_index)[:5])}."
        )
    if em.padding_row is not None and old.padding_row is not None:
        em.matrix[em.padding_row] = table[old.padding_row]
    return em

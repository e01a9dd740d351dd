"""An encoder → a table with a row for each piece of its vocabulary, or for each of some words: what it says of them alone.

Each goes through the model by itself, between its special tokens; the mean of all tokens at the last layer is its row. Rows are
made shorter by principal component analysis, which takes off what all have in common, and then weighted, so that the mean of a
text's rows is a good vector of the text: words that are frequent say little. How frequent they are is guessed from their order,
by Zipf's law.

Reference: Tulkens & van Dongen 2024, Model2Vec: Fast State-of-the-Art Static Embeddings.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, get_args

import numpy as np

from .._types import WeightingName
from ..checks import one_of, whole
from ..figures import sif
from ..matrix.embedding_matrix import EmbeddingMatrix
from ..parts import FIRST_SOURCE, OOV, PADDING, UNUSED
from ..progress import text_reporter
from ..shown import logger
from ..vocabulary import read_vocabulary
from .inputs import chunks
from .pooling import LayerMerge, Pooler

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._types import TextProgress, WordIndex
    from .words import WordEncoder

_UNUSED_PIECE = re.compile(r"\[unused\d+\]")
_SIF = 1e-4
_LAST = -1


def distill(
    encoder: WordEncoder,
    words: WordIndex | None,
    pca: int | None,
    weighting: str | None,
    batch_size: int,
    progress: TextProgress,
) -> EmbeddingMatrix:
    """See `ContextualEncoder.distill`."""
    pca = None if pca is None else whole("pca", pca, or_none=True)
    if weighting is not None:
        one_of("weighting", weighting, get_args(WeightingName), or_else="None")
    batch_size = whole("batch_size", batch_size)
    if words is None:
        word_index, ids, rows, padding_row = _own_vocabulary(encoder)
    else:
        vocabulary = read_vocabulary(words)
        word_index, rows, padding_row = vocabulary.word_index, vocabulary.rows, vocabulary.padding_row
        ids = encoder.tokenizer.pieces(list(word_index))
        ids = [pieces if encoder._known(pieces) else [] for pieces in ids]
    there = np.array([bool(pieces) for pieces in ids], bool)
    if not there.any():
        raise ValueError("distill needs words that the encoder knows, received none: is it of another language?")
    made = _rows_of(encoder, [pieces for pieces in ids if pieces], batch_size, progress)
    made = _shortened(made, pca) * weights_of(len(ids), weighting)[there, None]
    places = np.fromiter(word_index.values(), np.int64, len(word_index))
    matrix = np.zeros((rows, made.shape[1]), np.float32)
    matrix[places[there]] = made
    origins = np.full(rows, UNUSED)
    origins[places] = OOV
    origins[places[there]] = FIRST_SOURCE
    if padding_row is not None:
        matrix[padding_row], origins[padding_row] = 0, PADDING
    return EmbeddingMatrix(
        matrix,
        word_index,
        origins=origins,
        sources=[encoder._folder.resolve().name],
        padding_row=padding_row,
        steps=[{"step": "distill", "pca": pca, "weighting": weighting}],
    )


def _own_vocabulary(encoder):
    """(dict piece → id, by id; its ids, each alone; rows; padding_row), without placeholders and what only frames a text."""
    tokenizer = encoder.tokenizer
    frames = tokenizer.special_ids - {tokenizer.unknown_id, tokenizer.pad_id}
    by_id = sorted(tokenizer.vocabulary().items(), key=lambda item: item[1])
    kept = {piece: id_ for piece, id_ in by_id if id_ not in frames and not _UNUSED_PIECE.match(piece)}
    padding_row = 0 if tokenizer.pad_id == 0 and tokenizer.pad_id in kept.values() else None
    return kept, [[id_] for id_ in kept.values()], tokenizer.size, padding_row


def _rows_of(encoder, ids, batch_size, progress):
    """float32 `(len(ids), width)`."""
    merged = LayerMerge.checked(_LAST, "sum", encoder.config.num_layers)
    room = encoder._room(None, None)
    rows, report = np.zeros((len(ids), encoder.vector_size), np.float32), text_reporter(progress, ids)
    for places in chunks(range(len(ids)), batch_size):
        pooler = Pooler(len(places), rows.shape[1], "mean", encoder.tokenizer, special_tokens=True, idf=None)
        for batch, x in encoder._forward([ids[place] for place in places], merged, room, None, batch_size):
            pooler.add(batch, x)
        rows[places] = pooler.vectors()
        report(len(places))
    return rows


def _shortened(rows: npt.NDArray[np.float32], dim: int | None) -> npt.NDArray[np.float64]:
    """The rows by their `dim` principal components, each of which is turned so that its largest value is positive."""
    x = rows.astype(np.float64)
    if dim is None:
        return x
    if dim >= len(x):
        logger.warning("pca=%d is left out: there are %d rows, and more than pca would be needed", dim, len(x))
        return x
    if dim > x.shape[1]:
        logger.warning("pca=%d makes rows no shorter: the encoder's have %d numbers", dim, x.shape[1])
    x -= x.mean(axis=0)
    _, axes = np.linalg.eigh(x.T @ x / (len(x) - 1))
    scores = x @ axes[:, ::-1][:, :dim]
    largest = scores[np.abs(scores).argmax(axis=0), np.arange(scores.shape[1])]
    return scores * np.where(largest < 0, -1.0, 1.0)


def weights_of(count: int, weighting: str | None) -> npt.NDArray[np.float64]:
    """The weights of words that are sorted from the most frequent on.

    "sif" is a / (a + p) with a = 0.0001 and p the share of the word in running text by Zipf's law, "zipf" the logarithm of its
    rank, from ln 2 on.

    >>> weights_of(3, "zipf").round(2).tolist(), weights_of(2, None).tolist()
    ([0.69, 1.1, 1.39], [1.0, 1.0])
    """
    if weighting is None:
        return np.ones(count)
    ranks = np.arange(2.0, count + 2)
    if weighting == "zipf":
        return np.log(ranks)
    share = 1 / ranks
    return sif(share / share.sum(), _SIF)

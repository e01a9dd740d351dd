"""Hidden states → a vector for each token, or for each word, of texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from .pooling import LayerMerge
    from .states import PretrainedModel

    Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TokenVectors:
    """The vectors of a text's tokens: an array, wherever one is wanted.

    Attributes:
        vectors: float32 `(tokens, dim)`.
        pieces: the tokens as the vocabulary has them.
        offsets: int64 `(tokens, 2)`: for each the characters of the text that it stands for, from and to; (0, 0) for special
            tokens.
    """

    vectors: Vectors
    pieces: list[str]
    offsets: npt.NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.vectors.shape

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, places: Any) -> Any:
        return self.vectors[places]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self.vectors, dtype) if copy else np.asarray(self.vectors, dtype)


def tokens_of(
    encoder: PretrainedModel,
    texts: Sequence[str],
    merge: LayerMerge,
    room: int | None,
    stride: int | None,
    batch_size: int,
    special_tokens: bool,
) -> list[TokenVectors]:
    """See `ContextualEncoder.encode_tokens`."""
    tokenizer = encoder.tokenizer
    spans = tokenizer.spans(texts)
    before, after = (len(tokenizer.head), len(tokenizer.tail)) if special_tokens else (0, 0)
    # Without windows a long text is cut.
    counts = [min(len(span.ids), room) if room is not None and stride is None else len(span.ids) for span in spans]
    rows = [np.zeros((before + count + after, encoder.vector_size * merge.parts), np.float32) for count in counts]
    for batch, x in encoder._forward([span.ids for span in spans], merge, room, stride, batch_size):
        for row, (window, column) in enumerate(zip(batch.windows, batch.columns)):
            target, begin = rows[window.text], column - window.start
            target[before + window.keep_from : before + window.keep_to] = x[
                row, begin + window.keep_from : begin + window.keep_to
            ]
            end = column + window.stop - window.start
            if before and window.first:
                target[:before] = x[row, column - before : column]
            if after and window.last:
                target[-after:] = x[row, end : end + after]
    names = {id_: piece for piece, id_ in tokenizer.vocabulary().items()}
    head, tail = (tokenizer.head, tokenizer.tail) if special_tokens else ([], [])
    result = []
    for vectors, span, count in zip(rows, spans, counts):
        ids = [*head, *span.ids[:count], *tail]
        offsets = [*[(0, 0)] * before, *span.offsets[:count], *[(0, 0)] * after]
        result.append(TokenVectors(vectors, [names[id_] for id_ in ids], np.array(offsets, np.int64).reshape(-1, 2)))
    return result


def words_of(
    encoder: PretrainedModel,
    lists: list[list[str]],
    merge: LayerMerge,
    room: int | None,
    stride: int | None,
    batch_size: int,
) -> list[Vectors]:
    """See `ContextualEncoder.encode_words`."""
    vocabulary = list(dict.fromkeys(word for words in lists for word in words))
    pieces = dict(zip(vocabulary, encoder.tokenizer.pieces(vocabulary)))
    ids = [[id_ for word in words for id_ in pieces[word]] for words in lists]
    # word_of[t][n] is the word of text t to which its nth id belongs
    counts = [[len(pieces[word]) for word in words] for words in lists]
    word_of = [np.repeat(np.arange(len(count)), count) for count in counts]
    sums = [np.zeros((len(words), encoder.vector_size * merge.parts), np.float32) for words in lists]
    for batch, x in encoder._forward(ids, merge, room, stride, batch_size):
        for row, (window, column) in enumerate(zip(batch.windows, batch.columns)):
            begin, kept = column - window.start, slice(window.keep_from, window.keep_to)
            vectors = x[row, begin + window.keep_from : begin + window.keep_to]
            np.add.at(sums[window.text], word_of[window.text][kept], vectors)
    return [total / np.maximum(count, 1).astype(np.float32)[:, None] for total, count in zip(sums, counts)]

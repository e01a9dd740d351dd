"""Words → vectors: in their texts, alone, or as the input table has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import whole
from ..progress import text_reporter
from ..shown import quoted
from .inputs import chunks, list_of_words
from .pooling import LayerMerge, Pooler
from .source import EncoderSource
from .states import PretrainedModel
from .tokens import words_of

if TYPE_CHECKING:
    from .._types import Bools, EncoderMode, MergeName, TextProgress, WeightingName, WordIndex
    from ..matrix.embedding_matrix import EmbeddingMatrix
    from .states import Vectors


class WordEncoder(PretrainedModel):
    """A trained model that makes vectors of words."""

    def encode_words(
        self,
        lists: Iterable[Iterable[str]],
        *,
        layers: int | Iterable[int] = -2,
        merge: MergeName | Sequence[float] = "sum",
        batch_size: int = 32,
        max_length: int | None = None,
        progress: TextProgress = None,
        stride: int | None = None,
    ) -> list[Vectors]:
        """Turn texts that are already split into words, by spaces or a segmenter, into one vector a word.

        Each word is tokenised by itself and its pieces are averaged; special tokens belong to no word.

        Args:
            lists: an iterable of lists of words; each list is a text, in which its words have their meaning.
            stride: from the beginning of a window to that of the next, for a list of more than `max_length` tokens;
                None = half of a window. No word is cut off.
            layers, merge, batch_size, max_length, progress: as in `encode`.

        Returns:
            a list of float32 arrays `(words, dim)`; a word without pieces has zeros.

        >>> from w2v_embed.contextual import ContextualEncoder
        >>> encoder = ContextualEncoder.from_pretrained("tests/data/reference/bert_hf")
        >>> river, money = encoder.encode_words([["river", "bank"], ["put", "money", "in", "bank"]])
        >>> river.shape, money.shape
        ((2, 32), (4, 32))
        """
        if isinstance(lists, str):
            raise TypeError(
                f"lists must be an iterable of lists of words, received the string {quoted(lists)}. Split it first."
            )
        merged = LayerMerge.checked(layers, merge, self.config.num_layers)
        room, batch_size = self._room(max_length, stride), whole("batch_size", batch_size)
        stride = (room + 1) // 2 if stride is None and room is not None else stride
        report, result = text_reporter(progress, lists), []
        for chunk in chunks(lists, batch_size):
            result += words_of(self, [list_of_words(words) for words in chunk], merged, room, stride, batch_size)
            report(len(chunk))
        return result

    def vectors_for(
        self,
        words: Iterable[str],
        *,
        layers: int | Iterable[int] = -2,
        merge: MergeName | Sequence[float] = "sum",
        batch_size: int = 256,
        progress: TextProgress = None,
    ) -> tuple[Vectors, Bools]:
        """Turn words into vectors, each alone between its special tokens: so an encoder is a source for `build_matrix`.

        Args:
            words: a sequence of strings.
            layers, merge, batch_size, progress: as in `encode`.

        Returns:
            `(rows, found)`: float32 `(words, dim)`, the mean of the pieces, zeros where not found; bool `(words,)`,
            False where a word has no pieces or a piece is the unknown token.

        >>> from w2v_embed.contextual import ContextualEncoder
        >>> encoder = ContextualEncoder.from_pretrained("tests/data/reference/bert_hf")
        >>> rows, found = encoder.vectors_for(["king", "zzz"])
        >>> rows.shape, found.tolist()
        ((2, 32), [True, False])
        """
        words = list_of_words(words)
        merged = LayerMerge.checked(layers, merge, self.config.num_layers)
        batch_size = whole("batch_size", batch_size)
        room = self._room(None, None)
        pieces = self.tokenizer.pieces(words)
        found = np.array([self._known(ids) for ids in pieces], bool)
        rows = np.zeros((len(words), self.vector_size * merged.parts), np.float32)
        report = text_reporter(progress, words)
        for places in chunks(np.flatnonzero(found), batch_size):
            pooler = Pooler(len(places), rows.shape[1], "mean", self.tokenizer, special_tokens=False, idf=None)
            for batch, x in self._forward([pieces[place] for place in places], merged, room, room, batch_size):
                pooler.add(batch, x)
            rows[places] = pooler.vectors()
            report(len(places))
        return rows, found

    def table_vectors_for(self, words: Iterable[str]) -> tuple[Vectors, Bools]:
        """Like `vectors_for`, without the model: the mean of the pieces' rows of its input table."""
        words = list_of_words(words)
        pieces = self.tokenizer.pieces(words)
        table = self._table()
        found = np.array([self._known(ids) for ids in pieces], bool)
        rows = np.zeros((len(words), table.shape[1]), np.float32)
        for place in np.flatnonzero(found):
            rows[place] = table[pieces[place]].mean(axis=0)
        return rows, found

    def as_source(self, *, mode: EncoderMode = "forward", pca: int | None = None, **options: Any) -> EncoderSource:
        """Return a source for `build_matrix` with choices: see `EncoderSource`, whose arguments these are.

        >>> from w2v_embed.contextual import ContextualEncoder
        >>> encoder = ContextualEncoder.from_pretrained("tests/data/reference/bert_hf")
        >>> source = encoder.as_source(mode="table", pca=3)
        >>> source.vectors_for(["king", "queen", "bank", "river", "money"])[0].shape
        (5, 3)
        """
        return EncoderSource(self, mode, pca, options)

    def distill(
        self,
        words: WordIndex | None = None,
        *,
        pca: int | None = 256,
        weighting: WeightingName | None = "sif",
        batch_size: int = 256,
        progress: TextProgress = None,
    ) -> EmbeddingMatrix:
        """Make a static table out of the encoder, as model2vec's `distill` does: minutes once, then no model is needed.

        Args:
            words: a vocabulary as for `build_matrix`, the most frequent words first; None = the pieces of the encoder's
                own, with its ids, without "[unused7]" and special tokens other than padding and the unknown one.
            pca: how many numbers a row keeps, by principal component analysis; None = all, untouched.
            weighting: "sif" makes rows of frequent words short: a / (a + p), with a = 0.0001 and p what Zipf's law says of the
                word's rank; "zipf" multiplies by the logarithm of the rank + 1; None leaves them.
            batch_size: words that are computed together, of like length.
            progress: True shows a bar; or a callable (done, total) of words.

        Returns:
            an `EmbeddingMatrix`, float32; a word whose pieces are not all known has no row.

        >>> from w2v_embed.contextual import ContextualEncoder
        >>> encoder = ContextualEncoder.from_pretrained("tests/data/reference/bert_hf")
        >>> em = encoder.distill(["king", "queen", "bank", "river", "zzz"], pca=3)
        >>> em.shape, em.coverage.missing
        ((5, 3), ['zzz'])
        """
        from .distill import distill

        return distill(self, words, pca, weighting, batch_size, progress)

"""An Embedding for every word: rows of its own for those that are known, and n-grams that make a row for any other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from ..checks import whole
from ..subwords.model import keys_sha256, subword_model
from .arguments import dense
from .pretrained import PretrainedEmbedding

if TYPE_CHECKING:
    from .._types import StrPath, Table
    from ..subwords.model import SubwordModel
    from .arguments import Config, Shape
    from .backend import Tensor


@keras.saving.register_keras_serializable(package="w2v_embed")
class OpenVocabularyEmbedding(keras.layers.Layer):
    """Pretrained vectors for the words of a vocabulary, and n-grams that make a row for any other word, all in the saved model.

    A word that training has not seen gets, at prediction time, the row that `SubwordModel.vectors_for` makes for it: the mean
    of all vectors plus the sum of its n-grams' rows over the root of their number. The layer knows no words: a `TextEncoder`
    that was given the same `subwords` writes ids of words, and behind them n-grams for those that have no id.

    Both tables are `PretrainedEmbedding` layers, `words` and `ngrams`: `reload_vectors`, `UnfreezeEmbedding` and
    `RowSparseAdam` reach them. Sums are made in float32 whatever the dtype policy.

    Masking: with an `EmbeddingMatrix` that has a padding row, or a `PretrainedEmbedding` with `mask_zero`, the words other than
    0 are marked.

    Args:
        vectors: an `EmbeddingMatrix`, or an array `(rows, dim)`; or a `PretrainedEmbedding`, with options of its own.
        subwords: a `SubwordModel` of the same width, or the path of one.
        trainable: whether training changes the rows of the n-grams, and those of the words unless `vectors` is a layer. The
            mean stays.
        ngrams_per_text: columns of n-grams, as many as the `TextEncoder` writes.
        **kwargs: `name`, `dtype`, as in `keras.layers.Layer`.

    Input shape: `(batch, time + ngrams_per_text)`, from the encoder: first the ids of words, where `-c` is a word of `c`
    n-grams; then the n-grams of these words, one after another, from 1 on; 0 is none. Output shape: `(batch, time, dim)`.

    Call arguments:
        inputs: such ids, sparse ones are taken. Words or n-grams beyond the rows are the caller's error, as in
            `PretrainedEmbedding`; where `vectors` is one with `check_ids=True`, they are refused.

    Attributes:
        words, ngrams: the two `PretrainedEmbedding` layers; row 0 of `ngrams` is zero.
        mean: the variable `(dim,)`.
        keys_sha256: of the n-grams' hashes: the encoder must have the same.

    Raises:
        TypeError, ValueError: the two are no vectors and no n-grams, or differ in width; an input has no column for words.

    Example:

    >>> from w2v_embed import build_matrix
    >>> from w2v_embed.subwords import fit_subwords
    >>> from w2v_embed.text import TextEncoder
    >>> model = fit_subwords("data/vectors.bin", limit=2000)
    >>> encoder = TextEncoder(["<pad>", "中国", "经济"], length=4, subwords=model, ngrams_per_text=16)
    >>> em = build_matrix("data/vectors.bin", encoder.word_index)
    >>> layer = OpenVocabularyEmbedding(em, model, ngrams_per_text=16)
    >>> rows = np.asarray(layer(encoder(["中国 中国热"])))
    >>> rows.shape, bool(abs(rows[0, 1] - model.row("中国热")).max() < 1e-5)
    ((1, 4, 100), True)
    >>> layer.summary()
    '3 words (0.0 MB) + 9,561 n-grams (3.8 MB) × 100 numbers: 3.8 MB'

    Reference: Zhao, Mudgal & Liang 2018, Generalizing Word Embeddings using Bag of Subwords.
    """

    def __init__(
        self,
        vectors: Table | PretrainedEmbedding,
        subwords: SubwordModel | StrPath | PretrainedEmbedding,
        *,
        trainable: bool = False,
        ngrams_per_text: int = 128,
        **kwargs: Any,
    ) -> None:
        ngrams_per_text = whole("ngrams_per_text", ngrams_per_text)
        super().__init__(trainable=trainable, autocast=False, **kwargs)
        self.ngrams_per_text: int = ngrams_per_text
        self.input_spec = keras.layers.InputSpec(ndim=2)
        self.supports_masking = True
        if not isinstance(vectors, PretrainedEmbedding):
            vectors = PretrainedEmbedding(
                vectors, trainable=trainable, dtype=self.dtype_policy, name=f"{self.name}_words"
            )
        mean, self.keys_sha256 = None, ""
        if not isinstance(subwords, PretrainedEmbedding):
            model = subword_model(subwords)
            mean, self.keys_sha256 = model.mean, keys_sha256(model.keys)
            table = np.concatenate([np.zeros((1, model.vector_size), model.rows.dtype), model.rows])
            subwords = PretrainedEmbedding(
                table,
                trainable=trainable,
                padding_row=0,
                oov_rows=[],  # all of them are known
                check_ids=vectors.check_ids,
                dtype=self.variable_dtype,  # also what is computed with: nothing is rounded before it is summed
                name=f"{self.name}_ngrams",
            )
        self.words: PretrainedEmbedding = vectors
        self.ngrams: PretrainedEmbedding = subwords
        if self.words.output_dim != self.ngrams.output_dim:
            raise ValueError(
                f"subwords must make rows of {self.words.output_dim} numbers, as vectors have, received "
                f"{self.ngrams.output_dim}. Fit them to the same vectors."
            )
        self.mean: keras.Variable = self.add_weight(
            shape=(self.words.output_dim,), initializer="zeros", trainable=False, autocast=False, name="mean"
        )
        if mean is not None:
            self.mean.assign(mean)

    def build(self, input_shape: Shape) -> None:
        self.compute_output_shape(input_shape)
        self.words.build(None)
        self.ngrams.build(None)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        ids = dense(inputs)
        if keras.backend.standardize_dtype(ids.dtype) not in ("int32", "int64"):
            ids = ops.cast(ids, "int32")
        words, ngrams = ids[:, : -self.ngrams_per_text], ids[:, -self.ngrams_per_text :]
        counts = ops.maximum(-words, 0)
        spelt = ops.greater(counts, 0)
        known = self.words(ops.where(spelt, 0, words), training=training)
        made = ops.cast(self._made(counts, self.ngrams(ngrams, training=training)), known.dtype)
        return ops.cast(ops.where(spelt[..., None], made, known), self.compute_dtype)

    def _made(self, counts, rows):
        """float32 `(batch, time, dim)`: of words that have `counts` `(batch, time)` of the n-grams with these `rows`
        `(batch, ngrams_per_text, dim)`, one word after another."""
        batch, time = ops.shape(counts)[0], ops.shape(counts)[1]
        ends = ops.cumsum(counts, axis=1)
        place = ops.arange(self.ngrams_per_text, dtype=ends.dtype)
        # That of the word whose n-gram it is; behind the last one there is room for what belongs to none.
        of = ops.sum(ops.cast(ends[:, :, None] <= place, "int32"), axis=1)
        of = of + ops.arange(batch, dtype="int32")[:, None] * (time + 1)
        flat = ops.reshape(ops.cast(rows, "float32"), (-1, self.words.output_dim))
        sums = ops.segment_sum(flat, ops.reshape(of, (-1,)), num_segments=batch * (time + 1))
        sums = ops.reshape(sums, (batch, time + 1, self.words.output_dim))[:, :time]
        roots = ops.sqrt(ops.cast(ops.maximum(counts, 1), "float32"))
        return sums / roots[..., None] + ops.cast(self.mean, "float32")

    def compute_mask(self, inputs: Tensor, mask: Tensor = None) -> Tensor:
        return self.words.compute_mask(dense(inputs)[:, : -self.ngrams_per_text])

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        length = input_shape[1]
        if length is not None and length <= self.ngrams_per_text:
            raise ValueError(
                f"inputs must be (batch, time + {self.ngrams_per_text}), words and then n-grams, as a TextEncoder with "
                f"ngrams_per_text={self.ngrams_per_text} gives them, received shape {tuple(input_shape)}"
            )
        return (input_shape[0], None if length is None else length - self.ngrams_per_text, self.words.output_dim)

    def compute_output_spec(self, inputs: Tensor, training: bool | None = None) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=self.compute_dtype)

    def summary(self) -> str:
        """How many rows it holds, and how large they are, in one line."""
        told, total = [], 0
        for table, rows, of in (
            (self.words, self.words.input_dim, "words"),
            (self.ngrams, self.ngrams.input_dim - 1, "n-grams"),
        ):
            values = table._embeddings
            bits = int("".join(filter(str.isdigit, keras.backend.standardize_dtype(values.dtype))))
            size = math.prod(values.shape) * bits // 8
            total += size
            told.append(f"{rows:,} {of} ({size / 1e6:,.1f} MB)")
        return f"{' + '.join(told)} × {self.words.output_dim} numbers: {total / 1e6:,.1f} MB"

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "vectors": keras.saving.serialize_keras_object(self.words),
            "subwords": keras.saving.serialize_keras_object(self.ngrams),
            "ngrams_per_text": self.ngrams_per_text,
            "keys_sha256": self.keys_sha256,
        }

    @classmethod
    def from_config(cls, config: Config) -> OpenVocabularyEmbedding:
        config = dict(config)
        sha256 = config.pop("keys_sha256")
        for name in ("vectors", "subwords"):
            config[name] = keras.saving.deserialize_keras_object(config[name])
        layer = cls(**config)
        layer.keys_sha256 = sha256
        return layer

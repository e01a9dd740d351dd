"""Texts → one vector each, as a transformer of scikit-learn. Only who imports this needs scikit-learn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from ._types import TextPoolingName
from .checks import above_zero, one_of, whole
from .corpus import make_word_index
from .figures import idf, principal_axes, sif
from .matrix.build import build_matrix
from .matrix.embedding_matrix import EmbeddingMatrix
from .shown import quoted
from .splitting import splitter
from .vocabulary import read_vocabulary

if TYPE_CHECKING:
    import numpy.typing as npt

    from ._types import Floats, Split, Vectors, WordIndex
    from .matrix.coverage import Coverage

    class _Transformer:
        """What scikit-learn gives to a transformer; its own classes come without types."""

        def get_params(self, deep: bool = True) -> dict[str, Any]: ...
        def set_params(self, **params: Any) -> TextVectorizer: ...
        def set_output(self, *, transform: Literal["default", "pandas", "polars"] | None = None) -> TextVectorizer: ...
        def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[np.object_]: ...
        def __sklearn_tags__(self) -> Any: ...

else:
    try:
        from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
    except ImportError as error:
        raise ImportError(
            'vectors of texts for pipelines need scikit-learn: pip install "w2v-embed[sklearn]"'
        ) from error

    class _Transformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
        pass


class TextVectorizer(_Transformer):
    """Texts → one vector each, pooled from the vectors of their words: a transformer for scikit-learn's pipelines.

    `fit` builds the matrix for the words of its texts, and `transform` looks words up there: no file is read again, and a word
    that neither the texts of `fit` nor `vocabulary` had is unknown, as for scikit-learn's own vectorizers. Words without a
    vector count nowhere; the vector of a text without any known word is zero.

    Args:
        vectors: what `build_matrix` takes. An `EmbeddingMatrix` with neither `vocabulary` nor `build` beside it is taken as it
            is: its words, and its rows, also lent ones. Clones share the vectors, they do not copy them.
        pooling: "mean"; "idf", weighted by the inverse document frequency in the texts of `fit`, as scikit-learn smooths it;
            or "sif": each word weighted by `weight / (weight + its share of the tokens of fit)`, and then the first principal
            directions of the vectors of `fit` removed from all.
        split: "whitespace"; "jieba", for Chinese; or a callable text → words, which gets whatever the texts are.
        vocabulary: words to know beside those of the texts that `fit` gets: anything that `build_matrix` takes.
        remove: for "sif", how many directions to remove, 0 or more.
        weight: for "sif", above 0.
        build: dict of more arguments of `build_matrix`: `{"fallbacks": ["lower"]}`.

    Attributes:
        vocabulary_: dict word with a vector → row of `rows_`.
        rows_: array `(words, dim)`.
        weights_: float64 array `(words,)`: of each word, 1 for "mean".
        components_: float64 array `(removed, dim)`: the directions that are removed; none but for "sif".
        coverage_: the `Coverage` of the words.

    Raises:
        ValueError, TypeError, FileNotFoundError, ImportError: from `fit`, where an argument or a text is none.

    Example:
        >>> from w2v_embed.vectorizer import TextVectorizer
        >>> texts = ["中国 经济", "经济", "qwxyz"]
        >>> TextVectorizer("data/vectors.txt.bz2", pooling="sif").fit_transform(texts).shape
        (3, 100)

    Reference: Arora et al. 2017, A Simple but Tough-to-Beat Baseline for Sentence Embeddings.
    """

    def __init__(
        self,
        vectors: Vectors | None = None,
        *,
        pooling: TextPoolingName = "mean",
        split: Split = "whitespace",
        vocabulary: WordIndex | None = None,
        remove: int = 1,
        weight: float = 1e-3,
        build: Mapping[str, Any] | None = None,
    ) -> None:
        self.vectors: Vectors | None = vectors
        self.pooling: TextPoolingName = pooling
        self.split: Split = split
        self.vocabulary: WordIndex | None = vocabulary
        self.remove: int = remove
        self.weight: float = weight
        self.build: Mapping[str, Any] | None = build

    def fit(self, X: Iterable[Any], y: object = None) -> TextVectorizer:
        """Build the matrix for the words of these texts, and fit what the pooling weighs words by.

        Args:
            X: the texts.
            y: looked at by nobody.

        Returns:
            the transformer itself.
        """
        self._fit(self._words(X))
        return self

    def fit_transform(self, X: Iterable[Any], y: object = None, **fit_params: Any) -> Floats:
        """As `fit(X).transform(X)`; the texts are split once."""
        words = self._words(X)
        self._fit(words)
        return self._pooled(words)

    def transform(self, X: Iterable[Any]) -> Floats:
        """The vectors of texts.

        Args:
            X: the texts.

        Returns:
            float32 array `(texts, dim)`.
        """
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        return self._pooled(self._words(X))

    def _words(self, X):
        """The words of each text."""
        if isinstance(X, (str, bytes)) or not isinstance(X, Iterable) or getattr(X, "ndim", 1) != 1:
            shape = f" of shape {X.shape}" if hasattr(X, "shape") else ""
            told = f"a {type(X).__name__}{shape}" if shape else quoted(X)
            raise ValueError(f"X must be a list of texts, received {told}. Of a table, pass one column.")
        words_of = splitter(self.split)
        words = []
        for number, text in enumerate(X):
            if not callable(self.split) and not isinstance(text, str):
                raise ValueError(f"X must hold texts, received {quoted(text)} at place {number}.")
            words.append(words_of(text))
        return words

    def _fit(self, texts: list[list[str]]) -> None:
        one_of("pooling", self.pooling, get_args(TextPoolingName))
        whole("remove", self.remove, 0)
        above_zero("weight", self.weight)
        if not texts:
            raise ValueError("X must hold at least one text, received none.")
        if self.vectors is None:
            raise ValueError("vectors must be what build_matrix takes, received None. Pass a file of word vectors.")
        em = self._matrix(texts)
        words = em.coverage.found
        self.vocabulary_: dict[str, int] = {word: row for row, word in enumerate(words)}
        self.rows_: Floats = em.matrix[[em.word_index[word] for word in words]]
        self.coverage_: Coverage = em.coverage
        self.weights_: npt.NDArray[np.float64] = self._weights(texts)
        self.components_: npt.NDArray[np.float64] = np.zeros((0, em.vector_size))
        if self.pooling == "sif" and self.remove:
            vectors = self._means(texts)
            _, axes = principal_axes(vectors.T @ vectors)
            self.components_ = axes[:, : self.remove].T.copy()
        self._n_features_out = em.vector_size

    def _matrix(self, texts):
        if isinstance(self.vectors, EmbeddingMatrix) and self.vocabulary is None and self.build is None:
            return self.vectors
        counts = Counter(chain.from_iterable(texts))
        more = [] if self.vocabulary is None else read_vocabulary(self.vocabulary).word_index
        words = dict.fromkeys(chain(make_word_index(counts), more))
        if not words:  # texts of nothing are no error: any one word opens the vectors, which tell their width
            words = {"a": None}
        return build_matrix(self.vectors, {word: row for row, word in enumerate(words, 1)}, **(self.build or {}))

    def _weights(self, texts):
        """A weight for each word that has a row."""
        if self.pooling == "mean":
            return np.ones(len(self.vocabulary_))
        if self.pooling == "idf":
            found = Counter(chain.from_iterable(map(set, texts)))
            documents = np.array([found[word] for word in self.vocabulary_], np.float64)
            return idf(documents, len(texts))
        counts = Counter(chain.from_iterable(texts))
        tokens = np.array([counts[word] for word in self.vocabulary_], np.float64)
        return sif(tokens / max(counts.total(), 1), self.weight)

    def _means(self, texts: list[list[str]]) -> Floats:
        """The weighted means, float64 `(texts, dim)`."""
        rows = [[self.vocabulary_[word] for word in words if word in self.vocabulary_] for words in texts]
        from scipy.sparse import csr_array

        ends = np.cumsum([0, *map(len, rows)])
        places = np.fromiter(chain.from_iterable(rows), np.int64, ends[-1])
        weights = self.weights_[places]
        table = csr_array((weights, places, ends), shape=(len(texts), len(self.rows_)))
        # SIF divides by the number of words, whatever they weigh
        of = np.diff(ends).astype(np.float64) if self.pooling == "sif" else np.asarray(table.sum(axis=1)).ravel()
        return (table @ self.rows_.astype(np.float64)) / np.where(of > 0, of, 1)[:, None]

    def _pooled(self, texts: list[list[str]]) -> Floats:
        vectors = self._means(texts)
        vectors -= (vectors @ self.components_.T) @ self.components_
        return vectors.astype(np.float32)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        tags.transformer_tags.preserves_dtype = []  # texts have none
        return tags

    def __sklearn_clone__(self) -> TextVectorizer:
        from sklearn.base import clone

        given = self.get_params(deep=False)
        return type(self)(
            **{name: value if name == "vectors" else clone(value, safe=False) for name, value in given.items()}
        )

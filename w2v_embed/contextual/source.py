"""An encoder as a source of word vectors for `build_matrix`: static vectors out of a model in context."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, get_args

import numpy as np

from .._types import EncoderMode
from ..checks import one_of, whole
from .pooling import Projection, fit_pca

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._types import Bools
    from .words import WordEncoder

MODES: Final[tuple[str, ...]] = get_args(EncoderMode)


class EncoderSource:
    """Vectors of words out of an encoder; made by `ContextualEncoder.as_source`.

    Args:
        encoder: a `ContextualEncoder`.
        mode: "forward" sends each word through the model, alone between its special tokens, and averages its pieces at
            the chosen layers; "table" averages the pieces' rows of the input table, which costs nothing and knows less.
        pca: how many columns to keep by principal component analysis; None = all, untouched. It is fitted to the found
            words of the first call, of which there must be more than `pca`: ask for all words at once.
        options: of `encode_words` (layers, merge, …), for mode "forward".

    Attributes:
        vector_size: numbers a word.
    """

    vector_size: int

    def __init__(self, encoder: WordEncoder, mode: str, pca: int | None, options: Mapping[str, Any]) -> None:
        one_of("mode", mode, MODES)
        if mode == "table" and options:
            raise ValueError(f'mode "table" reads the input table: it has no {", ".join(options)}.')
        self._encoder, self._mode, self._options = encoder, mode, options
        self._projection: Projection | None = None
        empty, _ = encoder.table_vectors_for([]) if mode == "table" else encoder.vectors_for([], **options)
        full = empty.shape[1]
        self._pca = None if pca is None else whole("pca", pca, 1, full, or_none=True)
        self.vector_size = full if self._pca is None else self._pca

    def vectors_for(self, words: Iterable[str]) -> tuple[npt.NDArray[np.float32], Bools]:
        """Return `(rows, found)`: float32 `(len(words), vector_size)`, zeros where not found, and bool `(len(words),)`.

        A word is found if it has pieces and none of them is the unknown token.
        """
        words = list(words)
        if self._mode == "table":
            rows, found = self._encoder.table_vectors_for(words)
        else:
            rows, found = self._encoder.vectors_for(words, **self._options)
        if self._pca is None:
            return rows, found
        if self._projection is None:
            self._projection = fit_pca(rows[found], self._pca)
        projected = np.zeros((len(words), self._pca), np.float32)
        projected[found] = self._projection(rows[found])
        return projected, found

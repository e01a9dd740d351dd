"""An encoder as a source of word vectors for `build_matrix`: static vectors out of a model in context."""

import numpy as np

from .pooling import fit_pca

MODES = ("forward", "table")


class EncoderSource:
    """Vectors of words out of an encoder; made by `ContextualEncoder.as_source`.

    Args:
        encoder: a `ContextualEncoder`.
        mode: "forward" sends each word through the model, alone between its special tokens, and averages its pieces at
            the chosen layers; "table" averages the pieces' rows of the input table, which costs nothing and knows less.
        pca: how many columns to keep by principal component analysis; None = all, untouched. It is fitted to the found
            words of the first call, of which there must be more than `pca`: ask for all words at once.
        options: of `encode_words` (layers, merge, …), for mode "forward".
    """

    def __init__(self, encoder, mode, pca, options):
        if mode not in MODES:
            raise ValueError(f"mode should be one of {', '.join(MODES)}, got {mode!r}.")
        if mode == "table" and options:
            raise ValueError(f"mode 'table' reads the input table, it has no {', '.join(options)}.")
        if pca is not None and (type(pca) is not int or pca < 1):
            raise ValueError(f"pca should be None or a whole number of columns, 1 or more, got {pca!r}.")
        self._encoder, self._mode, self._pca, self._options = encoder, mode, pca, options
        self._projection = None
        full = encoder.vector_size if mode == "table" else encoder.vectors_for([], **options)[0].shape[1]
        if pca is not None and pca > full:
            raise ValueError(f"pca should be at most {full}, the width of the vectors, got {pca}.")
        self.vector_size = full if pca is None else pca

    def vectors_for(self, words):
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

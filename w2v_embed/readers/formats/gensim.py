"""gensim's own files (.kv, .model): a pickle of the object; its large arrays may lie beside it as .npy.

    0x80, the pickle protocol 2 to 5, the object

A pickle can run code when it is opened, so that is done only where `trust=True` is passed, by gensim itself.
"""

from __future__ import annotations

import numpy as np

from ..gensims import gensim_models
from ..tables import table_of
from .base import Beginning, Format, Layout


class Gensim(Format):
    """`KeyedVectors`, or a model that holds some."""

    name: str = "gensim"

    def recognises(self, head: bytes) -> bool:
        return head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5")

    def open(self, file: Beginning) -> Layout:
        path, packed = file.path, file.source.compression
        if packed:
            raise ValueError(
                f"{path} is a Python pickle, probably gensim's own format, packed with {packed}. Unpack it first; then "
                "trust=True reads it, if you made it or trust who did."
            )
        if not file.trust:
            raise ValueError(
                f"{path} is a Python pickle, probably gensim's own format. Opening one can run code that somebody put in it. "
                "If you made the file, or trust who did, pass trust=True: it is read as a whole, for it cannot be streamed. "
                "Else ask for word2vec format (kv.save_word2vec_format)."
            )
        keyed = gensim_models(f"gensim's own format, that of {path},").KeyedVectors
        try:
            kv = keyed.load(str(path))
            kv = getattr(kv, "wv", kv)  # a whole model holds its vectors there
            if isinstance(kv, keyed):
                words, ids = _checked(kv)
        except Exception as error:  # whatever the pickle does
            raise ValueError(
                f"{path} is no whole file of gensim's ({error!r}). Take it with the .npy files beside it."
            ) from error
        if not isinstance(kv, keyed):
            raise ValueError(f"{path} holds a {type(kv).__name__}; expected gensim KeyedVectors or a model with them.")
        if not words:
            raise ValueError(f"{path} holds KeyedVectors without a word; expected one at least.")
        return table_of(words, kv.vectors, ids, kv=kv)


def _checked(kv):
    """Its words and their rows, in the order of the rows."""
    index, rows = kv.key_to_index, kv.vectors
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.dtype.kind != "f":
        raise ValueError(f"expected vectors (words, dim) of floats, got {getattr(rows, 'shape', rows)}")
    for word, row in index.items():
        if not isinstance(word, str) or type(row) is bool or not hasattr(row, "__index__") or not 0 <= row < len(rows):
            raise ValueError(f"expected words and rows from 0 to {len(rows) - 1}, got {word!r} and {row!r}")
    words = sorted(index, key=index.get)  # index_to_key is wrong where words are there twice
    return words, [index[word] for word in words]

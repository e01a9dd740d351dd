"""word_index + vectors → EmbeddingMatrix."""

import logging
from functools import cached_property
from pathlib import Path

import numpy as np

from .coverage import Coverage
from .readers import select_rows
from .readers.damage import DamageReport
from .vocabulary import is_padding, num_words_of, read_word_index

logger = logging.getLogger("w2v_embed")

_UNUSED, _PADDING, _OOV = range(3)  # codes of `_origin`; higher ones are sources
_ORIGINS = ("unused", "padding", "oov")
_DTYPES = ("float16", "float32", "float64")


class EmbeddingMatrix:
    """An embedding matrix with the vocabulary that it belongs to, and where each row came from.

    `build_matrix` makes it; `np.asarray(em)` is the matrix.

    Attributes:
        matrix: array `(rows, dim)`; row i is the vector of the word with id i.
        word_index: dict word → id.
        padding_row: 0 where row 0 is padding (all zeros), None where id 0 is a word.
        provenance: array `(rows,)` of str: the source of each row, or "padding", "oov", or "unused" where no word has the id.
        oov_rows: array of the ids of words without a vector.
        coverage: the `Coverage`.
        damage: `DamageReport`s of the files that were read, or an empty list.

    Raises:
        ValueError: the parts do not fit together.
    """

    def __init__(self, matrix, word_index, *, origins=None, sources=(), padding_row=None, damage=()):
        self.matrix = np.asarray(matrix)
        self.word_index = dict(word_index)
        self.padding_row = padding_row
        self.damage = list(damage)
        self._sources = tuple(sources)
        if self.matrix.ndim != 2:
            raise ValueError(f"expected a matrix (rows, dim), received an array of shape {self.matrix.shape}")
        highest = max(self.word_index.values(), default=-1)
        if highest >= len(self.matrix):
            raise ValueError(f"the word index goes up to the id {highest}, but the matrix has {len(self.matrix)} rows")
        if origins is None:
            origins = np.zeros(len(self.matrix))
        self._origins = np.asarray(origins, np.int32)

    def __array__(self, dtype=None, copy=None):
        if copy is None:  # NumPy 1 knows no None there
            return np.asarray(self.matrix, dtype=dtype)
        return np.array(self.matrix, dtype=dtype, copy=copy)

    @property
    def shape(self):
        """(rows, dim)"""
        return self.matrix.shape

    @property
    def provenance(self):
        return np.array([*_ORIGINS, *self._sources], object)[self._origins]

    @property
    def oov_rows(self):
        return np.flatnonzero(self._origins == _OOV)

    @cached_property
    def coverage(self):
        origins = self._origins.tolist()
        found, missing, sources = [], [], {}
        for word, index in self.word_index.items():
            if origins[index] > _OOV:
                found.append(word)
                sources[word] = self._sources[origins[index] - len(_ORIGINS)]
            elif origins[index] == _OOV:
                missing.append(word)
        return Coverage(found, missing, sources)

    def save(self, path):
        """Write to `path`: .safetensors or .npz with everything, .npy the bare matrix. The old file stays until the new is whole."""
        from .store import save

        save(self, path)

    @classmethod
    def load(cls, path):
        """Read what `save` wrote. A .npy has no words: its `word_index` is empty."""
        from .store import load

        return load(cls, path)

    def __repr__(self):
        rows, dim = self.matrix.shape
        return (
            f"EmbeddingMatrix({rows} × {dim}, {self.matrix.dtype}, padding_row={self.padding_row}, {self.coverage!r})"
        )


def build_matrix(
    vectors,
    word_index,
    *,
    num_words=None,
    oov="zeros",
    fallbacks=(),
    seed=0,
    dtype="float32",
    encoding="utf-8",
    on_error="raise",
    progress=None,
):
    """The embedding matrix for your vocabulary.

    A file is streamed: only the rows that are wanted are parsed, memory is the matrix and a few MB, and reading stops when every
    word is found. Row 0 is padding, all zeros, where no word has id 0 or the word there is '', '<pad>' or '[PAD]'.

    Args:
        vectors: a path (see `load_vectors` for the formats), a gensim KeyedVectors, any object with `vector_size` and
            `vectors_for(words) -> (rows, found)`, or a list of these, of which an earlier one wins.
        word_index: dict word → id; list of words (id = position); a Keras Tokenizer, TextVectorization or StringLookup; a Hugging
            Face tokenizer; a path to .json or .txt (one word a line).
        num_words: rows of the matrix, where not highest id + 1: as in Keras' Tokenizer, ids from `num_words` on are left out.
        oov: rows of words without a vector: "zeros"; "normal", drawn with mean and standard deviation of the found rows, column
            by column; "mean" of the found rows; or a callable `(shape, rng) -> rows`. They do not depend on the order of the words.
        fallbacks: must be empty yet.
        seed: of what `oov` draws.
        dtype: "float32", "float16" or "float64".
        encoding, on_error, progress: as for `load_vectors`.

    Returns:
        An `EmbeddingMatrix`.

    Raises:
        FileNotFoundError, TypeError, ValueError: says what is wrong, where, and how to go on.

    Example:
        >>> from w2v_embed import build_matrix
        >>> em = build_matrix("data/vectors.txt.bz2", {"中国": 1, "经济": 2, "qwxyz": 3})
        >>> em.shape, em.coverage.missing, em.padding_row
        ((4, 100), ['qwxyz'], 0)
    """
    if tuple(fallbacks):
        raise ValueError(f"fallbacks must be empty in this version, received {fallbacks!r}")
    if not callable(oov) and oov not in ("zeros", "normal", "mean"):
        raise ValueError(f'oov must be "zeros", "normal", "mean" or a callable (shape, rng) -> rows, received {oov!r}')
    if str(np.dtype(dtype)) not in _DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(_DTYPES)}, received {dtype!r}")
    num_words = num_words_of(word_index, num_words)
    word_index = read_word_index(word_index, num_words)
    rows = num_words or max(word_index.values()) + 1
    first = next(iter(word_index))
    padding_row = 0 if word_index[first] != 0 or is_padding(first) else None

    origins = np.full(rows, _UNUSED, np.int32)
    origins[list(word_index.values())] = _OOV
    if padding_row == 0:
        origins[0] = _PADDING
    sources = list(vectors) if isinstance(vectors, (list, tuple)) else [vectors]
    if not sources:
        raise ValueError("vectors is an empty list; expected at least one source of vectors")
    matrix, names, damage = None, [], []
    for code, source in enumerate(sources, len(_ORIGINS)):
        names.append(_name_of(source))
        words = [word for word, index in word_index.items() if origins[index] == _OOV]
        if not words and matrix is not None:
            break
        places = np.array([word_index[word] for word in words], np.int64)

        def room(dim, name=names[-1]):
            if matrix is None:
                return np.zeros((rows, dim), dtype)
            if matrix.shape[1] != dim:
                raise ValueError(
                    f"{name} has vectors of {dim} numbers, {names[0]} of {matrix.shape[1]}; they must be alike"
                )
            return matrix

        if isinstance(source, (str, Path)):
            matrix, found, report = select_rows(
                source, words, room, places, encoding=encoding, on_error=on_error, progress=progress
            )
        else:
            matrix, found, report = _rows_of(source, words, room, places, names[-1], on_error)
        damage.append(report)
        origins[places[found]] = code
    em = EmbeddingMatrix(matrix, word_index, origins=origins, sources=names, padding_row=padding_row, damage=damage)
    if not em.coverage.found:
        logger.warning("none of the %d words was found in %s", len(em.coverage.missing), ", ".join(names))
    _fill_oov(em, oov, seed)
    return em


def _name_of(source):
    return Path(source).name if isinstance(source, (str, Path)) else type(source).__name__


def _rows_of(source, words, room, places, name, on_error):
    """As `select_rows`, out of an object in memory."""
    if hasattr(source, "key_to_index"):  # not gensim's `in`, which takes ids for words
        index = source.key_to_index
        found = np.fromiter((word in index for word in words), np.bool_, len(words))
        dim = source.vectors.shape[1]
        rows = source.vectors[[index[word] for word in words if word in index]]
    elif callable(getattr(source, "vectors_for", None)):
        dim = source.vector_size
        all_rows, found = source.vectors_for(words)
        all_rows, found = np.asarray(all_rows), np.asarray(found)
        if all_rows.shape != (len(words), dim) or found.shape != (len(words),) or found.dtype != np.bool_:
            raise ValueError(
                f"{name}.vectors_for must return rows of shape {(len(words), dim)} and bools of shape {(len(words),)}, "
                f"received {all_rows.shape} and {found.dtype} {found.shape}"
            )
        rows = all_rows[found]
    else:
        raise TypeError(
            "vectors must be a path, a gensim KeyedVectors, an object with vector_size and vectors_for(words), or a list of "
            f"these; received {name}"
        )
    report = DamageReport(name, on_error)
    hits = np.flatnonzero(found)
    good = np.isfinite(rows).all(axis=1)
    for k in hits[~good].tolist():
        report.add("not finite", "expected finite numbers in its vector", f"word {words[k]!r}")
    report.log()
    found = found.copy()
    found[hits[~good]] = False
    matrix = room(dim)
    matrix[places[found]] = rows[good]
    return matrix, found, report


def _fill_oov(em, oov, seed):
    """Give the rows of unknown words their values. Sums and draws run in the order of the words, so that ids do not matter."""
    missing = sorted(em.coverage.missing)
    found = sorted(em.coverage.found)
    if isinstance(oov, str) and (oov == "zeros" or not found):
        return
    if not missing:
        return
    shape = len(missing), em.matrix.shape[1]
    rng = np.random.default_rng(seed)
    if callable(oov):
        rows = np.asarray(oov(shape, rng))
        if rows.shape != shape or not np.isfinite(rows).all():
            raise ValueError(f"oov must return finite rows of shape {shape}, received shape {rows.shape}")
    else:
        known = em.matrix[[em.word_index[word] for word in found]].astype(np.float64)
        rows = np.broadcast_to(known.mean(axis=0), shape)
        if oov == "normal":
            rows = rows + known.std(axis=0) * rng.standard_normal(shape)
    em.matrix[[em.word_index[word] for word in missing]] = rows

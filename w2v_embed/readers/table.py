"""Vectors that come as a table with its words, not as a stream: fastText's .bin, gensim's own files, and our artifacts."""

import numpy as np

from .blocks import Block
from .damage import Damage, Damages
from .detect import Layout

_ROWS = 4096  # a block


class TableReader:
    """A table → blocks, as the other readers give them.

    Args:
        kind: of the file.
        words: list of str, in the order of the rows.
        rows: what gives rows when it is sliced; its `shape` is (rows, dim).
        wanted: list of the words that are looked for, or None for all.
        ids: for each word its row, ascending; None where row i is that of word i.
        kv: the gensim object that the table was taken from, or None.
    """

    unit = "row"
    first_record = 1
    least_bytes = 4

    def __init__(self, kind, words, rows, wanted, ids=None, kv=None):
        self.words, self.rows, self.kv = words, rows, kv
        self.dim = int(rows.shape[1])
        self.ids = np.arange(len(words)) if ids is None else np.asarray(ids, np.int64)
        self.layout = Layout(kind, self.dim, None, 0)
        self._target_of = None if wanted is None else {word: k for k, word in enumerate(wanted)}
        self._next = 0

    def scratch(self):
        """Nothing: the rows lie there already."""
        return _Span()

    def fill(self, span):
        """The next rows."""
        span.begin, span.stop = self._next, min(self._next + _ROWS, self.rows.shape[0])
        self._next = span.stop
        return span.stop > span.begin

    def read(self, span):
        """The block of these rows."""
        first, last = np.searchsorted(self.ids, (span.begin, span.stop))
        names = self.words[first:last]
        targets = np.zeros(len(names), np.int64)
        keep = np.arange(len(names))
        if self._target_of is not None:
            targets = np.array([self._target_of.get(name, -1) for name in names], np.int64)
            keep = np.flatnonzero(targets >= 0)
        where = (self.ids[first:last] - span.begin)[keep]
        with np.errstate(over="ignore"):
            rows = np.asarray(self.rows[span.begin : span.stop])[where].astype(np.float32)
        finite = np.isfinite(rows).all(axis=1)
        damage = Damages()
        good = []
        for k, name in enumerate(keep.tolist()):
            if not finite[k]:
                message = (
                    f"expected finite numbers in the vector of {names[name]!r}, got {rows[k][~np.isfinite(rows[k])][0]}"
                )
                damage.add(Damage("not finite", message, int(where[k])))
            elif names[name] == "":
                damage.add(Damage("empty word", "expected a word, got ''", int(where[k])))
            else:
                good.append(k)
        names = None if self._target_of is not None else [names[keep[k]] for k in good]
        where = where[good]
        return Block(
            span.begin,
            span.stop - span.begin,
            0,
            where,
            np.zeros_like(where),
            targets[keep][good],
            names,
            rows[good],
            damage,
        )


class _Span:
    begin = stop = 0


def open_table(kind, source, wanted, encoding, trust):
    """The `TableReader` of `source`, which is of `kind` "fasttext", "gensim", "safetensors" or "npz"."""
    path = source.path
    if kind == "gensim" and not trust:
        raise ValueError(
            f"{path} is a Python pickle, probably gensim's own format. Opening one can run code that somebody put in it. "
            "If you made the file, or trust who did, pass trust=True to load_vectors (--trust on the command line), and what "
            "it returns to build_matrix: the file cannot be streamed. Else ask for word2vec format (kv.save_word2vec_format)."
        )
    if source.compression:
        raise ValueError(
            f"{path} is a {kind} file packed with {source.compression}, which only word2vec's formats may be. Unpack it first."
        )
    if kind == "fasttext":
        return _open_fasttext(path, wanted, encoding)
    if kind == "gensim":
        return _open_gensim(path, wanted)
    from ..store import read_vectors

    words, ids, rows = read_vectors(path, kind, source.file)
    return TableReader(kind, words, rows, wanted, ids)


def _open_fasttext(path, wanted, encoding):
    from .fasttext import load_fasttext

    kv = load_fasttext(path, encoding)
    if wanted is None:
        return _of_gensim("fasttext", kv, None)
    last = len(kv.key_to_index)
    served = [word for word in sorted(wanted, key=lambda word: kv.key_to_index.get(word, last)) if _serves(kv, word)]
    rows = np.array([kv.get_vector(word) for word in served], np.float32).reshape(len(served), kv.vector_size)
    return TableReader("fasttext", served, rows, wanted)


def _serves(kv, word):
    """Whether fastText has a vector for `word`: its own, or one of the n-grams in it."""
    if word in kv.key_to_index:
        return True
    from gensim.models.fasttext import ft_ngram_hashes

    return kv.bucket > 0 and len(ft_ngram_hashes(word, kv.min_n, kv.max_n, kv.bucket)) > 0


def _open_gensim(path, wanted):
    from gensim.models import KeyedVectors

    try:
        kv = KeyedVectors.load(str(path))
    except Exception as error:  # whatever the pickle does
        raise ValueError(
            f"{path} is no whole file of gensim's ({error!r}). Take it with the .npy files beside it."
        ) from error
    kv = getattr(kv, "wv", kv)  # a whole model holds its vectors there
    if not isinstance(kv, KeyedVectors):
        raise ValueError(f"{path} holds a {type(kv).__name__}; expected gensim KeyedVectors or a model with them.")
    return _of_gensim("gensim", kv, wanted)


def _of_gensim(kind, kv, wanted):
    words = sorted(kv.key_to_index, key=kv.key_to_index.get)  # index_to_key is wrong where words are there twice
    return TableReader(kind, words, kv.vectors, wanted, [kv.key_to_index[word] for word in words], kv)

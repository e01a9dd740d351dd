"""Vectors that come as a table with its words, not as a stream: fastText's .bin, gensim's own files, and our artifacts."""

from dataclasses import replace

import numpy as np

from ..blocks import Block
from ..damage import Damage, Damages
from .detect import Layout
from .fasttext import FastTextFile, NGrams

_ROWS = 4096  # a block


class TableReader:
    """A table → blocks, as the other readers give them.

    Args:
        layout: of the file.
        words: list of str, in the order of the rows.
        rows: what gives rows when it is sliced; its `shape` is (rows, dim).
        wanted: list of the words that are looked for, or None for all.
        ids: for each word its row in the file, ascending; None where row i is that of word i.
        count: how many rows the file has, where `rows` are those of `words` alone.
        odd: dict row in the file → the `Damage` that it has.
        kv: the gensim object that the table was taken from, or None.
    """

    unit = "row"
    first_record = 1
    least_bytes = 4

    def __init__(self, layout, words, rows, wanted, ids=None, *, count=None, odd=None, kv=None):
        self.words, self.rows, self.kv = words, rows, kv
        self.layout, self.dim = layout, layout.dim
        self.ids = np.arange(len(words)) if ids is None else np.asarray(ids, np.int64)
        self._target_of = None if wanted is None else {word: k for k, word in enumerate(wanted)}
        self._next, self._odd = 0, odd or {}
        self._count, self._alone = (rows.shape[0], False) if count is None else (count, True)

    def scratch(self):
        """Nothing: the rows lie there already."""
        return _Span()

    def fill(self, span):
        """The next rows."""
        span.begin, span.stop = self._next, min(self._next + _ROWS, self._count)
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
            if self._alone:
                rows = self.rows[first:last][keep].astype(np.float32)
            else:
                rows = np.asarray(self.rows[span.begin : span.stop])[where].astype(np.float32)
        finite = np.isfinite(rows).all(axis=1)
        damage = Damages()
        for row, wrong in self._odd.items():
            if span.begin <= row < span.stop:
                damage.add(replace(wrong, record=row - span.begin))
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


def open_table(kind, source, head, encoding, trust):
    """Open such a file → its `Layout`, and a callable: list of the words that are looked for, or None → the `TableReader`.

    Args:
        kind: "fasttext", "gensim", "safetensors" or "npz".
        source: the open `Source`.
        head: what was read from it already.
        encoding, trust: as for `Opened`.
    """
    path = source.path
    if kind == "gensim" and source.compression:
        raise ValueError(
            f"{path} is a Python pickle, probably gensim's own format, packed with {source.compression}. Unpack it first; then "
            "trust=True reads it, if you made it or trust who did."
        )
    if kind == "gensim" and not trust:
        raise ValueError(
            f"{path} is a Python pickle, probably gensim's own format. Opening one can run code that somebody put in it. "
            "If you made the file, or trust who did, pass trust=True: it is read as a whole, for it "
            "cannot be streamed. Else ask for word2vec format (kv.save_word2vec_format)."
        )
    if kind == "fasttext":
        file = FastTextFile(source, head)

        def table(wanted):
            kv, ids, odd = file.read(None if wanted is None else set(wanted), encoding)
            return TableReader(layout, kv.index_to_key, kv.vectors, wanted, ids, count=file.words, odd=odd, kv=kv)

        layout = Layout(kind, file.header.dim, None, 0, ngrams=file.header.has_ngrams)
        return layout, table
    if source.compression:
        raise ValueError(
            f"{path} is a {kind} file packed with {source.compression}, which only word2vec's formats and fastText's may be. "
            "Unpack it first."
        )
    if kind == "gensim":
        kv, words, ids = _open_gensim(path)
        rows = kv.vectors
    else:
        from ...store import read_vectors

        kv = None
        words, ids, rows = read_vectors(path, kind, source.file)
        if not words:
            raise ValueError(f"{path} holds no words with vectors of their own; expected one at least. Build it again.")
    layout = Layout(kind, int(rows.shape[1]), None, 0, ngrams=NGrams.of(kv) is not None)
    return layout, lambda wanted: TableReader(layout, words, rows, wanted, ids, kv=kv)


def _open_gensim(path):
    from gensim.models import KeyedVectors

    try:
        kv = KeyedVectors.load(str(path))
        kv = getattr(kv, "wv", kv)  # a whole model holds its vectors there
        if isinstance(kv, KeyedVectors):
            words, ids = _checked_gensim(kv)
    except Exception as error:  # whatever the pickle does
        raise ValueError(
            f"{path} is no whole file of gensim's ({error!r}). Take it with the .npy files beside it."
        ) from error
    if not isinstance(kv, KeyedVectors):
        raise ValueError(f"{path} holds a {type(kv).__name__}; expected gensim KeyedVectors or a model with them.")
    if not words:
        raise ValueError(f"{path} holds KeyedVectors without a word; expected one at least.")
    return kv, words, ids


def _checked_gensim(kv):
    """Its words and their rows, in the order of the rows."""
    index, rows = kv.key_to_index, kv.vectors
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.dtype.kind != "f":
        raise ValueError(f"expected vectors (words, dim) of floats, got {getattr(rows, 'shape', rows)}")
    for word, row in index.items():
        if not isinstance(word, str) or type(row) is bool or not hasattr(row, "__index__") or not 0 <= row < len(rows):
            raise ValueError(f"expected words and rows from 0 to {len(rows) - 1}, got {word!r} and {row!r}")
    words = sorted(index, key=index.get)  # index_to_key is wrong where words are there twice
    return words, [index[word] for word in words]


def keep_words(kv, words):
    """Leave in a gensim object only `words`, a dict or set; their order stays.

    All that is kept a word is numbered anew; of fastText's vectors the n-grams stay whole.
    """
    index = kv.key_to_index
    kept = sorted((word for word in index if word in words), key=index.get)
    if len(kept) == len(index):
        return
    rows = [index[word] for word in kept]
    kv.expandos = {name: values[rows] for name, values in kv.expandos.items() if len(values) > max(rows, default=0)}
    for name in ("vectors", "vectors_vocab"):
        if hasattr(kv, name):
            setattr(kv, name, getattr(kv, name)[rows])
    if getattr(kv, "buckets_word", None):
        kv.buckets_word = [kv.buckets_word[row] for row in rows]
    kv.index_to_key, kv.key_to_index = kept, {word: k for k, word in enumerate(kept)}
    kv.norms, kv.next_index = None, len(kept)

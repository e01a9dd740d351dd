"""Vector files → gensim KeyedVectors."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from .. import checks
from ..shown import plain_errors, quoted
from .blocks import first_of_equal
from .damage import Damages
from .gensims import gensim_models
from .ngrams import NGrams, clean_ngrams
from .remote import place_of
from .sidecar import IndexedFile, index_folder

if TYPE_CHECKING:
    from collections.abc import Collection

    from gensim.models import KeyedVectors

    from .._types import AnyFile, Floats, FormatName, OnError, Progress, StrPath
    from .blocks import Block
    from .opened import Opened

_FIRST_ROWS = 1 << 16  # where no header, or none that can be checked, says how many there are


@plain_errors
def load_vectors(
    path: AnyFile,
    *,
    words: Collection[str] | None = None,
    limit: int | None = None,
    format: FormatName | None = None,
    encoding: str = "utf-8",
    on_error: OnError = "raise",
    progress: Progress = None,
    trust: bool = False,
    index: bool | StrPath | None = None,
) -> KeyedVectors:
    """Read word vectors into gensim.

    Where gensim's own `load_word2vec_format` reads a file rightly, words, order and vectors are the same, bit for bit.

    Args:
        path: word2vec text or binary, GloVe text, fastText .vec or .bin, each plain or as .gz, .bz2, .xz, .zst or .zip (of one
            file). Format and compression are found from the content. A URL, "-" for standard input, `archive.zip#member` and an
            open binary file are read, too: see docs/files.md.
        words: read only these (a collection of str); of fastText .bin those that are in the file.
        limit: read only the first so many.
        format: "text", "binary", "fasttext", "gensim", "npz" or "safetensors", where it should not be found from the content.
        encoding: of the words.
        on_error: "raise", or "skip" to leave out damaged lines and rows; `kv.damage` then says which.
        progress: None, True for a bar on stderr, or a callable `(bytes done, bytes in all)`.
        trust: read gensim's own files. They are Python pickles: opening one can run code that somebody put there.
        index: with `words`: None to fetch their rows by the index beside the file, where `w2v-embed index` has made one that is
            true; True to make it where it is missing; a folder to have it there, also that of a file behind a URL; False to
            search the file. The result is the same.

    Returns:
        `gensim.models.KeyedVectors`, float32 vectors `(words, dim)` in the order of the file; of a whole fastText .bin
        `FastTextKeyedVectors`, whose n-grams make vectors for other words.

    Raises:
        FileNotFoundError, ValueError: no such file, or something is wrong in it: says what, where, and how to go on.
        TypeError: `words` or `index` is of another kind.
        ImportError: gensim is not installed.

    Example:
        >>> from w2v_embed import load_vectors
        >>> kv = load_vectors("data/vectors.txt.bz2", limit=100)
        >>> kv.vectors.shape, kv.vectors.dtype
        ((100, 100), dtype('float32'))
    """
    path = place_of(path)
    wanted = _checked_words(words, path)
    if limit is not None:
        limit = checks.whole("limit", limit, or_none=True)
    index_folder(index)  # raises where it is none of these
    use = False if wanted is None else index  # nothing is looked up where all is read
    with IndexedFile(path, format, encoding, on_error, trust, index=use) as opened:
        keyed = gensim_models("the result of load_vectors").KeyedVectors
        opened.look_for(wanted)
        collection = Collected(opened, wanted, limit)
        opened.run(collection, progress, log=False)
    if not collection.count:
        raise ValueError(f"{path} holds {_nothing(wanted, opened.report)}. See with w2v-embed inspect what is in it.")
    kv = getattr(opened.reader, "kv", None)
    if kv is not None and wanted is None and limit is None:
        kv = kv if isinstance(kv, keyed) else kv.to_gensim()
        _keep_words(kv, collection.index)
        if NGrams.of(kv):
            clean_ngrams(kv, opened.report)
    else:
        kv = collection.to_gensim(keyed)
    opened.report.log()
    kv.damage = opened.report
    return kv


def _nothing(wanted, report):
    what = "no word with a good row"
    if wanted:
        what = f"none of the {len(wanted)} words that were asked for, as {quoted(wanted[0])}"
    return f"{what}. {report.summary()}" if report.total else what


def _checked_words(words, path):
    """The words as a list, each once; None for all."""
    if words is None:
        return None
    if isinstance(words, (str, bytes)):
        raise TypeError(
            f"words must be a collection of words, received the single {type(words).__name__} {quoted(words)}"
        )
    try:
        wanted = list(dict.fromkeys(words))
    except TypeError:
        raise TypeError(f"words must be a collection of words, received {quoted(words)}") from None
    if not wanted:
        raise ValueError(
            f"{path}: words is empty, so there is nothing to look for. Leave words out to read all of them"
        )
    for word in wanted:
        if not isinstance(word, str):
            raise TypeError(f"words must be str, received {quoted(word)} ({type(word).__name__})")
    return wanted


def _keep_words(kv, words):
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


class Collected:
    """Collects words and vectors in the order of the file, in an array that grows where it must."""

    def __init__(self, opened: Opened, wanted: list[str] | None, limit: int | None) -> None:
        reader, layout, source = opened.reader, opened.layout, opened.source
        self.words: list[str] | None = wanted
        self._source = source
        self.most: int = min(limit or 1 << 62, 1 << 62 if wanted is None else len(wanted))
        self.index: dict[str, int] = {}
        # A header is believed as far as the file can hold what it claims; more rows than that grow the array.
        room = source.size // reader.least_bytes if source.compression is None else _FIRST_ROWS
        claimed = layout.header[0] if layout.header else opened.usual_records() or _FIRST_ROWS
        self.matrix: Floats = np.empty((min(claimed, room, self.most), reader.dim), np.float32)
        self._promised = 0  # rows of it

    @property
    def count(self) -> int:
        """How many words it has."""
        return len(self.index)

    def add(self, block: Block) -> tuple[int | None, Damages]:
        """As a sink of `Opened.run`."""
        names = block.words or [] if self.words is None else [self.words[k] for k in block.targets.tolist()]
        index, where, rows, again = self.index, block.where, block.rows, Damages()
        start = len(index)
        deque(map(index.setdefault, names, range(start, start + len(names))), 0)
        if len(index) < start + len(names):  # some came before: take back what is new, and look for which
            while len(index) > start:
                index.popitem()
            keep, again = first_of_equal(names, block, index)
            names, where, rows = [names[k] for k in keep or ()], where[keep], rows[keep]
            index.update(zip(names, range(start, start + len(names))))
        for word in names[self.most - start :]:
            del index[word]
        end = len(index)
        stop = None
        if end == self.most:
            stop = int(where[end - start - 1]) if end > start else -1
        if end > len(self.matrix):
            # As many rows as the rest of the file should hold. realloc moves pages, not bytes, where the system can. Nobody is
            # writing there: rows of blocks behind this one have their room behind its own, which does not fit either.
            expected = int(1.02 * end * self._source.size / max(self._source.position(), 1))
            self.matrix.resize((max(end + end // 8, min(expected, 2 * end)), self.matrix.shape[1]), refcheck=False)
        target = self.matrix[start:end]
        if rows.__array_interface__["data"] != target.__array_interface__["data"]:
            target[:] = rows[: end - start]
        return stop, again

    def room(self, n: int) -> Floats | None:
        """As `BlockReader.room`: where `n` rows of the next block will be, if none of those before them falls out.

        Where one does, `add` moves them down. None where the array is too short, or so many fell out that it would be far.
        """
        start = self._promised
        self._promised += n
        if self._promised > len(self.matrix) or start - len(self.index) > _FIRST_ROWS:
            return None
        return self.matrix[start : self._promised]

    def vectors(self) -> Floats:
        """The rows `(words, dim)`. Nothing can be added from now on."""
        self.matrix.resize((len(self.index), self.matrix.shape[1]), refcheck=False)
        return self.matrix

    def to_gensim(self, keyed: type[KeyedVectors]) -> KeyedVectors:
        """As an object of gensim's class `keyed`."""
        kv = keyed(vector_size=self.matrix.shape[1], count=0, dtype=np.float32)
        kv.vectors, kv.key_to_index, kv.index_to_key = self.vectors(), self.index, list(self.index)
        # gensim gives words whose counts it does not know these, falling, so that "frequent first" holds.
        kv.expandos["count"] = np.arange(len(kv.index_to_key), 0, -1)
        return kv

"""Texts → padded ids, split and numbered as in training: `TextEncoder`."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from .._types import TruncateName
from ..checks import one_of, whole
from ..corpus import count_words, make_word_index
from ..shown import json_text, logger, plain_errors, quoted
from ..splitting import batches, kind_of, real_words
from ..texts import json_object
from ..vocabulary import read_vocabulary
from .config import checked_config, own_split, spelling_config, split_config, split_of
from .coverage import TextCoverage
from .given import text_batches
from .numbering import in_turn, numbering, unmarked
from .padding import joined, padded, padded_with_ngrams
from .special import padding_id_of, unknown_word_of
from .spelling import Spelling

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._types import Progress, Split, StrPath, WordIndex
    from ..subwords.model import SubwordModel

_LONGEST = 1 << 20  # words of a text
_MOST_UNKNOWN, _LONGEST_UNKNOWN = 100_000, 200  # words that are remembered, and characters of one


class TextEncoder:
    """Texts → ids `(n, length)`, int32: the rows of the matrix that `build_matrix` makes for the same `word_index`.

    A word without an id gets the one of the word for unknown ones, and where there is none it is left out, as Keras' legacy
    Tokenizer does. Neither padding nor that word is ever taken from a text. Shorter texts are filled up behind.

    Args:
        word_index: whatever `build_matrix` takes; also an `EmbeddingMatrix`.
        split: "whitespace"; "jieba", for Chinese, with the words that jieba.load_userdict and jieba.add_word have added by now;
            "characters"; a callable text → words; or a `jieba.Tokenizer` or `tokenizers.Tokenizer`, of which a copy is kept.
        length: ids of each text; None: as many as the longest text of a call has.
        truncate: "end" or "begin": where a longer text loses words.
        lower: whether the words are lower-cased once the text is split. (A `tokenizers.Tokenizer` does so by itself.)
        num_words: ids stay below it.
        unknown: the word whose id unknown ones get; None: the one that `word_index` names as such, or "<unk>" or the like;
            False: they are left out.
        subwords: a `SubwordModel`, or the path of one, for a model with an `OpenVocabularyEmbedding`: unknown words get its
            n-grams, and only those that have none are left out, or get the id above.
        ngrams_per_text: room for n-grams in each text.

    Attributes:
        word_index: dict word → id.
        rows: of the matrix that the ids index.
        padding_id: what texts are filled up with.
        unknown_id: id of unknown words; None: they are left out.

    Raises:
        TypeError, ValueError, ImportError: as `build_matrix` for a word index; no id is left for padding; jieba is missing.

    Example:
        >>> encoder = TextEncoder({"<pad>": 0, "the": 1, "cat": 2}, split="whitespace", length=3)
        >>> encoder(["the cat", "a cat", ""])
        array([[1, 2, 0],
               [2, 0, 0],
               [0, 0, 0]], dtype=int32)
        >>> encoder.unknown
        Counter({'a': 1})
    """

    word_index: dict[str, int]
    rows: int
    padding_id: int
    unknown_id: int | None
    split: Split
    length: int | None
    truncate: TruncateName
    lower: bool

    @plain_errors
    def __init__(
        self,
        word_index: WordIndex,
        *,
        split: Split = "whitespace",
        length: int | None = None,
        truncate: TruncateName = "end",
        lower: bool = False,
        num_words: int | None = None,
        unknown: str | Literal[False] | None = None,
        subwords: SubwordModel | StrPath | None = None,
        ngrams_per_text: int = 128,
    ) -> None:
        vocabulary = read_vocabulary(word_index, num_words)
        padding = 0 if vocabulary.padding_row == 0 else padding_id_of(vocabulary.word_index)
        named = unknown_word_of(word_index, vocabulary.word_index, unknown)
        if len(vocabulary.unknown_rows):
            logger.warning(
                "%s has %d ids for unknown words; TextEncoder gives all of them the first",
                type(word_index).__name__,
                len(vocabulary.unknown_rows) + 1,
            )
        self._set(
            vocabulary.word_index,
            rows=vocabulary.rows,
            padding_id=padding,
            unknown_id=None if named is None else vocabulary.word_index[named],
            split=own_split(split),
            length=length,
            truncate=truncate,
            lower=lower,
            spelling=None if subwords is None else Spelling.of(subwords, ngrams_per_text),
        )

    def _set(self, word_index, *, rows, padding_id, unknown_id, split, length, truncate, lower, spelling=None):
        """What both ways of making one have in common."""
        self.word_index = word_index
        self.rows = rows
        self.padding_id = padding_id
        self.unknown_id = unknown_id
        self.split = split
        self.length = None if length is None else whole("length", length, 1, _LONGEST, or_none=True)
        self.truncate = one_of("truncate", truncate, get_args(TruncateName))
        if not isinstance(lower, (bool, np.bool_)):
            raise TypeError(f"lower must be True or False, received {quoted(lower)}")
        self.lower = bool(lower)
        if padding_id == unknown_id:
            raise ValueError(
                f"unknown must be another word than the padding token, received the id {padding_id} of both"
            )
        if self.lower and kind_of(split) == "tokenizer":
            raise ValueError(
                "lower must be False where split is a tokenizers.Tokenizer, received True. Give that one a Lowercase "
                "normalizer."
            )
        self._spelling = spelling
        self._prepare()

    @property
    def ngrams_per_text(self) -> int:
        """Columns of n-grams behind the words; 0: there are none."""
        return 0 if self._spelling is None else self._spelling.most

    @property
    def keys_sha256(self) -> str | None:
        """SHA-256 of the n-grams' hashes, by which an `OpenVocabularyEmbedding` knows them; None: there are none."""
        return None if self._spelling is None else self._spelling.sha256

    def _prepare(self):
        special = (self.padding_id, self.unknown_id)
        ids = {
            word: self.word_index[word] for word in real_words(self.word_index) if self.word_index[word] not in special
        }
        self._numbering = numbering(ids, self.split, self.lower, self.unknown_id, self._spelling)
        self._unknown = Counter()
        self._lock = threading.Lock()
        lost = [word for word in ids if word != word.lower()] if self.lower else ()
        if lost:
            logger.warning(
                "lower=True gives none of the %d words of word_index that have capitals: %s%s",
                len(lost),
                ", ".join(map(quoted, lost[:5])),
                ", …" if len(lost) > 5 else "",
            )

    @classmethod
    @plain_errors
    def fit(
        cls,
        texts: StrPath | Iterable[str],
        *,
        num_words: int | None = None,
        min_count: int = 1,
        special_tokens: Iterable[str] = (),
        split: Split = "whitespace",
        lower: bool = False,
        length: int | None = None,
        truncate: TruncateName = "end",
        subwords: SubwordModel | StrPath | None = None,
        ngrams_per_text: int = 128,
        encoding: str = "utf-8",
        progress: Progress = None,
    ) -> TextEncoder:
        """Make the word index of texts, as `w2v-embed vocab` does, and its encoder.

        Args:
            texts: an iterable of texts, which is gone through once; or the path of a file, one text a line, plain or packed.
            num_words, min_count, special_tokens: as for `make_word_index`. With special_tokens=["<pad>", "<unk>"] unknown words
                get an id.
            split, lower, length, truncate, subwords, ngrams_per_text: as for `TextEncoder`.
            encoding, progress: of a file.

        Raises:
            FileNotFoundError, ValueError, TypeError: as `count_words`; there is no word that is frequent enough.

        Example:
            >>> encoder = TextEncoder.fit(iter(["to be or", "not to be"]), min_count=2)
            >>> encoder.word_index, encoder(["to see or not to be"])
            ({'be': 1, 'to': 2}, array([[2, 2, 1]], dtype=int32))
        """
        split = own_split(split)
        counts: Counter[str] = Counter()
        if isinstance(texts, (str, os.PathLike)):
            counts = count_words(texts, split=split, encoding=encoding, progress=progress)
        else:
            split_all = batches(split)
            for batch in text_batches(texts):
                counts.update(real_words(chain.from_iterable(split_all(unmarked(batch)))))
        if lower:
            cased, counts = counts, Counter()
            for word, count in cased.items():
                counts[word.lower()] += count
        word_index = make_word_index(counts, min_count=min_count, num_words=num_words, special_tokens=special_tokens)
        if not any(word in counts for word in word_index):
            raise ValueError(f"no word of the texts occurs {min_count} times or more, so the word index would be empty")
        return cls(
            word_index,
            split=split,
            lower=lower,
            length=length,
            truncate=truncate,
            subwords=subwords,
            ngrams_per_text=ngrams_per_text,
        )

    # ── texts → ids ──

    @plain_errors
    def __call__(self, texts: Iterable[str] | npt.NDArray[Any], *, processes: int = 1) -> npt.NDArray[np.int32]:
        """The ids of texts, a batch at a time.

        It goes into `tf.data` by `tf.numpy_function(encoder, [texts], tf.int32)`, and into a loader of torch as
        `collate_fn=encoder`. It can be pickled, unless `split` is a callable that cannot.

        Args:
            texts: list, array or another iterable of texts, each a str or UTF-8 in bytes.
            processes: how many split the texts. More than one pays for jieba and very many texts only; they start anew, so a
                script needs `if __name__ == "__main__":`.

        Returns:
            int32 `(n, length)`; with n-grams `(n, length + ngrams_per_text)`, what `OpenVocabularyEmbedding` takes.

        Raises:
            TypeError, ValueError: something else than a text; one that is too long for `length=None`.
        """
        parts = []
        for part in self._encoded(texts, whole("processes", processes, 1, 1024)):
            self._remember(part.strange)
            parts.append(part._replace(strange=[]))
        how = joined(parts), self.padding_id, self.length, self.truncate
        if self._spelling is None:
            return padded(*how)
        return padded_with_ngrams(*how, most=self._spelling.most, unknown_id=self.unknown_id)

    def coverage(self, texts: Iterable[str] | npt.NDArray[Any]) -> TextCoverage:
        """How much of texts has ids. They are not counted in `unknown`."""
        number = words = empty = spelt = 0
        unknown: Counter[str] = Counter()
        for batch in text_batches(texts):
            ids, sizes, strange, _ = self._numbering.batch(batch)
            number += len(batch)
            seen = np.full(len(ids), True) if self.unknown_id is None else ids != self.unknown_id
            made = int((ids < 0).sum())
            words += int(seen.sum()) - made + len(strange)
            empty += len(batch) - len(np.unique(np.repeat(np.arange(len(batch)), sizes)[seen]))
            spelt += made
            unknown.update(strange)
        return TextCoverage(number, words, words - unknown.total(), unknown, empty, spelt)

    @property
    def unknown(self) -> Counter[str]:
        """The words without an id that all calls so far have met, word → how often.

        Words of more than 200 characters are left out, and so are new ones once there are 100,000: a service that runs for ever
        fills no memory. `coverage` counts them all.
        """
        with self._lock:
            return Counter(self._unknown)

    def forget_unknown(self) -> None:
        """Begin to count unknown words anew."""
        with self._lock:
            self._unknown.clear()

    def _remember(self, strange):
        counts = Counter(strange)
        with self._lock:
            for word, count in counts.items():
                if word in self._unknown or (len(self._unknown) < _MOST_UNKNOWN and len(word) <= _LONGEST_UNKNOWN):
                    self._unknown[word] += count

    def _encoded(self, texts, processes):
        if processes == 1:
            yield from in_turn(self._numbering.batch, text_batches(texts), self._numbering.threads)
            return
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        # Not forked: a fork of a process in which a backend of Keras runs threads may wait for ever.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, context, initializer=_keep, initargs=(self,)) as pool:
            yield from pool.map(_encode_elsewhere, text_batches(texts))

    # ── to take along ──

    def get_config(self) -> dict[str, Any]:
        """What makes the same encoder again, in another process or language: docs/text.md describes it.

        Raises:
            ValueError: `split` is a callable, or a tokenizer with parts written in Python.
        """
        return {
            "format": "w2v_embed.TextEncoder",
            "version": 1 if self._spelling is None else 2,
            **split_config(self.split),
            "lower": self.lower,
            "length": self.length,
            "truncate": self.truncate,
            "padding_id": self.padding_id,
            "unknown_id": self.unknown_id,
            "rows": self.rows,
            "word_index": dict(self.word_index),
            **spelling_config(self._spelling),
        }

    @classmethod
    @plain_errors
    def from_config(cls, config: Mapping[str, Any]) -> TextEncoder:
        """The encoder of what `get_config` returned.

        Raises:
            ValueError, TypeError: it is nothing that `get_config` returns; the message says what.
        """
        fields = checked_config(config)
        encoder = cls.__new__(cls)
        encoder._set(split=split_of(config), **fields)
        return encoder

    def to_json(self) -> str:
        """`get_config` as JSON."""
        return json_text(self.get_config())

    @classmethod
    @plain_errors
    def from_json(cls, text: str) -> TextEncoder:
        """The encoder of what `to_json` returned.

        Example:
            >>> encoder = TextEncoder(["", "the", "cat"], split="characters", length=4)
            >>> TextEncoder.from_json(encoder.to_json()).get_config() == encoder.get_config()
            True
        """
        return cls.from_config(json_object(text, "the encoder"))

    def __getstate__(self) -> dict[str, Any]:
        return {
            "split": self.split if kind_of(self.split) == "callable" else split_config(self.split),
            "fields": {name: getattr(self, name) for name in _FIELDS},
            "spelling": self._spelling,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        split = state["split"]
        self._set(
            split=split_of(split) if isinstance(split, dict) else split, spelling=state["spelling"], **state["fields"]
        )

    def __repr__(self) -> str:
        ngrams = "" if self._spelling is None else f", {len(self._spelling.keys):,} n-grams"
        return (
            f"<TextEncoder: {len(self.word_index):,} words, split={kind_of(self.split)!r}, length={self.length}, "
            f"padding_id={self.padding_id}, unknown_id={self.unknown_id}{ngrams}>"
        )


_FIELDS = ("word_index", "rows", "padding_id", "unknown_id", "length", "truncate", "lower")


# ── in another process ──

_here: TextEncoder | None = None


def _keep(encoder: TextEncoder) -> None:
    global _here
    _here = encoder


def _encode_elsewhere(texts: Sequence[str]) -> Any:
    assert _here is not None
    return _here._numbering.batch(texts)

"""word_index + vectors → EmbeddingMatrix."""

import logging
from collections import Counter
from contextlib import ExitStack
from functools import cached_property, partial
from itertools import compress, islice
from pathlib import Path

import numpy as np

from .coverage import Coverage
from .fallbacks import FINDS, Derivation, Fallbacks
from .lending import RowPool, resolve
from .readers import HeldRows, Selection
from .readers.damage import DamageReport
from .vocabulary import read_vocabulary

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
        provenance: array `(rows,)` of str: the source of each row ("glove.txt", or "glove.txt (lower)" where a fallback found
            it), or "padding", "oov", or "unused" where no word has the id.
        derived: dict word → `Derivation`: by which fallback, and from the rows of which words, the word got its row.
        oov_rows: array of the ids of words without a vector.
        coverage: the `Coverage`.
        damage: `DamageReport`s of the files that were read, or an empty list.

    Raises:
        ValueError: the parts do not fit together.
    """

    def __init__(
        self,
        matrix,
        word_index,
        *,
        origins=None,
        sources=(),
        derived=None,
        suggestions=None,
        padding_row=None,
        damage=(),
    ):
        self.matrix = np.asarray(matrix)
        self.word_index = dict(word_index)
        self.padding_row = padding_row
        self.damage = list(damage)
        self._derived = derived if callable(derived) else partial(dict, derived or {})
        self._suggestions = dict(suggestions or {})
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
        return np.array([*_ORIGINS, *map(_label, self._sources)], object)[self._origins]

    @property
    def oov_rows(self):
        return np.flatnonzero(self._origins == _OOV)

    @cached_property
    def derived(self):
        return self._derived()

    @cached_property
    def coverage(self):
        origins = self._origins.tolist()
        labels = [*_ORIGINS, *map(_label, self._sources)]
        found, missing, sources = [], [], {}
        for word, index in self.word_index.items():
            if origins[index] > _OOV:
                found.append(word)
                sources[word] = labels[origins[index]]
            elif origins[index] == _OOV:
                missing.append(word)
        unused = int((self._origins == _UNUSED).sum()) if self.word_index else 0  # a bare array has no ids
        return Coverage(found, missing, sources, self.derived, self._suggestions, unused)

    def save(self, path):
        """Write to `path`: .safetensors or .npz with everything, .npy the bare matrix. Always the old file or the new."""
        from .store import save

        save(self, path)

    @classmethod
    def load(cls, path):
        """Read what `save` wrote. A .npy has no words: its `word_index` is empty."""
        from .store import load

        return load(path, cls._from_stored)

    @classmethod
    def _from_stored(cls, matrix, fields):
        if not fields:
            return cls(matrix, {}, padding_row=0 if len(matrix) and not matrix[0].any() else None)
        derived = {word: Derivation(how, tuple(words)) for word, (how, words) in fields.pop("derived").items()}
        damage = [DamageReport(**{**report, "counts": Counter(report["counts"])}) for report in fields.pop("damage")]
        return cls(matrix, fields.pop("word_index"), derived=derived, damage=damage, **fields)

    def write_report(self, path, *, counts=None, title=None):
        """Write the coverage as one self-contained HTML page with pictures.

        Args:
            path: .html file to write.
            counts: how often each word occurs, as for `Coverage.weighted_rate`.
            title: heading of the page.

        Raises:
            ImportError: the libraries that draw are not installed.
        """
        from .report import write_report

        write_report(self, path, counts=counts, title=title)

    def export_projector(self, folder, *, counts=None, limit=10_000):
        """Write `tensors.tsv`, `metadata.tsv` and `projector_config.pbtxt`, for TensorBoard's embedding projector.

        Args:
            folder: where to; made if it is not there.
            counts: how often each word occurs: the most frequent come first, and the labels tell it.
            limit: how many words, in the order of counts or ids; None for all.
        """
        from .projector import export

        export(self, folder, counts=counts, limit=limit)

    def __repr__(self):
        rows, dim = self.matrix.shape
        return (
            f"EmbeddingMatrix({rows} × {dim}, {self.matrix.dtype}, padding_row={self.padding_row}, {self.coverage!r})"
        )


def _label(source):
    name, fallback = source
    return f"{name} ({fallback})" if fallback else name


def build_matrix(
    vectors,
    word_index,
    *,
    num_words=None,
    oov="zeros",
    fallbacks=(),
    suggest=False,
    seed=0,
    dtype="float32",
    encoding="utf-8",
    on_error="raise",
    progress=None,
    cache_dir=None,
):
    """The embedding matrix for your vocabulary.

    A file is streamed once, whatever the fallbacks: only the rows that are wanted are parsed, memory is the matrix and a few
    MB, and reading stops when every word is found. Row 0 is padding, all zeros, where no word has id 0 or the word there is
    '', '<pad>', '[PAD]' or the source's own padding token.

    Args:
        vectors: a path (see `load_vectors` for the formats), a gensim KeyedVectors, any object with `vector_size` and
            `vectors_for(words) -> (rows, found)`, or a list of these, of which an earlier one wins.
        word_index: dict word → id; list of words (id = position); a Keras Tokenizer, TextVectorization or StringLookup; a
            Hugging Face tokenizer; a scikit-learn vectorizer; a gensim Dictionary or KeyedVectors; a path to .json, .txt (one
            word a line) or .tsv (word, tab, id).
        num_words: rows of the matrix, where not highest id + 1: as in Keras' Tokenizer, ids from `num_words` on are left out.
        oov: rows of words without a vector: "zeros"; "normal", drawn with mean and standard deviation of the found rows,
            column by column; "mean" of the found rows; or a callable `(shape, rng) -> rows`. They do not depend on the order
            of the words.
        fallbacks: where else to look for words that no source has, in this order, each building on those before it: "nfkc",
            "lower", "title", "upper", "simplified", "traditional" (Chinese, by OpenCC), "digits" (to # or 0), "markers" (## ▁ Ġ
            off), "parts" (mean of the known words that it splits into), "characters" (mean of a Chinese word's characters),
            "subwords" (fastText's n-grams), or callables word → word, list of words, or None.
        suggest: also find out which other fallbacks would help: `coverage.suggestions`.
        seed: of what `oov` draws.
        dtype: "float32", "float16" or "float64".
        encoding, on_error, progress: as for `load_vectors`. A vocabulary file that is not UTF-8 is read in this encoding, too.
        cache_dir: folder that keeps built matrices: the same call with the same files is answered from there.

    Returns:
        An `EmbeddingMatrix`.

    Raises:
        FileNotFoundError, TypeError, ValueError: says what is wrong, where, and how to go on.

    Example:
        >>> from w2v_embed import build_matrix
        >>> em = build_matrix("data/vectors.txt.bz2", {"中国": 1, "经济": 2, "qwxyz": 3})
        >>> em.shape, em.coverage.missing, em.padding_row
        ((4, 100), ['qwxyz'], 0)
        >>> em = build_matrix("data/vectors.txt.bz2", {"中國": 1, "中国经济": 2}, fallbacks=["parts"])
        >>> em.derived["中国经济"].words, em.provenance.tolist()
        (('中国', '经济'), ['padding', 'oov', 'vectors.txt.bz2 (parts)'])
    """
    if not callable(oov) and oov not in ("zeros", "normal", "mean"):
        raise ValueError(f'oov must be "zeros", "normal", "mean" or a callable (shape, rng) -> rows, received {oov!r}')
    if str(np.dtype(dtype)) not in _DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(_DTYPES)}, received {dtype!r}")
    plan = Fallbacks(fallbacks)
    vocabulary = read_vocabulary(word_index, num_words, encoding=encoding)
    sources = list(vectors) if isinstance(vectors, (list, tuple)) else [vectors]
    if not sources:
        raise ValueError("vectors is an empty list; expected at least one source of vectors")

    options = {
        "oov": oov,
        "suggest": suggest,
        "seed": seed,
        "dtype": str(np.dtype(dtype)),
        "encoding": encoding,
        "on_error": on_error,
    }
    build = partial(_build, sources, vocabulary, plan, progress, **options)
    if cache_dir is None:
        return build()
    from .cache import cached

    return cached(cache_dir, build, EmbeddingMatrix._from_stored, sources, vocabulary, plan, options)


def _build(sources, vocabulary, plan, progress, *, oov, suggest, seed, dtype, encoding, on_error):
    word_index = vocabulary.word_index
    ids = np.fromiter(word_index.values(), np.int64, len(word_index))
    origins = np.full(vocabulary.rows, _UNUSED, np.int32)
    origins[ids] = _OOV
    origins[list(vocabulary.unknown_rows)] = _OOV
    if vocabulary.padding_row == 0:
        origins[0] = _PADDING
    names = [_name_of(source) for source in sources]
    if plan.needs_subwords and not any(map(_has_subwords, sources)):
        raise ValueError(
            'the fallback "subwords" needs fastText vectors with character n-grams, as load_vectors reads them from a .bin of '
            f"fastText; received {', '.join(names)}"
        )
    others = [name for name in FINDS if name not in plan.names and _works(name)] if suggest else []
    wide = Fallbacks([*plan.given, *others]) if others else plan

    matrix, lenders = None, []

    def room(dim, name):
        if matrix is None:
            return np.zeros((vocabulary.rows, dim), dtype)
        if matrix.shape[1] != dim:
            raise ValueError(
                f"{name} has vectors of {dim} numbers, {names[0]} of {matrix.shape[1]}; they must be alike"
            )
        return matrix

    def candidates(words):
        return wide.candidates(words).difference(word_index, *(lender.held.number for lender in lenders))

    with ExitStack() as stack:
        for code, (source, name) in enumerate(zip(sources, names), len(_ORIGINS)):
            words = list(compress(word_index, (origins[ids] == _OOV).tolist()))
            if not words and matrix is not None:
                break
            places = ids[origins[ids] == _OOV]
            matrix_of = partial(room, name=name)
            if isinstance(source, (str, Path)):
                lender = Selection(
                    source,
                    words,
                    matrix_of,
                    places,
                    candidates=candidates if wide.names else None,
                    encoding=encoding,
                    on_error=on_error,
                    progress=progress,
                )
                stack.enter_context(lender)
            else:
                lender = _SelectionInMemory(source, words, matrix_of, places, candidates, name, on_error)
            matrix = lender.matrix
            origins[places[lender.found]] = code
            lenders.append(lender)
        labels, derived, suggestions = _fall_back(
            matrix, origins, word_index, ids, lenders, sources, names, plan, others
        )
    for lender in lenders:
        lender.report.log()
    em = EmbeddingMatrix(
        matrix,
        word_index,
        origins=origins,
        sources=labels,
        derived=derived,
        suggestions=suggestions,
        padding_row=vocabulary.padding_row,
        damage=[lender.report for lender in lenders],
    )
    if not (origins > _OOV).any():
        logger.warning("none of the %d words was found in %s", len(em.coverage.missing), ", ".join(names))
    _fill_oov(em, vocabulary.unknown_rows, oov, seed)
    return em


def _name_of(source):
    return Path(source).name if isinstance(source, (str, Path)) else type(source).__name__


def _works(name):
    """Whether what this fallback needs is installed."""
    try:
        Fallbacks([name])
    except ImportError:
        return False
    return True


def _has_subwords(source):
    return len(getattr(source, "vectors_ngrams", ())) > 0


class _SelectionInMemory:
    """As `Selection`, out of an object in memory."""

    def __init__(self, source, words, matrix_of, places, candidates, name, on_error):
        self.report = DamageReport(name, on_error)
        rows, self.found, dim = _look_up(source, words, name, self.report)
        self.matrix = matrix_of(dim)
        self.matrix[places[self.found]] = rows
        extra = sorted(candidates(list(compress(words, (~self.found).tolist()))))
        rows, found, _ = _look_up(source, extra, name, self.report) if extra else (rows[:0], self.found[:0], dim)
        self.held = HeldRows(list(compress(extra, found.tolist())), rows.astype(self.matrix.dtype))
        self.lend, self._words = self.held.lend, words

    def word_keys(self):
        return self.held.word_keys(compress(self._words, self.found.tolist()))


def _look_up(source, words, name, report):
    """→ (rows of the words that were found and are finite, which these are, dim)"""
    if hasattr(source, "key_to_index"):  # not gensim's `in`, which takes ids for words
        index = source.key_to_index
        found = np.fromiter((word in index for word in words), np.bool_, len(words))
        dim = source.vectors.shape[1]
        rows = source.vectors[[index[word] for word in words if word in index]]
    elif callable(getattr(source, "vectors_for", None)):
        dim = source.vector_size
        all_rows, found = source.vectors_for(words)
        all_rows, found = np.asarray(all_rows), np.array(found)
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
    hits = np.flatnonzero(found)
    good = np.isfinite(rows).all(axis=1)
    for k in hits[~good].tolist():
        report.add("not finite", "expected finite numbers in its vector", f"word {words[k]!r}")
    found[hits[~good]] = False
    return rows[good], found, dim


def _fall_back(matrix, origins, word_index, ids, lenders, sources, names, plan, others):
    """Give the words that fallbacks find their rows. Only rows that a source has under that very word are lent.

    Returns:
        (label (source, fallback or None) of each origin; callable that makes the dict word → `Derivation`; dict fallback →
        words that it would find).
    """
    labels = [(name, None) for name in names]
    mask = origins[ids] == _OOV
    if not mask.any() or not (plan.names or others):
        return labels, dict, {}
    missing, places = list(compress(word_index, mask.tolist())), ids[mask]
    pool = RowPool(matrix, word_index, lenders, origins - len(_ORIGINS))
    resolution, numbers, would = resolve(plan, others, missing, pool)

    codes = {label: code for code, label in enumerate(labels, len(_ORIGINS))}
    owners = iter(pool.owners(numbers).tolist() if len(names) > 1 else ())
    borrowers, counts = [], []
    for loans in resolution.loans:
        if not loans.lenders:  # n-grams do it
            source, name = next((source, name) for source, name in zip(sources, names) if _has_subwords(source))
            matrix[places[loans.borrowers]] = [source.get_vector(missing[k]) for k in loans.borrowers]
            whose = [name]
        else:
            borrowers += loans.borrowers
            counts += loans.counts
            whose = names
            if len(names) > 1:
                whose = [" + ".join(names[k] for k in dict.fromkeys(islice(owners, count))) for count in loans.counts]
        origins[places[loans.borrowers]] = [
            codes.setdefault((name, loans.fallback), len(codes) + len(_ORIGINS)) for name in whose
        ]
    pool.lend(numbers, counts, places[borrowers])
    suggestions = {name: other.found() for name, other in would.items() if other.loans}
    return list(codes), resolution.derived, suggestions


def _fill_oov(em, unknown_rows, oov, seed):
    """Give the rows of unknown words their values. Sums and draws run in the order of the words, so that ids do not matter."""
    if isinstance(oov, str) and oov == "zeros":
        return
    places = [*(em.word_index[word] for word in sorted(em.coverage.missing)), *unknown_rows]
    found = sorted(em.coverage.found)
    if not places or not (found or callable(oov)):
        return
    shape = len(places), em.matrix.shape[1]
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
    em.matrix[places] = rows

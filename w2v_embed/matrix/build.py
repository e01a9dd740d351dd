"""word_index + vectors → EmbeddingMatrix."""

import logging
from collections import Counter
from contextlib import ExitStack
from functools import cached_property, partial
from itertools import compress, islice
from pathlib import Path

import numpy as np

from ..parts import FIRST_SOURCE, OOV, PADDING, UNUSED, check_told, checked, exact_words
from ..readers.damage import DamageReport
from ..readers.ngrams import NGrams
from ..shown import plain_errors
from ..vocabulary import read_vocabulary
from .coverage import Coverage
from .fallbacks import FINDS, Derivation, Fallbacks
from .lending import RowPool, resolve
from .sources.file import HeldRows, Selection, has_ngrams

logger = logging.getLogger("w2v_embed")

_ORIGINS = ("unused", "padding", "oov")
_DTYPES = ("float16", "float32", "float64")
_BLOCK = 1 << 18  # numbers that are in hand at a time, beside the matrix


class EmbeddingMatrix:
    """An embedding matrix with the vocabulary that it belongs to, and where each row came from.

    `build_matrix` makes it; `np.asarray(em)` is the matrix. It is a source for `build_matrix`, too: of the words that have a
    vector of their own, not of those whose rows were lent by others, made of n-grams, or made up.

    Args:
        matrix: array `(rows, dim)`.
        word_index: dict word → id, each id from 0 on and another one.
        origins: for each row 0 (unused), 1 (padding), 2 (oov), or 3 and on: the first source and on. None: every word has its
            row from the one source, except where it is padding.
        sources: names, or pairs (name, fallback or None); none given and no origins: the source is called "unnamed".
        derived: dict word → `Derivation`, or a callable that makes it.
        suggestions: dict fallback → list of words.
        padding_row: 0, or None.
        damage: list of `DamageReport`.

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
        if self.matrix.ndim != 2:
            raise ValueError(f"expected a matrix (rows, dim), received an array of shape {self.matrix.shape}")
        self.word_index, self._origins, self._sources, self.padding_row = checked(
            len(self.matrix), word_index, origins, sources, padding_row
        )
        self.damage = list(damage)
        self._derived = derived if callable(derived) else partial(dict, derived or {})
        self._suggestions = dict(suggestions or {})
        told = {} if callable(derived) else self._derived()
        check_told(self.word_index, self._origins, told, self._suggestions)
        for name, values, kind in (("derived", told.values(), Derivation), ("damage", self.damage, DamageReport)):
            if wrong := [value for value in values if not isinstance(value, kind)]:
                raise ValueError(f"{name} must hold {kind.__name__}s, received {wrong[0]!r}")

    def __array__(self, dtype=None, copy=None):
        if copy is None:  # NumPy 1 knows no None there
            return np.asarray(self.matrix, dtype=dtype)
        return np.array(self.matrix, dtype=dtype, copy=copy)

    @property
    def shape(self):
        """(rows, dim)"""
        return self.matrix.shape

    @property
    def vector_size(self):
        """Numbers a word."""
        return self.matrix.shape[1]

    @cached_property
    def _exact(self):
        return exact_words(self.word_index, self._origins, self._sources)

    def vectors_for(self, words):
        """The rows of words that have a vector of their own: (array `(len(words), dim)`, bool array `(len(words),)`)."""
        numbers = np.fromiter((self._exact.get(word, -1) for word in words), np.int64, len(words))
        found = numbers >= 0
        rows = np.zeros((len(words), self.vector_size), self.matrix.dtype)
        rows[found] = self.matrix[numbers[found]]
        return rows, found

    @property
    def provenance(self):
        return np.array([*_ORIGINS, *map(_label, self._sources)], object)[self._origins]

    @property
    def oov_rows(self):
        return np.flatnonzero(self._origins == OOV)

    @cached_property
    def derived(self):
        return self._derived()

    @cached_property
    def coverage(self):
        origins = self._origins.tolist()
        labels = [*_ORIGINS, *map(_label, self._sources)]
        found, missing, sources = [], [], {}
        for word, index in self.word_index.items():
            if origins[index] > OOV:
                found.append(word)
                sources[word] = labels[origins[index]]
            elif origins[index] == OOV:
                missing.append(word)
        unused = int((self._origins == UNUSED).sum()) if self.word_index else 0  # a bare array has no ids
        return Coverage(found, missing, sources, self.derived, self._suggestions, unused)

    @plain_errors
    def save(self, path):
        """Write to `path`: .safetensors or .npz with everything, .npy the bare matrix. Always the old file or the new."""
        from ..store import save

        save(self, path)

    @classmethod
    @plain_errors
    def load(cls, path):
        """Read what `save` wrote. A .npy has no words: its `word_index` is empty."""
        from ..store import load

        return load(path, cls._from_stored)

    @classmethod
    def _from_stored(cls, matrix, fields):
        if not fields:
            return cls(matrix, {}, padding_row=0 if len(matrix) and not matrix[0].any() else None)
        derived = {word: Derivation(how, tuple(words)) for word, (how, words) in fields.pop("derived").items()}
        damage = [DamageReport(**{**report, "counts": Counter(report["counts"])}) for report in fields.pop("damage")]
        return cls(matrix, fields.pop("word_index"), derived=derived, damage=damage, **fields)

    @plain_errors
    def write_report(self, path, *, counts=None, title=None):
        """Write the coverage as one self-contained HTML page with pictures.

        Args:
            path: .html file to write.
            counts: how often each word occurs, as for `Coverage.weighted_rate`.
            title: heading of the page.

        Raises:
            ImportError: the libraries that draw are not installed.
        """
        from ..reports.report import write_report

        write_report(self, path, counts=counts, title=title)

    @plain_errors
    def export_projector(self, folder, *, counts=None, limit=10_000):
        """Write `tensors.tsv`, `metadata.tsv` and `projector_config.pbtxt`, for TensorBoard's embedding projector.

        Args:
            folder: where to; made if it is not there.
            counts: how often each word occurs: the most frequent come first, and the labels tell it.
            limit: how many words, in the order of counts or ids; None for all.
        """
        from ..reports.projector import export

        export(self, folder, counts=counts, limit=limit)

    def __repr__(self):
        rows, dim = self.matrix.shape
        return (
            f"EmbeddingMatrix({rows} × {dim}, {self.matrix.dtype}, padding_row={self.padding_row}, {self.coverage!r})"
        )


def _label(source):
    name, fallback = source
    return f"{name} ({fallback})" if fallback else name


@plain_errors
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

    A file is streamed once, whatever the fallbacks: only the rows that are wanted are parsed, memory is the matrix, the words
    and a few MB (and fastText's n-grams), and reading stops when every word is found. Row 0 is padding, all zeros, where no
    word has id 0 or the word there is '', '<pad>', '[PAD]' or the source's own padding token.

    Args:
        vectors: a path (see `load_vectors` for the formats), a gensim KeyedVectors, an `EmbeddingMatrix`, any object with
            `vector_size` and `vectors_for(words) -> (rows, found)`, or a list of these, of which an earlier one wins.
        word_index: dict word → id; list of words (id = position); a Keras Tokenizer, TextVectorization or StringLookup; a
            Hugging Face tokenizer; a scikit-learn vectorizer; a gensim Dictionary or KeyedVectors; a path to .json, .txt (one
            word a line) or .tsv (word, tab, id).
        num_words: rows of the matrix, where not highest id + 1: as in Keras' Tokenizer, ids from `num_words` on are left out.
        oov: rows of words without a vector: "zeros"; "normal", drawn with mean and standard deviation of the found rows,
            column by column; "mean" of the found rows; or a callable `(shape, rng) -> rows`. Sums run in float64 and in the
            order of the words, so that the rows do not depend on the ids.
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
    origins = np.full(vocabulary.rows, UNUSED, np.int32)
    origins[ids] = OOV
    origins[list(vocabulary.unknown_rows)] = OOV
    if vocabulary.padding_row == 0:
        origins[0] = PADDING
    names = [_name_of(source) for source in sources]
    if plan.needs_subwords and not any(has_ngrams(source, encoding, on_error) for source in sources):
        raise ValueError(
            'the fallback "subwords" needs fastText vectors with character n-grams, as load_vectors reads them from a .bin of '
            f"fastText; received {', '.join(names)}"
        )
    others = [name for name in FINDS if name not in (*plan.names, "subwords") and _works(name)] if suggest else []
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
        for code, (source, name) in enumerate(zip(sources, names), FIRST_SOURCE):
            words = list(compress(word_index, (origins[ids] == OOV).tolist()))
            if not words and matrix is not None:
                break
            places = ids[origins[ids] == OOV]
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
                lender = _SelectionInMemory(source, words, matrix_of, places, candidates, on_error)
            matrix = lender.matrix
            origins[places[lender.found]] = code
            lenders.append(lender)
        if suggest and not plan.needs_subwords and any(lender.ngrams() for lender in lenders):
            others.append("subwords")
        labels, derived, suggestions = _fall_back(matrix, origins, word_index, ids, lenders, names, plan, others)
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
    if not (origins > OOV).any():
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


class _SelectionInMemory:
    """As `Selection`, out of an object in memory."""

    def __init__(self, source, words, matrix_of, places, candidates, on_error):
        self._name = _name_of(source)
        self.report = DamageReport(self._name, on_error)
        self.matrix = matrix_of(_dim_of(source, self._name))

        def fill(numbers, rows):
            self.matrix[places[numbers]] = rows

        self.found = self._look_up(source, words, fill)
        extra = sorted(candidates(list(compress(words, (~self.found).tolist()))))
        kept = [np.empty((0, self.matrix.shape[1]), self.matrix.dtype)]
        found = self._look_up(source, extra, lambda _, rows: kept.append(rows.astype(self.matrix.dtype)))
        self.held = HeldRows(list(compress(extra, found.tolist())), np.concatenate(kept))
        self.lend, self._words, self._source = self.held.lend, words, source

    def word_keys(self):
        return self.held.word_keys(compress(self._words, self.found.tolist()))

    def ngrams(self):
        return NGrams.of(self._source)

    def _look_up(self, source, words, take):
        """Hand (numbers of some words, their rows) to `take`, block by block. Returns which words were found and are finite."""
        there = np.zeros(len(words), np.bool_)
        for numbers, rows in _rows_of(source, words, self._name):
            good = np.isfinite(rows).all(axis=1)
            for k in numbers[~good].tolist():
                self.report.add("not finite", "expected finite numbers in its vector", f"word {words[k]!r}")
            there[numbers[good]] = True
            take(numbers[good], rows[good])
        return there


def _dim_of(source, name):
    if hasattr(source, "key_to_index"):
        return source.vectors.shape[1]
    if callable(getattr(source, "vectors_for", None)):
        return source.vector_size
    raise TypeError(
        "vectors must be a path, a gensim KeyedVectors, an EmbeddingMatrix, an object with vector_size and vectors_for(words), "
        f"or a list of these; received {name}"
    )


def _rows_of(source, words, name):
    """Yields (numbers of some of the words that the source has, their rows)."""
    dim = _dim_of(source, name)
    if hasattr(source, "key_to_index"):  # not gensim's `in`, which takes ids for words
        index = source.key_to_index
        hits = np.array([k for k, word in enumerate(words) if word in index], np.int64)
        places = np.array([index[words[k]] for k in hits.tolist()], np.int64)
        for some in _blocks(len(hits), dim):
            yield hits[some], source.vectors[places[some]]
        return
    # An encoder makes vectors in batches of its own; of what lies in memory a part at a time is copied.
    for some in (
        _blocks(len(words), dim) if isinstance(source, EmbeddingMatrix) else [slice(0, len(words))] * bool(words)
    ):
        asked = words[some]
        rows, found = map(np.asarray, source.vectors_for(asked))
        if rows.shape != (len(asked), dim) or found.shape != (len(asked),) or found.dtype != np.bool_:
            raise ValueError(
                f"{name}.vectors_for must return rows of shape {(len(asked), dim)} and bools of shape {(len(asked),)}, "
                f"received {rows.shape} and {found.dtype} {found.shape}"
            )
        yield some.start + np.flatnonzero(found), rows[found]


def _blocks(n, dim):
    """The slices of `n` rows of `dim` numbers that are worked at one after another."""
    step = max(_BLOCK // max(dim, 1), 1)
    return [slice(begin, min(begin + step, n)) for begin in range(0, n, step)]


def _fall_back(matrix, origins, word_index, ids, lenders, names, plan, others):
    """Give the words that fallbacks find their rows. Only rows that a source has under that very word are lent.

    Returns:
        (label (source, fallback or None) of each origin; callable that makes the dict word → `Derivation`; dict fallback →
        words that it would find).
    """
    labels = [(name, None) for name in names]
    mask = origins[ids] == OOV
    if not mask.any() or not (plan.names or others):
        return labels, dict, {}
    missing, places = list(compress(word_index, mask.tolist())), ids[mask]
    pool = RowPool(matrix, word_index, lenders, origins - FIRST_SOURCE)
    resolution, numbers, would = resolve(plan, others, missing, pool)

    codes = {}  # of the labels that come beside the sources' own, which may be alike

    def code_of(label):
        if label not in codes:
            codes[label] = FIRST_SOURCE + len(labels)
            labels.append(label)
        return codes[label]

    owners = iter(pool.owners(numbers).tolist() if len(names) > 1 else ())
    borrowers, counts = [], []
    for loans in resolution.loans:
        if not loans.lenders:  # n-grams do it
            whose = [names[pool.makers[missing[k]]] for k in loans.borrowers]
        else:
            borrowers += loans.borrowers
            counts += loans.counts
            whose = names
            if len(names) > 1:
                whose = [" + ".join(names[k] for k in dict.fromkeys(islice(owners, count))) for count in loans.counts]
        origins[places[loans.borrowers]] = [code_of((name, loans.fallback)) for name in whose]
    pool.lend(numbers, counts, places[borrowers])
    suggestions = {name: other.found() for name, other in would.items() if other.loans}
    return labels, resolution.derived, suggestions


def _fill_oov(em, unknown_rows, oov, seed):
    """Give the rows of unknown words their values. Sums and draws run in the order of the words, so that ids do not matter."""
    if isinstance(oov, str) and oov == "zeros":
        return
    places = [*(em.word_index[word] for word in sorted(em.coverage.missing)), *unknown_rows]
    found = sorted(em.coverage.found)
    if not places or not (found or callable(oov)):
        return
    places = np.array(places, np.int64)
    shape = len(places), em.vector_size
    rng = np.random.default_rng(seed)
    if callable(oov):
        rows = np.asarray(oov(shape, rng))
        if rows.shape != shape or not np.isfinite(rows).all():
            raise ValueError(f"oov must return finite rows of shape {shape}, received shape {rows.shape}")
        em.matrix[places] = rows
        return
    known = np.array([em.word_index[word] for word in found], np.int64)
    mean = _sum_of(em.matrix, known) / len(known)
    if oov == "mean":
        em.matrix[places] = mean
        return
    std = np.sqrt(_sum_of(em.matrix, known, lambda rows: np.square(rows - mean)) / len(known))
    for some in _blocks(*shape):
        drawn = places[some]
        em.matrix[drawn] = mean + std * rng.standard_normal((len(drawn), shape[1]))


def _sum_of(matrix, numbers, change=None):
    """The sum in float64 of the rows `numbers`, one after another in this order, each changed by `change`."""
    total = np.zeros(matrix.shape[1])
    for some in _blocks(len(numbers), len(total)):
        rows = matrix[numbers[some]].astype(np.float64)
        rows = rows if change is None else change(rows)
        rows[0] += total  # so that the order is that of one long sum
        total = np.add.accumulate(rows, axis=0, out=rows)[-1].copy()
    return total

"""word_index + vectors → `EmbeddingMatrix`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from functools import partial
from itertools import compress, islice
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from .._types import DtypeName
from ..checks import one_of, whole
from ..parts import FIRST_SOURCE, OOV, PADDING, UNUSED
from ..postprocess import steps_of
from ..shown import logger, plain_errors
from ..vocabulary import Vocabulary, read_vocabulary
from .combining import Combining
from .embedding_matrix import EmbeddingMatrix
from .fallbacks import NAMES, Derivation, Fallbacks, Resolution
from .lending import RowPool, resolve
from .oov import checked_oov, fill_unknown
from .placing import Placing
from .shared import warn_of
from .sources import source_of
from .sources.base import BaseSource
from .sources.combined import Combined

if TYPE_CHECKING:
    from .._types import (
        Align,
        Bools,
        CombineName,
        Dtype,
        Fallback,
        FallbackName,
        FormatName,
        Ids,
        OnError,
        Oov,
        Progress,
        StrPath,
        Vectors,
        WordIndex,
    )
    from ..parts import Label
    from ..placed import Room
    from ..postprocess import Own, Refining, Step
    from ..readers.damage import DamageReport


@plain_errors
def build_matrix(
    vectors: Vectors,
    word_index: WordIndex,
    *,
    num_words: int | None = None,
    oov: Oov = "zeros",
    fallbacks: Iterable[Fallback] = (),
    suggest: bool = False,
    seed: int = 0,
    dtype: Dtype = "float32",
    format: FormatName | None = None,
    encoding: str = "utf-8",
    on_error: OnError = "raise",
    progress: Progress = None,
    trust: bool = False,
    cache_dir: StrPath | None = None,
    postprocess: Iterable[Refining] = (),
    combine: CombineName = "first",
    align: Align = None,
    balance: bool = True,
    index: bool | StrPath | None = None,
    out: StrPath | None = None,
    rows: tuple[int, int] | None = None,
) -> EmbeddingMatrix:
    """The embedding matrix for your vocabulary.

    A file is streamed once, whatever the fallbacks: only the rows that are wanted are parsed, memory is the matrix, the words
    and a few MB (and fastText's n-grams), and reading stops when every word is found. Row 0 is padding, all zeros, where no
    word has id 0 or the word there is '', '<pad>', '[PAD]' or the source's own padding token.

    Args:
        vectors: a path (see `load_vectors` for the formats), the folder of a static sentence model, a gensim KeyedVectors, an
            `EmbeddingMatrix`, a `SubwordModel`, any object with `vector_size` and `vectors_for(words) -> (rows, found)`, a
            `Source`, or a list of these: an earlier one wins.
        word_index: dict word → id; list of words (id = position); a Keras Tokenizer, TextVectorization or StringLookup; a
            Hugging Face tokenizer; a scikit-learn vectorizer; a gensim Dictionary or KeyedVectors; a path to .json, .txt (one
            word a line) or .tsv (word, tab, id).
        num_words: rows of the matrix, where not highest id + 1: as in Keras' Tokenizer, ids from `num_words` on are left out.
        oov: rows of words without a vector: "zeros"; "normal", drawn with mean and standard deviation of the found rows,
            column by column, each word's row keyed by `seed` and the word, so that it does not depend on which others are
            missing; "mean" of the found rows; or a callable `(shape, rng) -> rows`, for the missing words in their order.
            Sums run in float64 and in the order of the words, so that the rows do not depend on the ids.
        fallbacks: where else to look for words that no source has, in this order, each building on those before it: "nfkc",
            "lower", "title", "upper", "simplified", "traditional" (Chinese, by OpenCC), "digits" (to # or 0), "markers" (## ▁ Ġ
            off), "parts" (mean of the known words that it splits into), "characters" (mean of a Chinese word's characters),
            "subwords" (fastText's n-grams), or callables word → word, list of words, or None.
        suggest: also find out which other fallbacks would help: `coverage.suggestions`.
        seed: of what `oov` draws, a whole number from 0 on.
        dtype: "float32", "float16" or "float64".
        format, encoding, on_error, progress, trust: as for `load_vectors`, of vectors that are paths. A vocabulary file that is
            not UTF-8 is read in this encoding, too.
        cache_dir: folder that keeps built matrices: the same call with the same files is answered from there.
        postprocess: what is done to the rows, one after the other, before those of unknown words are made: names ("center",
            "normalize", "all_but_the_top:2", "pca:100", "whiten"), what `w2v_embed.postprocess` has, or callables
            `em -> EmbeddingMatrix or array`.
        combine: of several sources: "first", an earlier one wins; "concat", their rows side by side, zeros where a source lacks
            the word; "average", the mean of the rows of those that have it. Provenance names all sources of a row.
        align: True (or "ridge"): rows of later sources, of any width, are mapped into the space of the first, by a ridge
            regression that is learned on words that both have and judged on others (`steps`); "procrustes": by an orthogonal
            map. A map that is no better than chance is refused. None: they are taken as they are, with a warning where sources
            whose rows are mixed do not agree on the words that both have; False: without.
        balance: whether "concat" scales the rows of later sources to the mean length of those of the first.
        index: of files: None, use the index beside a file (`w2v-embed index`) where there is one and it is true; True, make
            it where it is missing; a folder, the same, and the indexes lie there, those of URLs, too, of which then only the
            wanted rows are fetched; False, look at none. The rows are the same. See docs/scale.md.
        out: .safetensors to which the rows are written where they will lie, so that they take no memory; what is returned
            is that file, mapped. A name that ends in .safetensors.index.json: parts in Hugging Face's layout. Not with
            combine="average", `align`, `postprocess` and `cache_dir`, which need the rows in memory.
        rows: (a, b): only the rows from a up to b, the same as in the whole matrix; its `word_index` counts from a on.

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
    plan = Fallbacks(fallbacks)
    making = {"oov": checked_oov(oov), "suggest": bool(suggest), "seed": whole("seed", seed, 0), "dtype": _dtype(dtype)}
    steps = steps_of(postprocess)
    making["combining"] = Combining.checked(combine, align, balance)
    reading: dict[str, Any] = {"format": format, "encoding": encoding, "on_error": on_error, "trust": bool(trust)}
    vocabulary = read_vocabulary(word_index, num_words, encoding=encoding)
    given = list(vectors) if isinstance(vectors, (list, tuple)) else [vectors]
    if not given:
        raise ValueError("vectors is an empty list; expected at least one source of vectors")
    opened = partial(source_of, progress=progress, index=index, **reading)
    if out is not None or rows is not None:
        placing = Placing.checked(out, rows, vocabulary.rows, making["combining"], steps, cache_dir)
        make = partial(_build, given, plan=plan, open_source=opened, **making)
        return placing.build(make, given, vocabulary, plan, making)
    build = partial(_build, given, vocabulary, plan, opened, steps, **making)
    if cache_dir is None:
        return build()
    from .cache import cached

    options = {**making, **reading, "postprocess": [step.key for step in steps]}
    return cached(cache_dir, build, EmbeddingMatrix._from_stored, given, vocabulary, plan, options)


def _dtype(dtype):
    """The name of a dtype of floats."""
    name = dtype
    if dtype is not None:  # which NumPy takes for float64
        with suppress(TypeError):
            name = str(np.dtype(dtype))
    return one_of("dtype", name, get_args(DtypeName))


def _build(
    given: list[Any],
    vocabulary: Vocabulary,
    plan: Fallbacks,
    open_source: Callable[[Any], BaseSource],
    steps: Sequence[Step | Own] = (),
    *,
    room: Room = np.zeros,
    oov: Oov,
    suggest: bool,
    seed: int,
    dtype: str,
    combining: Combining,
) -> EmbeddingMatrix:
    with ExitStack() as stack:
        sources = [stack.enter_context(closing(open_source(one))) for one in given]
        if any(source.only_ngrams for source in sources) and not plan.needs_subwords:
            plan = Fallbacks([*plan.given, "subwords"])
        _check_sources(sources, plan, combining)
        others = _others(plan, sources) if suggest else []
        wide = Fallbacks([*plan.given, *others]) if others else plan
        rows = _Rows(
            vocabulary,
            combining.combined(sources, vocabulary.word_index, seed),
            combining.working(dtype, len(sources)),
            room,
        )
        rows.fill(wide)
        derived, suggestions = rows.fall_back(plan, others, wide)
    for report in rows.reports():
        report.log()
    told = [step for source in rows.filled for step in source.steps()]
    warn_of(told)
    em = EmbeddingMatrix(
        rows.matrix.astype(dtype, copy=False),
        vocabulary.word_index,
        origins=rows.origins,
        sources=rows.labels,
        derived=derived,
        suggestions=suggestions,
        padding_row=vocabulary.padding_row,
        damage=rows.reports(),
        steps=told,
    )
    if not (rows.origins > OOV).any():
        names = ", ".join(source.name for source in sources)
        logger.warning("none of the %d words was found in %s", len(em.coverage.missing), names)
    del rows  # so that beside a refined matrix there is one other, not all of them
    for step in steps:
        em = step(em)
    fill_unknown(em, vocabulary.unknown_rows, oov, seed)
    return em


def _check_sources(sources: list[BaseSource], plan: Fallbacks, how: Combining) -> None:
    """Raise where sources do not go together, or not with the fallbacks."""
    if plan.needs_subwords and not any(source.has_ngrams for source in sources):
        raise ValueError(
            'the fallback "subwords" needs fastText vectors with character n-grams, as load_vectors reads them from a .bin of '
            f"fastText; received {', '.join(source.name for source in sources)}"
        )
    first = sources[0]
    for source in sources if how.mixes else ():
        if source.dim != first.dim:
            raise ValueError(
                f"{source.name} has vectors of {source.dim} numbers, {first.name} of {first.dim}; they must be alike. Rows of "
                'any width can be mapped (align="ridge") or stand side by side (combine="concat")'
            )


def _others(plan: Fallbacks, sources: list[BaseSource]) -> list[FallbackName]:
    """The fallbacks that could be suggested: not in the plan, what they need is there, and n-grams last."""
    others = [name for name in NAMES if name not in (*plan.names, "subwords") and _works(name)]
    if not plan.needs_subwords and any(source.has_ngrams for source in sources):
        others.append("subwords")
    return others


def _works(name: FallbackName) -> bool:
    """Whether what this fallback needs is installed."""
    try:
        Fallbacks([name])
    except ImportError:
        return False
    return True


class _Rows:
    """The rows of a vocabulary, as they come out of the sources.

    Attributes:
        matrix: array `(rows, dim)`.
        origins: int32 array `(rows,)` of codes, see `parts`.
        labels: list of what codes from `FIRST_SOURCE` on mean: the sources alone, then sources with fallbacks.
        filled: list of the sources that were asked to fill: later ones are not, where nothing is missing.
    """

    def __init__(self, vocabulary: Vocabulary, sources: list[BaseSource], dtype: str, room: Room) -> None:
        self._word_index, self._sources = vocabulary.word_index, sources
        self.filled: list[BaseSource] = []
        self._ids = np.fromiter(self._word_index.values(), np.int64, len(self._word_index))
        self.matrix = room((vocabulary.rows, sources[0].dim), dtype)
        self.origins = np.full(vocabulary.rows, UNUSED, np.int32)
        self.origins[self._ids] = OOV
        self.origins[list(vocabulary.unknown_rows)] = OOV
        self.origins[[] if vocabulary.padding_row is None else [0]] = PADDING
        self._combined = sources[0] if isinstance(sources[0], Combined) else None
        self.labels: list[Label] = [(one.name, None) for one in (self._combined.parts if self._combined else sources)]
        self._codes: dict[Label, int] = {}  # of the labels that come beside the sources' own, which may be alike

    def _missing(self) -> tuple[list[str], Ids]:
        """The words that have no row so far, and their places in the matrix."""
        mask = self.origins[self._ids] == OOV
        return list(compress(self._word_index, mask.tolist())), self._ids[mask]

    def fill(self, wide: Fallbacks) -> None:
        """Take the rows that words have under their own name; `wide` are all fallbacks that will ask for other words."""
        for code, source in enumerate(self._sources, FIRST_SOURCE):
            words, places = self._missing()
            if not words:  # also from the start, of a part of the rows
                break
            candidates = partial(self._candidates, wide) if wide.names else None
            found = source.fill(words, self.matrix, places, candidates)
            self.origins[places[found]] = self._codes_of(self._combined, found) if self._combined else code
            self.filled.append(source)

    def _codes_of(self, source: Combined, found: Bools) -> Ids:
        """The codes of the words that were found, each in one or several sources."""
        masks, which = np.unique(source.masks[found], return_inverse=True)
        alone = {1 << k: FIRST_SOURCE + k for k in range(len(source.parts))}
        codes = [alone.get(mask) or self._code_of(source.name_of(mask), None) for mask in masks.tolist()]
        return np.array(codes, np.int32)[which]

    def reports(self) -> list[DamageReport]:
        """What was wrong in the sources that were asked."""
        return [source.report for source in (self._combined.parts if self._combined else self.filled)]

    def _candidates(self, wide: Fallbacks, words: Sequence[str]) -> set[str]:
        """The words beyond the vocabulary that may lend one of `words` a row, and that no source holds already."""
        return wide.candidates(words).difference(self._word_index, *(source.held for source in self.filled))

    def fall_back(
        self, plan: Fallbacks, others: list[FallbackName], wide: Fallbacks
    ) -> tuple[Callable[[], dict[str, Derivation]], Mapping[str, list[str]]]:
        """Give the words that fallbacks find their rows. Only rows that a source has under that very word are lent.

        Returns:
            (what makes the dict word → `Derivation`; dict name of one of the `others` → the words that it would find)
        """
        missing, places = self._missing()
        if not missing or not wide.names:
            return dict, {}
        owners = self.origins - FIRST_SOURCE
        pool = RowPool(self.matrix, self._word_index, self.filled, owners, lambda: sorted(wide.candidates(missing)))
        resolution, numbers, would = resolve(plan, others, missing, pool)
        self._note(resolution, places, pool, numbers)
        lent = [loans for loans in resolution.loans if loans.lenders]  # else n-grams have made the row
        counts = [count for loans in lent for count in loans.counts]
        pool.lend(numbers, counts, places[[k for loans in lent for k in loans.borrowers]])
        return resolution.derived, {name: other.found() for name, other in would.items() if other.loans}

    def _note(self, resolution: Resolution, places: Ids, pool: RowPool, numbers: Ids) -> None:
        """Write down where the rows of the words come from that fallbacks found."""
        names = [source.name for source in self.filled]
        owners = iter(pool.owners(numbers).tolist() if len(names) > 1 else ())
        for loans in resolution.loans:
            whose = names
            if self._combined:
                lenders = iter(loans.lenders or [resolution.words[k] for k in loans.borrowers])
                whose = [self._combined.whose(islice(lenders, count or 1)) for count in loans.counts]
            elif not loans.lenders:
                whose = [names[pool.makers[resolution.words[k]]] for k in loans.borrowers]
            elif len(names) > 1:
                whose = [" + ".join(names[k] for k in dict.fromkeys(islice(owners, count))) for count in loans.counts]
            self.origins[places[loans.borrowers]] = [self._code_of(name, loans.fallback) for name in whose]

    def _code_of(self, name: str, fallback: str | None) -> int:
        label = (name, fallback)
        if label not in self._codes:
            self._codes[label] = FIRST_SOURCE + len(self.labels)
            self.labels.append(label)
        return self._codes[label]

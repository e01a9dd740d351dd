"""Word similarity: how far the cosines of pairs of words rank as people rank the pairs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..figures import average_ranks
from ..shown import plain_errors
from .files import read_pairs
from .rows import checked_options, rows_for

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._types import FormatName, OnError, OneSource, Progress, StrPath


@dataclass(frozen=True)
class Similarity:
    """What `word_similarity` found.

    Attributes:
        spearman: correlation of the ranks, from -1 to 1; NaN where there are none.
        pearson: correlation of the figures themselves.
        covered: how many pairs have vectors of both words.
        pairs: how many pairs the file has.
    """

    spearman: float
    pearson: float
    covered: int
    pairs: int

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON values, None for NaN."""
        return {name: None if value != value else value for name, value in asdict(self).items()}


@plain_errors
def word_similarity(
    vectors: OneSource,
    pairs: StrPath,
    *,
    restrict_vocab: int | None = 300_000,
    case_insensitive: bool = True,
    dummy4unknown: bool = False,
    format: FormatName | None = None,
    encoding: str = "utf-8",
    on_error: OnError = "raise",
    progress: Progress = None,
    trust: bool = False,
) -> Similarity:
    """Hold word vectors against people's judgement of pairs. The figures are those of gensim's `evaluate_word_pairs`.

    Of a file only the words of the pairs are kept, and it is read as far as these may stand: where case counts, no other rows
    are parsed.

    Args:
        vectors: as for `build_matrix`, one. Of an `EmbeddingMatrix` the words that have a vector of their own count. What can
            only be asked (an encoder, a `Source`) is asked for each word as it stands, in lower case, as a title, in capitals.
        pairs: file of pairs: WordSim-353, SimLex-999, and others like them; see docs/refining.md.
        restrict_vocab: of the vectors only the first so many words count; None for all.
        case_insensitive: whether words that differ in case alone are one: the first of them in the vectors.
        dummy4unknown: count pairs with unknown words as not alike at all; else they are left out.
        format, encoding, on_error, progress, trust: as for `load_vectors`.

    Returns:
        A `Similarity`.

    Raises:
        FileNotFoundError, TypeError, ValueError: says what is wrong, where, and how to go on.

    Example:
        >>> from w2v_embed import EmbeddingMatrix
        >>> em = EmbeddingMatrix([[1, 0.1], [1, 0], [0, 1.0]], {"cat": 0, "dog": 1, "tax": 2})
        >>> file = getfixture("tmp_path") / "pairs.tsv"
        >>> _ = file.write_text("cat\\tdog\\t9\\ncat\\ttax\\t2\\ndog\\ttax\\t1\\ndog\\tqwx\\t1\\n")
        >>> result = word_similarity(em, file)
        >>> result.spearman, round(result.pearson, 3), result.covered, result.pairs
        (1.0, 1.0, 3, 4)
    """
    reading = {"format": format, "encoding": encoding, "on_error": on_error, "progress": progress, "trust": trust}
    key, most = checked_options(reading, case_insensitive, restrict_vocab)
    judged = read_pairs(pairs, encoding)
    words = list(dict.fromkeys(word for first, second, _ in judged for word in (first, second)))
    row_of, rows = rows_for(vectors, words, key, most, **reading)
    unit = np.asarray(rows, np.float64)
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    figures, cosines, covered = [], [], 0
    for first, second, figure in judged:
        a, b = row_of.get(key(first)), row_of.get(key(second))
        if a is not None and b is not None:
            covered += 1
            cosines.append(float(unit[a] @ unit[b]))
            figures.append(figure)
        elif dummy4unknown:
            cosines.append(0.0)
            figures.append(figure)
    ranked = average_ranks(figures), average_ranks(cosines)
    return Similarity(_correlation(*ranked), _correlation(figures, cosines), covered, len(judged))


def _correlation(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Pearson's; NaN where one of both is the same throughout."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if len(a) < 2 or not np.ptp(a) or not np.ptp(b):
        return float("nan")
    a, b = a - a.mean(), b - b.mean()
    return float(np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), -1, 1))

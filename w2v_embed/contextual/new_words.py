"""New words for a trained encoder: a token, a row and a bias each."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import numpy as np

from .._types import NewWordInit
from ..checks import one_of, whole
from ..matrix.alignment import LEAST_WORDS, learn
from ..matrix.build import build_matrix
from ..matrix.oov import draw
from ..parts import OOV
from ..shown import logger, quoted
from .inputs import list_of_words
from .recombining import Recombination, recombined

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._types import Bools, Vectors
    from .encoder import ContextualEncoder

    Rows = npt.NDArray[np.float64]

_Encoder = TypeVar("_Encoder", bound="ContextualEncoder")


def add_tokens(
    encoder: _Encoder,
    words: Iterable[str] | Mapping[str, str],
    init: NewWordInit | Callable[[tuple[int, int], np.random.Generator], npt.ArrayLike] = "mean",
    *,
    vectors: Vectors | None = None,
    seed: int = 0,
) -> _Encoder:
    """Return an encoder that knows more words, each as one token; `encoder` stays as it is.

    The rows of a head's tied matrix are those of the table; biases get the mean of what the row is the mean of.

    Args:
        encoder: a `ContextualEncoder`.
        words: the new words; for `init="description"` a mapping of each to a text that describes it. Words that are tokens
            already are left alone, which is logged.
        init: what a new row is: "mean", that of all rows; "normal", drawn from the normal distribution of the rows, mean and
            covariance (transformers draws with a billionth of the covariance: that is "mean" here); "pieces", the mean of the
            pieces in which the word came until now; "description", the mean of the pieces of its description; or a callable
            (shape, rng) → rows.
        vectors: word vectors, whatever `build_matrix` takes, that know new words and some of the old ones: from these a map
            into the encoder's table is learned, and a word that they know gets its mapped row. Others are left to `init`.
        seed: of what is drawn; a word's draw depends on nothing else.

    Returns:
        an encoder of the same kind; its `steps` say what was done.

    Raises:
        ValueError: if there is no new word, or `vectors` know too few of the old ones.

    >>> from w2v_embed.contextual import ContextualEncoder, add_tokens
    >>> encoder = ContextualEncoder.from_pretrained("tests/data/reference/bert_hf")
    >>> more = add_tokens(encoder, ["covid"], init="mean")
    >>> more.config.vocab_size - encoder.config.vocab_size, more.tokenizer.pieces(["Covid bank"])
    (1, [[51, 6]])
    """
    if not callable(init):
        one_of("init", init, get_args(NewWordInit), or_else="a callable (shape, rng) -> rows")
    if init == "description" and not isinstance(words, Mapping):
        raise TypeError(f'words must be a mapping of word to text for init="description", received {quoted(words)}.')
    seed, new = whole("seed", seed, 0), _new_words(encoder, words)
    old, tokenizer = encoder.tokenizer, encoder.tokenizer.extended(new)
    first, size = old.size, encoder.config.vocab_size
    ids = np.arange(first, first + len(new))
    change = Recombination(np.minimum(np.arange(max(size, tokenizer.size)), size - 1))
    everything = np.arange(first), np.full(first, 1 / first)
    change.sums = {int(id_): everything for id_ in ids}
    if init in ("pieces", "description"):
        told = [words[word] for word in new] if isinstance(words, Mapping) and init == "description" else new
        for id_, word, pieces in zip(ids, new, old.pieces(told)):
            known = [piece for piece in pieces if piece != old.unknown_id]
            if known:
                change.sums[int(id_)] = np.array(known), np.full(len(known), 1 / len(known))
            else:
                logger.warning("%s has no known pieces: its row is the mean of all", quoted(word))
    elif init == "normal":
        change.drawn = ids, lambda table: _drawn(table[:first], new, seed)
    table = encoder._checkpoint.words()[:first].astype(np.float64)
    if callable(init):
        change.rows.update(zip(ids.tolist(), _called(init, (len(new), table.shape[1]), seed)))
    step: dict[str, Any] = {
        "step": "add_tokens",
        "words": len(new),
        "init": init if isinstance(init, str) else "callable",
    }
    if vectors is not None:
        rows, found, figures = _from_donor(encoder, vectors, new, table)
        change.rows.update({int(id_): row for id_, row, there in zip(ids, rows, found) if there})
        step = {**step, "from_vectors": int(found.sum()), **figures}
    return recombined(encoder, tokenizer, change, step)


def _new_words(encoder, words):
    if isinstance(words, Mapping) and not all(isinstance(text, str) for text in words.values()):
        raise TypeError("words must be a mapping of word to text, received one whose values are no strings.")
    given = list_of_words(words)
    for number, word in enumerate(given):
        if not isinstance(word, str) or not word.strip() or word != word.strip():
            raise ValueError(f"word {number} must be a string without spaces at its ends, received {quoted(word)}.")
        if not word.isprintable():
            raise ValueError(f"word {number} must be printable, received {quoted(word)}.")
    if len(set(given)) < len(given):
        twice = next(word for number, word in enumerate(given) if word in given[:number])
        raise ValueError(f"words must be there once each, {quoted(twice)} is there twice.")
    vocabulary = encoder.tokenizer.vocabulary()
    new = [word for word in given if word not in vocabulary]
    if not new:
        raise ValueError(
            f"words must be new ones, received {len(given)}, all of which are tokens already: {quoted(given)}."
        )
    if len(new) < len(given):
        logger.warning("%d of %d words are tokens already and are left alone", len(given) - len(new), len(given))
    return new


def _called(init, shape, seed):
    rows = np.asarray(init(shape, np.random.default_rng(seed)))
    if rows.shape != shape or rows.dtype.kind not in "fiu" or not np.isfinite(rows).all():
        raise ValueError(f"init must return finite rows of shape {shape}, received {rows.dtype} of shape {rows.shape}.")
    return rows


def _drawn(table, words, seed):
    """Rows of the normal distribution of those of a table, or numbers of that of its numbers; each by its word."""
    rows = table.reshape(len(table), -1).astype(np.float64)
    mean = rows.mean(axis=0)
    values, axes = np.linalg.eigh(np.cov(rows.T).reshape(len(mean), -1))
    root = axes * np.sqrt(np.maximum(values, 0))
    drawn = np.stack([root @ numbers + mean for numbers in draw(words, len(mean), seed)])
    return drawn.reshape(len(words), *table.shape[1:])


def donated(vectors: Vectors, words: list[str]) -> tuple[Rows, Bools]:
    """The rows that word vectors have for words, and which they have; the words may repeat."""
    index = {word: number for number, word in enumerate(dict.fromkeys(words), 1)}
    em = build_matrix(vectors, index)
    places = np.array([index[word] for word in words], np.int64)
    return em.matrix[places].astype(np.float64), em.origins[places] > OOV


def _from_donor(encoder, vectors, new, table):
    """(rows, which are there, what is told): the donor's rows of new words, mapped as those of old words are."""
    whole_words = [
        (surface[1], id_)
        for piece, id_ in encoder.tokenizer.vocabulary().items()
        if id_ < len(table) and (surface := encoder.tokenizer.surface(piece)) is not None and surface[0]
    ]
    names = [name for name, _ in whole_words]
    rows, found = donated(vectors, [*names, *new])
    both = np.flatnonzero(found[: len(names)])
    if len(both) < LEAST_WORDS:
        raise ValueError(
            f"vectors must know at least {LEAST_WORDS} of the encoder's words, so that a map can be learned; they know "
            f"{len(both)}. "
            "Take others, or another init."
        )
    targets = table[[whole_words[place][1] for place in both]]
    order = np.random.default_rng([zlib.crc32(b"add_tokens"), len(both)]).permutation(len(both))
    learned = learn(rows[both], targets, "ridge", order)
    mine = rows[len(names) :]
    mapped = mine if learned.map is None else learned.map(mine)
    return mapped, found[len(names) :], learned.figures()

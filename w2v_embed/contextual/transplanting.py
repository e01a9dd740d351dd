"""An encoder with another tokenizer, whose words get rows made of those of the old ones.

Words that both vocabularies have keep their rows. Every other row is a sum of old rows: the mean of the pieces in which the
word came until now; or, where `vectors` place new and old words in one space, the sum by which their vectors there are made
of each other.

References: Dobler & de Melo 2023, FOCUS, https://arxiv.org/abs/2305.14481. Goddard & Fernandes Neto 2025, Training-Free
Tokenizer Transplantation via Orthogonal Matching Pursuit, https://arxiv.org/abs/2506.06607.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import numpy as np

from .._types import TransplantName
from ..checks import one_of, whole
from ..shown import logger, quoted
from .files import VOCABULARY_LIMIT, read_text
from .new_words import donated
from .recombining import Recombination, recombined
from .tokenizers import JsonTokenizer, Tokenizer, WordPieceTokenizer, read_tokenizer

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._types import StrPath, Vectors
    from .encoder import ContextualEncoder

    Rows = npt.NDArray[np.float64]
    Ids = npt.NDArray[np.int64]

_Encoder = TypeVar("_Encoder", bound="ContextualEncoder")
_ROLES = ("pad_id", "unknown_id")
_FRAMES = ("head", "middle", "tail")
_AT_ONCE = 512
_NEAREST = 64  # of the old words, of which sparsemax takes fewer


def transplant(
    encoder: _Encoder,
    tokenizer: StrPath | Tokenizer | ContextualEncoder | Any,
    vectors: Vectors | npt.NDArray[Any] | None = None,
    method: TransplantName | None = None,
    *,
    atoms: int = 16,
) -> _Encoder:
    """Return an encoder with another tokenizer and a table for it; `encoder` stays as it is.

    It has to be trained on, but begins from what it knew: of words that both vocabularies have, rows are copied.

    Args:
        encoder: a `ContextualEncoder`.
        tokenizer: a folder or a tokenizer.json; a `tokenizers.Tokenizer`, or one of transformers that has such a one; or an
            encoder, whose tokenizer it is. Which special tokens stand around a text is the tokenizer's word.
        vectors: the space in which new and old words are compared, for "focus" and "omp": an array with a row for each id of
            the new tokenizer (the table of a model that has it); an encoder with this tokenizer, whose table is taken; or
            word vectors, whatever `build_matrix` takes, which are asked for the words of both.
        method: "pieces": the mean of the rows of the pieces in which a new word came until now; "focus": a mean of the rows
            of words that both have, weighted by sparsemax of their cosines to the new one; "omp": the sum of at most `atoms`
            rows of such words that is nearest to the new one. None = "focus" where there are `vectors`, else "pieces". A word
            that `vectors` do not know is left to "pieces", and what has none gets the mean of all rows.
        atoms: for "omp".

    Returns:
        an encoder of the same kind; its `steps` say how many rows were made in which way.

    >>> from w2v_embed.contextual import ContextualEncoder, transplant
    >>> encoder = ContextualEncoder.from_pretrained("tests/data/reference/bert_hf")
    >>> again = transplant(encoder, "tests/data/reference/bert_hf_bin")
    >>> bool((again.encode(["the bank"]) == encoder.encode(["the bank"])).all())
    True
    """
    if method is None:
        method = "pieces" if vectors is None else "focus"
    one_of("method", method, get_args(TransplantName), or_else="None")
    if (vectors is None) != (method == "pieces"):
        told = "given" if vectors is None else 'None with method "pieces"'
        raise ValueError(
            f"vectors must be {told} for this method, received method {quoted(method)} and {quoted(vectors)}."
        )
    atoms = whole("atoms", atoms)
    new = new_tokenizer(tokenizer)
    shared = _shared(encoder.tokenizer, new)
    if not shared:
        raise ValueError(
            "the tokenizer must share words with the encoder's, it shares none: is it one of the same script?"
        )
    change = Recombination(np.zeros(new.size, np.int64))
    for id_, old in shared.items():
        change.kept[id_] = old
    missing = [id_ for id_ in range(new.size) if id_ not in shared]
    change.sums = _pieces_of(encoder.tokenizer, new, missing)
    by_pieces, by_vectors = len(change.sums), 0
    if vectors is not None and missing:
        rows, found = _space(vectors, new)
        known = np.array([id_ for id_ in shared if found[id_] and id_ not in new.special_ids], np.int64)
        wanted = np.array([id_ for id_ in missing if found[id_]], np.int64)
        if len(known) < 2:
            raise ValueError(f"vectors must know words that both tokenizers have, they know {len(known)}.")
        sums = _focus(rows, known, wanted) if method == "focus" else _omp(rows, known, wanted, atoms)
        old_of = np.array([shared[id_] for id_ in known], np.int64)
        for id_, places, weights in sums:
            change.sums[id_] = old_of[places], weights
            by_vectors += 1
    nothing = [id_ for id_ in missing if id_ not in change.sums]
    size = encoder.tokenizer.size
    change.sums.update(dict.fromkeys(nothing, (np.arange(size), np.full(size, 1 / size))))
    step = {
        "step": "transplant",
        "method": method,
        "words": new.size,
        "shared": len(shared),
        "by_vectors": by_vectors,
        "by_pieces": len(missing) - by_vectors - len(nothing),
        "by_mean": len(nothing),
    }
    logger.info(
        "transplant: of %d words %d are shared, %d made by %s", new.size, len(shared), by_vectors or by_pieces, method
    )
    return recombined(encoder, new, change, step)


def new_tokenizer(given: Any) -> Tokenizer:
    """A tokenizer, whatever holds it."""
    if isinstance(given, Tokenizer):
        return given
    if isinstance(given, str | os.PathLike):
        path = Path(given)
        if path.is_dir():
            kind = JsonTokenizer if (path / "tokenizer.json").is_file() else WordPieceTokenizer
            return read_tokenizer(kind, path, 1 << 31)
        return JsonTokenizer.of(read_text(path, VOCABULARY_LIMIT), str(path))
    if isinstance(held := getattr(given, "tokenizer", None), Tokenizer):  # an encoder
        return held
    inner = getattr(given, "backend_tokenizer", given)
    if not hasattr(inner, "to_str"):
        raise TypeError(
            "tokenizer must be a folder, a tokenizer.json, a tokenizers.Tokenizer, a fast tokenizer of transformers or an "
            f"encoder, received {quoted(given)}."
        )
    return JsonTokenizer.of(inner.to_str(), "the tokenizer")


def _shared(old, new):
    """New id → old id of what both have: words and pieces of words by their letters, special tokens by their roles."""
    there: dict[tuple[bool, str], int] = {}
    for piece, id_ in sorted(old.vocabulary().items(), key=lambda item: -item[1]):
        surface = old.surface(piece)
        if surface is not None:
            there[surface] = id_
    shared = {}
    for piece, id_ in new.vocabulary().items():
        surface = new.surface(piece)
        if surface is not None and surface in there:
            shared[id_] = there[surface]
    for role in _ROLES:
        if getattr(new, role) >= 0 and getattr(old, role) >= 0:
            shared[getattr(new, role)] = getattr(old, role)
    pairs = [pair for frame in _FRAMES for pair in zip(getattr(new, frame), getattr(old, frame))]
    if len(new.head) == len(old.head) and len(new.tail) == len(old.tail):
        shared.update(pairs)
    if (mask := new.mask_id) is not None and old.mask_id is not None:
        shared[mask] = old.mask_id
    return shared


def _pieces_of(old, new, missing):
    """New id → (old ids, weights) of the pieces in which its letters come."""
    names = {id_: piece for piece, id_ in new.vocabulary().items()}
    texts = {id_: surface for id_ in missing if (surface := new.surface(names.get(id_, ""))) is not None and surface[1]}
    ids = list(texts)
    inner = {}
    for piece, id_ in old.vocabulary().items():
        surface = old.surface(piece)
        if surface is not None:
            inner.setdefault(surface[1], {})[surface[0]] = id_
    sums = {}
    for id_, pieces in zip(ids, old.pieces([texts[id_][1] for id_ in ids])):
        if not texts[id_][0]:
            pieces = _within(texts[id_][1], inner) or pieces
        known = [piece for piece in pieces if piece != old.unknown_id]
        if known:
            sums[id_] = np.array(known, np.int64), np.full(len(known), 1 / len(known))
    return sums


def _within(text, inner):
    """The pieces of what stands within a word, the longest first; [] where a letter has none."""
    ids, begin = [], 0
    while begin < len(text):
        end = next((end for end in range(len(text), begin, -1) if text[begin:end] in inner), None)
        if end is None:
            return []
        held = inner[text[begin:end]]
        ids.append(held.get(False, held.get(True)))
        begin = end
    return ids


def _space(vectors, new):
    """(rows, which are there) for each id of the new tokenizer."""
    if isinstance(held := getattr(vectors, "tokenizer", None), Tokenizer):
        if held.vocabulary() != new.vocabulary():
            raise ValueError("vectors must be an encoder with the new tokenizer, received one with another vocabulary.")
        vectors = vectors._checkpoint.words()
    if isinstance(vectors, np.ndarray):
        if vectors.ndim != 2 or len(vectors) < new.size or not np.isfinite(vectors).all():
            raise ValueError(
                f"vectors must be a finite array with a row for each of {new.size} words, received shape {vectors.shape}."
            )
        rows = vectors[: new.size].astype(np.float64)
        return rows, np.square(rows).sum(axis=1) > 0
    surfaces = {
        id_: surface[1] for piece, id_ in new.vocabulary().items() if (surface := new.surface(piece)) and surface[1]
    }
    some, found = donated(vectors, list(surfaces.values()))
    rows, there = np.zeros((new.size, some.shape[1])), np.zeros(new.size, bool)
    rows[list(surfaces)], there[list(surfaces)] = some, found & (np.square(some).sum(axis=1) > 0)
    return rows, there


def _unit(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)


def _focus(rows: Rows, known: Ids, wanted: Ids) -> Iterator[tuple[int, Ids, Rows]]:
    """For each wanted id the places of known ones, and their weights: sparsemax of the cosines."""
    atoms, most = _unit(rows[known]).astype(np.float32), min(_NEAREST, len(known))
    for begin in range(0, len(wanted), _AT_ONCE):
        some = wanted[begin : begin + _AT_ONCE]
        cosines = _unit(rows[some]).astype(np.float32) @ atoms.T
        near = np.argpartition(-cosines, most - 1, axis=1)[:, :most]
        for id_, places, values in zip(some.tolist(), near, np.take_along_axis(cosines, near, axis=1)):
            weights = sparsemax(values.astype(np.float64))
            yield id_, places[weights > 0], weights[weights > 0]


def sparsemax(values: Rows) -> Rows:
    """The point of the simplex that is nearest to some values. Martins & Astudillo 2016, https://arxiv.org/abs/1602.02068.

    >>> sparsemax(np.array([0.5, 0.9, -1.0])).round(2).tolist()
    [0.3, 0.7, 0.0]
    """
    ordered = np.sort(values)[::-1]
    sums = np.cumsum(ordered) - 1
    count = np.flatnonzero(ordered * np.arange(1, len(values) + 1) > sums)[-1] + 1
    return np.maximum(values - sums[count - 1] / count, 0)


def _omp(rows: Rows, known: Ids, wanted: Ids, count: int) -> Iterator[tuple[int, Ids, Rows]]:
    """For each wanted id the places of known ones, and their weights: orthogonal matching pursuit, many at a time."""
    dictionary = rows[known]
    lengths = np.maximum(np.linalg.norm(dictionary, axis=1), 1e-30)
    units = (dictionary / lengths[:, None]).astype(np.float32)
    count = min(count, len(known), rows.shape[1])
    for begin in range(0, len(wanted), _AT_ONCE):
        some = wanted[begin : begin + _AT_ONCE]
        targets = rows[some]
        left, chosen = targets, np.zeros((len(some), 0), np.int64)
        for _ in range(count):
            matches = np.abs(left.astype(np.float32) @ units.T)
            np.put_along_axis(matches, chosen, -1, axis=1)
            chosen = np.concatenate([chosen, matches.argmax(axis=1)[:, None]], axis=1)
            picked = dictionary[chosen] / lengths[chosen][..., None]
            gram = picked @ picked.transpose(0, 2, 1) + 1e-8 * np.eye(chosen.shape[1])
            weights = np.linalg.solve(gram, picked @ targets[..., None])[..., 0]
            left = targets - (weights[:, None] @ picked)[:, 0]
        yield from zip(some.tolist(), chosen, weights / lengths[chosen])

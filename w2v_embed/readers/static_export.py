"""A matrix → the folder of a static sentence model, which model2vec and sentence-transformers load (`static_models` reads it).

config.json        for model2vec: vectors are not normalised, and texts not cut
modules.json       for sentence-transformers: one StaticEmbedding, which finds its files beside it
tokenizer.json     of the package `tokenizers`; each row of the matrix is that of the piece with its number
model.safetensors  `embeddings` (pieces, dim), float16 or float32

Words are pieces of a WordLevel model. What is split before the model is asked cannot be one: words with spaces or punctuation
are "added tokens", found in the text first, the longest of those that begin at a place, and only where no letter or digit goes
on. `tokenizers` takes a time that grows with the square of their number, so the pattern that splits keeps the usual ones whole:
new-york, don't, 3.14.
"""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..output import write_folder
from ..safetensors import head_of
from ..shown import logger, quoted
from ..texts import parse_json
from .static_models import bounded_text, is_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._types import Floats, StrPath

    class Table(Protocol):
        """What is needed of an `EmbeddingMatrix`."""

        matrix: Floats
        word_index: dict[str, int]
        padding_row: int | None


NAMES = ("config.json", "modules.json", "tokenizer.json", "model.safetensors")
_PATTERN = r"\w+(?:(?:[-'’·.]|(?<=\d)[,:/](?=\d))\w+)*|[^\w\s]"
_WHOLE = re.compile(_PATTERN)
_PLAIN = frozenset(("Lu", "Ll", "Lt", "Lm", "Lo", "Nd", "Mn", "Mc"))  # what \w is, here and in `tokenizers`
_JOINTS = frozenset("-'’·.,:/_")
_UNKNOWN = ("[UNK]", "<unk>", "<UNK>", "[unk]")


def export(em: Table, folder: StrPath, tokenizer: StrPath | None = None) -> None:
    """See `EmbeddingMatrix.export_static`."""
    if not em.word_index:
        raise ValueError(
            "export_static needs the words of the matrix, received one without any, as a .npy is. "
            "Make it by EmbeddingMatrix(matrix, word_index)"
        )
    rows = em.matrix.astype("<f2" if em.matrix.dtype == np.float16 else "<f4")
    if len(bad := np.flatnonzero(~np.isfinite(rows).all(axis=1))):
        word = next((word for word, index in em.word_index.items() if index == bad[0]), None)
        raise ValueError(f"export_static needs finite numbers, received others in row {bad[0]}, of {quoted(word)}")
    if tokenizer is None:
        names, unknown = _pieces(em)
        settings = _word_tokenizer(names, unknown)
        rows = np.concatenate([rows, np.zeros((len(names) - len(rows), rows.shape[1]), rows.dtype)])
    else:
        settings = _given_tokenizer(Path(tokenizer), em)
    write_folder(folder, lambda home: _write(home, rows, settings), NAMES)


def _write(home: Path, rows: Floats, settings: dict[str, Any]) -> None:
    kind = "float16" if rows.dtype.itemsize == 2 else "float32"
    config = {"model_type": "model2vec", "architectures": ["StaticModel"], "hidden_dim": rows.shape[1]}
    config |= {"normalize": False, "max_length": None, "embedding_dtype": kind}
    modules = [{"idx": 0, "name": "0", "path": ".", "type": "sentence_transformers.models.StaticEmbedding"}]
    for name, content in (("config.json", config), ("modules.json", modules), ("tokenizer.json", settings)):
        (home / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    with open(home / "model.safetensors", "wb") as file:
        file.write(head_of({"embeddings": ("F16" if kind == "float16" else "F32", rows.shape)}))
        file.write(np.ascontiguousarray(rows).data)


# ── the tokenizer ──


def _pieces(em: Table) -> tuple[list[str], str]:
    """The piece of each row, one more for unknown words where no row is theirs, and what that is called."""
    names: list[str | None] = [None] * len(em.matrix)
    strange = [word for word, index in em.word_index.items() if not _can_be_said(word) and index != em.padding_row]
    for word, index in em.word_index.items():
        names[index] = word if _can_be_said(word) else None
    if strange:
        logger.warning(
            "%d words can stand in no text (%s): the rows are kept, and no text has them",
            len(strange),
            quoted(strange[0]),
        )
    taken = set(em.word_index)
    for index, name in enumerate(names):
        if name is None:
            names[index] = _free("[PAD]" if index == em.padding_row else f"[unused{index}]", taken)
    pieces = [name for name in names if name is not None]
    unknown = next((name for name in _UNKNOWN if name in em.word_index), None)
    if unknown is None:
        unknown = _free("[UNK]", taken)
        pieces.append(unknown)
    return pieces, unknown


def _can_be_said(word: str) -> bool:
    return bool(word.strip()) and is_text(word)


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name = f"[{name}]"
    taken.add(name)
    return name


def _word_tokenizer(pieces: list[str], unknown: str) -> dict[str, Any]:
    flags = {"single_word": True, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": k, "content": word, **flags} for k, word in enumerate(pieces) if not _stays_whole(word)
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": _PATTERN}, "behavior": "Removed", "invert": True},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": {word: k for k, word in enumerate(pieces)}, "unk_token": unknown},
    }


def _stays_whole(word: str) -> bool:
    """Whether the pattern surely leaves it in one piece, also where `tokenizers` knows other characters than Python."""
    if not all(c in _JOINTS or (c.isascii() and c.isalnum()) or unicodedata.category(c) in _PLAIN for c in word):
        return False
    return bool(_WHOLE.fullmatch(re.sub(r"\W", _plain, word)))


def _plain(found: re.Match[str]) -> str:
    """Combining marks, which Python does not count as parts of words, as letters."""
    return "a" if unicodedata.category(found[0])[0] in "LM" else found[0]


def _given_tokenizer(path: Path, em: Table) -> dict[str, Any]:
    """The settings of a tokenizer.json whose pieces are the words of the matrix."""
    file = path / "tokenizer.json" if path.is_dir() else path
    settings = parse_json(bounded_text(file), str(file), "value", "key")
    try:
        vocabulary: Mapping[str, int] = settings["model"]["vocab"]
        if isinstance(vocabulary, list):  # Unigram: pairs of a piece and its score
            vocabulary = {piece: k for k, (piece, _) in enumerate(vocabulary)}
        pieces = {**vocabulary, **{added["content"]: added["id"] for added in settings.get("added_tokens") or []}}
        ids = sorted(set(pieces.values()))
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise ValueError(f"{file} must have a model with its vocab, received something else ({error!r})") from error
    wrong = next((word for word, index in em.word_index.items() if pieces.get(word) != index), None)
    if wrong is not None or ids != list(range(len(em.matrix))):
        told = (
            f"for {quoted(wrong)} the id {em.word_index[wrong]} and {pieces.get(wrong)}"
            if wrong is not None
            else "others"
        )
        raise ValueError(
            f"{file} must have a piece for each of the {len(em.matrix)} rows, with the ids of the matrix, received {told}"
        )
    return {**settings, "truncation": None, "padding": None, "post_processor": None}

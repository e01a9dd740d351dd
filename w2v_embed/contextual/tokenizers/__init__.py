"""Texts → ids, one kind of tokenizer a file; `read_tokenizer` finds the one of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..files import VOCABULARY_LIMIT, checked, read_json
from .base import Spans, Tokenizer, read_options
from .json_file import JsonTokenizer
from .sentencepiece_model import SentencePieceTokenizer
from .wordpiece import WordPieceTokenizer

if TYPE_CHECKING:
    from ..._types import StrPath

__all__ = ["JsonTokenizer", "SentencePieceTokenizer", "Spans", "Tokenizer", "WordPieceTokenizer", "read_tokenizer"]


def read_tokenizer(
    kind: type[Tokenizer], folder: StrPath, vocab_size: int, *, do_lower_case: bool | None = None
) -> Tokenizer:
    """Make the tokenizer that belongs to an encoder.

    Args:
        kind: its class.
        folder: with vocab.txt or tokenizer.json (BERT, NEZHA) or spiece.model (XLNet), and maybe tokenizer_config.json.
        vocab_size: of the model.
        do_lower_case: None = what tokenizer_config.json says, else True for WordPiece and False for XLNet, the
            defaults of Hugging Face.

    Raises:
        FileNotFoundError: if there is no vocabulary.
        ValueError: if it lacks a special token or has more words than the model.
        ImportError: if the tokenizer's package is not installed.
    """
    folder = Path(folder)
    options = read_options(folder / "tokenizer_config.json")
    if do_lower_case is not None:
        options["do_lower_case"] = checked("the argument", "do_lower_case", do_lower_case, bool)
    vocabulary = folder / "tokenizer.json"
    if kind is WordPieceTokenizer and not (folder / "vocab.txt").is_file() and vocabulary.is_file():
        model = checked(vocabulary, "model", read_json(vocabulary, VOCABULARY_LIMIT).get("model", {}), dict)
        if model.get("type") not in ("WordPiece", None):
            kind = JsonTokenizer  # a BERT may have any
    if kind is JsonTokenizer and do_lower_case is not None:
        raise ValueError(
            f"do_lower_case must be None for a tokenizer.json, which says it itself, received {do_lower_case}."
        )
    tokenizer = kind(folder, options)
    if tokenizer.size > vocab_size:
        raise ValueError(
            f"{tokenizer.file} has {tokenizer.size} words, the model's vocab_size is {vocab_size}: "
            "it belongs to another model."
        )
    return tokenizer

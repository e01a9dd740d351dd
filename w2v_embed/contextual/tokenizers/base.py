"""What all tokenizers have in common, and what their folders say of them."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ...shown import quoted
from ..files import checked, read_json

if TYPE_CHECKING:
    from typing_extensions import Self

LARGEST_ID = (1 << 31) - 1


class Spans(NamedTuple):
    """The ids of a text, without special tokens, and for each the characters of the text that it stands for."""

    ids: list[int]
    offsets: list[tuple[int, int]]


class Tokenizer(ABC):
    """What all tokenizers have in common. A model sees the ids of a text between those of `head` and `tail`.

    Args:
        folder: where its vocabulary lies.
        options: what tokenizer_config.json says (see `_options`).

    Attributes:
        file: the vocabulary, for messages.
        size: how many words it has; their ids are smaller.
        unknown_id: stands for what it cannot spell.
        head, tail: ids of special tokens before and behind a text.
        tail_types: segments of the tail.
        middle: ids of special tokens between the texts of a pair.
        second_type, pair_tail_types: segments of the second text of a pair, and of the tail behind it.
        pad_id, pad_type: with which rows are padded, id and segment.
        pads_left: whether they are padded on the left.
        special_ids: of all special tokens.
        fingerprint: differs between tokenizers that cut texts differently.
    """

    file: Path
    size: int
    unknown_id: int
    head: list[int]
    tail: list[int]
    tail_types: list[int]
    middle: list[int]
    second_type: int
    pair_tail_types: list[int]
    pad_id: int
    pad_type: int
    special_ids: set[int]
    pads_left: ClassVar[bool] = False

    @abstractmethod
    def __init__(self, folder: Path, options: dict[str, Any]) -> None: ...

    @property
    @abstractmethod
    def fingerprint(self) -> str: ...

    @abstractmethod
    def pieces(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, without special tokens."""

    @abstractmethod
    def vocabulary(self) -> dict[str, int]:
        """Return all pieces and their ids."""

    @abstractmethod
    def spans(self, texts: Sequence[str]) -> list[Spans]:
        """Return the ids of each text, without special tokens, and where they stand in it."""

    @abstractmethod
    def surface(self, piece: str) -> tuple[bool, str] | None:
        """Return the letters of a piece, and whether it begins a word; None for what has none, a special token."""

    @property
    @abstractmethod
    def mask_id(self) -> int | None:
        """The token that stands for a word that is to be guessed."""

    def needed(self, ids: set[int]) -> set[int]:
        """Return `ids`, and those without which a tokenizer would find others, or lack special tokens."""
        raise ValueError(f"{self.file}: a model of sentencepiece cannot be trimmed; a tokenizer.json of it can.")

    def kept(self, ids: Sequence[int]) -> Self:
        """Return a tokenizer that has some of the tokens only, in this order."""
        raise ValueError(f"{self.file}: a model of sentencepiece cannot be trimmed; a tokenizer.json of it can.")

    @abstractmethod
    def extended(self, words: Sequence[str]) -> Self:
        """Return a tokenizer that has more words, each a token of its own; their ids follow the others'."""

    @abstractmethod
    def files(self, *, segments: bool) -> dict[str, str | bytes]:
        """Return the files, by name, of which this package and transformers make this tokenizer.

        Args:
            segments: whether the model takes segments.
        """


_SPECIAL = ("pad", "unk", "cls", "sep", "mask")
_SWITCHES = ("do_lower_case", "keep_accents", "remove_space", "tokenize_chinese_chars", "strip_accents")
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized")


def read_options(path: Path) -> dict[str, Any]:
    """Return what tokenizer_config.json says: switches that are set, `special_tokens` by their role, `added_tokens`."""
    values = read_json(path) if path.is_file() else {}
    options: dict[str, Any] = {
        key: checked(path, key, values[key], bool) for key in _SWITCHES if values.get(key) is not None
    }
    options["special_tokens"] = {key: _special(path, f"{key}_token", values, f"[{key.upper()}]") for key in _SPECIAL}
    added = checked(path, "added_tokens_decoder", values.get("added_tokens_decoder", {}), dict)
    options["added_tokens"], options["given"] = {}, values
    for id_, token in added.items():
        if not (id_.isascii() and id_.isdigit() and len(id_) <= 10):
            raise ValueError(f"{path}: added_tokens_decoder has the id {quoted(id_)}, expected a whole number.")
        content, flags = _token(path, token)
        check_token(path, content, int(id_))
        options["added_tokens"][content] = int(id_), flags
    return options


def _special(path, key, values, default):
    """A special token stands in a configuration as a string or as an object with its content."""
    token = values.get(key)
    content = default if token is None else token.get("content") if isinstance(token, dict) else token
    return check_text(path, key, content)


def added_tokens(path: Path, saved: dict[str, Any]) -> dict[str, tuple[int, dict[str, bool]]]:
    """Return `{content: (id, flags)}` of the added tokens in tokenizer.json."""
    added = {}
    for token in checked(path, "added_tokens", saved.get("added_tokens") or [], list):
        content, flags = _token(path, token)
        check_token(path, content, token.get("id"))
        added[content] = token["id"], flags
    return added


def _token(path, token):
    token = checked(path, "an added token", token, dict)
    return check_text(path, "the content of an added token", token.get("content")), {
        flag: bool(token.get(flag)) for flag in _FLAGS
    }


def check_token(path: Path, word: str, id_: object) -> None:
    check_text(path, "a word", word)
    if type(id_) is not int or not 0 <= id_ <= LARGEST_ID:
        raise ValueError(f"{path}: {quoted(word)} has the id {quoted(id_)}, expected 0 to {LARGEST_ID:,}.")


def check_text(path: Path, key: str, text: Any) -> str:
    if not checked(path, key, text, str).isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(f"{path}: {key} is {quoted(text)}, which cannot be written as UTF-8 ({error}).") from error
    return text


def digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def refuse_what_is_no_text(texts: Sequence[object]) -> None:
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"text {i} must be a string, received {quoted(text)}.")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(f"text {i} cannot be written as UTF-8: {error}.") from error


def config_file(options: dict[str, Any], changes: dict[str, Any]) -> str:
    """What tokenizer_config.json says from now on: what it said, and `changes`; transformers takes the tokenizer as it is."""
    kept = {
        key: value for key, value in options.get("given", {}).items() if key not in ("auto_map", "added_tokens_decoder")
    }
    roles = {f"{role}_token": token for role, token in options["special_tokens"].items()}
    return json.dumps({**kept, **roles, **changes}, ensure_ascii=False, indent=2) + "\n"

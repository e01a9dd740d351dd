"""Text → ids, as the model was trained: WordPiece for BERT and NEZHA, sentencepiece for XLNet."""

from __future__ import annotations

import hashlib
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ..shown import quoted
from .files import VOCABULARY_LIMIT, checked, read_json, read_small, read_text

if TYPE_CHECKING:
    from .._types import StrPath

_LARGEST_ID = (1 << 31) - 1


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


_Kind = TypeVar("_Kind", bound=Tokenizer)


def read_tokenizer(kind: type[_Kind], folder: StrPath, vocab_size: int, *, do_lower_case: bool | None = None) -> _Kind:
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
    options = _options(folder / "tokenizer_config.json")
    if do_lower_case is not None:
        options["do_lower_case"] = checked("the argument", "do_lower_case", do_lower_case, bool)
    tokenizer = kind(folder, options)
    if tokenizer.size > vocab_size:
        raise ValueError(
            f"{tokenizer.file} has {tokenizer.size} words, the model's vocab_size is {vocab_size}: "
            "it belongs to another model."
        )
    return tokenizer


class WordPieceTokenizer(Tokenizer):
    """Splits at spaces, punctuation and Chinese characters, then into the longest known pieces.

    Args:
        folder: where vocab.txt lies, or tokenizer.json instead.
        options: the keys of tokenizer_config.json: do_lower_case, strip_accents, tokenize_chinese_chars, the special
            tokens and added_tokens_decoder.
    """

    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        try:
            from tokenizers import AddedToken, models, normalizers, pre_tokenizers
            from tokenizers import Tokenizer as Pipeline
        except ImportError as error:
            raise ImportError(
                "texts for BERT and NEZHA need tokenizers: pip install 'w2v-embed[contextual]'"
            ) from error

        saved = read_json(folder / "tokenizer.json", VOCABULARY_LIMIT) if (folder / "tokenizer.json").is_file() else {}
        vocabulary = self._vocabulary(folder, saved)
        added = {**_added(folder / "tokenizer.json", saved), **options["added_tokens"]}
        special = options["special_tokens"]
        for key in ("unk", "cls", "sep"):
            if special[key] not in vocabulary and special[key] not in added:
                raise ValueError(
                    f"{self.file} has no {quoted(special[key])}, which texts need: is it a vocabulary of BERT?"
                )
        vocabulary.update({content: id_ for content, (id_, _) in added.items()})
        self.size: int = max(vocabulary.values()) + 1
        lowercase = options.get("do_lower_case", _lowercase(folder / "tokenizer.json", saved))

        self._tokenizer = Pipeline(models.WordPiece(vocabulary, unk_token=special["unk"], max_input_chars_per_word=100))
        self._tokenizer.normalizer = normalizers.BertNormalizer(
            clean_text=True,
            handle_chinese_chars=options.get("tokenize_chinese_chars", True),
            strip_accents=options.get("strip_accents"),
            lowercase=lowercase,
        )
        self._tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        # Written in a text, a special token is itself; one that the vocabulary lacks would get an id past the table.
        self._tokenizer.add_special_tokens([token for token in special.values() if token in vocabulary])
        for content, (_, flags) in added.items():
            if content not in special.values():
                self._tokenizer.add_tokens([AddedToken(content, **flags)])

        self.unknown_id: int = vocabulary[special["unk"]]
        self.head: list[int] = [vocabulary[special["cls"]]]
        self.tail: list[int] = [vocabulary[special["sep"]]]
        self.tail_types: list[int] = [0]
        self.pad_id: int = vocabulary.get(special["pad"], 0)
        self.pad_type: int = 0
        self.special_ids: set[int] = {vocabulary[token] for token in special.values() if token in vocabulary}

    @property
    def fingerprint(self) -> str:
        return _digest(self._tokenizer.to_str().encode("utf-8"))

    def _vocabulary(self, folder, saved):
        self.file: Path = folder / "vocab.txt"
        if self.file.is_file():
            # Split at line feeds only: vocabularies hold other characters that Python counts as the end of a line.
            words = read_text(self.file, VOCABULARY_LIMIT).split("\n")
            if not words[-1]:
                words.pop()
            return {word.rstrip("\r"): id_ for id_, word in enumerate(words)}
        model = checked(folder / "tokenizer.json", "model", saved.get("model", {}), dict)
        if model.get("type") != "WordPiece":
            raise FileNotFoundError(
                f"{self.file} is missing: hidden_states works without it, texts and words need the model's vocabulary."
            )
        self.file = folder / "tokenizer.json"
        vocabulary = checked(self.file, "the vocabulary", model.get("vocab"), dict)
        for word, id_ in vocabulary.items():
            _check_token(self.file, word, id_)
        return vocabulary

    def pieces(self, texts: Sequence[str]) -> list[list[int]]:
        try:
            encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        except TypeError:
            _refuse_what_is_no_text(texts)
            raise
        return [encoding.ids for encoding in encodings]

    def vocabulary(self) -> dict[str, int]:
        vocabulary: dict[str, int] = self._tokenizer.get_vocab()
        return vocabulary


class SentencePieceTokenizer(Tokenizer):
    """XLNet's pieces: `▁` begins a word; a comma after a digit is a piece of its own.

    Args:
        folder: where spiece.model lies.
        options: the keys of tokenizer_config.json: do_lower_case, keep_accents, remove_space.
    """

    pads_left = True

    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        self.file: Path = folder / "spiece.model"
        if not self.file.is_file():
            raise FileNotFoundError(
                f"{self.file} is missing: hidden_states works without it, texts and words need the model's pieces."
            )
        try:
            from sentencepiece import SentencePieceProcessor
        except ImportError as error:
            raise ImportError("texts for XLNet need sentencepiece: pip install 'w2v-embed[contextual]'") from error
        data, self._processor = read_small(self.file, VOCABULARY_LIMIT), SentencePieceProcessor()
        try:
            if not data or not self._processor.LoadFromSerializedProto(data):
                raise RuntimeError("nothing could be loaded")
        except (RuntimeError, OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{self.file}: no model of sentencepiece, or a damaged one ({error}).") from error
        self._lower = options.get("do_lower_case", False)
        self._keep_accents = options.get("keep_accents", False)
        self._remove_space = options.get("remove_space", True)
        self.size: int = self._processor.get_piece_size()
        self.unknown_id: int = self._processor.unk_id()
        if not 0 <= self.unknown_id < self.size:
            raise ValueError(f"{self.file} has no piece for what is unknown, which texts need: is it damaged?")
        self.head: list[int] = []
        self.tail: list[int] = [self._id(piece) for piece in ("<sep>", "<cls>")]
        self.tail_types: list[int] = [0, 2]
        self.pad_id: int = self._id("<pad>")
        self.pad_type: int = 3
        self.special_ids: set[int] = {id_ for id_ in range(self.size) if self._processor.is_control(id_)}

    @property
    def fingerprint(self) -> str:
        cleaning = bytes([self._lower, self._keep_accents, self._remove_space])
        return _digest(cleaning + self._processor.serialized_model_proto())

    def _id(self, piece):
        id_ = self._processor.piece_to_id(piece)
        if id_ == self.unknown_id:
            raise ValueError(f"{self.file} has no {piece!r}, which texts need: is it the model of an XLNet?")
        return id_

    def pieces(self, texts: Sequence[str]) -> list[list[int]]:
        _refuse_what_is_no_text(texts)
        try:
            rows = self._processor.encode([self._cleaned(text) for text in texts], out_type=str)
            return [[self._processor.piece_to_id(part) for piece in row for part in self._split(piece)] for row in rows]
        except (RuntimeError, OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{self.file}: sentencepiece cannot use this model: {error}.") from error

    def vocabulary(self) -> dict[str, int]:
        return {self._processor.id_to_piece(id_): id_ for id_ in range(self.size)}

    def _cleaned(self, text):
        if self._remove_space:
            text = " ".join(text.split())
        text = text.replace("``", '"').replace("''", '"')
        if not self._keep_accents:
            decomposed = unicodedata.normalize("NFKD", text)
            text = "".join(character for character in decomposed if not unicodedata.combining(character))
        return text.lower() if self._lower else text

    def _split(self, piece):
        """`▁1,` → `▁1` and `,`: XLNet was trained on numbers without their commas."""
        if len(piece) < 2 or piece[-1] != "," or not piece[-2].isdigit():
            return [piece]
        parts = self._processor.encode(piece[:-1].replace("▁", ""), out_type=str)
        if piece[0] != "▁" and parts and parts[0].startswith("▁"):
            # sentencepiece began a word where none was
            parts = parts[1:] if parts[0] == "▁" else [parts[0][1:], *parts[1:]]
        return [*parts, ","]


_SPECIAL = ("pad", "unk", "cls", "sep", "mask")
_SWITCHES = ("do_lower_case", "keep_accents", "remove_space", "tokenize_chinese_chars", "strip_accents")
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized")


def _options(path):
    """Return what tokenizer_config.json says: switches that are set, `special_tokens` by their role, `added_tokens`."""
    values = read_json(path) if path.is_file() else {}
    options = {key: checked(path, key, values[key], bool) for key in _SWITCHES if values.get(key) is not None}
    options["special_tokens"] = {key: _special(path, f"{key}_token", values, f"[{key.upper()}]") for key in _SPECIAL}
    added = checked(path, "added_tokens_decoder", values.get("added_tokens_decoder", {}), dict)
    options["added_tokens"] = {}
    for id_, token in added.items():
        if not (id_.isascii() and id_.isdigit() and len(id_) <= 10):
            raise ValueError(f"{path}: added_tokens_decoder has the id {quoted(id_)}, expected a whole number.")
        content, flags = _token(path, token)
        _check_token(path, content, int(id_))
        options["added_tokens"][content] = int(id_), flags
    return options


def _special(path, key, values, default):
    """A special token stands in a configuration as a string or as an object with its content."""
    token = values.get(key)
    content = default if token is None else token.get("content") if isinstance(token, dict) else token
    return _check_text(path, key, content)


def _added(path, saved):
    """Return `{content: (id, flags)}` of the added tokens in tokenizer.json."""
    added = {}
    for token in checked(path, "added_tokens", saved.get("added_tokens") or [], list):
        content, flags = _token(path, token)
        _check_token(path, content, token.get("id"))
        added[content] = token["id"], flags
    return added


def _token(path, token):
    token = checked(path, "an added token", token, dict)
    return _check_text(path, "the content of an added token", token.get("content")), {
        flag: bool(token.get(flag)) for flag in _FLAGS
    }


def _lowercase(path, saved):
    normalizer = checked(path, "normalizer", saved.get("normalizer") or {}, dict)
    return checked(path, "lowercase", normalizer.get("lowercase", True), bool)


def _check_token(path, word, id_):
    _check_text(path, "a word", word)
    if type(id_) is not int or not 0 <= id_ <= _LARGEST_ID:
        raise ValueError(f"{path}: {quoted(word)} has the id {quoted(id_)}, expected 0 to {_LARGEST_ID:,}.")


def _check_text(path, key, text):
    if not checked(path, key, text, str).isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(f"{path}: {key} is {quoted(text)}, which cannot be written as UTF-8 ({error}).") from error
    return text


def _digest(data):
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _refuse_what_is_no_text(texts):
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"text {i} must be a string, received {quoted(text)}.")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(f"text {i} cannot be written as UTF-8: {error}.") from error

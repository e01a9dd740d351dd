"""Any tokenizer.json: byte-level BPE, SentencePiece's Unigram, or whatever else the `tokenizers` package runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...shown import quoted
from ...splitting import without_panic
from ..files import VOCABULARY_LIMIT, read_text
from .base import read_options
from .pipeline import PipelineTokenizer, package
from .thinning import merge_ids

if TYPE_CHECKING:
    from typing_extensions import Self

# What the tokens with a role are called, where no configuration says it.
_USUAL = {
    "pad": ("[PAD]", "<pad>"),
    "unk": ("[UNK]", "<unk>"),
    "cls": ("[CLS]", "<s>", "<cls>"),
    "sep": ("[SEP]", "</s>", "<sep>"),
    "mask": ("[MASK]", "<mask>"),
}
# Byte-level BPE writes each byte as a letter: those that can be seen as themselves, the others from U+0100 on.
_SEEN = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_BYTES = {chr(byte): byte for byte in _SEEN} | {
    chr(0x100 + n): byte for n, byte in enumerate(byte for byte in range(256) if byte not in _SEEN)
}
_SPACES = ("Metaspace", "ByteLevel")


class JsonTokenizer(PipelineTokenizer):
    """A tokenizer that one file describes whole. Which special tokens stand around texts and pairs is its post-processor's
    word.

    Args:
        folder: where tokenizer.json lies.
        options: the keys of tokenizer_config.json, of which the special tokens are taken.
    """

    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        self.file: Path = folder / "tokenizer.json"
        if not self.file.is_file():
            raise FileNotFoundError(
                f"{self.file} is missing: hidden_states works without it, texts and words need the model's vocabulary."
            )
        self._begin(read_text(self.file, VOCABULARY_LIMIT), options)

    @classmethod
    def of(cls, text: str, name: str, options: dict[str, Any] | None = None) -> Self:
        """Make one out of the JSON itself.

        Args:
            name: what messages call it.
            options: the special tokens by role, as `read_options` says them; None = found by their usual names.
        """
        made = cls.__new__(cls)
        made.file = Path(name)
        made._begin(text, read_options(Path(name) / "tokenizer_config.json") if options is None else options)
        return made

    def _begin(self, text: str, options: dict[str, Any]) -> None:
        kind = package("this model").Tokenizer
        try:
            self._tokenizer = without_panic(kind.from_str, text)
        except Exception as error:
            raise ValueError(f"{self.file} is no tokenizer that can be used: {error}. Download it again.") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._settings = json.loads(text)
        vocabulary = self._tokenizer.get_vocab()
        if not vocabulary:
            raise ValueError(f"{self.file} has no words: is it a tokenizer of a model?")
        self.size: int = max(vocabulary.values()) + 1
        special = {role: self._role(role, options, vocabulary) for role in _USUAL}
        self._options = {**options, "special_tokens": {role: token for role, token in special.items() if token}}
        self._frame()
        model = self._settings["model"]
        unknown = model.get("unk_id")
        if unknown is None:
            unknown = vocabulary.get(model.get("unk_token") or special["unk"], -1)
        self.unknown_id: int = int(unknown)
        self.pad_id: int = vocabulary.get(special["pad"], 0)
        self.pad_type: int = 0
        named = {vocabulary[token] for token in special.values() if token}
        flagged = {token["id"] for token in self._settings.get("added_tokens") or [] if token.get("special")}
        self.special_ids: set[int] = named | flagged | {*self.head, *self.middle, *self.tail}

    def _role(self, role, options, vocabulary):
        """The token of a role, "" if there is none."""
        given = options["given"].get(f"{role}_token")
        if given is not None:
            token = options["special_tokens"][role]
            return token if token in vocabulary else ""
        return next((token for token in _USUAL[role] if token in vocabulary), "")

    def _frame(self):
        """Find out what stands before, between and behind texts, by a text and a pair of one token each."""

        def encoded(*texts):
            try:
                return without_panic(lambda: self._tokenizer.encode(*texts, add_special_tokens=True))
            except Exception as error:
                raise ValueError(f"{self.file}: the tokenizer cannot be used: {error}.") from error

        single, pair = encoded("a"), encoded("a", "a")
        own = [place for place, number in enumerate(single.sequence_ids) if number == 0]
        if not own:
            raise ValueError(
                f"{self.file} has no piece for 'a', not even an unknown one: is it a tokenizer of a model?"
            )
        self.head: list[int] = single.ids[: own[0]]
        self.tail: list[int] = single.ids[own[-1] + 1 :]
        self.tail_types: list[int] = single.type_ids[own[-1] + 1 :]
        first, second = ([place for place, held in enumerate(pair.sequence_ids) if held == number] for number in (0, 1))
        self.middle: list[int] = pair.ids[first[-1] + 1 : second[0]]
        self.second_type: int = pair.type_ids[second[0]]
        self.pair_tail_types: list[int] = pair.type_ids[second[-1] + 1 :]
        if len(pair.ids) - second[-1] - 1 != len(self.tail):
            raise ValueError(
                f"{self.file} must put the same tokens behind a text and a pair, received {quoted(single.tokens)} and "
                f"{quoted(pair.tokens)}."
            )

    def _takes_spaces(self):
        told = json.dumps(self._settings.get("pre_tokenizer"))
        return any(f'"{kind}"' in told for kind in _SPACES)

    def needed(self, ids: set[int]) -> set[int]:
        ids, model = super().needed(ids), self._settings["model"]
        if model["type"] == "Unigram":
            # What an unknown letter costs depends on the least score of all.
            scores = [score for _, score in model["vocab"]]
            ids = ids | {scores.index(min(scores))}
        return merge_ids(self._settings, ids) if model["type"] == "BPE" else ids

    def kept(self, ids: Sequence[int]) -> Self:
        made = super().kept(ids)
        made._settings = json.loads(made._tokenizer.to_str())
        return made

    def _letters(self, piece: str) -> tuple[bool, str] | None:
        told = json.dumps(self._settings.get("pre_tokenizer"))
        if '"ByteLevel"' in told:
            try:
                letters = bytes(_BYTES[letter] for letter in piece).decode("utf-8")
            except (KeyError, UnicodeDecodeError):
                return None  # a part of a letter
            return letters.startswith(" "), letters.removeprefix(" ")
        if self._settings["model"]["type"] == "WordPiece":
            return super()._letters(piece)
        return piece.startswith("▁"), piece.removeprefix("▁")

    def _with_frame(self) -> str:
        text: str = self._tokenizer.to_str()
        return text

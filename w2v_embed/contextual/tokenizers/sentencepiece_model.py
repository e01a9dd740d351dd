"""XLNet's tokenizer: a model of sentencepiece, run by its own package."""

from __future__ import annotations

import copy
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import VOCABULARY_LIMIT, read_small
from .base import Spans, Tokenizer, config_file, digest, refuse_what_is_no_text

if TYPE_CHECKING:
    from typing_extensions import Self


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
        self.middle: list[int] = self.tail[:1]
        self.second_type: int = 1
        self.pair_tail_types: list[int] = [1, 2]
        self.pad_id: int = self._id("<pad>")
        self.pad_type: int = 3
        self._options = options
        self._words: dict[str, int] = {}
        self._pattern: re.Pattern[str] | None = None
        self._add({word: id_ for word, (id_, _) in options.get("added_tokens", {}).items() if id_ >= self.size})
        self.special_ids: set[int] = {
            id_ for id_ in range(self._processor.get_piece_size()) if self._processor.is_control(id_)
        }

    def surface(self, piece: str) -> tuple[bool, str] | None:
        id_ = self._words.get(piece, self._processor.piece_to_id(piece))
        if id_ in self.special_ids or id_ == self.unknown_id:
            return None
        return (True, piece) if piece in self._words else (piece.startswith("▁"), piece.removeprefix("▁"))

    @property
    def mask_id(self) -> int | None:
        id_ = self._processor.piece_to_id("<mask>")
        return None if id_ == self.unknown_id else id_

    def _add(self, words):
        if sorted(words.values()) != list(range(self.size, self.size + len(words))):
            raise ValueError(
                f"{self.file}: added tokens must have the ids from {self.size} on, received {sorted(words.values())[:5]}."
            )
        self._words = {**self._words, **words}
        self.size += len(words)
        longest_first = sorted(self._words, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def extended(self, words: Sequence[str]) -> Self:
        made = copy.copy(self)
        made._add({word: self.size + number for number, word in enumerate(words)})
        return made

    def files(self, *, segments: bool) -> dict[str, str | bytes]:
        flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": False}
        added = {str(id_): {"content": word, **flags} for word, id_ in self._words.items()}
        switches = {
            "do_lower_case": self._lower,
            "keep_accents": self._keep_accents,
            "remove_space": self._remove_space,
        }
        special = {"pad": "<pad>", "unk": "<unk>", "cls": "<cls>", "sep": "<sep>", "mask": "<mask>"}
        changes = {"tokenizer_class": "XLNetTokenizer", **switches, "added_tokens_decoder": added}
        options = {**self._options, "special_tokens": special}
        return {
            "spiece.model": self._processor.serialized_model_proto(),
            "tokenizer_config.json": config_file(options, changes),
        }

    @property
    def fingerprint(self) -> str:
        cleaning = bytes([self._lower, self._keep_accents, self._remove_space])
        added = "\0".join(self._words).encode("utf-8")
        return digest(cleaning + self._processor.serialized_model_proto() + added)

    def _id(self, piece):
        id_ = self._processor.piece_to_id(piece)
        if id_ == self.unknown_id:
            raise ValueError(f"{self.file} has no {piece!r}, which texts need: is it the model of an XLNet?")
        return id_

    def pieces(self, texts: Sequence[str]) -> list[list[int]]:
        refuse_what_is_no_text(texts)
        if self._pattern is not None:
            return [self._with_words(text) for text in texts]
        return self._plain([self._cleaned(text) for text in texts])

    def _plain(self, cleaned):
        try:
            rows = self._processor.encode(cleaned, out_type=str)
            return [[self._processor.piece_to_id(part) for piece in row for part in self._split(piece)] for row in rows]
        except (RuntimeError, OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{self.file}: sentencepiece cannot use this model: {error}.") from error

    def _with_words(self, text):
        """The ids of a text, in which added words stand for themselves."""
        ids, begin = [], 0
        for found in [*self._pattern.finditer(text), None]:
            between = text[begin : found.start() if found else len(text)]
            ids += self._plain([self._cleaned(between)])[0] if between.strip() else []
            if found:
                ids.append(self._words[found[0]])
                begin = found.end()
        return ids

    def spans(self, texts: Sequence[str]) -> list[Spans]:
        """A piece's characters are looked for in the text, from the end of the last one on; cleaning may have changed some."""
        result = []
        pieces = {id_: piece for piece, id_ in self.vocabulary().items()}
        for text, ids in zip(texts, self.pieces(texts)):
            cleaned, places = self._places(text)
            offsets: list[tuple[int, int]] = []
            begin = 0
            for id_ in ids:
                letters = pieces[id_] if id_ >= self._processor.get_piece_size() else pieces[id_].replace("▁", "")
                at = cleaned.find(letters, begin) if letters and id_ != self.unknown_id else -1
                at, end = (at, at + len(letters)) if at >= 0 else (begin, begin)
                offsets.append((places[at], places[end - 1] + 1) if end > at else (places[at], places[at]))
                begin = end
            result.append(Spans(ids, _unknown_filled(offsets, ids, self.unknown_id, text)))
        return result

    def _places(self, text):
        """A text as it is cleaned, character by character, and for each the place that it comes from."""
        cleaned, places = [], []
        for place, character in enumerate(text):
            for each in self._processor.normalize(self._cleaned_letter(character)).replace("▁", ""):
                cleaned.append(each)
                places.append(place)
        return "".join(cleaned), [*places, len(text)]

    def _cleaned_letter(self, character):
        if not self._keep_accents:
            decomposed = unicodedata.normalize("NFKD", character)
            character = "".join(each for each in decomposed if not unicodedata.combining(each))
        return character.lower() if self._lower else character

    def vocabulary(self) -> dict[str, int]:
        own = {self._processor.id_to_piece(id_): id_ for id_ in range(self._processor.get_piece_size())}
        return {**own, **self._words}

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


def _unknown_filled(offsets, ids, unknown_id, text):
    """An unknown piece stands for what lies between its neighbours, without spaces at the ends."""
    filled = []
    for place, (begin, end) in enumerate(offsets):
        if ids[place] == unknown_id:
            begin = filled[-1][1] if filled else 0
            end = next((b for b, e in offsets[place + 1 :] if e > b), len(text))
            inner = text[begin:end]
            begin, end = begin + len(inner) - len(inner.lstrip()), begin + len(inner.rstrip())
            begin, end = (begin, end) if begin <= end else (end, end)
        filled.append((begin, end))
    return filled

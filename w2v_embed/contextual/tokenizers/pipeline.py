"""What runs on the `tokenizers` package, whatever it was read from."""

from __future__ import annotations

import copy
import json
import re
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...splitting import without_panic
from .base import Spans, Tokenizer, config_file, digest, refuse_what_is_no_text
from .thinning import thinned

if TYPE_CHECKING:
    from typing_extensions import Self

# Scripts that are written without spaces: a word of theirs begins and ends anywhere.
_NO_SPACES = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


def package(what: str) -> Any:
    """The `tokenizers` package, or an error that says who needs it."""
    try:
        import tokenizers
    except ImportError as error:
        raise ImportError(f"texts for {what} need tokenizers: pip install 'w2v-embed[contextual]'") from error
    return tokenizers


class PipelineTokenizer(Tokenizer):
    """A tokenizer of the `tokenizers` package, and which of its tokens have which role."""

    _tokenizer: Any
    _options: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        return digest(self._tokenizer.to_str().encode("utf-8"))

    def vocabulary(self) -> dict[str, int]:
        vocabulary: dict[str, int] = self._tokenizer.get_vocab()
        return vocabulary

    def pieces(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._encoded(self._tokenizer.encode_batch_fast, texts)]

    def spans(self, texts: Sequence[str]) -> list[Spans]:
        return [Spans(each.ids, each.offsets) for each in self._encoded(self._tokenizer.encode_batch, texts)]

    def _encoded(self, encode, texts):
        try:
            return without_panic(lambda: encode(texts, add_special_tokens=False))
        except TypeError:
            refuse_what_is_no_text(texts)
            raise
        except Exception as error:
            refuse_what_is_no_text(texts)
            raise ValueError(f"{self.file}: the tokenizer cannot be used: {error}.") from error

    @property
    def mask_id(self) -> int | None:
        return self.vocabulary().get(self._options["special_tokens"].get("mask", ""))

    def surface(self, piece: str) -> tuple[bool, str] | None:
        if self._tokenizer.token_to_id(piece) in self.special_ids:
            return None
        return (True, piece) if piece in self._added() else self._letters(piece)

    def _letters(self, piece: str) -> tuple[bool, str] | None:
        return (False, piece.removeprefix("##")) if piece.startswith("##") and len(piece) > 2 else (True, piece)

    def _added(self):
        return {token.content for token in self._tokenizer.get_added_tokens_decoder().values()}

    def needed(self, ids: set[int]) -> set[int]:
        return ids | self.special_ids | {self.pad_id} | ({self.unknown_id} if self.unknown_id >= 0 else set())

    def kept(self, ids: Sequence[int]) -> Self:
        place = {old: new for new, old in enumerate(ids)}
        made = copy.copy(self)
        settings = thinned(json.loads(self._tokenizer.to_str()), place)
        made._tokenizer = package("this model").Tokenizer.from_str(json.dumps(settings, ensure_ascii=False))
        made.size = len(place)
        for name in ("head", "middle", "tail"):
            setattr(made, name, [place[id_] for id_ in getattr(self, name)])
        made.special_ids = {place[id_] for id_ in self.special_ids}
        made.pad_id = place[self.pad_id]
        made.unknown_id = place.get(self.unknown_id, self.unknown_id)
        return made

    def extended(self, words: Sequence[str]) -> Self:
        made = copy.copy(self)
        made._tokenizer = self._copied()
        added = package("this model").AddedToken
        for word in words:
            whole = not _NO_SPACES.match(word[0]) and not _NO_SPACES.match(word[-1])
            made._tokenizer.add_tokens([added(word, single_word=whole, lstrip=self._takes_spaces(), normalized=True)])
        made.size = self.size + len(words)
        ids = [made._tokenizer.token_to_id(word) for word in words]
        if ids != list(range(self.size, made.size)):
            raise ValueError(
                f"{self.file}: new tokens must get the ids from {self.size} on, they got {ids[:5]}: its vocabulary has holes. "
                "Trim it first: trim_vocabulary closes them."
            )
        return made

    def _takes_spaces(self):
        """Whether a space belongs to the piece behind it; one before a new token is then the token's."""
        return False

    def _copied(self):
        return package("this model").Tokenizer.from_str(self._tokenizer.to_str())

    def files(self, *, segments: bool) -> dict[str, str | bytes]:
        saved = self._with_frame()
        names = ["input_ids", "token_type_ids", "attention_mask"] if segments else ["input_ids", "attention_mask"]
        changes = {"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": names, **self._switches()}
        texts = {"tokenizer.json": saved, "tokenizer_config.json": config_file(self._options, changes)}
        return {**texts, **self._more_files()}

    @abstractmethod
    def _with_frame(self) -> str:
        """The tokenizer as JSON, special tokens before and behind texts included."""

    def _switches(self) -> dict[str, Any]:
        return {}

    def _more_files(self) -> dict[str, str | bytes]:
        return {}


def framed(saved: str, tokenizer: Tokenizer, tokens: dict[int, str]) -> str:
    """A tokenizer as JSON that puts the special tokens of `tokenizer` around texts and pairs.

    Args:
        tokens: id → token.
    """

    def part(ids, type_):
        return [{"SpecialToken": {"id": tokens[id_], "type_id": type_}} for id_ in ids]

    def tail(types):
        return [piece for id_, type_ in zip(tokenizer.tail, types) for piece in part([id_], type_)]

    first, second = (
        {"Sequence": {"id": name, "type_id": type_}} for name, type_ in (("A", 0), ("B", tokenizer.second_type))
    )
    head = part(tokenizer.head, 0)
    frame = {*tokenizer.head, *tokenizer.middle, *tokenizer.tail}
    settings = json.loads(saved)
    settings["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [*head, first, *tail(tokenizer.tail_types)],
        "pair": [*head, first, *part(tokenizer.middle, 0), second, *tail(tokenizer.pair_tail_types)],
        "special_tokens": {
            tokens[id_]: {"id": tokens[id_], "ids": [id_], "tokens": [tokens[id_]]} for id_ in sorted(frame)
        },
    }
    return json.dumps(settings, ensure_ascii=False)

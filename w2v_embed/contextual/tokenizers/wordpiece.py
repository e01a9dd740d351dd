"""BERT's tokenizer: words and punctuation, then the longest known pieces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...shown import quoted
from ..files import VOCABULARY_LIMIT, checked, read_json, read_text
from .base import added_tokens, check_token
from .pipeline import PipelineTokenizer, framed, package


class WordPieceTokenizer(PipelineTokenizer):
    """Splits at spaces, punctuation and Chinese characters, then into the longest known pieces.

    Args:
        folder: where vocab.txt lies, or tokenizer.json instead.
        options: the keys of tokenizer_config.json: do_lower_case, strip_accents, tokenize_chinese_chars, the special
            tokens and added_tokens_decoder.
    """

    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        library = package("BERT and NEZHA")
        saved = read_json(folder / "tokenizer.json", VOCABULARY_LIMIT) if (folder / "tokenizer.json").is_file() else {}
        vocabulary = self._vocabulary(folder, saved)
        added = {**added_tokens(folder / "tokenizer.json", saved), **options["added_tokens"]}
        special = options["special_tokens"]
        for key in ("unk", "cls", "sep"):
            if special[key] not in vocabulary and special[key] not in added:
                raise ValueError(
                    f"{self.file} has no {quoted(special[key])}, which texts need: is it a vocabulary of BERT?"
                )
        ids = [id_ for content, (id_, _) in added.items() if vocabulary.get(content) != id_]
        if sorted(ids) != list(range(len(vocabulary), len(vocabulary) + len(ids))) or len(vocabulary) != 1 + max(
            vocabulary.values(), default=-1
        ):
            # The package numbers them on from the end; others it must find in the vocabulary.
            vocabulary.update({content: id_ for content, (id_, _) in added.items()})
        self._switch = {
            "do_lower_case": options.get("do_lower_case", _lowercase(folder / "tokenizer.json", saved)),
            "strip_accents": options.get("strip_accents"),
            "tokenize_chinese_chars": options.get("tokenize_chinese_chars", True),
        }
        self._tokenizer = library.Tokenizer(
            library.models.WordPiece(vocabulary, unk_token=special["unk"], max_input_chars_per_word=100)
        )
        self._tokenizer.normalizer = library.normalizers.BertNormalizer(
            clean_text=True,
            handle_chinese_chars=self._switch["tokenize_chinese_chars"],
            strip_accents=self._switch["strip_accents"],
            lowercase=self._switch["do_lower_case"],
        )
        self._tokenizer.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
        self._tokenizer.decoder = library.decoders.WordPiece()
        # Written in a text, a special token is itself; one that the vocabulary lacks would get an id past the table.
        self._tokenizer.add_special_tokens([token for token in special.values() if token in vocabulary])
        for content, (_, flags) in sorted(added.items(), key=lambda item: item[1][0]):
            if content in special.values():
                self._tokenizer.add_special_tokens([content])
            else:
                self._tokenizer.add_tokens([library.AddedToken(content, **flags)])
        vocabulary = self.vocabulary()
        self.size: int = max(vocabulary.values()) + 1
        held = {role: token for role, token in special.items() if token in vocabulary}
        self._options = {**options, "special_tokens": held}

        self.unknown_id: int = vocabulary[special["unk"]]
        self.head: list[int] = [vocabulary[special["cls"]]]
        self.tail: list[int] = [vocabulary[special["sep"]]]
        self.tail_types: list[int] = [0]
        self.middle: list[int] = self.tail
        self.second_type: int = 1
        self.pair_tail_types: list[int] = [1]
        self.pad_id: int = vocabulary.get(special["pad"], 0)
        self.pad_type: int = 0
        self.special_ids: set[int] = {vocabulary[token] for token in special.values() if token in vocabulary}

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
            check_token(self.file, word, id_)
        return vocabulary

    def _with_frame(self) -> str:
        return framed(self._tokenizer.to_str(), self, {id_: token for token, id_ in self.vocabulary().items()})

    def _switches(self) -> dict[str, Any]:
        return self._switch

    def _more_files(self) -> dict[str, str | bytes]:
        # Added tokens are none of the model's words: "covids" must not begin with "covid" because that was added.
        words = sorted(self._tokenizer.get_vocab(with_added_tokens=False).items(), key=lambda item: item[1])
        whole = [id_ for _, id_ in words] == list(range(len(words))) and not any("\n" in word for word, _ in words)
        return {"vocab.txt": "".join(f"{word}\n" for word, _ in words)} if whole else {}


def _lowercase(path, saved):
    normalizer = checked(path, "normalizer", saved.get("normalizer") or {}, dict)
    return checked(path, "lowercase", normalizer.get("lowercase", True), bool)

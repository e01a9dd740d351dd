"""Text → ids, as the model was trained: WordPiece for BERT and NEZHA, sentencepiece for XLNet.

Both tokenizers have the same face: `pieces(texts)` gives the ids of each text without special tokens; a model sees them
between the ids of `head` and `tail`, whose segments are `tail_types`, and rows are padded with `pad_id` of segment
`pad_type`, on the left if `pads_left`.
"""

import json
import unicodedata
from pathlib import Path


def read_tokenizer(folder, config, *, do_lower_case=None):
    """Make the tokenizer that belongs to an encoder.

    Args:
        folder: with vocab.txt or tokenizer.json (BERT, NEZHA) or spiece.model (XLNet), and maybe tokenizer_config.json.
        config: an `EncoderConfig`.
        do_lower_case: None = what tokenizer_config.json says, else True for WordPiece and False for XLNet, the
            defaults of Hugging Face.

    Raises:
        FileNotFoundError: if there is no vocabulary.
        ValueError: if it lacks a special token or has more words than the model.
        ImportError: if the tokenizer's package is not installed.
    """
    folder = Path(folder)
    options = _json(folder / "tokenizer_config.json")
    if do_lower_case is not None:
        options["do_lower_case"] = do_lower_case
    kind = SentencePieceTokenizer if config.model_type == "xlnet" else WordPieceTokenizer
    tokenizer = kind(folder, options)
    if tokenizer.size > config.vocab_size:
        raise ValueError(
            f"{tokenizer.file} has {tokenizer.size} words, the model's vocab_size is {config.vocab_size}: "
            "it belongs to another model."
        )
    return tokenizer


class WordPieceTokenizer:
    """Splits at spaces, punctuation and Chinese characters, then into the longest known pieces.

    Args:
        folder: where vocab.txt lies, or tokenizer.json instead.
        options: the keys of tokenizer_config.json: do_lower_case, strip_accents, tokenize_chinese_chars, the special
            tokens and added_tokens_decoder.
    """

    pads_left = False

    def __init__(self, folder, options):
        try:
            from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers
        except ImportError as error:
            raise ImportError(
                "texts for BERT and NEZHA need tokenizers: pip install 'w2v-embed[contextual]'"
            ) from error

        saved = _json(folder / "tokenizer.json")
        vocabulary = self._vocabulary(folder, saved)
        added = {token["content"]: (int(token["id"]), token) for token in saved.get("added_tokens", [])}
        for id_, token in options.get("added_tokens_decoder", {}).items():
            added[token["content"]] = (int(id_), token)
        special = {key: _content(options.get(f"{key}_token"), f"[{key.upper()}]") for key in _SPECIAL}
        for key in ("unk", "cls", "sep"):
            if special[key] not in vocabulary and special[key] not in added:
                raise ValueError(f"{self.file} has no {special[key]!r}, which texts need: is it a vocabulary of BERT?")
        vocabulary.update({content: id_ for content, (id_, _) in added.items()})

        self._tokenizer = Tokenizer(
            models.WordPiece(vocabulary, unk_token=special["unk"], max_input_chars_per_word=100)
        )
        saved_normalizer = saved.get("normalizer") or {}
        lowercase = options.get("do_lower_case", saved_normalizer.get("lowercase", True))
        self._tokenizer.normalizer = normalizers.BertNormalizer(
            clean_text=True,
            handle_chinese_chars=options.get("tokenize_chinese_chars", True),
            strip_accents=options.get("strip_accents"),
            lowercase=lowercase,
        )
        self._tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        # Written in a text, a special token is itself; one that the vocabulary lacks would get an id past the table.
        self._tokenizer.add_special_tokens([token for token in special.values() if token in vocabulary])
        for content, (_, token) in added.items():
            if content not in special.values():
                flags = {flag: bool(token.get(flag)) for flag in ("single_word", "lstrip", "rstrip", "normalized")}
                self._tokenizer.add_tokens([AddedToken(content, **flags)])

        self.size = max(vocabulary.values()) + 1
        self.unknown_id = vocabulary[special["unk"]]
        self.head, self.tail, self.tail_types = [vocabulary[special["cls"]]], [vocabulary[special["sep"]]], [0]
        self.pad_id, self.pad_type = vocabulary.get(special["pad"], 0), 0

    def _vocabulary(self, folder, saved):
        self.file = folder / "vocab.txt"
        if self.file.is_file():
            # Split at line feeds only: vocabularies hold other characters that Python counts as the end of a line.
            words = self.file.read_bytes().decode("utf-8").split("\n")
            if not words[-1]:
                words.pop()
            return {word.rstrip("\r"): id_ for id_, word in enumerate(words)}
        model = saved.get("model", {})
        if model.get("type") != "WordPiece":
            raise FileNotFoundError(
                f"{self.file} is missing: hidden_states works without it, texts and words need the model's vocabulary."
            )
        self.file = folder / "tokenizer.json"
        return dict(model["vocab"])

    def pieces(self, texts):
        """Return the ids of each text, without special tokens."""
        try:
            encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        except TypeError:
            _refuse_what_is_no_text(texts)
            raise
        return [encoding.ids for encoding in encodings]


class SentencePieceTokenizer:
    """XLNet's pieces: `▁` begins a word; a comma after a digit is a piece of its own.

    Args:
        folder: where spiece.model lies.
        options: the keys of tokenizer_config.json: do_lower_case, keep_accents, remove_space.
    """

    pads_left = True

    def __init__(self, folder, options):
        self.file = folder / "spiece.model"
        if not self.file.is_file():
            raise FileNotFoundError(
                f"{self.file} is missing: hidden_states works without it, texts and words need the model's pieces."
            )
        try:
            from sentencepiece import SentencePieceProcessor
        except ImportError as error:
            raise ImportError("texts for XLNet need sentencepiece: pip install 'w2v-embed[contextual]'") from error
        try:
            self._processor = SentencePieceProcessor(model_file=str(self.file))
        except (RuntimeError, OSError) as error:
            raise ValueError(f"{self.file}: no model of sentencepiece, or a damaged one ({error}).") from error
        self._lower = options.get("do_lower_case", False)
        self._keep_accents = options.get("keep_accents", False)
        self._remove_space = options.get("remove_space", True)
        self.size, self.unknown_id = self._processor.get_piece_size(), self._processor.unk_id()
        sep, cls, pad = (self._id(piece) for piece in ("<sep>", "<cls>", "<pad>"))
        self.head, self.tail, self.tail_types = [], [sep, cls], [0, 2]
        self.pad_id, self.pad_type = pad, 3

    def _id(self, piece):
        id_ = self._processor.piece_to_id(piece)
        if id_ == self.unknown_id:
            raise ValueError(f"{self.file} has no {piece!r}, which texts need: is it the model of an XLNet?")
        return id_

    def pieces(self, texts):
        """Return the ids of each text, without special tokens."""
        _refuse_what_is_no_text(texts)
        pieces = self._processor.encode([self._cleaned(text) for text in texts], out_type=str)
        return [[self._processor.piece_to_id(part) for piece in row for part in self._split(piece)] for row in pieces]

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
        if piece[0] != "▁" and parts[0][0] == "▁":
            # sentencepiece began a word where none was
            parts = parts[1:] if parts[0] == "▁" else [parts[0][1:], *parts[1:]]
        return [*parts, ","]


_SPECIAL = ("pad", "unk", "cls", "sep", "mask")


def _content(token, default):
    """A special token stands in a configuration as a string or as an object with its content."""
    if isinstance(token, dict):
        return token["content"]
    return default if token is None else token


def _json(path):
    """Return the object in a JSON file, or an empty one if there is no file."""
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON, got {error}.") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected a JSON object, got a {type(values).__name__}.")
    return values


def _refuse_what_is_no_text(texts):
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"text {i} should be a string, got {text!r}.")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(f"text {i} cannot be written as UTF-8: {error}.") from error

"""Ids of texts, the same as Hugging Face's; 6000 random texts were compared once, a readable few are kept here."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from w2v_embed.contextual import tokenizers
from w2v_embed.contextual.families import FAMILIES
from w2v_embed.contextual.families.config import read_config
from w2v_embed.contextual.tokenizers import SentencePieceTokenizer

REFERENCE = Path(__file__).parent / "data" / "reference"


def read_tokenizer(folder, config, **options):
    """As an encoder of this configuration does it."""
    return tokenizers.read_tokenizer(FAMILIES[config.model_type].tokenizer, folder, config.vocab_size, **options)


BERT = read_config(REFERENCE / "bert_hf", "huggingface")
XLNET = read_config(REFERENCE / "xlnet_hf", "huggingface")


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(REFERENCE / "bert_hf", tmp_path / "model"))


def words(tokenizer, text, file):
    vocabulary = file.read_text("utf-8").split("\n")
    return [vocabulary[id_] for id_ in tokenizer.pieces([text])[0]]


@pytest.mark.parametrize(("name", "config"), [("bert_hf", BERT), ("bert_hf_bin", BERT), ("xlnet_hf", XLNET)])
def test_ids_equal_hugging_face(name, config):
    tokenizer = read_tokenizer(REFERENCE / name, config)
    stored = json.loads((REFERENCE / name / "texts.json").read_text("utf-8"))
    ids = [[*tokenizer.head, *row, *tokenizer.tail] for row in tokenizer.pieces(stored["texts"])]
    assert ids == stored["ids"]


def test_pieces_of_googles_xlnet_equal_hugging_face():
    tokenizer = SentencePieceTokenizer(REFERENCE / "spiece_32k", {})
    stored = json.loads((REFERENCE / "spiece_32k" / "tokens.json").read_text("utf-8"))["text_and_ids"]
    assert len(stored) == 19
    for text, ids in stored:
        assert tokenizer.pieces([text])[0] + tokenizer.tail == ids, text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NAÏVE cafe\u0301", ["naive", "cafe"]),
        ("北京银行bank", ["北", "京", "银", "行", "bank"]),
        ("ki\u200bng ki\x00ng ba\u00adnk", ["king", "king", "bank"]),
        ("king\u00a0bank\u3000mud\u2028bed", ["king", "bank", "mud", "bed"]),
        ("[MASK] [mask] x[SEP]", ["[MASK]", "[UNK]", "[UNK]", "[UNK]", "[UNK]", "[SEP]"]),
        ("ｋｉｎｇ", ["[UNK]"]),
        ("b" * 101, ["[UNK]"]),
    ],
)
def test_odd_unicode(text, expected):
    tokenizer = read_tokenizer(REFERENCE / "bert_hf", BERT)
    assert words(tokenizer, text, REFERENCE / "bert_hf" / "vocab.txt") == expected


def test_case_is_kept_when_asked(folder):
    def split(**keywords):
        return words(read_tokenizer(folder, BERT, **keywords), "King king naïve", folder / "vocab.txt")

    assert split() == ["king", "king", "naive"]
    assert split(do_lower_case=False) == ["[UNK]", "king", "[UNK]"]
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert split() == ["[UNK]", "king", "[UNK]"]
    assert split(do_lower_case=True) == ["king", "king", "naive"]


def test_a_vocabulary_from_windows(folder):
    before = read_tokenizer(folder, BERT).pieces(["muddy kings"])
    (folder / "vocab.txt").write_bytes((folder / "vocab.txt").read_bytes().replace(b"\n", b"\r\n"))
    assert read_tokenizer(folder, BERT).pieces(["muddy kings"]) == before


def test_tokenizer_json_and_added_tokens(folder):
    tokens = (folder / "vocab.txt").read_text("utf-8").split("\n")[:-1]
    saved = {
        "model": {"type": "WordPiece", "vocab": {token: id_ for id_, token in enumerate(tokens)}},
        "normalizer": {"type": "BertNormalizer", "lowercase": True},
        "added_tokens": [{"id": 30, "content": "<E1>", "normalized": False}],
    }
    (folder / "tokenizer.json").write_text(json.dumps(saved))
    assert read_tokenizer(folder, BERT).pieces(["king<E1>bank"]) == [[tokens.index("king"), 30, tokens.index("bank")]]
    (folder / "vocab.txt").unlink()
    (folder / "tokenizer_config.json").unlink()
    assert read_tokenizer(folder, BERT).pieces(["King<E1>bank"]) == [[tokens.index("king"), 30, tokens.index("bank")]]


def test_no_vocabulary(folder):
    (folder / "vocab.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"vocab\.txt is missing"):
        read_tokenizer(folder, BERT)
    with pytest.raises(FileNotFoundError, match=r"spiece\.model is missing"):
        read_tokenizer(folder, XLNET)


def test_a_wrong_vocabulary(folder):
    file = folder / "vocab.txt"
    text = file.read_text("utf-8")
    file.write_text(text + "more\n", "utf-8")
    with pytest.raises(ValueError, match=r"vocab\.txt has 52 words, the model's vocab_size is 51"):
        read_tokenizer(folder, BERT)
    file.write_text(text.replace("[CLS]", "<cls>"), "utf-8")
    with pytest.raises(ValueError, match=r"vocab\.txt has no '\[CLS\]', which texts need"):
        read_tokenizer(folder, BERT)


def test_a_wrong_sentencepiece_model(tmp_path):
    (tmp_path / "spiece.model").write_bytes(b"no model")
    with pytest.raises(ValueError, match=r"spiece\.model: no model of sentencepiece, or a damaged one"):
        read_tokenizer(tmp_path, XLNET)
    with pytest.raises(ValueError, match=r"spiece\.model has 32000 words, the model's vocab_size is 68"):
        read_tokenizer(REFERENCE / "spiece_32k", XLNET)


@pytest.mark.parametrize(
    ("text", "told"), [("{", ", line 1: not JSON"), ("[]", ": expected a JSON object, got a list")]
)
def test_a_broken_tokenizer_config(folder, text, told):
    (folder / "tokenizer_config.json").write_text(text)
    with pytest.raises(ValueError, match=rf"tokenizer_config\.json{told}"):
        read_tokenizer(folder, BERT)


@pytest.mark.parametrize(("package", "config"), [("tokenizers", BERT), ("sentencepiece", XLNET)])
def test_a_missing_package(monkeypatch, package, config):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"need {package}: pip install 'w2v-embed\[contextual\]'"):
        read_tokenizer(REFERENCE / ("bert_hf" if package == "tokenizers" else "xlnet_hf"), config)

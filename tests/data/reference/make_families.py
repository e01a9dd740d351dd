"""Make the folders *_hf of RoBERTa, XLM-R, DistilBERT, ELECTRA, ALBERT and MPNet: models of random weights, tokenizers of a few
sentences, and what Hugging Face says of them.

Made with torch 2.13.0 (CPU), transformers 5.23.0 and tokenizers 0.23.3:

    python make_families.py
"""

import json
from pathlib import Path

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = Path(__file__).parent
SENTENCES = [
    "The bank of the river is muddy.",
    "He put the money in a bank, unbelievable!",
    "Kings and queens sat on the bank of a river; a naïve café, 1,000 beds.",
    "北京银行的利率很高。 我去河边散步",
    "zero one two three four five six seven eight nine ten",
]
TEXTS = [
    *SENTENCES[:4],
    "",
    "  Muddy   KINGS\tput\nmoney ",
    "😀 emoji ǅ ﬁne",
    "<mask> and [MASK] x</s>y[SEP]",
    "a" * 40,
]
ANGLES = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
BRACKETS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def word_piece(special, cls, sep, unknown="[UNK]", middle=1, types=1):
    tokenizer = Tokenizer(models.WordPiece(unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(
        SENTENCES, trainers.WordPieceTrainer(vocab_size=120, special_tokens=special, show_progress=False)
    )
    return framed(tokenizer, cls, sep, middle, types)


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        SENTENCES,
        trainers.BpeTrainer(vocab_size=320, special_tokens=ANGLES, initial_alphabet=alphabet, show_progress=False),
    )
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


def unigram(special, unknown, cls, sep, middle, types, lower=False):
    tokenizer = Tokenizer(models.Unigram())
    parts = [normalizers.Replace("``", '"'), normalizers.NFKC(), *([normalizers.Lowercase()] if lower else [])]
    tokenizer.normalizer = normalizers.Sequence(parts)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.train_from_iterator(
        SENTENCES,
        trainers.UnigramTrainer(vocab_size=110, special_tokens=special, unk_token=unknown, show_progress=False),
    )
    return framed(tokenizer, cls, sep, middle, types)


def framed(tokenizer, cls, sep, middle, types):
    between = " ".join([f"{sep}:0"] * middle)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {between} $B:{types} {sep}:{types}",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (cls, sep)],
    )
    return tokenizer


SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
SPECIAL = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
ALBERTS = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
# name: (tokenizer, its roles, class of the model, settings)
FAMILIES = {
    "roberta": (
        byte_level(), ANGLES, transformers.RobertaForMaskedLM,
        transformers.RobertaConfig(**SIZES, **SPECIAL, max_position_embeddings=42, type_vocab_size=1, layer_norm_eps=1e-5),
    ),
    "xlm-roberta": (
        unigram(ANGLES, "<unk>", "<s>", "</s>", 2, 0), ANGLES, transformers.XLMRobertaForMaskedLM,
        transformers.XLMRobertaConfig(**SIZES, **SPECIAL, max_position_embeddings=42, type_vocab_size=1, layer_norm_eps=1e-5),
    ),
    "distilbert": (
        word_piece(BRACKETS, "[CLS]", "[SEP]"), BRACKETS, transformers.DistilBertForMaskedLM,
        transformers.DistilBertConfig(dim=32, n_layers=3, n_heads=4, hidden_dim=48, max_position_embeddings=40),
    ),
    "electra": (
        word_piece(BRACKETS, "[CLS]", "[SEP]"), BRACKETS, transformers.ElectraForMaskedLM,
        transformers.ElectraConfig(**SIZES, embedding_size=16, max_position_embeddings=40),
    ),
    "albert": (
        unigram(ALBERTS, "<unk>", "[CLS]", "[SEP]", 1, 1, lower=True), ALBERTS, transformers.AlbertForMaskedLM,
        transformers.AlbertConfig(**SIZES, embedding_size=16, num_hidden_groups=2, max_position_embeddings=40),
    ),
    "mpnet": (
        word_piece([*ANGLES[:3], "[UNK]", "<mask>"], "<s>", "</s>", middle=2, types=0), [*ANGLES[:3], "[UNK]", "<mask>"],
        transformers.MPNetForMaskedLM, transformers.MPNetConfig(**SIZES, max_position_embeddings=42),
    ),
}  # fmt: skip


def make(name, tokenizer, roles, kind, config):
    folder = HERE / f"{name}_hf"
    folder.mkdir(exist_ok=True)
    config.vocab_size = tokenizer.get_vocab_size()
    torch.manual_seed(len(name))
    model = kind(config).eval()
    for parameter in model.parameters():
        parameter.data += torch.randn_like(parameter) * (0.25 if parameter.dim() > 1 else 0.1)
    model.tie_weights()
    model.save_pretrained(folder)
    order = (
        ("pad", "unk", "cls", "sep", "mask") if roles[0] in ("[PAD]", "<pad>") else ("cls", "pad", "sep", "unk", "mask")
    )
    options = {f"{role}_token": token for role, token in zip(order, roles)}
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **options)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {**options, "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n")

    rng = np.random.default_rng(0)
    ids = rng.integers(5, config.vocab_size, (3, 13))
    mask = np.ones((3, 13), int)
    mask[1, 8:], mask[2, :4] = 0, 0
    ids[mask == 0] = fast.pad_token_id
    types = rng.integers(0, getattr(config, "type_vocab_size", 1) if name != "mpnet" else 1, (3, 13))

    @torch.inference_mode()
    def states(ids, mask, types):
        inputs = {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask), "output_hidden_states": True}
        if name not in ("distilbert", "mpnet"):
            inputs["token_type_ids"] = torch.tensor(types)
        output = model(**inputs)
        return torch.stack(output.hidden_states).numpy(), output.logits.numpy()

    hidden, logits = states(ids, mask, types)
    np.savez_compressed(
        folder / "expected.npz",
        input_ids=ids.astype(np.int32), attention_mask=mask.astype(np.int32), token_type_ids=types.astype(np.int32),
        hidden_states=hidden, logits=logits,
    )  # fmt: skip
    rows = [fast(text)["input_ids"] for text in TEXTS]
    pairs = [fast(TEXTS[0], TEXTS[1], return_token_type_ids=True)]
    means = [
        states([row], [[1] * len(row)], [[0] * len(row)])[0][[-1, -2], 0].mean(axis=1) for row in rows if len(row) <= 40
    ]
    (folder / "texts.json").write_text(json.dumps(
        {"texts": TEXTS, "ids": rows, "pair": [pairs[0]["input_ids"], pairs[0]["token_type_ids"]]}, ensure_ascii=False
    ) + "\n", "utf-8")  # fmt: skip
    np.savez_compressed(folder / "texts.npz", means=np.stack(means))
    (folder / "fixture.json").write_text(json.dumps({"from_pretrained": {}, "made_by": "make_families.py"}) + "\n")
    (folder / "generation_config.json").unlink(missing_ok=True)
    print(name, config.vocab_size, sum(file.stat().st_size for file in folder.iterdir()) // 1024, "KiB")


for name, parts in FAMILIES.items():
    make(name, *parts)

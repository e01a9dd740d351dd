"""A family of encoders joins in one file: here a toy, whose numbers a few lines of NumPy repeat."""

import json
import math
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

from w2v_embed import build_matrix
from w2v_embed.contextual import ContextualEncoder, add_tokens, transplant, trim_vocabulary
from w2v_embed.contextual.backend import ops
from w2v_embed.contextual.families import FAMILIES, Weight, register
from w2v_embed.contextual.families.bert import Bert
from w2v_embed.contextual.families.blocks import dense, norm
from w2v_embed.contextual.families.config import read_config

pytestmark = pytest.mark.keras

ERF = np.vectorize(math.erf)
HIDDEN, HEADS, LAYERS, WORDS = 8, 2, 2, ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "king", "queen", "##s", "bank"]


class Toy(Bert):
    """A BERT without segments and without a norm behind its embeddings; each layer's norms stand before its halves."""

    name = "toy"
    title = "Toy"
    act_key = "activation"

    def weights(self, config):
        rows = [row for row in super().weights(config) if row.role not in ("types", "gamma", "beta")]
        return [*rows, Weight("bonus", "bonus", "embeddings.bonus", ("hidden_size",))]

    def embed(self, config, w, input_ids, token_type_ids):
        return ops.take(w["words"], input_ids, axis=0) + w["positions"][: ops.shape(input_ids)[1]] + w["bonus"]

    def layer(self, config, w, x, context):
        seen = norm(x, w["gamma1"], w["beta1"], config.layer_norm_eps)
        x = x + dense(self.attended(config, w, seen, context), w["out"], w["out_bias"])
        seen = norm(x, w["gamma2"], w["beta2"], config.layer_norm_eps)
        return x + dense(dense(seen, w["ff1"], w["ff1_bias"], config.hidden_act), w["ff2"], w["ff2_bias"])


@pytest.fixture
def toy():
    yield register(Toy())
    del FAMILIES["toy"]


@pytest.fixture
def folder(toy, tmp_path):
    """A model of the family, as its users have it."""
    sizes = {"vocab_size": len(WORDS), "hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "intermediate_size": 16}
    config = {**sizes, "num_attention_heads": HEADS, "max_position_embeddings": 12, "activation": "gelu"}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "toy", **config}))
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    read, rng = read_config(tmp_path, "huggingface"), np.random.default_rng(0)
    tensors = {}
    for row in toy.weights(read):
        shape = tuple(getattr(read, size) for size in row.shape)
        for i in range(LAYERS):
            stored = shape[::-1] if row.transposed == "huggingface" else shape
            tensors[row.huggingface.format(i=i)] = rng.normal(0, 0.5, stored).astype("float32")
    save_file(tensors, tmp_path / "model.safetensors")
    return tmp_path


def numpy_states(folder, ids):
    """The same in NumPy: `(layers + 1, T, H)` of one text."""
    from safetensors.numpy import load_file

    w = {name: value.astype(float) for name, value in load_file(folder / "model.safetensors").items()}

    def linear(x, name):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def normed(x, name):
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-12) * w[f"{name}.weight"] + w[f"{name}.bias"]

    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][: len(ids)]
    states = [x + w["embeddings.bonus"]]
    for place in (f"encoder.layer.{i}" for i in range(LAYERS)):
        x, seen = states[-1], normed(states[-1], f"{place}.attention.output.LayerNorm")
        q, k, v = (linear(seen, f"{place}.attention.self.{part}") for part in ("query", "key", "value"))
        heads = [slice(n, n + HIDDEN // HEADS) for n in range(0, HIDDEN, HIDDEN // HEADS)]
        weights = [np.exp(q[:, at] @ k[:, at].T / 2) for at in heads]
        attended = [part / part.sum(-1, keepdims=True) @ v[:, at] for part, at in zip(weights, heads)]
        x = x + linear(np.concatenate(attended, axis=1), f"{place}.attention.output.dense")
        inner = linear(normed(x, f"{place}.output.LayerNorm"), f"{place}.intermediate.dense")
        states.append(x + linear(inner / 2 * (1 + ERF(inner / 2**0.5)), f"{place}.output.dense"))
    return np.stack(states)


def test_a_family_joins_without_a_change_elsewhere(folder):
    encoder = ContextualEncoder.from_pretrained(folder)
    assert encoder.config.model_type == "toy"
    ids = [2, 5, 7, 8, 3]
    expected = numpy_states(folder, ids)
    np.testing.assert_allclose(encoder.hidden_states([ids])[:, 0], expected, atol=1e-4)
    np.testing.assert_allclose(encoder.encode(["kings bank"]), [expected[-2].mean(axis=0)], atol=1e-4)
    (kings, bank) = encoder.encode_words([["kings", "bank"]])[0]
    np.testing.assert_allclose([kings, bank], [expected[-2, 1:3].mean(axis=0), expected[-2, 3]], atol=1e-4)
    rows, found = encoder.vectors_for(["queen", "zzz"])
    assert found.tolist() == [True, False]
    np.testing.assert_allclose(rows[0], numpy_states(folder, [2, 6, 3])[-2, 1], atol=1e-4)
    em = build_matrix(encoder, {"queen": 1, "zzz": 2})
    np.testing.assert_array_equal(em.matrix[1], rows[0])
    assert em.coverage.missing == ["zzz"]
    with pytest.raises(ValueError, match="input_ids must have 12 positions at most, .* received 13"):
        encoder.hidden_states([[5] * 13])


def test_what_a_family_says_is_checked_like_all_others(folder, toy):
    config = json.loads((folder / "config.json").read_text())
    for settings, told in (
        ({"activation": "tan"}, r"hidden_act \(.*config\.json: activation\) must be .*, received 'tan'"),
        ({"is_decoder": True}, "is_decoder must be None or False, received True"),
        ({"type_vocab_size": 0}, "type_vocab_size must be from 1"),
        ({"model_type": "tot"}, 'model_type must be "bert", "nezha", "xlnet", .*"mpnet" or "toy", received .tot.'),
        ({"num_hidden_layers": 1}, r"'encoder\.layer\.1\.\S+' belongs to the encoder and has no place in it"),
    ):
        (folder / "config.json").write_text(json.dumps({**config, **settings}))
        with pytest.raises(ValueError, match=told):
            ContextualEncoder.from_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="attention_type must be None for Toy, .*received 'uni': it is for XLNet"):
        ContextualEncoder.from_pretrained(folder, attention_type="uni")
    with pytest.raises(ValueError, match="the family's name must be a new one, received 'toy'; there are bert, nezha"):
        register(toy)


def test_a_family_that_is_taken_out_is_unknown(folder, monkeypatch):
    monkeypatch.delitem(FAMILIES, "toy")
    with pytest.raises(ValueError, match=r'config\.json: model_type must be "bert", .* or "mpnet", received'):
        ContextualEncoder.from_pretrained(folder)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_tables_are_whole(name):
    family = FAMILIES[name]
    folder = Path(__file__).parent / "data" / "reference" / f"{name}_hf"
    config = read_config(folder, "huggingface")
    rows = family.weights(config)
    for names in ([row.google for row in rows], [row.huggingface for row in rows]):
        assert len(set(names)) == len(names)
        assert all(re.match(family.roots, each.removesuffix("[{i}]").format(i=0)) for each in names), names
    for row in rows:
        assert ("{i}" in row.google) == ("{i}" in row.huggingface)
        assert all(isinstance(size, int) or isinstance(getattr(config, size), int) for size in row.shape)
    assert isinstance(family.neutral, Mapping)


def test_no_other_module_asks_for_a_family_by_its_name():
    contextual = Path(__file__).parent.parent / "w2v_embed" / "contextual"
    own = {contextual / "families" / f"{name}.py" for name in FAMILIES}
    for path in set(contextual.rglob("*.py")) - own:
        asked = re.findall(r"""model_type (?:==|!=|in)|["'](?:bert|nezha|xlnet)["']""", path.read_text("utf-8"))
        assert not asked, (path, asked)


TRAINED = ["albert", "distilbert", "electra", "mpnet", "roberta", "xlm-roberta"]


@pytest.mark.parametrize("name", TRAINED)
def test_texts_are_those_of_transformers(name):
    """Stored by tests/data/reference/make_families.py: ids of texts and of a pair, and means of states."""
    folder = Path(__file__).parent / "data" / "reference" / f"{name}_hf"
    encoder, stored = ContextualEncoder.from_pretrained(folder), json.loads((folder / "texts.json").read_text("utf-8"))
    tokenizer = encoder.tokenizer
    texts, pair = stored["texts"], tuple(stored["texts"][:2])
    assert [[*tokenizer.head, *ids, *tokenizer.tail] for ids in tokenizer.pieces(texts)] == stored["ids"]
    (row,) = encoder._pieces([pair])
    types = row.types if encoder._family.takes_segments else stored["pair"][1]
    assert [[*tokenizer.head, *row, *tokenizer.tail], types] == stored["pair"]
    short = [text for text, ids in zip(texts, stored["ids"]) if len(ids) <= 40]
    means = np.load(folder / "texts.npz")["means"]
    for number, layer in enumerate((-1, -2)):
        np.testing.assert_allclose(encoder.encode(short, layers=layer), means[:, number], atol=1e-5)
    # offsets: the pieces of a text cover its letters, in order
    text = "kings sat on the muddy bank"
    (tokens,) = encoder.encode_tokens([text], special_tokens=False)
    covered = {place for begin, end in tokens.offsets for place in range(begin, end) if text[place] != " "}
    assert covered == {place for place, letter in enumerate(text) if letter != " "}
    assert (np.diff(tokens.offsets[:, 0]) >= 0).all()


SLOW = [
    name if name == "albert" and keras.backend.backend() != "jax" else pytest.param(name, marks=pytest.mark.slow)
    for name in TRAINED
]


@pytest.mark.parametrize("name", SLOW)
def test_heads_and_training(name, tmp_path):
    folder = Path(__file__).parent / "data" / "reference" / f"{name}_hf"
    encoder, expected = ContextualEncoder.from_pretrained(folder), np.load(folder / "expected.npz")
    inputs = [expected[key] for key in ("input_ids", "attention_mask", "token_type_ids")]
    there = inputs[1] == 1
    model = encoder.to_keras(head="masked_lm", dropout=0.0)
    logits = ops.convert_to_numpy(model(inputs))
    assert np.abs(logits - expected["logits"])[there].max() < 5e-5
    model.compile(
        keras.optimizers.SGD(0.1), "mse", **({} if keras.backend.backend() == "jax" else {"run_eagerly": True})
    )
    before = model.get_layer("layer_1").get_weights()
    model.fit(inputs, np.zeros_like(logits), verbose=0)
    assert any((a != b).any() for a, b in zip(before, model.get_layer("layer_1").get_weights()))
    encoder.save_pretrained(tmp_path / "trained", model)
    again = ContextualEncoder.from_pretrained(tmp_path / "trained").to_keras(head="masked_lm")
    np.testing.assert_allclose(ops.convert_to_numpy(again(inputs)), ops.convert_to_numpy(model(inputs)), atol=5e-5)
    assert len([layer for layer in model.layers if layer.name.startswith("layer_")]) == (
        2 if name == "albert" and keras.backend.backend() != "jax" else 3
    )


@pytest.mark.parametrize("name", TRAINED)
def test_vocabularies_of_all_families(name):
    encoder = ContextualEncoder.from_pretrained(Path(__file__).parent / "data" / "reference" / f"{name}_hf")
    texts = ["The bank of the river is muddy.", "kings sat", "北京 x"]
    small = trim_vocabulary(encoder, texts)
    assert small.config.vocab_size < encoder.config.vocab_size
    np.testing.assert_array_equal(small.encode(texts), encoder.encode(texts))
    more = add_tokens(encoder, ["muddybank", "新冠"], init="pieces")
    np.testing.assert_array_equal(more.encode(texts), encoder.encode(texts))
    (tokens,) = more.encode_tokens(["kings sat muddybank x"], special_tokens=False)
    assert "muddybank" in tokens.pieces
    assert more.tokenizer.pieces(["muddybank"]) == [[encoder.config.vocab_size]]


def test_what_the_new_families_refuse(tmp_path):
    data = Path(__file__).parent / "data" / "reference"
    for name, settings, told in (
        (
            "roberta",
            {"max_position_embeddings": 2},
            r"max_position_embeddings must be above pad_token_id \+ 1, 2, received 2",
        ),
        ("distilbert", {"n_heads": 5}, "dim must be a multiple of n_heads, 5, received 32"),
        ("albert", {"num_hidden_groups": 4}, "num_hidden_groups must be at most num_hidden_layers, 3, received 4"),
        ("albert", {"inner_group_num": 2}, "inner_group_num must be None or 1, received 2"),
        (
            "mpnet",
            {"relative_attention_num_buckets": 8},
            "relative_attention_num_buckets must be None or 32, received 8",
        ),
        ("electra", {"embedding_size": 32}, "must have shape"),
    ):
        folder = Path(shutil.copytree(data / f"{name}_hf", tmp_path / told[:9] / name))
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **settings}))
        with pytest.raises(ValueError, match=told):
            ContextualEncoder.from_pretrained(folder)
    roberta = ContextualEncoder.from_pretrained(data / "roberta_hf")
    with pytest.raises(ValueError, match="the padding token's id 1, from which RoBERTa counts positions, received 0"):
        transplant(roberta, data / "bert_hf")
    with pytest.raises(ValueError, match="do_lower_case must be None for a tokenizer.json"):
        ContextualEncoder.from_pretrained(data / "roberta_hf", do_lower_case=True).encode(["a"])
    (tmp_path / "broken").mkdir()
    for file in ("config.json", "model.safetensors"):
        shutil.copy(data / "roberta_hf" / file, tmp_path / "broken")
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json is missing"):
        ContextualEncoder.from_pretrained(tmp_path / "broken").encode(["a"])
    for text, told in (
        ("{}", "is no tokenizer that can be used"),
        ('{"model": 3}', "is no tokenizer that can be used"),
    ):
        (tmp_path / "broken" / "tokenizer.json").write_text(text)
        with pytest.raises(ValueError, match=told):
            ContextualEncoder.from_pretrained(tmp_path / "broken").encode(["a"])

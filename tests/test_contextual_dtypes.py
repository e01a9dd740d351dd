"""`compute_dtype=`: vectors in 16 bits are near those in 32, are float32, and are never taken for them."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from w2v_embed.contextual import ContextualEncoder, add_tokens, query_states
from w2v_embed.contextual.backend import compiled

pytestmark = pytest.mark.keras

REFERENCE = Path(__file__).parent / "data" / "reference"
# Numbers of 8 and of 11 binary digits, in a few layers whose outputs are about 1 long.
NEAR = {"bfloat16": 0.15, "float16": 0.02}
TEXTS = ["The bank of the river.", "", "the king " * 9]
SOME = [
    "bert_hf",
    "xlnet_hf",
    *(pytest.param(f"{name}_hf", marks=pytest.mark.slow) for name in ("albert", "mpnet", "nezha")),
]


def load(name, **options):
    told = json.loads((REFERENCE / name / "fixture.json").read_text())["from_pretrained"]
    return ContextualEncoder.from_pretrained(REFERENCE / name, **told, **options)


@pytest.mark.parametrize("dtype", NEAR)
@pytest.mark.parametrize("name", SOME)
def test_states_are_near_those_in_float32(name, dtype):
    ids = np.random.default_rng(0).integers(5, 15, (3, 9))
    mask = np.ones((3, 9), int)
    mask[1, 5:] = mask[2] = 0  # a text that ends early, and one of nothing but padding
    encoder = load(name, compute_dtype=dtype)
    exact, states = load(name).hidden_states(ids, mask), encoder.hidden_states(ids, mask)
    assert states.dtype == np.float32
    assert np.isfinite(states).all()
    seen = mask == 1
    assert 0 < np.abs(states - exact)[:, seen].max() < NEAR[dtype]
    # What stands at padding is not seen: another id there changes nothing.
    other = np.where(seen, ids, 7)
    assert np.array_equal(encoder.hidden_states(other, mask)[:, :2][:, seen[:2]], states[:, :2][:, seen[:2]])


def test_vectors_are_not_mixed_with_others(tmp_path):
    plain, half = load("bert_hf"), load("bert_hf", compute_dtype="float16")

    def stopped(done, _):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plain.encode(TEXTS, output=tmp_path / "vectors.npy", progress=stopped)
    with pytest.raises(ValueError, match=r"was begun with other settings \(compute_dtype\)"):
        half.encode(TEXTS, output=tmp_path / "vectors.npy")
    made = half.encode(TEXTS, output=tmp_path / "half.npy")
    assert made.dtype == np.float32
    assert np.array_equal(half.encode(TEXTS), made)


def test_rows_of_the_table_are_exact_whatever_layers_compute_in():
    plain, half = load("bert_hf"), load("bert_hf", compute_dtype="bfloat16")
    words = ["bank", "river"]
    assert np.array_equal(*(each.as_source(mode="table").vectors_for(words)[0] for each in (plain, half)))
    more = add_tokens(half, ["riverbank"], init="pieces")
    assert more.compute_dtype == "bfloat16"
    assert np.array_equal(more._table()[:-1], plain._table())


def test_what_cannot_be_had():
    with pytest.raises(
        ValueError, match='compute_dtype must be "float32", "bfloat16" or "float16", received .float64.'
    ):
        load("bert_hf", compute_dtype="float64")
    with pytest.raises(ValueError, match='compute_dtype must be "float32" with engine="onnx", received .float16.'):
        load("bert_hf", engine="onnx", compute_dtype="float16")
    with pytest.raises(
        ValueError, match='and compute_dtype="float32", which alone compute two streams, received .keras. and .float16.'
    ):
        query_states(load("xlnet_hf", compute_dtype="float16"), [[5]])


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="what JAX does on GPUs unless it is told not to")
def test_jax_is_told_to_multiply_all_digits():
    import jax

    seen = []

    def product(x):
        seen.append(jax.config.jax_default_matmul_precision)
        return x @ x

    compiled(product)(np.ones((2, 2), np.float32))
    assert seen == ["highest"]
    assert jax.config.jax_default_matmul_precision != "highest"  # the user's own products are the user's

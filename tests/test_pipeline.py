"""The whole way, file → matrix → layer, bit for bit."""

import subprocess
import sys
from itertools import product

import numpy as np
import pytest

from tests.conftest import same_bits
from w2v_embed import EmbeddingMatrix, build_matrix, load_vectors

pytestmark = pytest.mark.keras


CASES = list(product([".safetensors", ".npz"], [False, True], ["weights", "constant"]))


def test_file_to_saved_model(data, tmp_path):
    """All ways to one layer, saved, and loaded by one process that knows Keras alone."""
    import keras

    from w2v_embed import embedding_layer

    kv = load_vectors(data / "vectors.txt.bz2", words=["中国", "经济", "足球"])
    em = build_matrix(data / "vectors.txt.bz2", {"中国": 3, "经济": 1, "qwxyz": 2, "足球": 4})
    ids = np.array([[3, 1, 2, 4, 0]])
    expected = np.stack([kv["中国"], kv["经济"], np.zeros(100), kv["足球"], np.zeros(100)]).astype(np.float32)
    for number, (suffix, trainable, via) in enumerate(CASES):
        em.save(tmp_path / f"m{suffix}")
        layer = embedding_layer(EmbeddingMatrix.load(tmp_path / f"m{suffix}"), trainable=trainable, via=via)
        assert same_bits(keras.ops.convert_to_numpy(layer(ids))[0], expected), CASES[number]
        assert type(layer) is keras.layers.Embedding
        assert layer.mask_zero
        assert layer.trainable == trainable
        keras.Sequential([keras.Input((5,), dtype="int32"), layer]).save(tmp_path / f"{number}.keras")
    np.save(tmp_path / "expected.npy", expected)
    code = f"""
import sys, numpy as np, keras
expected = np.load("expected.npy")
for number in range({len(CASES)}):
    model = keras.models.load_model(f"{{number}}.keras")
    out = keras.ops.convert_to_numpy(model(np.array({ids.tolist()})))[0]
    assert out.tobytes() == expected.tobytes(), number
assert "w2v_embed" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr

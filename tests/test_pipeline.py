"""The whole way, file → matrix → layer, bit for bit."""

import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import same_bits
from w2v_embed import EmbeddingMatrix, build_matrix, load_vectors

pytestmark = pytest.mark.keras


@pytest.mark.parametrize("via", ["weights", "constant"])
@pytest.mark.parametrize("trainable", [False, True])
@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_file_to_saved_model(data, tmp_path, via, trainable, suffix):
    import keras

    from w2v_embed import embedding_layer

    kv = load_vectors(data / "vectors.txt.bz2", words=["中国", "经济", "足球"])
    index = {"中国": 3, "经济": 1, "qwxyz": 2, "足球": 4}
    build_matrix(data / "vectors.txt.bz2", index).save(tmp_path / f"m{suffix}")
    em = EmbeddingMatrix.load(tmp_path / f"m{suffix}")
    layer = embedding_layer(em, trainable=trainable, via=via)

    ids = np.array([[3, 1, 2, 4, 0]])
    expected = np.stack([kv["中国"], kv["经济"], np.zeros(100), kv["足球"], np.zeros(100)]).astype(np.float32)
    assert same_bits(keras.ops.convert_to_numpy(layer(ids))[0], expected)
    assert type(layer) is keras.layers.Embedding
    assert layer.mask_zero

    model = keras.Sequential([keras.Input((5,), dtype="int32"), layer])
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "expected.npy", expected)
    code = f"""
import sys, numpy as np, keras
model = keras.models.load_model(r"{tmp_path / "model.keras"}")
out = keras.ops.convert_to_numpy(model(np.array({ids.tolist()})))[0]
assert out.tobytes() == np.load(r"{tmp_path / "expected.npy"}").tobytes()
assert "w2v_embed" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr

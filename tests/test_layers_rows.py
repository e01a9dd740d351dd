"""Tables over several devices and processes on JAX: each reads, writes and holds its own rows."""

import os
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest

from w2v_embed import EmbeddingMatrix
from w2v_embed.layers import PretrainedEmbedding, load_rows, save_rows

pytestmark = [
    pytest.mark.keras,
    pytest.mark.skipif(keras.backend.backend() != "jax", reason="tables are split by ModelParallel, which is JAX's"),
]

_BEGIN = """
import sys, jax, keras, numpy as np
rank, processes, folder, port = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
if processes > 1:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    keras.distribution.initialize(f"localhost:{port}", processes, rank)
from w2v_embed import EmbeddingMatrix, build_matrix, embedding_layer
from w2v_embed.layers import PretrainedEmbedding, load_rows, save_rows
devices = keras.distribution.list_devices()
assert len(devices) == 8, devices
mesh = keras.distribution.DeviceMesh((1, 8), ["batch", "model"], devices)
layout = keras.distribution.LayoutMap(mesh)
layout[".*embeddings"] = ("model", None)
keras.distribution.set_distribution(keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch"))
table = np.load(f"{folder}/table.npy")
em = EmbeddingMatrix.load(f"{folder}/m.safetensors", mmap=True)

def check(layer):
    shards = layer._embeddings.value.addressable_shards
    assert len(shards) == 8 // processes
    for shard in shards:
        begin, there = shard.index[0].start or 0, np.asarray(shard.data)
        own = table[begin : begin + len(there)]
        assert there.shape == (126, 32) and there[: len(own)].tobytes() == own.tobytes() and not there[len(own) :].any()

def refused(call, *words):
    try:
        call()
    except ValueError as error:
        assert all(word in str(error) for word in words), error
    else:
        raise AssertionError(words)
"""

_TABLES = (
    _BEGIN
    + """
layer = PretrainedEmbedding(em, pad_rows_to=8)
check(layer)
check(PretrainedEmbedding(table, pad_rows_to=8))
index = f"{folder}/t.safetensors.index.json"
save_rows(layer, index)
other = PretrainedEmbedding(input_dim=1008, output_dim=32, pad_rows_to=8)
other.build(None)
load_rows(other, index)
check(other)
em_index = f"{folder}/em.safetensors.index.json"
load_rows(other, em_index)
check(other)
ids = np.arange(16).reshape(2, 8)
whole = jax.sharding.NamedSharding(mesh.backend_mesh, jax.sharding.PartitionSpec())
rows = jax.jit(lambda x: x, out_shardings=whole)(other(ids))
assert np.asarray(jax.device_get(rows)).tobytes() == table[ids].tobytes()
words = ("a multiple of 8 rows, received 1001", "pad_rows_to=8", "num_words=1008")
refused(lambda: PretrainedEmbedding(em), *words)
refused(lambda: embedding_layer(em), *words)
refused(lambda: embedding_layer(em, via="constant"), *words)
refused(lambda: save_rows(layer, "t.npz"), "path must end in .safetensors.index.json, received 't.npz'")
small = keras.layers.Embedding(1016, 32)
small.build(None)
refused(lambda: load_rows(small, em_index), "must have the shape (1016, 32)", "received (1001, 32)")
try:
    load_rows(other, f"{folder}/flipped.safetensors.index.json")
except ValueError as error:  # of the process that has the row
    assert "the checksum of its rows 128 to 159 says" in str(error), error
    print("the changed row", flush=True)
check(other)
bad = EmbeddingMatrix.load(f"{folder}/bad.safetensors", mmap=True)
try:
    PretrainedEmbedding(bad, pad_rows_to=8)
except ValueError as error:  # of the process that has the row
    assert "Row 130 of the vectors holds nan in column 3" in str(error), error
    print("the row of NaN", flush=True)
"""
)


@pytest.fixture
def folder(tmp_path):
    table = np.random.default_rng(0).normal(size=(1001, 32)).astype(np.float32)
    table[0] = 0
    np.save(tmp_path / "table.npy", table)
    em = EmbeddingMatrix(table, {f"w{k}": k for k in range(1, 1001)}, padding_row=0)
    em.save(tmp_path / "m.safetensors")
    em.save(tmp_path / "em.safetensors.index.json")
    em.save(tmp_path / "flipped.safetensors.index.json")
    part = next(tmp_path.glob("flipped-*.safetensors"))
    data = bytearray(part.read_bytes())
    data[130 * 128 - em.matrix.nbytes] ^= 1
    part.write_bytes(data)
    table[130, 3] = np.nan
    em.save(tmp_path / "bad.safetensors")
    return tmp_path


def run(script, folder, processes):
    """Each process has its share of eight virtual devices."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    devices = f"--xla_force_host_platform_device_count={8 // processes}"
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": devices}
    command = [sys.executable, "-c", script]
    running = [
        subprocess.Popen(
            [*command, str(rank), str(processes), str(folder), str(port)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    said = [process.communicate() for process in running]
    for process, (_, errors) in zip(running, said):
        assert process.returncode == 0, errors[-4000:]
    return [out for out, _ in said]


def test_eight_devices_of_one_process(folder):
    said = run(_TABLES, folder, 1)[0]
    assert "the row of NaN" in said
    assert "the changed row" in said


@pytest.mark.slow
def test_two_processes_of_four_devices(folder):
    said = run(_TABLES, folder, 2)
    for words in ("the row of NaN", "the changed row"):
        assert [words in out for out in said] == [True, False]
    assert len(list(folder.glob("t-*-of-1008.safetensors"))) == 8
    back = EmbeddingMatrix.load(folder / "t.safetensors.index.json")
    assert back.matrix[:1001].tobytes() == np.load(folder / "table.npy").tobytes()


def test_a_table_that_is_not_split(tmp_path):
    layer = PretrainedEmbedding(np.ones((8, 4), np.float32), name="words")
    for call in (save_rows, load_rows):
        with pytest.raises(
            ValueError, match="the table of layer 'words' must be split over devices, by a ModelParallel distribution"
        ):
            call(layer, tmp_path / "t.safetensors.index.json")

"""Matrices outside of memory: built in their place in a file, in parts, in several files, and mapped."""

import json
import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from safetensors import safe_open

from tests.conftest import same_bits, write_binary, write_text
from w2v_embed import EmbeddingMatrix, build_matrix, inspect, load_vectors, placed, shards
from w2v_embed.mapped import is_mapped

DIM = 60  # a file of these can be gone back to


@pytest.fixture
def file(tmp_path):
    """200 words, some of them Chinese."""
    rng = np.random.default_rng(0)
    words = [*(f"w{k}" for k in range(190)), *"中国经济学", "THE", "cat", "Cat", "x y", "é"]
    rows = {word: rng.normal(size=DIM).astype(np.float32) for word in words}
    (tmp_path / "in").mkdir()
    return write_text(tmp_path / "in" / "v.txt", rows)


@pytest.fixture
def index():
    words = [f"w{k}" for k in range(0, 190, 2)] + ["中国", "经济学", "the", "CAT", "zzz", "qq", "中", "é"]
    rng = np.random.default_rng(1)
    return {word: int(k) for word, k in zip(words, rng.permutation(len(words) + 5) + 1)}  # with holes


OPTIONS = [
    {},
    {"oov": "normal", "seed": 5},
    {"oov": "mean", "fallbacks": ["lower", "upper", "characters"], "suggest": True},
    {"oov": lambda shape, rng: rng.normal(size=shape), "dtype": "float16"},
    {"fallbacks": ["parts", "title"], "dtype": "float64"},
]


def same(one, other):
    return (
        same_bits(one.matrix, other.matrix)
        and one.word_index == other.word_index
        and one.provenance.tolist() == other.provenance.tolist()
        and one.coverage == other.coverage
        and (one.padding_row, one.steps) == (other.padding_row, other.steps)
    )


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("room", [None, 1])
def test_out_is_what_is_built_in_memory(file, index, tmp_path, options, room, monkeypatch):
    """Also where the room that was left for the header is too small, and the rows are moved."""
    if room:
        monkeypatch.setattr(placed, "_ROOM", room)
        monkeypatch.setattr(placed, "_LENDER", 0)
    whole = build_matrix(file, index, **options)
    em = build_matrix(file, index, out=tmp_path / "m.safetensors", **options)
    assert is_mapped(em.matrix)
    assert same(em, whole)
    assert same(EmbeddingMatrix.load(tmp_path / "m.safetensors"), whole)  # with its checksum
    with safe_open(str(tmp_path / "m.safetensors"), "numpy") as other:
        assert same_bits(other.get_tensor("matrix"), whole.matrix)
    assert sorted(os.listdir(tmp_path)) == ["in", "m.safetensors"]
    with pytest.raises(ValueError, match="read-only"):
        em.matrix[0] = 1
    assert em.matrix.ctypes.data % 64 == 0


def test_rows_of_many_kinds_of_sources(file, index, tmp_path):
    """Whatever the source, alone or with others: in a file what is in memory."""
    binary = write_binary(tmp_path / "v.bin", {"qq": [1.0] * DIM, "w0": [2.0] * DIM})
    held = EmbeddingMatrix(np.ones((1, DIM), np.float32), {"zzz": 0})
    for vectors in (held, [held, file], [file, binary]):
        for options in ({"combine": "first", "align": False}, {"combine": "concat", "oov": "normal"}):
            whole = build_matrix(vectors, index, **options)
            em = build_matrix(vectors, index, out=tmp_path / "m.safetensors", **options)
            assert same(em, whole)
            bounds = [0, 50, len(whole.matrix)]
            parts = [build_matrix(vectors, index, rows=some, **options).matrix for some in pairwise(bounds)]
            assert same_bits(np.concatenate(parts), whole.matrix)


@pytest.mark.parametrize("options", OPTIONS)
def test_parts_of_four_hosts_are_the_whole(file, index, tmp_path, options):
    whole = build_matrix(file, index, **options)
    n = len(whole.matrix)
    stretches = list(pairwise([0, 1, 40, 77, n]))
    name = "m.safetensors.index.json"
    for stretch in stretches:
        held = build_matrix(file, index, rows=stretch, **options)
        kept = build_matrix(file, index, rows=stretch, out=tmp_path / "p.safetensors", **options)
        assert not (tmp_path / name).exists()
        shard = build_matrix(file, index, rows=stretch, out=tmp_path / name, **options)
        for part in (held, kept, shard):
            assert same_bits(part.matrix, whole.matrix[slice(*stretch)])
            assert part.provenance.tolist() == whole.provenance[slice(*stretch)].tolist()
            assert part.word_index == {w: k - stretch[0] for w, k in index.items() if stretch[0] <= k < stretch[1]}
            assert part.steps[-1] == {"step": "rows", "begin": stretch[0], "end": stretch[1], "of": n}
            assert part.padding_row == (0 if stretch[0] == 0 else None)
        assert {word: how for word, how in whole.derived.items() if word in part.word_index} == part.derived
    told = json.loads((tmp_path / name).read_text())
    assert list(told["weight_map"]) == [f"matrix[{a}:{b}]" for a, b in stretches]
    assert told["metadata"]["total_size"] == whole.matrix.nbytes
    assert same(EmbeddingMatrix.load(tmp_path / name), whole)
    for tensor, shard in told["weight_map"].items():  # as others read it
        with safe_open(str(tmp_path / shard), "numpy") as part:
            a, b = map(int, tensor[7:-1].split(":"))
            assert same_bits(part.get_tensor(tensor), whole.matrix[a:b])
    assert load_vectors(tmp_path / shard).vectors.shape[1] == DIM
    assert inspect(tmp_path / shard)["steps"][-1]["step"] == "rows"


def test_a_matrix_in_shards(file, index, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "MOST", 10 * DIM * 4)
    monkeypatch.setattr(shards.save_shards, "__kwdefaults__", {"most": 10 * DIM * 4, "build": None})
    path = tmp_path / "m.safetensors.index.json"
    em = build_matrix(file, index, fallbacks=["characters"], oov="normal", suggest=True)
    em.save(path)
    assert len(list(tmp_path.glob("m-*-of-*.safetensors"))) == -(-len(em.matrix) // 10)
    assert same(EmbeddingMatrix.load(path), em)
    assert same(build_matrix(file, index, fallbacks=["characters"], oov="normal", suggest=True, out=path), em)
    with pytest.raises(ValueError, match="mmap=True maps one file, and .* names several. Map the part"):
        EmbeddingMatrix.load(path, mmap=True)


def test_parts_of_two_builds_are_not_made_one(file, index, tmp_path):
    path = tmp_path / "m.safetensors.index.json"
    n = max(index.values()) + 1
    build_matrix(file, index, rows=(0, 50), out=path)
    build_matrix(file, index, rows=(50, n), out=path, oov="mean")
    assert not path.exists()
    (tmp_path / f"m-000-050-of-{n}.safetensors").rename(tmp_path / "kept")
    (tmp_path / f"m-000-050-of-{n}.safetensors").write_bytes(b"no part")
    build_matrix(file, index, rows=(50, n), out=path)
    assert not path.exists()
    (tmp_path / "kept").rename(tmp_path / f"m-000-050-of-{n}.safetensors")
    build_matrix(file, index, rows=(50, n), out=path)
    assert path.exists()
    build_matrix(file, index, rows=(50, n), out=path, oov="mean")  # the other one's part is replaced
    with pytest.raises(
        ValueError, match=r"m-050-\d+-of-\d+.safetensors is not .*it is of another build than the index"
    ):
        EmbeddingMatrix.load(path)


def test_hosts_know_a_function_by_its_name(file, index, tmp_path):
    """Each has its own, at another place in memory."""
    path = tmp_path / "m.safetensors.index.json"
    n = max(index.values()) + 1
    for rows in ((0, 50), (50, n)):

        def drawn(shape, rng):
            return rng.normal(size=shape)

        build_matrix(file, index, rows=rows, out=path, oov=drawn)
    assert path.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda told, _: told["weight_map"].popitem(), "its parts 0:50 are not those of"),
        (lambda told, _: told["weight_map"].update({"matrix[0:60]": "x.safetensors"}), "its parts 0:50, 0:60, 50:"),
        (
            lambda told, _: told["weight_map"].update({"matrix[0:50]": "../in/v.safetensors"}),
            "the name of a file beside it",
        ),
        (lambda told, _: told["weight_map"].update({"matrix[0:50]": 3}), "the name of a file beside it, got"),
        (lambda told, _: told["metadata"].update(rows=10**13), "it says \\(10000000000000, 60\\) numbers"),
        (lambda told, _: told["metadata"].update(rows=True), "it says \\(True, 60\\) numbers of 'float32'"),
        (lambda told, _: told["metadata"].update(dtype="object"), "numbers of 'object'"),
        (
            lambda told, _: told["metadata"].update(dtype="float64"),
            "expected float64 of shape \\(50, 60\\), got float32",
        ),
        (lambda told, _: told["metadata"].update(dim=30), "expected float32 of shape \\(50, 30\\), got"),
        (lambda told, _: told["metadata"].pop("dim"), "it has no 'dim'"),
        (lambda told, _: told.pop("weight_map"), "it has no 'weight_map'"),
        (lambda _, part: part.unlink(), "which is not there. Build that part again"),
        (lambda _, part: os.truncate(part, 100), "looks cut off: it must hold 50 rows"),
        (lambda _, part: os.truncate(part, part.stat().st_size - 4), "is not a whole .safetensors file"),
    ],
)
def test_an_index_that_lies(file, index, tmp_path, change, words):
    path = tmp_path / "m.safetensors.index.json"
    n = max(index.values()) + 1
    for rows in ((0, 50), (50, n)):
        build_matrix(file, index, rows=rows, out=path)
    told = json.loads(path.read_text())
    change(told, tmp_path / told["weight_map"]["matrix[0:50]"])
    path.write_text(json.dumps(told))
    with pytest.raises((ValueError, FileNotFoundError), match=words) as raised:
        EmbeddingMatrix.load(path)
    assert "m" in str(raised.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"out": "m.npz"}, "out must end in .safetensors or .safetensors.index.json, received 'm.npz'"),
        ({"out": "no/m.safetensors"}, "cannot write no/m.safetensors: there is no folder"),
        (
            {"out": "m.safetensors", "postprocess": ["center"]},
            "out= must come without postprocess=, which needs all rows",
        ),
        ({"rows": (0, 2), "combine": "average"}, 'rows= must come without combine="average"'),
        ({"out": "m.safetensors", "align": True}, "out= must come without align=, "),
        ({"out": "m.safetensors", "cache_dir": "c"}, "out= must come without cache_dir=, "),
        ({"rows": (2, 1)}, r"rows must be \(begin, end\) with begin < end, received \(2, 1\)"),
        ({"rows": (0, 10**6)}, r"rows\[1\] must be a whole number from 1 to \d+, received 1000000"),
        ({"rows": (0.5, 3)}, r"rows\[0\] must be a whole number from 0 to \d+, received 0.5"),
        ({"rows": 7}, r"rows must be a pair \(begin, end\), received 7"),
    ],
)
def test_what_does_not_go(file, index, tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, TypeError, FileNotFoundError), match=words):
        build_matrix(file, index, **options)
    assert os.listdir(tmp_path) == ["in"]


def test_an_error_leaves_the_old_file(file, index, tmp_path):
    path = tmp_path / "m.safetensors"
    build_matrix(file, index, out=path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="oov must return finite rows"):
        build_matrix(file, index, out=path, oov=lambda shape, rng: np.full(shape, np.nan))
    with pytest.raises(RuntimeError, match="stop"):
        build_matrix(file, index, out=path, fallbacks=[lambda word: (_ for _ in ()).throw(RuntimeError("stop"))])
    assert path.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["in", "m.safetensors"]


def test_a_full_disk_is_an_error(file, index, tmp_path):
    """The room is asked for before rows are written through a map, which would end in a SIGBUS."""
    code = f"""
import resource, signal
from w2v_embed import build_matrix
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
build_matrix({str(file)!r}, {index!r}, out={str(tmp_path / "m.safetensors")!r})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"OSError: [Errno 27] File too large: {str(tmp_path / 'm.safetensors')!r}"
    assert os.listdir(tmp_path) == ["in"]


# ── mapped ──


@pytest.mark.parametrize("suffix", [".safetensors", ".npy"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_a_mapped_matrix(file, index, tmp_path, suffix, dtype):
    em = build_matrix(file, index, dtype=dtype)
    path = tmp_path / f"m{suffix}"
    em.save(path)
    back = EmbeddingMatrix.load(path, mmap=True)
    assert is_mapped(back.matrix)
    assert same_bits(back.matrix, em.matrix)
    if suffix == ".safetensors":
        assert same(back, em)
    with pytest.raises(ValueError, match="read-only"):
        back.matrix += 1
    back.save(path)  # into the file that it maps
    assert same_bits(back.matrix, em.matrix)
    assert same_bits(EmbeddingMatrix.load(path).matrix, em.matrix)


def test_a_file_that_is_replaced_stays_mapped(file, index, tmp_path):
    path = tmp_path / "m.safetensors"
    old = build_matrix(file, index, out=path)
    kept = old.matrix.copy()
    new = build_matrix(file, index, out=path, oov="normal")
    assert same_bits(old.matrix, kept)
    assert not same_bits(new.matrix, kept)


@pytest.mark.parametrize("suffix", [".safetensors", ".npy"])
def test_a_cut_file_is_not_mapped(file, index, tmp_path, suffix):
    path = tmp_path / f"m{suffix}"
    build_matrix(file, index).save(path)
    data = path.read_bytes()
    for size in (len(data) - 1, len(data) - 4096, len(data) // 2, 130, 9, 0):
        path.write_bytes(data[:size])
        with pytest.raises(ValueError, match=rf"m\{suffix} is not a whole \{suffix} file"):
            EmbeddingMatrix.load(path, mmap=True)


def test_what_cannot_be_mapped(file, index, tmp_path):
    build_matrix(file, index).save(tmp_path / "m.npz")
    with pytest.raises(ValueError, match=r"mmap=True maps .safetensors and .npy; received .*m.npz. Save the matrix as"):
        EmbeddingMatrix.load(tmp_path / "m.npz", mmap=True)
    np.save(tmp_path / "m.npy", np.asfortranarray(np.ones((3, 4))))
    with pytest.raises(ValueError, match="expected numbers, row after row, got float64 by columns"):
        EmbeddingMatrix.load(tmp_path / "m.npy", mmap=True)
    np.save(tmp_path / "m.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match="expected numbers, row after row, got object"):
        EmbeddingMatrix.load(tmp_path / "m.npy", mmap=True)


@pytest.mark.keras
def test_layers_take_a_mapped_matrix(file, index, tmp_path):
    """By each way in the same values; and training changes no file."""
    import keras

    from w2v_embed import embedding_layer
    from w2v_embed.layers import PretrainedEmbedding, reload_vectors

    em = build_matrix(file, index, oov="normal", out=tmp_path / "m.safetensors")
    before = (tmp_path / "m.safetensors").read_bytes()
    held = np.array(em.matrix)
    ids = np.arange(len(held))[None]
    for make in (
        PretrainedEmbedding,
        lambda em, **options: PretrainedEmbedding(em, pad_rows_to=8, **options),
        lambda em, **options: embedding_layer(em, via="weights", **options),
        lambda em, **options: embedding_layer(em, via="constant", **options),
    ):
        layer = make(em, trainable=True, mask_zero=False)
        assert same_bits(keras.ops.convert_to_numpy(layer(ids))[0], held)
        model = keras.Sequential([keras.Input((None,), dtype="int32"), layer, keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        model.fit(ids, np.ones((1, len(held), 1), np.float32), epochs=2, verbose=0)
        assert not same_bits(keras.ops.convert_to_numpy(layer(ids))[0], held)
        assert same_bits(em.matrix, held)
    half = PretrainedEmbedding(em, dtype="float16")
    assert same_bits(keras.ops.convert_to_numpy(half(ids))[0], held.astype(np.float16))
    small = keras.Sequential([keras.Input((None,), dtype="int32"), PretrainedEmbedding(em, save_table=False)])
    small.save(tmp_path / "m.keras")
    back = keras.saving.load_model(tmp_path / "m.keras")
    reload_vectors(back, em)
    assert same_bits(keras.ops.convert_to_numpy(back.layers[-1](ids))[0], held)
    del em, layer, model
    assert (tmp_path / "m.safetensors").read_bytes() == before


_TWICE = """
import os, resource, sys, zlib
import numpy as np
from w2v_embed import EmbeddingMatrix, build_matrix
file, folder, rows, limit = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
words = {f"w{k}": k for k in range(1, rows)}
if limit:
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
em = build_matrix(file, words, oov="normal", **({"out": f"{folder}/m.safetensors"} if limit else {}))
em.save(f"{folder}/again{limit}.safetensors")
em = EmbeddingMatrix.load(f"{folder}/again{limit}.safetensors", mmap=bool(limit))
print(em.matrix.nbytes, zlib.crc32(em.matrix), len(em.coverage.found))
if limit:
    from w2v_embed import embedding_layer
    from w2v_embed.layers import PretrainedEmbedding
    for layer in (PretrainedEmbedding(em), embedding_layer(em)):
        rows = np.asarray(layer(np.arange(5)))
        print(zlib.crc32(np.asarray(layer.weights[0].value)), rows.tobytes() == em.matrix[:5].tobytes())
    try:
        np.empty(limit, np.uint8)
    except MemoryError:
        print("there is a limit")
"""


@pytest.mark.slow
def test_a_matrix_of_twice_the_memory_that_is_allowed(tmp_path):
    """Built, saved, loaded and put into two layers on JAX; byte for byte the one that is built in memory."""
    rng = np.random.default_rng(0)
    file = write_binary(tmp_path / "v.bin", {f"w{k}": rng.normal(size=1200).astype(np.float32) for k in range(2000)})
    rows, limit = 250_000, 600_000_000
    said = []
    for limited in (limit, 0):
        command = [sys.executable, "-c", _TWICE, str(file), str(tmp_path), str(rows), str(limited)]
        environment = {**os.environ, "KERAS_BACKEND": "jax", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr[-3000:]
        said.append(done.stdout.split("\n"))
    size, crc, _ = said[0][0].split()
    assert int(size) == 2 * limit
    assert said[0][0] == said[1][0]
    assert said[0][1:4] == [f"{crc} True", f"{crc} True", "there is a limit"]

"""Vectors of many texts by many workers: the same bytes whoever writes them, dies, or comes back; batches that map anywhere.

W2V_EMBED_KILLS=1000 pytest -m slow tests/test_scale.py -s -k kills
"""

import copy
import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
MODEL = ROOT / "tests/data/reference/bert_hf"
LINES = ["the bank of the river", "", "put money in the bank", "a king and a queen", "naïve 中国 🎈", "river " * 40]


def texts_in(path, n, version=0):
    path.write_text("".join(f"{LINES[(k + version) % len(LINES)]} {k % 3}\n" for k in range(n)), encoding="utf-8")
    return path


def files_in(folder):
    """Name → content, without the lock and what the writers that were killed have left."""
    return {entry.name: entry.read_bytes() for entry in folder.iterdir() if not entry.name.startswith(".")}


def vectors_in(folder):
    from safetensors.numpy import load_file

    return np.concatenate([load_file(path)["vectors"] for path in sorted(folder.glob("part-*.safetensors"))])


def encode_shards(*args, **options):
    pytest.importorskip("keras")
    from w2v_embed.scale import encode_shards

    return encode_shards(*args, **options)


@pytest.mark.keras
def test_shards_are_what_the_encoder_gives(tmp_path):
    pytest.importorskip("safetensors")
    texts = texts_in(tmp_path / "t.txt", 20)
    made = encode_shards(MODEL, texts, tmp_path / "out", 8, pooling="cls", batch_size=4)
    from w2v_embed.contextual import ContextualEncoder

    given = texts.read_text(encoding="utf-8").split("\n")[:-1]
    encoder = ContextualEncoder.from_pretrained(MODEL)
    expected = np.concatenate([encoder.encode(given[k : k + 8], pooling="cls", batch_size=4) for k in (0, 8, 16)])
    assert vectors_in(tmp_path / "out").tobytes() == expected.tobytes()
    assert made == json.loads((tmp_path / "out/manifest.json").read_text())
    assert (made["rows"], made["dim"], made["complete"]) == (20, 32, True)
    assert [(shard["file"], shard["first"], shard["rows"]) for shard in made["shards"]] == [
        ("part-000000.safetensors", 0, 8),
        ("part-000001.safetensors", 8, 8),
        ("part-000002.safetensors", 16, 4),
    ]
    assert made["settings"]["options"] == {"pooling": "cls", "batch_size": 4}
    half = tmp_path / "half"
    encode_shards(MODEL, texts, half, 8, pooling="cls", batch_size=4, dtype="float16")
    assert vectors_in(half).tobytes() == expected.astype(np.float16).tobytes()


@pytest.mark.keras
def test_a_run_takes_up_what_is_there(tmp_path, monkeypatch):
    """Nothing is made twice; what is damaged, missing or of other texts is made again, and nothing else."""
    from w2v_embed.scale import shards

    texts, out = texts_in(tmp_path / "t.txt", 30), tmp_path / "out"
    encode_shards(MODEL, texts, out, 8)
    whole, made, encode = files_in(out), [], shards._encode_shard
    monkeypatch.setattr(shards, "_encode_shard", lambda job: made.append(Path(job.path).name) or encode(job))

    def again(**options):
        made.clear()
        encode_shards(MODEL, texts, out, 8, **options)
        return made

    assert again() == []
    (out / "part-000001.safetensors").unlink()
    (out / "part-000002.safetensors").write_bytes(whole["part-000002.safetensors"][:-1])
    assert again() == ["part-000001.safetensors", "part-000002.safetensors"]
    with ThreadPoolExecutor(2) as pool:
        for name in list(whole)[::2]:
            (out / name).unlink()
        if not (out / "manifest.json").exists():
            (out / "manifest.json").write_bytes(whole["manifest.json"])
        again(executor=pool)
    assert files_in(out) == whole
    texts.write_text(texts.read_text(encoding="utf-8") + "one more\n", encoding="utf-8")  # the last shard had 6 lines
    assert again() == ["part-000003.safetensors"]
    texts_in(texts, 10)
    assert again() == ["part-000001.safetensors"]  # now the last, shorter; those behind it are gone
    assert sorted(files_in(out)) == ["manifest.json", "part-000000.safetensors", "part-000001.safetensors"]


@pytest.mark.keras
def test_folders_that_are_refused(tmp_path, caplog):
    texts, out = texts_in(tmp_path / "t.txt", 10), tmp_path / "out"
    with pytest.raises(ValueError, match="pooling must be"):
        encode_shards(MODEL, texts, out, 8, pooling="sum")
    encode_shards(MODEL, texts, out, 8)  # nothing had been made by the wrong settings
    with pytest.raises(
        ValueError, match=r"out holds shards of other settings: .'rows': 8., now .'rows': 9.\. Delete it"
    ):
        encode_shards(MODEL, texts, out, 9)
    manifest = out / "manifest.json"
    whole = manifest.read_text()
    for content, told in (
        ("[]", "expected a JSON object"),
        ("{}", "was not written by encode_shards"),
        ("{", "not JSON"),
    ):
        manifest.write_text(content)
        with pytest.raises(ValueError, match=told):
            encode_shards(MODEL, texts, out, 8)
    manifest.unlink()
    with pytest.raises(ValueError, match=r"out has no manifest.json, but 'part-000000.safetensors'"):
        encode_shards(MODEL, texts, out, 8)
    manifest.write_text(whole)
    from w2v_embed.scale.folder import ShardFolder

    settings = json.loads(whole)["settings"]
    with (
        ShardFolder(out, settings),
        pytest.raises(ValueError, match=r"out is being written by another run: wait for it"),
    ):
        encode_shards(MODEL, texts, out, 8)
    with ShardFolder(out, settings) as folder:
        facts = {"backend": "numpy", "rows": "8", "input": "", "crc32": ""}
        folder.note(0, {**facts, "backend": "other"})
        with pytest.raises(ValueError, match="other shards were made by Keras' backend other, this one by numpy"):
            folder.note(1, facts)
    (tmp_path / "empty.txt").touch()
    with pytest.raises(ValueError, match="the texts hold no line"):
        encode_shards(MODEL, tmp_path / "empty.txt", tmp_path / "none", 8)
    with pytest.raises(NotADirectoryError, match=r"t\.txt is a file; expected the name of a folder"):
        encode_shards(MODEL, texts, texts, 8)


def test_arguments_that_are_refused(tmp_path):
    texts = texts_in(tmp_path / "t.txt", 3)
    for options, error, told in (
        ({"rows": 0}, ValueError, "rows must be a whole number from 1 on, received 0"),
        ({"dtype": "float64"}, ValueError, 'dtype must be "float16" or "float32", received \'float64\''),
        ({"format": "npy"}, ValueError, 'format must be "safetensors" or "parquet", received \'npy\''),
        ({"poling": "cls"}, TypeError, "unexpected option 'poling'; those of the encoder are .*pooling"),
        ({"layers": {1}}, TypeError, "options must be numbers, texts and lists of these"),
        ({"executor": 3}, TypeError, "executor must be None or have submit"),
    ):
        with pytest.raises(error, match=told):
            encode_shards(MODEL, texts, tmp_path / "out", **options)
    with pytest.raises(
        TypeError, match="model must be the path of a model, which each worker loads by itself, received 3"
    ):
        encode_shards(3, texts, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"bert: no such model\. Each worker must find it at this path"):
        encode_shards(tmp_path / "bert", texts, tmp_path / "out")


def test_a_worker_with_another_model(tmp_path):
    pytest.importorskip("keras")
    from w2v_embed.scale import shards

    job = shards._Job(str(tmp_path / "p"), ["a"], str(MODEL), {"model": "0", "options": {}}, {}, None)
    with pytest.raises(ValueError, match="bert_hf holds another model where a worker looks for it"):
        shards._encode_shard(job)


def test_numbers_that_float16_cannot_hold():
    from w2v_embed.scale.rounding import rounded

    rows = np.array([[1.5, 2], [7e4, 1]], np.float32)
    assert rounded(rows, "float32", ["a", "b"]).tobytes() == rows.tobytes()
    with pytest.raises(ValueError, match="the vector of the text 'b' has numbers that float16 cannot hold, as 70000"):
        rounded(rows, "float16", ["a", "b"])


@pytest.mark.keras
def test_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    texts = texts_in(tmp_path / "t.txt", 20)
    for dtype in ("float32", "float16"):
        out, plain = tmp_path / dtype, tmp_path / f"{dtype}.plain"
        encode_shards(MODEL, texts, out, 8, format="parquet", dtype=dtype)
        first = files_in(out)
        encode_shards(MODEL, texts, plain, 8, dtype=dtype)
        parts = [parquet.read_table(path)["vector"] for path in sorted(out.glob("*.parquet"))]
        rows = np.concatenate([np.stack(part.combine_chunks().to_numpy(zero_copy_only=False)) for part in parts])
        assert rows.tobytes() == vectors_in(plain).tobytes()
        (out / "part-000001.parquet").write_bytes(b"PAR1")
        encode_shards(MODEL, texts, out, 8, format="parquet", dtype=dtype)
        assert files_in(out) == first


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r'Parquet needs pyarrow: pip install "w2v-embed\[parquet\]"'):
        encode_shards(MODEL, texts_in(tmp_path / "t.txt", 3), tmp_path / "out", format="parquet")


# ── batches ──


@pytest.mark.keras
def test_batches_get_a_column():
    pytest.importorskip("keras")
    from w2v_embed.contextual import ContextualEncoder
    from w2v_embed.scale import EncodeBatches

    encode = EncodeBatches(MODEL, column="title", output="v", dtype="float16", layers=[-1, -2], merge="concat")
    assert len(pickle.dumps(encode)) < 1000
    expected = ContextualEncoder.from_pretrained(MODEL).encode(LINES, layers=[-1, -2], merge="concat")
    import pandas as pd

    for batch in ({"title": LINES}, {"title": np.array(LINES, object)}, pd.DataFrame({"title": LINES})):
        for one in (encode, pickle.loads(pickle.dumps(encode)), copy.copy(encode)):
            made = one(batch)
            assert list(made) == ["title", "v"]
            assert made["v"].tobytes() == expected.astype(np.float16).tobytes()
    assert len(pickle.dumps(encode)) < 1000  # the model is not part of it
    assert repr(encode).endswith(
        "bert_hf', column='title', output='v', dtype='float16', layers=[-1, -2], merge='concat')"
    )
    for batch, error, told in (
        ({"text": LINES}, ValueError, r"have texts in 'title', received \['text'\]\. Pass column="),
        ([LINES], ValueError, "a batch must map names of columns to their values,.* received list"),
        ({"title": ["a", None]}, TypeError, r"'title' must hold texts, received None \(NoneType\) in row 1"),
    ):
        with pytest.raises(error, match=told):
            encode(batch)
    with pytest.raises(ValueError, match='dtype must be "float16" or "float32"'):
        EncodeBatches(MODEL, dtype="int8")


# ── threads ──


@pytest.mark.keras
def test_the_backend_gets_as_many_threads_as_are_told(monkeypatch):
    keras = pytest.importorskip("keras")
    from w2v_embed.contextual.backend import limit_threads

    asked = []
    if keras.backend.backend() == "torch":
        import torch

        monkeypatch.setattr(torch, "set_num_threads", asked.append)
    elif keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        monkeypatch.setattr(tf.config.threading, "set_intra_op_parallelism_threads", asked.append)
        monkeypatch.setattr(tf.config.threading, "set_inter_op_parallelism_threads", lambda n: None)
    monkeypatch.delenv("W2V_EMBED_THREADS", raising=False)
    limit_threads()
    assert asked == []
    monkeypatch.setenv("W2V_EMBED_THREADS", "3")
    limit_threads()
    assert asked == ([] if keras.backend.backend() == "jax" else [3])


# ── kills ──


def kill_often(folder, count):
    """Runs in a process of its own, whose torch has one thread: a fork is a run. Prints what came of it."""
    import torch

    from w2v_embed.scale import encode_shards, models

    torch.set_num_threads(1)
    rng, whole, n = random.Random(0), [], 200
    models.loaded(str(MODEL), {})
    texts = [texts_in(folder / f"{version}.txt", n - 7 * version, version) for version in (0, 1)]

    def run(version, out):
        child = os.fork()
        if not child:
            models._last = {(os.getpid(), *key[1:]): made for key, made in models._last.items()}  # it need not load it
            encode_shards(MODEL, texts[version], out, 4)
            os._exit(0)
        return child

    seconds = 0.0
    for version in (0, 1):
        begin = time.perf_counter()
        assert os.waitpid(run(version, folder / f"whole{version}"), 0)[1] == 0
        seconds = time.perf_counter() - begin
        whole.append(files_in(folder / f"whole{version}"))
    parts = [{name: content for name, content in some.items() if name.startswith("part")} for some in whole]
    assert not parts[0].items() & parts[1].items()
    out, killed, finished, version, seen, between = folder / "out", 0, 0, 0, set(), 0
    while killed < count:
        child = run(version, out)
        time.sleep(1.1 * seconds * rng.random())
        os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, -signal.SIGKILL), status
        after = files_in(out) if out.exists() else {}
        for name, content in after.items():
            assert name == "manifest.json" or content in (parts[0].get(name), parts[1].get(name)), name
        left = [entry for entry in out.iterdir() if entry.name.endswith(".tmp")] if out.exists() else []
        assert len(left) <= 1
        if status:
            killed += 1
            right = sum(after.get(name) == content for name, content in parts[version].items())
            between += 0 < right < len(parts[version])
            seen.add(right)
        else:
            assert after == whole[version]
            finished, version = finished + 1, 1 - version  # the next has other texts: all that is there is made again
            if rng.random() < 0.5:
                shutil.rmtree(out)
    assert os.waitpid(run(version, out), 0)[1] == 0
    assert files_in(out) == whole[version]
    assert not [entry for entry in out.iterdir() if entry.name.endswith(".tmp")]
    told = f"{between} of them between the first shard and the last, at {len(seen)} different ones"
    print(f"{killed} runs killed, {told}; {finished} runs came to an end")


needs_fork = pytest.mark.skipif(
    not hasattr(os, "fork") or not (find_spec("torch") and find_spec("keras")), reason="needs fork and torch"
)


def run_apart(folder, count):
    done = subprocess.run(
        [sys.executable, "-m", "tests.test_scale", str(folder), str(count)],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": "torch", "W2V_EMBED_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_fork
def test_a_few_kills(tmp_path):
    assert run_apart(tmp_path, 6).startswith("6 runs killed, ")


@needs_fork
@pytest.mark.slow
def test_many_kills(tmp_path):
    print("\n" + run_apart(tmp_path, int(os.environ.get("W2V_EMBED_KILLS", "1000"))))


if __name__ == "__main__":
    kill_often(Path(sys.argv[1]), int(sys.argv[2]))

"""Ray and Dask, nodes and workers of which die on the way: opt-in (`pytest -m slow tests/test_clusters.py -s`)."""

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tests.test_scale import MODEL, ROOT, files_in, texts_in
from w2v_embed import count_words
from w2v_embed.readers import lines

pytestmark = pytest.mark.slow


@pytest.fixture
def words(tmp_path):
    """A text of many pieces."""
    path = tmp_path / "words.txt"
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        for _ in range(40):
            ids = rng.zipf(1.3, 50_000) % 100_000
            file.write("\n".join(" ".join(f"w{k}" for k in row) for row in ids.reshape(-1, 20)) + "\n")
    return path


def cluster(nodes):
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    ray.shutdown()
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    more = [made.add_node(num_cpus=1) for _ in range(nodes - 1)]
    made.wait_for_nodes()
    environment = {
        "env_vars": {"PYTHONPATH": str(ROOT), "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "tensorflow")}
    }
    ray.init(address=made.address, runtime_env=environment, log_to_driver=False)
    return ray, made, more


def test_ray_loses_a_node_while_shards_are_written(tmp_path):
    from w2v_embed.scale import RayExecutor, encode_shards

    texts, one, out = texts_in(tmp_path / "t.txt", 4000), tmp_path / "one", tmp_path / "out"
    encode_shards(MODEL, texts, one, 20)
    ray, made, (node,) = cluster(2)
    told = []

    def at_work():
        """Who writes shards on the node that will be removed."""
        raylet = str(node.all_processes["raylet"][0].process.pid)
        rows = [line.split(None, 2) for line in os.popen("ps -eo pid,ppid,args").read().splitlines()]
        return [row for row in rows if row[1] == raylet and row[2].startswith("ray::_encode_shard")]

    def remove():
        """Take a node away in the middle of a shard, once some are there."""
        while len(list(out.glob("part-*"))) < 20 or not at_work():
            time.sleep(0.01)
        told.extend([len(at_work()), len(list(out.glob("part-*")))])
        made.remove_node(node, allow_graceful=False)
        told.append(len(list(out.glob("part-*"))))

    try:
        thread = threading.Thread(target=remove)
        thread.start()
        encode_shards(MODEL, texts, out, 20, executor=RayExecutor(max_retries=10))
        thread.join()
        while len(left := [entry for entry in ray.nodes() if entry["Alive"]]) > 1:  # heartbeats take their time
            time.sleep(0.5)
    finally:
        ray.shutdown()
        made.shutdown()
    busy, before, after = told
    print(
        f"\na node with {busy} workers in a shard removed when {before} to {after} of 200 were there; {len(left)} node left"
    )
    assert busy
    assert 20 <= before <= after < 200
    assert files_in(out) == files_in(one)


def test_ray_counts_while_a_worker_is_killed(words, monkeypatch):
    from w2v_embed.scale import RayExecutor

    monkeypatch.setattr(lines, "_PIECE", 1 << 19)
    plain = count_words(words)
    ray, made, _ = cluster(2)
    killed = []

    def kill():
        time.sleep(0.3)
        while not killed:
            for line in os.popen("ps -eo pid,ppid,args").read().splitlines():
                if "ray::_count_piece" in line:
                    os.kill(int(line.split()[0]), signal.SIGKILL)
                    killed.append(line)
                    return
            time.sleep(0.02)

    try:
        thread = threading.Thread(target=kill)
        thread.start()
        counted = count_words(words, executor=RayExecutor())
        thread.join()
    finally:
        ray.shutdown()
        made.shutdown()
    print(f"\nkilled: {killed[0].strip()}")
    assert list(counted.items()) == list(plain.items())


def test_ray_data_maps_batches(tmp_path):
    from w2v_embed.scale import EncodeBatches

    texts = texts_in(tmp_path / "t.txt", 64)
    ray, made, _ = cluster(2)
    try:
        data = ray.data.from_items([{"text": line} for line in texts.read_text().split("\n")[:-1]])
        options = {"batch_size": 16, "concurrency": 1}
        kinds = [data.map_batches(EncodeBatches, fn_constructor_args=[str(MODEL)], **options)]
        kinds.append(data.map_batches(EncodeBatches(MODEL), batch_size=16))
        rows = [{row["text"]: row["vector"] for row in kind.take_all()} for kind in kinds]
    finally:
        ray.shutdown()
        made.shutdown()
    from w2v_embed.contextual import ContextualEncoder

    encoder = ContextualEncoder.from_pretrained(MODEL)
    for found in rows:
        expected = encoder.encode(list(found))
        assert np.allclose(np.stack(list(found.values())), expected, atol=1e-5)


def test_datasets_map(tmp_path):
    datasets = pytest.importorskip("datasets")
    from w2v_embed.scale import EncodeBatches

    given = texts_in(tmp_path / "t.txt", 64).read_text().split("\n")[:-1]
    mapped = datasets.Dataset.from_dict({"text": given}).map(EncodeBatches(MODEL), batched=True, batch_size=16)
    from w2v_embed.contextual import ContextualEncoder

    encoder = ContextualEncoder.from_pretrained(MODEL)
    expected = np.concatenate([encoder.encode(given[k : k + 16]) for k in range(0, 64, 16)])
    assert np.asarray(mapped["vector"], np.float32).tobytes() == expected.tobytes()
    again = datasets.Dataset.from_dict({"text": given}).map(EncodeBatches(MODEL), batched=True, batch_size=16)
    assert again._fingerprint == mapped._fingerprint  # so that the cache of `datasets` finds it


def test_dask_counts_while_a_worker_is_killed(words, monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(lines, "_PIECE", 1 << 19)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    plain, killed = count_words(words), []
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as made,
        distributed.Client(made) as client,
    ):

        def kill():
            time.sleep(0.5)
            worker = next(iter(made.workers.values()))
            killed.append(worker.pid)
            os.kill(worker.pid, signal.SIGKILL)

        thread = threading.Thread(target=kill)
        thread.start()
        counted = count_words(words, executor=client)
        thread.join()
    print(f"\nkilled: {killed}")
    assert list(counted.items()) == list(plain.items())


def test_processes_write_shards_while_some_are_killed(tmp_path):
    from w2v_embed.scale import ProcessPool, encode_shards

    texts, one, out = texts_in(tmp_path / "t.txt", 4000), tmp_path / "one", tmp_path / "out"
    encode_shards(MODEL, texts, one, 20)
    killed = []
    with ProcessPool(2) as pool:

        def kill():
            for least in (20, 80):
                while len(list(Path(out).glob("part-*"))) < least or pool._pool is None:
                    time.sleep(0.02)
                process = next(iter(pool._pool._processes.values()))
                process.kill()
                killed.append(least)

        thread = threading.Thread(target=kill, daemon=True)
        thread.start()
        encode_shards(MODEL, texts, out, 20, executor=pool)
        thread.join(1)
    assert killed == [20, 80]
    assert files_in(out) == files_in(one)


@pytest.mark.parametrize("name", ["ray", "dask"])
def test_the_command_counts_on_an_engine(name, words, tmp_path, monkeypatch, capsys):
    from w2v_embed.cli import main

    pytest.importorskip("ray" if name == "ray" else "distributed")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(lines, "_PIECE", 1 << 20)
    assert main(["vocab", str(words), "-o", str(tmp_path / "plain.json"), "-q"]) == 0
    command = ["vocab", str(words), "-o", str(tmp_path / "many.json"), "--engine", name, "--workers", "2", "-q"]
    assert main(command) == 0
    assert (tmp_path / "many.json").read_bytes() == (tmp_path / "plain.json").read_bytes()

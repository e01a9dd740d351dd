"""What it costs to build, save and load a layer for pretrained vectors, ours beside Keras' own ways, all in one run.

    KERAS_BACKEND=tensorflow python benchmarks/layers.py [--rows 20000 100000 400000] [--dim 300] [--out table.md]

Each figure comes from a process of its own. "memory" is the peak of resident memory while the layer is built, in
tables beyond the source: 1.0 is one more copy of the table. Where one of Keras' own ways to build fails, or takes more
than four fifths of the machine's memory, the table says so. Training steps are measured in steps.py.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

BUILD = (
    "keras weights=",
    "keras Constant",
    "embedding_layer weights",
    "embedding_layer constant",
    "PretrainedEmbedding",
)


class Peak(threading.Thread):
    """The highest resident memory seen while it runs, looked at every two milliseconds."""

    def __enter__(self):
        self.first = self.highest = resident()
        self.running = True
        self.start()
        return self

    def run(self):
        while self.running:
            self.highest = max(self.highest, resident())
            time.sleep(0.002)

    def __exit__(self, *_):
        self.running = False
        self.join()
        self.highest = max(self.highest, resident())


def resident(process="self"):
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (FileNotFoundError, ProcessLookupError, IndexError):  # it has just ended
        return 0


def source(rows, dim):
    table = np.random.default_rng(0).standard_normal((rows, dim), dtype="float32")
    table[0] = 0
    return table


def make(way, table):
    import keras

    from w2v_embed.layers import PretrainedEmbedding, embedding_layer

    if way == "keras weights=":
        layer = keras.layers.Embedding(*table.shape, weights=[table])
    elif way == "keras Constant":
        layer = keras.layers.Embedding(*table.shape, embeddings_initializer=keras.initializers.Constant(table))
        layer.build(None)
    elif way.startswith("embedding_layer"):
        layer = embedding_layer(table, via=way.split()[1])
    elif way == "PretrainedEmbedding":
        layer = PretrainedEmbedding(table, mask_zero=True)
    else:
        raise ValueError(f"unknown way: {way!r}")
    return layer


def measure_build(way, rows, dim):
    build_save_load(way, source(10, dim))  # what is imported and compiled once does not count
    return build_save_load(way, source(rows, dim))


def build_save_load(way, table):
    import keras

    start = time.perf_counter()
    with Peak() as peak:
        layer = make(way, table)
        if keras.backend.backend() == "jax":
            layer.embeddings.value.block_until_ready()
    built = time.perf_counter() - start
    model = keras.Sequential([keras.Input((20,), dtype="int32"), layer])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        start = time.perf_counter()
        model.save(path)
        saved = time.perf_counter() - start
        start = time.perf_counter()
        keras.saving.load_model(path)
        loaded = time.perf_counter() - start
        size = path.stat().st_size
    return {
        "memory (tables)": (peak.highest - peak.first) / table.nbytes,
        "build (s)": built,
        "save (s)": saved,
        "load (s)": loaded,
        "file (MB)": size / 1e6,
        "config (kB)": len(json.dumps(keras.saving.serialize_keras_object(layer))) / 1e3,
    }


def in_a_process(way, rows, dim):
    """One figure's dict.

    Raises:
        RuntimeError: the last line of what failed, or that it took four fifths of the machine's memory and was stopped.
    """
    command = [sys.executable, __file__, "--one", way, str(rows), str(dim)]
    most = 0.8 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        while child.poll() is None:
            if resident(child.pid) > most:
                child.kill()
                child.wait()
                raise RuntimeError(f"{way} at {rows} rows: out of memory")
            time.sleep(0.02)
        if child.returncode:
            errors.seek(0)
            raise RuntimeError(f"{way} at {rows} rows: {errors.read().strip().splitlines()[-1]}")
        return json.loads(child.stdout.read().splitlines()[-1])


def tables(sizes, dim):
    import keras

    yield f"Keras {keras.__version__}, {keras.backend.backend()}, {dim} columns, {os.cpu_count()} cores\n"
    yield (
        "| rows | way | "
        + " | ".join(("memory (tables)", "build (s)", "save (s)", "load (s)", "file (MB)", "config (kB)"))
        + " |"
    )
    yield "| ---: | --- |" + " ---: |" * 6
    for rows in sizes:
        for way in BUILD:
            try:
                cells = [f"{value:.2f}" for value in in_a_process(way, rows, dim).values()]
            except RuntimeError as error:
                if not way.startswith("keras "):  # of Keras' own ways it is a finding
                    raise
                cells = [f"fails: {error}", *[""] * 5]
            yield f"| {rows:,} | {way} | " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 100_000, 400_000])
    parser.add_argument("--dim", type=int, default=300)
    parser.add_argument("--out", type=Path, help="also write the tables there")
    parser.add_argument("--one", nargs=3, metavar=("WAY", "ROWS", "DIM"), help="one figure, used by the run itself")
    args = parser.parse_args()
    if args.one:
        way, rows, dim = args.one
        print(json.dumps(measure_build(way, int(rows), int(dim))))
        return
    lines = []
    for line in tables(args.rows, args.dim):
        print(line, flush=True)
        lines.append(line)
    if args.out:
        args.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

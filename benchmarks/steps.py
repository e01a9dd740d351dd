"""Training steps with a layer that we filled beside one that Keras filled, in turn, in one run: python benchmarks/steps.py

    python benchmarks/steps.py [--backends tensorflow jax torch] [--rows 20000 100000 400000] [--rounds 15]

One process for each backend, number of rows, and of frozen and trainable. In it stand all models at once: Keras' own
`Embedding(weights=[table])`, `embedding_layer`, both also after saving and loading, and the other ways of this package.
In every round each takes one `train_on_batch` of 64 × 20 ids, in a new order. A figure is the median over the rounds;
a ratio that of two medians.
"CPU" is the processor time of all threads, which other work on the machine disturbs less; torch's threads use it up while
they wait for each other, so on a busy machine set OMP_NUM_THREADS=1 for torch.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from page import Column, Table, versions

BACKENDS = ("tensorflow", "jax", "torch")
KERAS, OURS = "Keras' Embedding", "embedding_layer"
FIGURES = (("ms", ".1f"), ("CPU ms", ".1f"), ("CPU ÷ Keras'", ".2f"))


def models(table, trainable):
    """Name → compiled model, each with a layer of its own."""
    import keras

    from w2v_embed.layers import MaskedMeanPooling, PretrainedEmbedding, RowSparseAdam, embedding_layer

    def model(layer, optimizer="adam"):
        pooled = [MaskedMeanPooling(), keras.layers.Dense(1)]
        model = keras.Sequential([keras.Input((20,), dtype="int32"), layer, *pooled])
        model.compile(optimizer, "mse")
        return model

    def loaded(model):
        with tempfile.TemporaryDirectory() as folder:
            model.save(Path(folder) / "model.keras")
            return keras.saving.load_model(Path(folder) / "model.keras")

    options = {"mask_zero": True, "trainable": trainable}
    made = {
        KERAS: model(keras.layers.Embedding(*table.shape, weights=[table], **options)),
        OURS: model(embedding_layer(table, **options)),
    }
    made |= {f"{name}, loaded": loaded(each) for name, each in list(made.items())}
    made["PretrainedEmbedding"] = model(PretrainedEmbedding(table, **options))
    if trainable:
        some = np.arange(1, len(table), 20)
        made["… oov, 5 % of the rows"] = model(PretrainedEmbedding(table, train_rows="oov", oov_rows=some, **options))
        made["… RowSparseAdam"] = model(PretrainedEmbedding(table, **options), RowSparseAdam())
    return made


def measure(rows, dim, trainable, rounds):
    rng = np.random.default_rng(0)
    table = rng.standard_normal((rows, dim), dtype="float32")
    table[0] = 0
    x, y = rng.integers(1, rows, (64, 20)), rng.normal(size=(64, 1))
    made = models(table, trainable)
    taken = {name: [] for name in made}
    for turn in range(3 + rounds):
        for name in rng.permutation(list(made)):
            cpu, wall = time.process_time(), time.perf_counter()
            made[name].train_on_batch(x, y)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            if turn >= 3:  # the first ones compile
                taken[name].append((wall, cpu))
    return {name: (1e3 * np.median(each, axis=0)).tolist() for name, each in taken.items()}


def compare(backend, sizes, dim, rounds, frozen_only):
    """A table of a backend; a process for each number of rows, and of frozen and trainable."""
    kinds = ["frozen"] if frozen_only else ["frozen", "trainable"]
    columns = [Column(f"{kind}: {what}", spec) for kind in kinds for what, spec in FIGURES]
    title, setting = f"Training steps of {backend}", f"{dim} columns, 64 × 20 ids"
    told = versions("keras", backend, *["tensorflow-cpu"] * (backend == "tensorflow"))
    with Table(title, setting, columns, [f"{kind}: {FIGURES[-1][0]}" for kind in kinds], told) as page:
        for rows in sizes:
            results = []
            for trainable in range(len(kinds)):
                command = [sys.executable, __file__, "--one", *map(str, (rows, dim, trainable, rounds))]
                environment = {**os.environ, "KERAS_BACKEND": backend}
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
                if done.returncode:
                    sys.exit(f"{backend}, {rows} rows: {done.stderr}")
                results.append(json.loads(done.stdout.splitlines()[-1]))
            for name in results[-1]:
                peer = KERAS + ", loaded" * name.endswith(", loaded")
                cells = []
                for result in results:
                    wall, cpu = result.get(name, (None, None))
                    cells += [wall, cpu, cpu and cpu / result[peer][1]]
                page.add(f"{rows:,} rows: {name}", *cells, ours=not name.startswith(KERAS))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, help="those that are installed, if left out")
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 100_000, 400_000])
    parser.add_argument("--dim", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--frozen-only", action="store_true", help="fast: many rounds are no matter")
    parser.add_argument("--one", type=int, nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        rows, dim, trainable, rounds = args.one
        print(json.dumps(measure(rows, dim, bool(trainable), rounds)))
        return
    for backend in args.backends or [name for name in BACKENDS if importlib.util.find_spec(name)]:
        compare(backend, args.rows, args.dim, args.rounds, args.frozen_only)


if __name__ == "__main__":
    main()

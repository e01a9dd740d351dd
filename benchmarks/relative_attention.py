"""Self-attention with relative positions: by buckets against the (T, T, D) tensor spelled out.

    python benchmarks/relative_attention.py                    # T = 512
    KERAS_BACKEND=jax python benchmarks/relative_attention.py --batch 8

Each form runs in a process of its own, on the same weights and input; the numbers they give are compared first. Time is
the median of the calls after the first. Memory is the highest resident set of the process less that before the first
call, so what the first call compiles is in it. page.py tells them.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

from page import Column, Table, versions

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

FORMS = ("(T, T, D) spelled out", "buckets")
FEATURES = 128


def spelled_out(layer, x):
    """What `layer` computes, with one row of R for each pair of positions."""
    from keras import ops

    K, positions = layer.max_distance, ops.arange(x.shape[1])
    ids = ops.clip(positions[None, :] - positions[:, None], -K, K) + K
    R = ops.take(ops.convert_to_tensor(layer.table, dtype="float32"), ids, axis=0)
    q, k, v = (layer._split(projection(x)) for projection in (layer.query, layer.key, layer.value))
    q = q * layer.key_dim**-0.5
    p = ops.softmax(ops.matmul(q, ops.swapaxes(k, -1, -2)) + ops.einsum("bnid,ijd->bnij", q, R))
    return layer.output_projection(layer._merge(ops.matmul(p, v) + ops.einsum("bnij,ijd->bnid", p, R)))


def measure(form, arguments):
    """Run one form in this process and print what it took as JSON."""
    import keras
    import numpy as np

    from w2v_embed.layers import RelativeSelfAttention

    keras.utils.set_random_seed(0)
    layer = RelativeSelfAttention(arguments.heads, arguments.key_dim, arguments.max_distance)
    layer.build((None, None, FEATURES))

    class Wrapped(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.attention = layer

        def call(self, x):
            return self.attention(x) if form == FORMS[1] else spelled_out(self.attention, x)

        def compute_output_shape(self, input_shape):
            return input_shape

    inputs = keras.Input((arguments.length, FEATURES))
    model = keras.Model(inputs, Wrapped()(inputs))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    x = np.random.default_rng(0).normal(size=(arguments.batch, arguments.length, FEATURES)).astype("float32")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = {}
    for name, call in (("forward", model.predict_on_batch), ("step", lambda x: model.train_on_batch(x, x))):
        out = call(x)
        if name == "forward":
            result["checksum"] = np.asarray(out)[0, ::37].ravel().tolist()
        times = []
        for _ in range(arguments.repeats):
            start = time.perf_counter()
            call(x)
            times.append(time.perf_counter() - start)
        result[name] = statistics.median(times)
        result[f"{name} memory"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps(result))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--key-dim", type=int, default=64)
    parser.add_argument("--max-distance", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--form", choices=FORMS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.form:
        return measure(arguments.form, arguments)

    results = []
    for form in FORMS:
        command = [sys.executable, __file__, *sys.argv[1:], "--form", form]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr)
        results.append(json.loads(done.stdout.splitlines()[-1]))
    naive, ours = (result.pop("checksum") for result in results)
    apart = max(abs(a - b) for a, b in zip(naive, ours))
    if apart > 1e-5:
        sys.exit(f"The two forms disagree by {apart:.1e}: nothing here is worth comparing.")
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    setting = (
        f"T = {arguments.length}, batch {arguments.batch}, {arguments.heads} heads of {arguments.key_dim}, "
        f"K = {arguments.max_distance}, {backend}"
    )
    keys = ("forward", "forward memory", "step", "step memory")
    columns = [Column(f"{key}, MB" if "memory" in key else f"{key}, ms", ".0f") for key in keys]
    columns += [Column(f"{key}: the tensor ÷", ".1f", None) for key in keys]
    with Table("Relative attention", setting, columns, ["forward, ms", "step, ms"], versions("keras", backend)) as page:
        for form, result in zip(FORMS, results):
            figures = [result[key] * (1 if "memory" in key else 1000) for key in keys]
            page.add(form, *figures, *(results[0][key] / result[key] for key in keys), ours=form != FORMS[0])
    print(f"\n{os.cpu_count()} cores; the outputs differ by {apart:.0e}.")
    return None


if __name__ == "__main__":
    main()

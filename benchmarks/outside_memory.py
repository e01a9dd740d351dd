"""What an index saves, what mapped and split matrices take: python outside_memory.py WHAT

WHAT is one of

index      build_matrix out of the 1.8 GB text of run.py, with the index beside it, without, and out of the .safetensors that
           convert makes of it, for several numbers of words
blocks     build_matrix and load of that .safetensors against the same file without the checksums of its blocks
remote     what a local server sends of that text with the index, for several numbers of words, and how many requests that takes
memory     the greatest anonymous memory beyond what was there before, of building, saving, loading, and of layers of each
           backend, in MB and in tables (RssAnon: pages of mapped files are the system's to take back)
processes  the same of two JAX processes of four virtual devices each, in shares: half a table

Medians of --rounds; each measurement of memory is a process of its own.
"""

import argparse
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from run import WORK, tell, write_files

WORDS = 636_013


class Peak:
    """Samples the anonymous memory of this process."""

    def __enter__(self):
        self._before = self._most = self._now()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self.bytes = max(self._most, self._now()) - self._before

    def _watch(self):
        while not self._stop.wait(0.002):
            self._most = max(self._most, self._now())

    @staticmethod
    def _now():
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))


# ── index ──


def index(rounds):
    from w2v_embed import build_matrix, convert
    from w2v_embed.readers.sidecar import index_path, make_index

    text, _, words = write_files(WORDS)
    every = json.loads(Path(words).read_text())
    with tempfile.TemporaryDirectory() as folder:  # so that no other benchmark finds the index
        path = Path(folder) / "v.txt"
        path.symlink_to(Path(text).resolve())
        begin, cpu = time.perf_counter(), _cpu()
        _, count = make_index(path)
        told = f"{count:,} words, {index_path(path).stat().st_size / 1e6:.1f} MB"
        print(f"index of {told}: {time.perf_counter() - begin:.1f} s, {_cpu() - cpu:.1f} CPU s\n")
        own = Path(folder) / "v.safetensors"
        convert(path, own)
        columns = "s | with the index | ratio | .safetensors | ratio |"
        print(f"| words looked for | CPU {columns} wall {columns}")
        print("| ---: |" + " ---: |" * 10)
        for number in (100, 1_000, 10_000, 20_000, 50_000):
            some = {word: k for k, word in enumerate(list(every)[:number], 1)}
            ways = ((path, False), (path, None), (own, False))
            taken = [[] for _ in ways]
            for turn in range(len(ways) * (rounds + 1)):
                source, use = ways[turn % len(ways)]
                begin, cpu = time.perf_counter(), _cpu()
                build_matrix(source, some, index=use)
                taken[turn % len(ways)].append((_cpu() - cpu, time.perf_counter() - begin))
            medians = [list(map(statistics.median, zip(*some[1:]))) for some in taken]
            cells = [f"{a:.3f} | {b:.3f} | {b / a:.2f} | {c:.3f} | {c / a:.2f}" for a, b, c in zip(*medians)]
            print(f"| {number:,} | {' | '.join(cells)} |", flush=True)


# ── blocks ──


def without_sums(path, target):
    """Write the artifact `path` as it was before there were checksums of blocks; returns its words."""
    from w2v_embed import EmbeddingMatrix, contents, store

    em = EmbeddingMatrix.load(path, mmap=True)
    metadata, tensors = store.beside(em, target)
    del tensors["sums"]
    values = em.matrix.data.cast("B")
    crc = contents.crc32(values)
    metadata["checksum"] = contents.checksum_of(metadata, em.shape, em.matrix.dtype, crc, tensors)
    with open(target, "wb") as file:
        file.write(store.safetensors_head(em.shape, em.matrix.dtype, metadata, tensors))
        file.write(values)
    return list(em.word_index)


def blocks(rounds):
    from w2v_embed import EmbeddingMatrix, build_matrix, convert

    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        new, old = Path(folder) / "new.safetensors", Path(folder) / "old.safetensors"
        convert(write_files(WORDS)[1], new)
        every = without_sums(new, old)
        print(f"file of {new.stat().st_size / 1e6:,.1f} MB, {old.stat().st_size / 1e6:,.1f} MB without sums\n")
        columns = "s | without sums | ratio |"
        print(f"| what | CPU {columns} wall {columns}")
        print("| --- |" + " ---: |" * 6)

        def building(some):
            index = {word: k for k, word in enumerate(some, 1)}
            return lambda path: build_matrix(path, index)

        calls = {}
        for number in (100, 5_000, 50_000):
            calls[f"{number:,} words all over the file"] = building(every[:: len(every) // number][:number])
        calls["its first 50,000 words"] = building(every[:50_000])
        calls["all words"] = building(every)
        calls["`load`"] = EmbeddingMatrix.load
        calls["`load`, `mmap=True`"] = lambda path: EmbeddingMatrix.load(path, mmap=True)
        for name, call in calls.items():
            ways = new, old
            taken = [[] for _ in ways]
            for turn in range(len(ways) * (rounds + 1)):
                begin, cpu = time.perf_counter(), _cpu()
                call(ways[turn % len(ways)])
                taken[turn % len(ways)].append((_cpu() - cpu, time.perf_counter() - begin))
            medians = [list(map(statistics.median, zip(*some[1:]))) for some in taken]
            cells = [f"{a:.3f} | {b:.3f} | {a / b:.2f}" for a, b in zip(*medians)]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


# ── remote ──


def serve(path):
    """A server of one file, which counts what it sends: (its URL, a list with the bytes of each answer, in a list)."""
    from contextlib import suppress
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    size, sent = os.path.getsize(path), []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            asked = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
            begin, end = int(asked[0] or 0), int(asked[2] or size - 1) + 1
            self.send_response(206 if asked[0] else 200)
            for name, value in (("ETag", '"1"'), ("Accept-Ranges", "bytes"), ("Content-Length", end - begin)):
                self.send_header(name, str(value))
            if asked[0]:
                self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{size}")
            self.end_headers()
            own = [0]  # of a reading before, it may end when nobody counts any more
            sent.append(own)
            with open(path, "rb") as file, suppress(OSError):
                file.seek(begin)
                while begin + own[0] < end:
                    own[0] += self.wfile.write(file.read(min(1 << 16, end - begin - own[0])))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/v.txt", sent


def remote(rounds):
    from w2v_embed import build_matrix
    from w2v_embed.readers.sidecar import make_index

    text, _, _ = write_files(WORDS)
    with open(text, encoding="utf-8") as file:
        next(file)
        words = [line.partition(" ")[0] for line in file]
    url, sent = serve(text)
    size = os.path.getsize(text)
    with tempfile.TemporaryDirectory() as folder:
        make_index(url, folder=folder)
        print(f"file of {size / 1e6:,.0f} MB\n")
        print("| words, all over the file | MB sent | share | requests | s with the index | s without | ratio |")
        print("| ---: |" + " ---: |" * 6)
        for number in (10, 100, 1_000):
            some = {word: k for k, word in enumerate(words[len(words) // number // 2 :: len(words) // number], 1)}
            taken, told = ([], []), []
            for turn in range(2 * (rounds + 1)):
                sent.clear()
                begin = time.perf_counter()
                build_matrix(url, some, index=(folder, False)[turn % 2])
                taken[turn % 2].append(time.perf_counter() - begin)
                if not turn % 2:
                    time.sleep(0.1)  # what the server still writes
                    told = [sum(bytes_ for (bytes_,) in sent), len(sent)]
            a, b = (statistics.median(some[1:]) for some in taken)
            cells = f"{told[0] / 1e6:,.1f} | {told[0] / size:.4f} | {told[1]} | {a:.2f} | {b:.2f} | {a / b:.2f}"
            print(f"| {len(some):,} | {cells} |", flush=True)


def _cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


# ── memory ──

ROWS, DIM = 400_000, 300


def measure(what, folder):
    """In a process of its own: prints MB and tables."""
    from w2v_embed import EmbeddingMatrix, build_matrix

    folder = Path(folder)
    vocabulary = {f"w{k}": k for k in range(1, ROWS)}
    table = ROWS * DIM * 4

    def mapped():
        return EmbeddingMatrix.load(folder / "m.safetensors", mmap=True)

    calls = {
        "build in memory": lambda: build_matrix(folder / "v.txt", vocabulary, oov="normal"),
        "build, out=": lambda: build_matrix(folder / "v.txt", vocabulary, oov="normal", out=folder / "m.safetensors"),
        "save what is mapped": lambda em: em.save(folder / "again.safetensors"),
        "load": lambda: EmbeddingMatrix.load(folder / "m.safetensors"),
        "load, mmap": mapped,
    }
    if what.startswith("layer"):
        from w2v_embed.layers import PretrainedEmbedding

        PretrainedEmbedding(np.ones((8, 8), np.float32))
        calls[what] = PretrainedEmbedding
    call = calls[what]
    given = (mapped(),) if what.startswith(("layer", "save")) else ()
    with Peak() as peak:
        kept = call(*given)
    del kept
    print(f"| {what} | {peak.bytes / 1e6:,.0f} | {peak.bytes / table:.2f} |", flush=True)


def memory(rounds):
    print(f"| {ROWS:,} × {DIM}, {ROWS * DIM * 4 / 1e6:,.0f} MB | MB | tables |\n| --- | ---: | ---: |", flush=True)
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        rng = np.random.default_rng(0)
        with open(f"{folder}/v.txt", "w") as file:
            for k in range(1, 20_000):
                file.write(f"w{k} {' '.join(map('{:.4f}'.format, rng.normal(size=DIM)))}\n")
        names = ["build in memory", "build, out=", "save what is mapped", "load", "load, mmap"]
        names += [f"layer on {backend}" for backend in ("jax", "torch", "tensorflow")]
        for name in names:
            environment = {**os.environ, "KERAS_BACKEND": name.split()[-1], "TF_CPP_MIN_LOG_LEVEL": "3"}
            if not name.startswith("layer"):
                environment.pop("KERAS_BACKEND")
            command = [sys.executable, __file__, "measure", name, folder]
            subprocess.run(command, env=environment, check=True, stderr=subprocess.DEVNULL)


# ── processes ──


def process(rank, folder, port):
    """One of two JAX processes: prints shares."""
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    import keras

    keras.distribution.initialize(f"localhost:{port}", 2, int(rank))
    from w2v_embed import EmbeddingMatrix
    from w2v_embed.layers import PretrainedEmbedding, load_rows, save_rows

    mesh = keras.distribution.DeviceMesh((1, 8), ["batch", "model"], keras.distribution.list_devices())
    layout = keras.distribution.LayoutMap(mesh)
    layout[".*embeddings"] = ("model", None)
    keras.distribution.set_distribution(keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch"))
    PretrainedEmbedding(np.ones((8, 8), np.float32))
    em = EmbeddingMatrix.load(f"{folder}/m.safetensors", mmap=True)
    share = em.matrix.nbytes / 2
    with Peak() as build:
        layer = PretrainedEmbedding(em)
    with Peak() as save:
        save_rows(layer, f"{folder}/t.safetensors.index.json")
    with Peak() as load:
        load_rows(layer, f"{folder}/t.safetensors.index.json")
    print(f"| {rank} | {' | '.join(f'{peak.bytes / share:.2f}' for peak in (build, save, load))} |", flush=True)


def processes(rounds):
    from w2v_embed import EmbeddingMatrix

    print(f"| process ({ROWS:,} × {DIM}) | build | save | load |\n| --- | ---: | ---: | ---: |", flush=True)
    with tempfile.TemporaryDirectory(dir=WORK) as folder, socket.socket() as free:
        matrix = np.random.default_rng(0).standard_normal((ROWS, DIM), np.float32)
        EmbeddingMatrix(matrix, {f"w{k}": k for k in range(ROWS)}).save(f"{folder}/m.safetensors")
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
        free.close()
        environment = {
            **os.environ,
            "KERAS_BACKEND": "jax",
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
        }
        command = [sys.executable, __file__, "process"]
        both = [
            subprocess.Popen([*command, rank, folder, port], env=environment, stderr=subprocess.DEVNULL)
            for rank in "01"
        ]
        if sum(each.wait() for each in both):
            sys.exit("a process failed")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["index", "blocks", "remote", "memory", "processes", "measure", "process"])
    parser.add_argument("more", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    tell(f"load average {os.getloadavg()[0]:.1f}")
    if args.what in ("measure", "process"):
        {"measure": measure, "process": process}[args.what](*args.more)
    else:
        {"index": index, "blocks": blocks, "remote": remote, "memory": memory, "processes": processes}[args.what](
            args.rounds
        )


if __name__ == "__main__":
    main()

"""What docs/scale.md is computed from: rates of one core, and what an executor of one worker costs.

    python benchmarks/scale.py

All times are CPU seconds, of workers, too: a machine that others use does not change them much. Counting on processes and in
shards is set against one process, remote reading against the same file on disk.
"""

import functools
import http.server
import json
import os
import tempfile
import threading
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np

from w2v_embed import build_matrix, count_words
from w2v_embed.corpus import _count_piece, merge_counts
from w2v_embed.engines import ProcessPool
from w2v_embed.readers.lines import lines_of, pieces
from w2v_embed.scale import encode_shards
from w2v_embed.scale.shards import _digest_of
from w2v_embed.threads import usable

MODEL = Path(__file__).parent.parent / "tests/data/reference/bert_hf"
WORDS, TOKENS, LINE = 200_000, 8_000_000, 20
ROWS, DIM = 60_000, 100


def write_texts(path):
    rng = np.random.default_rng(0)
    ids = (rng.zipf(1.15, TOKENS) % WORDS).reshape(-1, LINE)
    with path.open("w") as file:
        for row in ids:
            file.write(" ".join([f"w{k}" for k in row]) + "\n")


def write_vectors(path):
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        file.write(f"{ROWS} {DIM}\n")
        for k in range(ROWS):
            file.write(f"w{k} " + " ".join([f"{x:.6f}" for x in rng.normal(size=DIM)]) + "\n")


def timed(call):
    """CPU seconds of a call, and of the workers that ended in it; what it returned."""
    begin = sum(os.times()[:4])
    result = call()
    return sum(os.times()[:4]) - begin, result


def on_processes(workers, function, *arguments, **options):
    with ProcessPool(workers) as pool:
        return function(*arguments, executor=pool, **options)


def counting(text):
    size = text.stat().st_size / 1e6
    alone, plain = timed(lambda: count_words(text))
    print(f"count_words, one process: {size / alone:.1f} MB/s, {TOKENS / alone / 1e6:.2f} million words/s")
    for workers in dict.fromkeys([1, usable()]):
        took, counted = timed(functools.partial(on_processes, workers, count_words, text))
        assert list(counted.items()) == list(plain.items())
        print(
            f"count_words, {workers} worker process(es): {size / took:.1f} MB/s a core, {took / alone:.2f} × one process"
        )
    return plain


def merging(counts, folder):
    files = [folder / f"{k}.json" for k in range(4)]
    for file in files:
        file.write_text(json.dumps(counts))
    took, _ = timed(lambda: merge_counts(files))
    n = sum(map(len, [counts] * len(files)))
    size = files[0].stat().st_size / len(counts)
    print(f"merge_counts: {n / took / 1e6:.2f} million entries/s; a word takes {size:.0f} bytes in a file")


def added(some):
    total = Counter()
    for counts in some:
        total.update(counts)
    return total


def adding_up(text):
    """What the caller does with what workers give back."""
    some = [_count_piece(piece.path, piece.begin, piece.end, "whitespace", "utf-8") for piece in pieces(text)]
    took, counts = timed(lambda: added(some))
    tracemalloc.start()
    words = [f"{word} " for word in counts]  # new ones, not those of the pieces
    before = tracemalloc.get_traced_memory()[0]
    own = Counter(dict.fromkeys([word[:-1] for word in words], 1000))
    size = (tracemalloc.get_traced_memory()[0] - before) / len(own)
    tracemalloc.stop()
    each = sum(map(len, some)) / len(some)
    print(
        f"adding up pieces of {each:.0f} words: {len(some) * each / took / 1e6:.2f} million a second; {size:.0f} bytes a word"
    )


def shards(text, folder):
    n = TOKENS // LINE

    def hand_out():
        for line in lines_of(text):
            batch.append(line)
            if len(batch) == 8192:
                _digest_of(batch)
                batch.clear()

    batch = []
    took, _ = timed(hand_out)
    print(f"encode_shards, reading and hashing lines: {n / took / 1e6:.2f} million lines/s")
    lines = folder / "few.txt"
    lines.write_text("".join(f"the bank of the river {k}\n" for k in range(20_000)))
    encode_shards(MODEL, lines, folder / "warm", rows=1024)
    alone, _ = timed(lambda: encode_shards(MODEL, lines, folder / "one", rows=1024))
    (folder / "first.txt").write_text("the bank\n")
    start, _ = timed(lambda: on_processes(1, encode_shards, MODEL, folder / "first.txt", folder / "start"))
    took, _ = timed(lambda: on_processes(1, encode_shards, MODEL, lines, folder / "worker", rows=1024))
    again, _ = timed(lambda: encode_shards(MODEL, lines, folder / "one", rows=1024))
    print(f"encode_shards, a model of two layers of 32: {20_000 / alone:.0f} rows/s")
    print(f"encode_shards, one worker: {(took - start) / alone:.2f} × one process, and {start:.1f} s to start it")
    print(f"encode_shards, all shards there: {20 / again:.0f} shards/s are taken up")


def remote(vectors, folder):
    words = [f"w{k}" for k in range(0, ROWS, 10)] + ["none"]
    size = vectors.stat().st_size / 1e6

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here, local = timed(lambda: build_matrix(vectors, words))
        there, far = timed(lambda: build_matrix(f"http://127.0.0.1:{server.server_port}/{vectors.name}", words))
        server.shutdown()
    assert far.matrix.tobytes() == local.matrix.tobytes()
    print(f"build_matrix: {size / here:.0f} MB/s from disk, {size / there:.0f} MB/s over http from this machine")


def main():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text, vectors = folder / "t.txt", folder / "v.txt"
        write_texts(text)
        write_vectors(vectors)
        merging(counting(text), folder)
        adding_up(text)
        shards(text, folder)
        remote(vectors, folder)


if __name__ == "__main__":
    main()

"""One measurement in a fresh process: python runners.py NAME FILE WARM_FILE INDEX.json → a line of JSON.

Each runner is warmed up on WARM_FILE (imports, compiled code), then timed on FILE. Peak memory is the process's greatest
resident set while it is timed; `before` is what it held when the timed call began.
"""

import json
import resource
import sys
import threading
import time
from functools import cache
from pathlib import Path


def select_w2v_embed(path, index):
    from w2v_embed import build_matrix

    return build_matrix(path, index).matrix


def fall_back_w2v_embed(path, index):
    """With 20,000 more words, each of two that are in the file."""
    from w2v_embed import build_matrix

    words, last = list(index), max(index.values())
    pairs = zip(words[:20_000], reversed(words[-20_000:]))
    index = {**index, **{f"{first}-{second}": last + k for k, (first, second) in enumerate(pairs, 1)}}
    return build_matrix(path, index, fallbacks=["nfkc", "lower", "parts", "characters"]).matrix


def layers_w2v_embed(path, index):
    """A table of 200,000 × 300 as a layer, in three ways."""
    import numpy as np

    from w2v_embed import embedding_layer
    from w2v_embed.layers import PretrainedEmbedding

    table = np.ones((200_000 if len(index) > 100 else 100, 300), np.float32)
    embedding_layer(table)
    embedding_layer(table, via="constant")
    return PretrainedEmbedding(table)


def encode_w2v_embed(path, index):
    """Texts of 5 to 60 words, through the model of before.py."""
    import numpy as np

    rng = np.random.default_rng(0)
    count = 256 if len(index) > 100 else 64
    texts = [" ".join(f"w{k}" for k in rng.integers(0, 2000, n)) for n in rng.integers(5, 60, count)]
    return encoder().encode(texts)


@cache
def encoder():
    """Loaded in the warm-up."""
    from w2v_embed.contextual import ContextualEncoder

    return ContextualEncoder.from_pretrained(Path(__file__).parent / ".work" / "random-bert")


def select_unchecked(path, index):
    """The same, told what the file is, and with every line taken for a word and its numbers: what detection and checks cost."""
    import unchecked

    unchecked.install(path)
    return select_w2v_embed(path, index)


def select_gensim(path, index):
    import numpy as np
    from gensim.models import KeyedVectors

    kv = KeyedVectors.load_word2vec_format(path)
    matrix = np.zeros((max(index.values()) + 1, kv.vector_size), np.float32)
    for word, row in index.items():
        if word in kv.key_to_index:
            matrix[row] = kv[word]
    return matrix


def select_embfile(path, index):
    import embfile
    import embfile.initializers

    with embfile.open(path, verbose=False) as file:
        return embfile.build_matrix(file, index, oov_initializer=None, verbose=False).matrix


def select_reach(path, index):
    from reach import Reach

    vectors = Reach.load(path, wordlist=tuple(index), recover_from_errors=True)
    return vectors.vectors


def load_w2v_embed(path, index):
    from w2v_embed import load_vectors

    return load_vectors(path).vectors


def load_gensim(path, index):
    from gensim.models import KeyedVectors

    return KeyedVectors.load_word2vec_format(path, binary=".bin" in path).vectors


def load_snakefusion(path, index):
    from snakefusion import Embeddings

    return Embeddings.read_word2vec(path) if ".bin" in path else Embeddings.read_text_dims(path)


def resident():
    """MB that the process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


class Peak:
    """The greatest resident set while the block runs; ru_maxrss would also count the warm-up."""

    def __enter__(self):
        self.mb = resident()
        self.done = threading.Event()
        self.watcher = threading.Thread(target=self.watch)
        self.watcher.start()
        return self

    def watch(self):
        while not self.done.wait(0.005):
            self.mb = max(self.mb, resident())

    def __exit__(self, *_):
        self.mb = max(self.mb, resident())
        self.done.set()
        self.watcher.join()


def main(name, path, warm, index_file):
    run = globals()[name]
    index = json.loads(Path(index_file).read_text(encoding="utf-8"))
    result = run(warm, dict(list(index.items())[:100]))
    del result
    before = resident()
    with Peak() as peak:
        start, start_cpu = time.perf_counter(), time.process_time()
        result = run(path, index)
        seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    row = {"seconds": seconds, "cpu": cpu, "peak": peak.mb, "before": before}
    print(json.dumps({**row, "result": getattr(result, "nbytes", 0) / 1e6}))


if __name__ == "__main__":
    main(*sys.argv[1:])

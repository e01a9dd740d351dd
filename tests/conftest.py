"""What tests share: the two sets of hot loops, and a writer of vector files."""

import os
import struct
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

DATA = Path(__file__).parent.parent / "data"


@pytest.fixture
def data():
    """The folder of the shipped data."""
    return DATA


@contextmanager
def serving(server):
    """A server of `socketserver`, which answers while it lasts."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(params=["kernels", "plain"])
def hot(request, monkeypatch):
    """Runs a test twice: with the compiled hot loops on two threads, and with their plain twins."""
    return use_hot(request.param, monkeypatch)


def use_hot(name, monkeypatch):
    """Make the readers use one set of hot loops, and tiny blocks, so that small files have many."""
    from w2v_embed.matrix import lending
    from w2v_embed.readers import blocks, opened
    from w2v_embed.readers.formats import artifact
    from w2v_embed.readers.scan import kernels, keys, plain

    module, threads = {"kernels": (kernels, 2), "plain": (plain, 1)}[name]
    for user in (opened, keys, lending, artifact):
        monkeypatch.setattr(user, "hot_loops", lambda size: (module, threads))
    monkeypatch.setattr(blocks, "_BLOCK", 256)
    return module


def write_text(path, rows, header=True, end="\n"):
    """Write `rows` (word → list of numbers, or of strings) as word2vec or GloVe text."""
    lines = [f"{word} {' '.join(map(str, numbers))}{end}" for word, numbers in rows.items()]
    dim = len(next(iter(rows.values()))) if rows else 0
    head = f"{len(rows)} {dim}\n" if header else ""
    path.write_bytes((head + "".join(lines)).encode())
    return path


def write_binary(path, rows, newline=True):
    """Write `rows` (word → list of numbers) as word2vec binary."""
    dim = len(next(iter(rows.values())))
    body = b"".join(
        word.encode() + b" " + np.array(numbers, "<f4").tobytes() + (b"\n" if newline else b"")
        for word, numbers in rows.items()
    )
    path.write_bytes(f"{len(rows)} {dim}\n".encode() + body)
    return path


def same_bits(a, b):
    """Whether two arrays are the same, −0.0 and 0.0 told apart."""
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def write_fasttext(path, words, own, ngrams, *, old=False, minn=3, maxn=6, encoding="utf-8", pack=bytes):
    """Write a fastText .bin: `own` are the rows of the words, `ngrams` of the n-grams. `old`: without a magic number."""
    own, ngrams = np.asarray(own, "<f4"), np.asarray(ngrams, "<f4")
    dim, rows = own.shape[1], len(own) + len(ngrams)
    data = b"" if old else struct.pack("<2i", 793712314, 12)
    data += struct.pack("<12id", dim, 5, 1, 1, 1, 1, 1, 2, len(ngrams), minn, maxn, 100, 0.0)
    data += struct.pack("<3iq", len(words), len(words), 0, 100) + (b"" if old else struct.pack("<q", -1))
    for k, word in enumerate(words):
        data += (word if isinstance(word, bytes) else word.encode(encoding)) + b"\0" + struct.pack("<qb", 100 - k, 0)
    data += (b"" if old else b"\0") + struct.pack("<2q", rows, dim) + own.tobytes() + ngrams.tobytes()
    data += (b"" if old else b"\0") + struct.pack("<2q", 0, dim)
    path.write_bytes(pack(data))
    return path

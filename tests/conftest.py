"""What tests share: the two sets of hot loops, and a writer of vector files."""

import os
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

DATA = Path(__file__).parent.parent / "data"


@pytest.fixture
def data():
    """The folder of the shipped data."""
    return DATA


@pytest.fixture(params=["kernels", "plain"])
def hot(request, monkeypatch):
    """Runs a test twice: with the compiled hot loops on two threads, and with their plain twins."""
    return use_hot(request.param, monkeypatch)


def use_hot(name, monkeypatch):
    """Make the readers use one set of hot loops, and tiny blocks, so that small files have many."""
    from w2v_embed import lending
    from w2v_embed.readers import blocks, kernels, keys, opened, plain

    module, threads = {"kernels": (kernels, 2), "plain": (plain, 1)}[name]
    for user in (opened, keys, lending):
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

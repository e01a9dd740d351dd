"""What is learned in tests/data/fine_tuning, there by transformers and here by Keras: batches of the shipped titles."""

import zlib
from pathlib import Path

import numpy as np

BATCH, STEPS, RATE, DECAY = 16, 10, 5e-4, 0.01
TITLES = Path(__file__).parent.parent / "data" / "titles.tsv"


def batches(steps):
    """Yield (ids, mask, labels) of each step: [CLS], a number for each character, [SEP]."""
    lines = [line.split("\t") for line in TITLES.read_text("utf-8").splitlines()]
    names = sorted({label for label, _ in lines})
    chosen = np.random.default_rng(0).permutation(len(lines))[: steps * BATCH]
    for step in range(steps):
        rows = [lines[place] for place in chosen[step * BATCH : (step + 1) * BATCH]]
        ids = np.zeros((BATCH, 38), np.int32)
        for row, (_, text) in enumerate(rows):
            pieces = [2, *(5 + zlib.crc32(character.encode()) % 46 for character in text[:36]), 3]
            ids[row, : len(pieces)] = pieces
        yield ids, (ids != 0).astype(np.int32), np.array([names.index(label) for label, _ in rows], np.int32)


def head():
    """The kernel of the dense layer, `(hidden, labels)`."""
    labels = {line.split("\t")[0] for line in TITLES.read_text("utf-8").splitlines()}
    return np.random.default_rng(1).normal(0, 0.05, (32, len(labels))).astype("float32")

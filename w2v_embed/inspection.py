"""What a file of word vectors is, and how it is doing."""

import time

import numpy as np

from .readers.opened import Opened

_FIRST_WORDS = 10


def inspect(path, *, encoding="utf-8", on_error="raise", progress=None):
    """Read the whole of `path` and tell what is in it.

    Args:
        path, encoding, on_error, progress: as for `load_vectors`.

    Returns:
        A dict of JSON values: file, bytes, compression, format, header (or None), words, dim, first_words, norms (least,
        median, greatest), zero_vectors, damage (counts by kind), seconds.

    Raises:
        FileNotFoundError, ValueError: as `load_vectors`.

    Example:
        >>> facts = inspect("data/vectors.bin")
        >>> facts["format"], facts["dim"], facts["compression"]
        ('binary', 100, None)
    """
    start = time.perf_counter()
    with Opened(path, encoding=encoding, on_error=on_error) as opened:
        if opened.foreign:
            raise ValueError(
                f"{path} is in {opened.foreign}'s own format; inspect reads word2vec, GloVe and .vec files"
            )
        census = _Census()
        opened.run(census, progress)
    norms = np.concatenate(census.norms) if census.norms else np.zeros(0, np.float32)
    layout, source = opened.layout, opened.source
    return {
        "file": str(path),
        "bytes": source.size,
        "compression": source.compression,
        "format": layout.kind,
        "header": list(layout.header) if layout.header else None,
        "words": census.count,
        "dim": layout.dim,
        "first_words": census.first_words,
        "norms": [round(float(v), 4) for v in np.quantile(norms, [0, 0.5, 1])] if len(norms) else [],
        "zero_vectors": int((norms == 0).sum()),
        "damage": dict(opened.report.counts),
        "seconds": round(time.perf_counter() - start, 3),
    }


class _Census:
    """Counts words and keeps norms; the vectors themselves are dropped."""

    def __init__(self):
        self.count = 0
        self.first_words = []
        self.norms = []

    def add(self, block):
        if len(self.first_words) < _FIRST_WORDS:
            self.first_words += block.words[: _FIRST_WORDS - len(self.first_words)]
        self.count += len(block.words)
        self.norms.append(np.sqrt(np.einsum("ij,ij->i", block.rows, block.rows)))
        return None, []

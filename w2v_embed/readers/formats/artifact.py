"""What `EmbeddingMatrix.save` writes, as a source of vectors; `store` has the layout.

    .safetensors  u64 length of a JSON header, the header, tensors of words and origins, rows × dim floats
    .npz          a zip archive of matrix.npy, metadata.npy and others, none compressed

Its words are those that had a vector of their own when it was built.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..scan.hot import hot_loops
from ..scan.keys import keys_of
from ..tables import table_of
from .base import Beginning, Format, Layout

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ..._types import Floats
    from ...summed import Sums


class _Artifact(Format):
    def open(self, file: Beginning) -> Layout:
        from ...store import read_vectors

        path, packed = file.path, file.source.compression
        if packed:
            raise ValueError(
                f"{path} is a {self.name} file packed with {packed}, which only word2vec's formats and fastText's may be. "
                "Unpack it first."
            )
        stretches = hot_loops(file.source.size)[0].read_stretches
        words, ids, rows, steps = read_vectors(path, self.name, file.source.file, _distinct, stretches)
        if not words:
            raise ValueError(f"{path} holds no words with vectors of their own; expected one at least. Build it again.")
        return replace(table_of(words, rows, ids), steps=steps)


def _distinct(words):
    keys = np.sort(keys_of(words))
    return bool((keys[1:] != keys[:-1]).all())


class Safetensors(_Artifact):
    """A matrix as .safetensors, in which word i has the id i where `convert` writes it."""

    name: str = "safetensors"
    suffixes: tuple[str, ...] = (".safetensors",)

    def recognises(self, head: bytes) -> bool:
        return head[4:9] == b"\0\0\0\0{"

    def header(self, words: Collection[str], dim: int, *, source: str, sums: Sums) -> bytes:
        from ...contents import checksum_of, pack
        from ...parts import FIRST_SOURCE
        from ...store import safetensors_head
        from ...summed import SUMS, whole_of

        shape = len(words), dim
        word_index = {word: k for k, word in enumerate(words)}
        origins = np.full(len(words), FIRST_SOURCE, np.int32)
        metadata, tensors = pack(word_index, origins, [(source, None)], None)
        tensors[SUMS] = sums
        metadata["checksum"] = checksum_of(metadata, shape, np.float32, whole_of(sums, shape, np.float32), tensors)
        return safetensors_head(shape, np.float32, metadata, tensors)

    def rows(self, words: Sequence[str], vectors: Floats) -> bytes:
        return np.asarray(vectors, "<f4").tobytes()


class Npz(_Artifact):
    """A matrix as .npz."""

    name: str = "npz"

    def recognises(self, head: bytes) -> bool:
        return head.startswith(b"PK\3\4")  # `Source` lets no other zip archive pass

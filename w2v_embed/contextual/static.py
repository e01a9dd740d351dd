"""A folder of sentence-transformers without a net: a text is the mean of its pieces' rows of a table (StaticEmbedding)."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import whole
from ..readers.static_models import StaticModel, files_of
from ..shown import quoted
from .encoder import ContextualEncoder
from .inputs import flattened, iterable_of_texts, list_of_words
from .pooling import Ending
from .stream import gathered

if TYPE_CHECKING:
    from .._types import Bools, EncoderDtype, EncoderEngine, StrPath, TextProgress
    from .sentences import Sentences
    from .states import Vectors

_READ_AT_ONCE = 1 << 20


class StaticEncoder(ContextualEncoder):
    """What `ContextualEncoder.from_pretrained` makes of such a folder.

    It encodes texts and words and compares them; what needs layers (`hidden_states`, `to_keras`, …) is refused.

    Args:
        folder: of the model.
        sentences: what it says.
    """

    def __init__(self, folder: StrPath, sentences: Sentences) -> None:
        self._folder, self._sentences, self._told = Path(folder), sentences, sentences
        self._static = StaticModel(sentences.home)
        self.engine: EncoderEngine = "keras"
        self.compute_dtype: EncoderDtype = "float32"
        self.steps: list[dict[str, Any]] = []
        self.vector_size: int = sentences.finished(np.zeros((1, self._static.dim), np.float32)).shape[1]

    def __getattr__(self, name: str) -> Any:
        if name in ("config", "_checkpoint", "_family", "_model", "_checksum", "_do_lower_case"):
            raise ValueError(
                f"{self.__dict__.get('_folder')} is a static table: it has no layers, and encode, vectors_for and similarity "
                "are what it can. For a matrix, give its folder to build_matrix."
            )
        raise AttributeError(name)

    def encode(  # type: ignore[override]
        self,
        texts: Iterable[str],
        *,
        batch_size: int = 32,
        progress: TextProgress = None,
        output: StrPath | None = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        truncate_dim: int | None = None,
        normalize: bool = False,
        **options: Any,
    ) -> Vectors:
        """As of `ContextualEncoder`; options of layers, windows and tokens must be None, as there are none."""
        for name, value in options.items():
            if value is not None:
                raise ValueError(
                    f"{name} must be None for {self._folder}, which is a static table, received {quoted(value)}."
                )
        texts = self._prepared(iterable_of_texts(texts), prompt_name, prompt)
        last, batch_size = Ending(truncate_dim, normalize), whole("batch_size", batch_size)

        def vectors_of(chunk: list[str]) -> Vectors:
            if any(not isinstance(text, str) for text in chunk):
                pair = next(text for text in chunk if not isinstance(text, str))
                raise TypeError(
                    f"texts must be strings, of which a static table sees no pairs, received {quoted(pair)}."
                )
            return last(self._told.finished(self._means(flattened(chunk))))

        settings = {"model": self._crc() if output is not None else 0, "sentences": self._told.fingerprint}
        return gathered(texts, vectors_of, output, {**settings, **last.settings}, batch_size, progress)

    def vectors_for(self, words: Iterable[str], **options: Any) -> tuple[Vectors, Bools]:
        """As of `ContextualEncoder`: the mean of the pieces' rows, before what follows the table."""
        words = list_of_words(words)
        found, counts, pieces = self._static.pieces(words)
        rows = np.zeros((len(words), self._static.dim), np.float32)
        rows[found] = _means(self._static.rows(pieces), counts)
        return rows, found

    def _means(self, texts: list[str]) -> Vectors:
        ids = self._static.texts(texts)
        counts = np.array([len(row) for row in ids], np.int64)
        flat = np.fromiter((id_ for row in ids for id_ in row), np.int64, int(counts.sum()))
        return _means(self._static.rows(flat), counts)

    def _crc(self) -> int:
        """Tells its table from others."""
        crc = 0
        with open(files_of(self._told.home)[0], "rb") as file:
            while data := file.read(_READ_AT_ONCE):
                crc = zlib.crc32(data, crc)
        return crc


def _means(rows: Vectors, counts: Any) -> Vectors:
    """The means of runs of rows of these lengths; zeros where one is empty."""
    made = np.zeros((len(counts), rows.shape[1]), np.float32)
    there = np.flatnonzero(counts)
    if len(there):
        begins = (np.cumsum(counts) - counts)[there]
        made[there] = np.add.reduceat(rows, begins, axis=0) / counts[there, None].astype(np.float32)
    return made

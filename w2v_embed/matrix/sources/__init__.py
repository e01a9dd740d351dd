"""Where word vectors come from: files, objects in memory, matrices, encoders, and users' own sources, all peers.

This is the only place that asks what it was that a user passed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._types import Source
from ...readers.damage import DamageReport
from ...readers.remote import Place, place_of
from ...readers.remote.places import is_file
from ...readers.static_models import is_static_model
from ...subwords.model import SubwordModel, is_subword_model
from ..embedding_matrix import EmbeddingMatrix
from .base import BaseSource
from .file import FileSource
from .matrix import MatrixSource
from .memory import AskedSource, GensimSource
from .own import OwnSource
from .static import StaticSource
from .subwords import SubwordSource

if TYPE_CHECKING:
    from ..._types import FormatName, OnError, Progress, StrPath


def path_of(value: Any) -> Path | Place | None:
    """Where the file is that `value` names, or is; None where it is no file."""
    return place_of(value) if is_file(value) else None


def source_of(
    value: Any,
    *,
    encoding: str = "utf-8",
    format: FormatName | None = None,
    on_error: OnError = "raise",
    trust: bool = False,
    progress: Progress = None,
    index: bool | StrPath | None = None,
) -> BaseSource:
    """What `build_matrix` was given as vectors, as a source. No file is read whole before the source is asked to `fill`.

    Args:
        value: a path, a gensim KeyedVectors, an `EmbeddingMatrix`, a `Source`, an object with `vector_size` and `vectors_for`.
        encoding, format, on_error, trust, progress, index: as for `build_matrix`.

    Raises:
        TypeError: it is none of these.
    """
    path = path_of(value)
    if path is not None:
        if isinstance(path, Path) and is_static_model(path):
            return StaticSource(path, on_error=on_error)
        if isinstance(path, Path) and is_subword_model(path):
            return SubwordSource(path.name, SubwordModel.load(path), DamageReport(str(path), on_error))
        reading: Any = {"encoding": encoding, "format": format, "on_error": on_error, "trust": trust}
        return FileSource(path, progress=progress, index=index, **reading)
    kind = type(value).__name__
    report = DamageReport(kind, on_error)
    if isinstance(value, EmbeddingMatrix):
        return MatrixSource(value, report)
    if isinstance(value, SubwordModel):
        return SubwordSource(kind, value, report)
    if hasattr(value, "key_to_index"):
        return GensimSource(value, report)
    if isinstance(value, Source) and not isinstance(value, type):
        return OwnSource(value, on_error)
    if callable(getattr(value, "vectors_for", None)):
        return AskedSource(value, report)
    raise TypeError(
        "vectors must be a path, a gensim KeyedVectors, an EmbeddingMatrix, an object with vector_size and vectors_for(words), "
        f"a Source (with name, dim, fill, has and lend), or a list of these; received {kind}"
    )

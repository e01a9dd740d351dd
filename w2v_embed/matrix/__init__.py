"""word_index + sources of vectors → the matrix, what it covers, and where each row came from."""

from __future__ import annotations

from .._lazy import lazily

_HOMES = {
    "EmbeddingMatrix": ".embedding_matrix",
    "build_matrix": ".build",
    "Coverage": ".coverage",
    "Source": ".._types",
}
__all__ = sorted(_HOMES)
__getattr__ = lazily(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)

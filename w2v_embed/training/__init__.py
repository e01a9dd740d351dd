"""Labelled texts + vectors → a classifier that takes raw texts, and how good it is."""

from __future__ import annotations

from .._lazy import lazily

# Imported when first asked for: labelled texts are read without Keras.
_HOMES = {
    "Trained": ".trained",
    "compare_embeddings": ".embeddings",
    "fit_encoder": ".encoder",
    "label_sets": ".labelled",
    "read_labelled": ".labelled",
    "split_rows": ".labelled",
    "train": ".trained",
}
__all__ = sorted(_HOMES)
__getattr__ = lazily(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)

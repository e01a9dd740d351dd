"""Vectors in context: trained encoders in, vectors, or models that train, out."""

from __future__ import annotations

from .._lazy import lazily

# Imported when first asked for: the command line lists its commands without waiting for Keras.
_HOMES = {
    "ContextualEncoder": ".encoder",
    "LayerwiseAdamW": ".layer_rates",
    "Projection": ".pooling",
    "QueryStates": ".two_streams",
    "TokenVectors": ".tokens",
    "add_tokens": ".new_words",
    "transplant": ".transplanting",
    "trim_vocabulary": ".trimming",
    "query_states": ".two_streams",
    "keras_bert_layers": ".pooling",
    "cosine": ".pooling",
    "fit_pca": ".pooling",
    "fit_whitening": ".pooling",
}
__all__ = sorted(_HOMES)
__getattr__ = lazily(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)

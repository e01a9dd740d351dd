"""Vectors in context: trained BERT, NEZHA and XLNet models in, word and sentence vectors out."""

from importlib import import_module

# Imported when first asked for: the command line lists its commands without waiting for Keras.
_HOME = {
    "ContextualEncoder": "w2v_embed.contextual.encoder",
    "Projection": "w2v_embed.contextual.pooling",
    "cosine": "w2v_embed.contextual.pooling",
    "fit_pca": "w2v_embed.contextual.pooling",
    "fit_whitening": "w2v_embed.contextual.pooling",
}
__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module 'w2v_embed.contextual' has no attribute {name!r}; it has {', '.join(_HOME)}")
    return getattr(import_module(_HOME[name]), name)


def __dir__():
    return sorted(__all__)

"""Any pretrained word vectors, the matrix for your word_index, a Keras layer."""

from importlib import import_module

__version__ = "0.1.0"

# Each name is imported when it is first asked for: `import w2v_embed` costs next to nothing,
# and Keras is loaded only by those who ask for a layer.
_HOME = {
    "load_vectors": "w2v_embed.readers",
    "build_matrix": "w2v_embed.matrix",
    "EmbeddingMatrix": "w2v_embed.matrix",
    "Coverage": "w2v_embed.coverage",
    "embedding_layer": "w2v_embed.layers",
}
__all__ = [*_HOME, "__version__"]


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module 'w2v_embed' has no attribute {name!r}; it has {', '.join(_HOME)}")
    return getattr(import_module(_HOME[name]), name)


def __dir__():
    return sorted(__all__)

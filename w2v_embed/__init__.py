"""Any pretrained word vectors, the matrix for your word_index, a Keras layer."""

from ._lazy import lazily

__version__ = "0.1.0"

# Each name is imported when it is first asked for: `import w2v_embed` costs next to nothing,
# and Keras is loaded only by those who ask for a layer. __init__.pyi says the same to type checkers.
_HOMES = {
    "load_vectors": ".readers.load",
    "build_matrix": ".matrix.build",
    "EmbeddingMatrix": ".matrix.embedding_matrix",
    "Coverage": ".matrix.coverage",
    "warm_start": ".matrix.warm_start",
    "Source": "._types",
    "embedding_layer": ".layers",
    "convert": ".readers.conversion",
    "inspect": ".readers.inspection",
    "count_words": ".corpus",
    "make_word_index": ".corpus",
}
__all__ = [*_HOMES, "__version__"]
__getattr__ = lazily(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)

"""Keras 3 layers. Importing this package registers them, so that `.keras` files load without `custom_objects`."""

try:
    import keras  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"The layers of w2v_embed need Keras 3 and one of its backends, and importing Keras failed: {error}. "
        "Install one: pip install 'w2v-embed[tensorflow]', pip install 'w2v-embed[jax]' or "
        "pip install 'w2v-embed[torch]'; the environment variable KERAS_BACKEND names the one that is used."
    ) from error

from w2v_embed.layers.embedding import embedding_layer

__all__ = ["embedding_layer"]

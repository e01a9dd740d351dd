"""Keras 3 layers. Importing this package registers them, so that `.keras` files load without `custom_objects`."""

try:
    import keras  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"The layers of w2v_embed need Keras 3 and one of its backends, and importing Keras failed: {error}. "
        "Install one: pip install 'w2v-embed[tensorflow]', pip install 'w2v-embed[jax]' or "
        "pip install 'w2v-embed[torch]'; the environment variable KERAS_BACKEND names the one that is used."
    ) from error

from w2v_embed.layers.bert import bert_embedding
from w2v_embed.layers.embedding import embedding_layer
from w2v_embed.layers.position import PositionEmbedding, SinusoidalPositionEmbedding
from w2v_embed.layers.relative import RelativePositionEmbedding, RelativeSelfAttention
from w2v_embed.layers.sinusoid import Sinusoid
from w2v_embed.layers.token import EmbeddingSimilarity, TokenEmbedding

__all__ = [
    "EmbeddingSimilarity",
    "PositionEmbedding",
    "RelativePositionEmbedding",
    "RelativeSelfAttention",
    "Sinusoid",
    "SinusoidalPositionEmbedding",
    "TokenEmbedding",
    "bert_embedding",
    "embedding_layer",
]

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
from w2v_embed.layers.optimizers import RowSparseAdam
from w2v_embed.layers.pooling import MaskedMeanPooling
from w2v_embed.layers.position import PositionEmbedding, SinusoidalPositionEmbedding
from w2v_embed.layers.pretrained import PretrainedEmbedding, reload_vectors
from w2v_embed.layers.relative import RelativePositionEmbedding, RelativeSelfAttention
from w2v_embed.layers.sinusoid import Sinusoid
from w2v_embed.layers.token import EmbeddingSimilarity, TokenEmbedding
from w2v_embed.layers.unfreezing import UnfreezeEmbedding, warn_about_decay

__all__ = [
    "EmbeddingSimilarity",
    "MaskedMeanPooling",
    "PositionEmbedding",
    "PretrainedEmbedding",
    "RelativePositionEmbedding",
    "RelativeSelfAttention",
    "RowSparseAdam",
    "Sinusoid",
    "SinusoidalPositionEmbedding",
    "TokenEmbedding",
    "UnfreezeEmbedding",
    "bert_embedding",
    "embedding_layer",
    "reload_vectors",
    "warn_about_decay",
]

"""Keras 3 layers. Importing this package registers them, so that `.keras` files load without `custom_objects`."""

from __future__ import annotations

try:
    import keras  # noqa: F401
except ImportError as _error:
    raise ImportError(
        f"The layers of w2v_embed need Keras 3 and one of its backends, and importing Keras failed: {_error}. "
        "Install one: pip install 'w2v-embed[tensorflow]', pip install 'w2v-embed[jax]' or "
        "pip install 'w2v-embed[torch]'; the environment variable KERAS_BACKEND names the one that is used."
    ) from _error

from .bert import bert_embedding
from .embedding import embedding_layer
from .open_vocabulary import OpenVocabularyEmbedding
from .optimizers import RowSparseAdam
from .pooling import AttentionPooling, MaskedMaxPooling, MaskedMeanPooling
from .position import PositionEmbedding, SinusoidalPositionEmbedding
from .pretrained import PretrainedEmbedding, reload_vectors
from .relative import RelativePositionEmbedding, RelativeSelfAttention
from .rows import load_rows, save_rows
from .sinusoid import Sinusoid
from .token import EmbeddingSimilarity, TokenEmbedding
from .unfreezing import UnfreezeEmbedding, warn_about_decay
from .weighted import WeightedMeanPooling

__all__ = [
    "AttentionPooling",
    "EmbeddingSimilarity",
    "MaskedMaxPooling",
    "MaskedMeanPooling",
    "OpenVocabularyEmbedding",
    "PositionEmbedding",
    "PretrainedEmbedding",
    "RelativePositionEmbedding",
    "RelativeSelfAttention",
    "RowSparseAdam",
    "Sinusoid",
    "SinusoidalPositionEmbedding",
    "TokenEmbedding",
    "UnfreezeEmbedding",
    "WeightedMeanPooling",
    "bert_embedding",
    "embedding_layer",
    "load_rows",
    "reload_vectors",
    "save_rows",
    "warn_about_decay",
]

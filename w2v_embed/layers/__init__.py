"""Keras 3 layers. Importing this package registers every one of them, so that `.keras` files load."""

from w2v_embed.layers.bert import bert_embedding
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
]

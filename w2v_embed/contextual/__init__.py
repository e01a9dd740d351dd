"""Vectors in context: trained BERT, NEZHA and XLNet models in, word and sentence vectors out."""

from w2v_embed.contextual.encoder import ContextualEncoder
from w2v_embed.contextual.pooling import Projection, cosine, fit_pca, fit_whitening

__all__ = ["ContextualEncoder", "Projection", "cosine", "fit_pca", "fit_whitening"]

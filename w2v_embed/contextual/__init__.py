"""Vectors in context: trained BERT, NEZHA and XLNet models in, word and sentence vectors out."""

from w2v_embed.contextual.encoder import ContextualEncoder

__all__ = ["ContextualEncoder"]

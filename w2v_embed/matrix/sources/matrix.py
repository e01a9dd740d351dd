"""An `EmbeddingMatrix` as a source: of the words that have a vector of their own, and of no rows that were lent or made up."""

from __future__ import annotations

from ...parts import exact_words
from ...readers.damage import DamageReport
from ..embedding_matrix import EmbeddingMatrix
from .held import HeldRows


class MatrixSource(HeldRows):
    """The words of `em` that have a vector of their own, as a file that it was saved to would have them."""

    def __init__(self, em: EmbeddingMatrix, report: DamageReport) -> None:
        super().__init__(type(em).__name__, exact_words(em.word_index, em.origins, em.sources), em.matrix, report)

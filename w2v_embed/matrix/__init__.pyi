from .._types import Source as Source
from .build import build_matrix as build_matrix
from .coverage import Coverage as Coverage
from .embedding_matrix import EmbeddingMatrix as EmbeddingMatrix

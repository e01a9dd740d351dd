from .build import EmbeddingMatrix as EmbeddingMatrix
from .build import build_matrix as build_matrix
from .coverage import Coverage as Coverage

from ._types import Source as Source
from .corpus import count_words as count_words
from .corpus import make_word_index as make_word_index
from .layers import embedding_layer as embedding_layer
from .matrix.build import build_matrix as build_matrix
from .matrix.coverage import Coverage as Coverage
from .matrix.embedding_matrix import EmbeddingMatrix as EmbeddingMatrix
from .matrix.warm_start import warm_start as warm_start
from .readers.conversion import convert as convert
from .readers.inspection import inspect as inspect
from .readers.load import load_vectors as load_vectors

__version__: str

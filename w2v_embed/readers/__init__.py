"""Files → vectors for the words that are wanted: formats, compression, damage."""

from .load import load_vectors
from .select import select_rows

__all__ = ["load_vectors", "select_rows"]

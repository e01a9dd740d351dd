"""Files → vectors for the words that are wanted: formats, compression, damage."""

from . import plain
from .hot import hot_loops
from .keys import WordSet
from .load import load_vectors
from .select import HeldRows, Selection

__all__ = ["HeldRows", "Selection", "WordSet", "hot_loops", "load_vectors", "plain"]

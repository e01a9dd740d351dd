from .conversion import convert as convert
from .inspection import inspect as inspect
from .load import load_vectors as load_vectors

from .analogy import Analogies as Analogies
from .analogy import Category as Category
from .analogy import analogies as analogies
from .similarity import Similarity as Similarity
from .similarity import word_similarity as word_similarity

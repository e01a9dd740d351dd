"""Judging word vectors by tasks that need no training: word similarity and analogies, as gensim counts them."""

from .._lazy import lazily

_HOMES = {
    "word_similarity": ".similarity",
    "Similarity": ".similarity",
    "analogies": ".analogy",
    "Analogies": ".analogy",
    "Category": ".analogy",
}
__all__ = [*_HOMES]
__getattr__ = lazily(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)

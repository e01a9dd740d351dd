"""Files → vectors for the words that are wanted: formats, compression, damage."""

from .._lazy import lazily

_HOMES = {"load_vectors": ".load", "inspect": ".inspection", "convert": ".conversion"}
__all__ = sorted(_HOMES)
__getattr__ = lazily(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)

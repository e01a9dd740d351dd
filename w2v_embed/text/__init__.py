"""From raw texts to ids, and from a saved model to answers: `TextEncoder`, `save_model`, `load_model`."""

from __future__ import annotations

from .._lazy import lazily

# Imported when first asked for: a TextEncoder needs no Keras.
_HOMES = {
    "TextCoverage": ".coverage",
    "TextEncoder": ".encoder",
    "TextModel": ".saved",
    "export_model": ".export",
    "load_model": ".saved",
    "save_model": ".saved",
}
__all__ = sorted(_HOMES)
__getattr__ = lazily(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)

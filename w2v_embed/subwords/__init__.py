"""Rows for words that nobody has, out of their spelling."""

from __future__ import annotations

from .._lazy import lazily

_HOMES = {"SubwordModel": ".model", "fit_subwords": ".fit"}
__all__ = sorted(_HOMES)
__getattr__ = lazily(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)

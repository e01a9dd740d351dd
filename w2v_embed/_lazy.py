"""Names of a package that are imported when they are first asked for."""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # typing's own would have to be loaded
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def lazily(package: str, homes: dict[str, str]) -> Callable[[str], Any]:
    """What a package binds to `__getattr__`.

    Args:
        package: its name.
        homes: name that is asked for → the module that has it, relative to the package (".load").
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}; it has {', '.join(homes)}")
        return getattr(import_module(homes[name], package), name)

    return get

"""Which hot loops to use, and how many threads."""

from __future__ import annotations

from types import ModuleType

from ...shown import logger
from ...threads import cores
from . import plain

_WORTH_THREADS = 1 << 22  # unpacked bytes

_loops: ModuleType | None = None


def hot_loops(size: int) -> tuple[ModuleType, int]:
    """The hot loops, `kernels` or `plain`, and how many threads shall run them over about `size` unpacked bytes."""
    global _loops
    if _loops is None:
        try:
            from . import kernels

            _loops = kernels
        except ImportError as error:
            logger.warning(
                "%s; the loops of NumPy run instead, several times slower. Unset W2V_EMBED_KERNELS if it is set, or install "
                "w2v-embed anew: pip install --force-reinstall --no-deps --no-cache-dir w2v-embed, from its source with a C "
                "compiler at hand",
                error,
            )
            _loops = plain
    return _loops, 1 if _loops is plain else threads_for(size)


def threads_for(size: int) -> int:
    """How many threads shall read `size` bytes."""
    return cores() if size >= _WORTH_THREADS else 1

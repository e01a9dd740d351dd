"""Which hot loops to use, and how many threads."""

from __future__ import annotations

import os
from types import ModuleType

from . import plain

_MOST_THREADS = 8
# Unpacked bytes from which on numba is worth its import (half a second). Python alone reads some 50 MB/s.
_WORTH_NUMBA = 1 << 24
_WORTH_THREADS = 1 << 22

_paid_for: ModuleType | None = None  # the compiled loops, once numba has been imported for some work


def hot_loops(size: int) -> tuple[ModuleType, int]:
    """The hot loops, `kernels` or `plain`, for work over about `size` unpacked bytes, and how many threads shall run them."""
    if size < _WORTH_NUMBA and _paid_for is None:
        return plain, 1
    return compiled_loops(), threads_for(size)


def compiled_loops() -> ModuleType:
    """The compiled loops. From now on small work is done by them, too."""
    global _paid_for
    if _paid_for is None:
        from . import kernels

        _paid_for = kernels
    return _paid_for


def threads_for(size: int) -> int:
    """How many threads shall read `size` bytes."""
    return cores() if size >= _WORTH_THREADS else 1


def cores() -> int:
    """How many threads can run at the same time, up to a few."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(usable or 1, _MOST_THREADS)

"""Compiles the hot loops with numba, and keeps them on disk for other processes, where that can be."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba as nb
from numba.core.compiler_lock import global_compiler_lock

from ...shown import logger

F = TypeVar("F", bound=Callable[..., Any])


class Unkept:
    """Tells, once, that compiled loops are not kept for other processes: an install that nobody may write to, a full disk."""

    told = False

    def tell(self, why):
        if not self.told:
            self.told = True
            logger.warning(
                "the compiled loops cannot be kept on disk (%s); they are compiled anew for this process, which takes a while. "
                "Set NUMBA_CACHE_DIR to a folder that can be written to",
                why,
            )


unkept = Unkept()


def _sources():
    """A digest of all files that loops are compiled from. Numba knows only the one that a loop stands in, and would go on with
    old code of what was inlined from another."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


_SOURCES = _sources()


def compiled(function: F, **options: Any) -> F:
    """`function`, compiled when it is first called, and kept on disk where that can be."""

    def make():
        return nb.njit(nogil=True, error_model="numpy", **options)(function)

    loop = make()
    if not hasattr(loop, "enable_caching"):  # NUMBA_DISABLE_JIT
        return loop
    try:
        loop.enable_caching()
        cache = loop._cache
        cache._cache_file._source_stamp = cache._cache_file._source_stamp, _SOURCES
    except (RuntimeError, AttributeError) as error:  # numba has no folder for it, or keeps what it has in another way
        unkept.tell(error)
        return make()
    cache.load_overload, cache.save_overload = map(_or_none, (cache.load_overload, cache.save_overload))
    return loop


def inlined(function: F) -> F:
    """As `compiled`, and put into each loop that calls it."""
    return compiled(function, inline="always")


def _or_none(call):
    """As `call`, but None where it fails: numba lets a file that is damaged, full or not ours end the whole call."""

    def guarded(*args):
        try:
            return call(*args)
        except Exception as error:
            unkept.tell(error)
            return None

    return guarded


if hasattr(os, "register_at_fork"):
    # Numba's lock, should another thread hold it at a fork, would never be given back in the child.
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=global_compiler_lock.release,
    )

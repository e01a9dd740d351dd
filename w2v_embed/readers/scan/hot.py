"""Which hot loops to use, and how many threads."""

import os
import sys

_MOST_THREADS = 8
# Unpacked bytes from which on numba is worth its import (half a second). Python alone reads some 50 MB/s.
_WORTH_NUMBA = 1 << 24
_WORTH_THREADS = 1 << 22


def hot_loops(size):
    """The module of hot loops for a file of about `size` unpacked bytes, and how many threads shall run them."""
    if size < _WORTH_NUMBA and "w2v_embed.readers.scan.kernels" not in sys.modules:
        from . import plain

        return plain, 1
    from . import kernels

    return kernels, threads_for(size)


def threads_for(size):
    """How many threads shall read `size` bytes."""
    return cores() if size >= _WORTH_THREADS else 1


def cores():
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(usable or 1, _MOST_THREADS)

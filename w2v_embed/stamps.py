"""By what a changed file is known without reading it."""

from __future__ import annotations

import os
import time

_YOUNG = 2.0  # seconds; file systems' clocks tick in up to two


def stamp_of(status: os.stat_result) -> list[int]:
    """What differs once a file was written to, moved or replaced: its size, inode, device and times."""
    return [status.st_size, status.st_ino, status.st_dev, status.st_mtime_ns, status.st_ctime_ns]


def is_young(status: os.stat_result) -> bool:
    """Whether the file was changed so lately that one more write need not move the clock."""
    return time.time() - max(status.st_mtime, status.st_ctime) < _YOUNG

"""How far a long job is: what `progress=` means, for bytes of a file and for texts."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .shown import quoted

if TYPE_CHECKING:
    from ._types import Progress, Report, TextProgress

_INTERVAL = 0.1  # seconds between two reports


def reporter(progress: Progress, total: int) -> Report:
    """What `progress=` means to who reads a file: None or False is silence, True a bar on stderr, a callable is called with
    (done, total).

    Args:
        total: bytes of the file on disk.

    Returns:
        `report(done, found, last=False)`, which passes on at most ten reports a second, and the last.
    """
    if progress is True:
        return _bar(total)
    tell, due = _callable(progress), 0.0

    def report(done: int, found: int, last: bool = False) -> None:
        nonlocal due
        if last or time.monotonic() >= due:
            due = time.monotonic() + _INTERVAL
            tell(done, total)

    return report


def text_reporter(progress: TextProgress, items: object, unit: str = "texts") -> Callable[[int], object]:
    """The same to who goes through `items`, whose number may be unknown: `report(how many more are done)`."""
    total = len(items) if hasattr(items, "__len__") else None
    if progress is True:
        return _tqdm()(total=total, unit=f" {unit}").update
    tell, done = _callable(progress), 0

    def report(more: int) -> None:
        nonlocal done
        done += more
        tell(done, total)

    return report


def _callable(progress):
    if progress is None or progress is False:
        return lambda done, total: None
    if not callable(progress):
        raise TypeError(f"progress must be None, True or a callable (done, total), received {quoted(progress)}")
    return progress


def _tqdm():
    """The bar of a notebook in one, else that of a terminal, which is loaded twice as fast."""
    if "ipykernel" in sys.modules:
        from tqdm.auto import tqdm
    else:
        from tqdm import tqdm
    return tqdm


def _bar(total):
    bar = _tqdm()(total=total, unit="B", unit_scale=True, unit_divisor=1024, desc="reading", dynamic_ncols=True)

    def report(done, found, last=False):
        bar.set_postfix_str(f"{found:,} rows found", refresh=False)
        bar.update(max(0, min(done, total) - bar.n))
        if last:
            bar.close()

    return report

"""How many threads to run: what the machine lets this process have, or what W2V_EMBED_THREADS says."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from .checks import whole

KNOB = "W2V_EMBED_THREADS"
# What other libraries read, each once, when they are loaded.
_OTHERS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
_MOST_THREADS = 8
_CGROUPS, _OWN_CGROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def told() -> int | None:
    """What W2V_EMBED_THREADS says; None where it says nothing.

    Raises:
        ValueError: it is no whole number from 1 on.
    """
    text = os.environ.get(KNOB, "").strip()
    return whole(KNOB, int(text) if text.isascii() and text.isdigit() else text) if text else None


def cores(most: int = _MOST_THREADS) -> int:
    """How many threads can run at the same time: W2V_EMBED_THREADS, else as many as this process may use, up to `most`."""
    return told() or min(usable(), most)


def usable() -> int:
    """How many processors this process may use: those it is bound to, and no more than its control groups pay for."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([bound, *(math.ceil(quota) for quota in quotas())]))


def share_among(workers: int) -> None:
    """Give this process, one of so many workers on a machine, its share of the threads; before NumPy is loaded.

    Where W2V_EMBED_THREADS is set, it is meant for each worker.
    """
    threads = str(told() or max(1, usable() // workers))
    for name in (KNOB, *_OTHERS):
        os.environ.setdefault(name, threads)


def quotas(groups: Path = _CGROUPS, own: Path = _OWN_CGROUP) -> Iterator[float]:
    """The processors that each control group grants that this process is in: `docker run --cpus`, a pod's limit, systemd.

    Args:
        groups, own: where the system shows its groups, and which of them are this process's.
    """
    with suppress(OSError, ValueError):
        for line in own.read_text(encoding="utf-8", errors="replace").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            home = groups / "cpu" if controllers else groups
            # In a container the group's own path is often not to be seen, only its root.
            for group in dict.fromkeys([*_upward(home, path), home]):
                with suppress(OSError, ValueError, ZeroDivisionError):
                    yield _quota_of(group, bool(controllers))


def _upward(home, path):
    """A group's folder and those of the groups that it is in."""
    inside = PurePosixPath(path.lstrip("/"))
    if ".." not in inside.parts:
        yield from (home / group for group in (inside, *inside.parents))


def _quota_of(group, old):
    """The processors that one group grants; a ValueError where it sets no bound."""
    if old:  # version 1
        quota = (group / "cpu.cfs_quota_us").read_text(encoding="ascii")
        period = (group / "cpu.cfs_period_us").read_text(encoding="ascii")
    else:
        quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
    granted = int(quota) / int(period)  # "max" is no number
    if granted <= 0:
        raise ValueError
    return granted

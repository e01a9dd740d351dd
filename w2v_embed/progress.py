"""How far a long read is."""

import time

_INTERVAL = 0.1  # seconds between two reports


def reporter(progress, total):
    """What `progress=` means: None or False is silence, True a bar on stderr, a callable is called with (done, total, found).

    Args:
        progress: None, bool or callable.
        total: bytes of the file on disk.

    Returns:
        `report(done, found, last=False)`, which passes on at most ten reports a second, and the last.
    """
    if not progress:
        return lambda done, found, last=False: None
    if progress is True:
        return _bar(total)
    if not callable(progress):
        raise TypeError(f"progress must be None, True or a callable (done, total, found), received {progress!r}")
    due = 0.0

    def report(done, found, last=False):
        nonlocal due
        if last or time.monotonic() >= due:
            due = time.monotonic() + _INTERVAL
            progress(done, total, found)

    return report


def _bar(total):
    from tqdm import tqdm

    bar = tqdm(total=total, unit="B", unit_scale=True, unit_divisor=1024, desc="reading", dynamic_ncols=True)

    def report(done, found, last=False):
        bar.set_postfix_str(f"{found:,} rows found", refresh=False)
        bar.update(max(0, min(done, total) - bar.n))
        if last:
            bar.close()

    return report

"""What the targets share: which modules are instrumented, where the case lies, how much memory it may take.

A target is a module `fuzz_NAME.py` here. It imports what it tries under `instrumented(...)` and hands a function
`(case as bytes, path)` to `run`; `path` is a file in memory, whose name the function may extend.
"""

import contextlib
import gc
import glob
import logging
import os
import resource
import sys
import tempfile

import atheris

_ROOM = 3 << 29  # bytes of address space beyond what the imports took: a case that asks for more gets a MemoryError


def instrumented(*modules):
    """A context in which `modules` are imported with coverage. The compiled kernels must stay as they are, for numba."""
    compiled = [f"w2v_embed.readers.scan.{name}" for name in ("kernels", "_jit", "_text", "_words")]
    return atheris.instrument_imports(include=list(modules), exclude=compiled)


def run(check, warm=()):
    """Fuzz `check` with the arguments of the command line, which are libFuzzer's. The cases `warm` are tried beforehand:
    compiling may take longer than a case is allowed to."""
    if os.environ.get("NUMBA_BOUNDSCHECK") != "1":
        sys.exit("set NUMBA_BOUNDSCHECK=1 and a NUMBA_CACHE_DIR of its own, as `make fuzz` does")
    folder = "/dev/shm" if os.path.isdir("/dev/shm") else tempfile.gettempdir()
    path = os.path.join(folder, f"w2v_embed-fuzz-{os.getpid()}")
    logging.disable(logging.ERROR)
    for case in warm:
        with contextlib.suppress(Exception):  # libFuzzer will meet it again
            check(case, path)
    atheris.Setup(sys.argv, lambda case: check(case, path))
    # Collections would walk through all that the imports made, again and again: a tenth of the time.
    gc.collect()
    gc.freeze()
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()  # noqa: SIM115
    resource.setrlimit(resource.RLIMIT_AS, (used + _ROOM, resource.RLIM_INFINITY))
    try:
        atheris.Fuzz()
    finally:
        for left in glob.glob(glob.escape(path) + "*"):
            os.remove(left)

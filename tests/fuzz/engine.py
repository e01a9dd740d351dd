"""What the targets share: which modules are instrumented, where the case lies, how much memory it may take.

A target is a module `fuzz_NAME.py` here. It imports what it tries under `instrumented(...)` and hands a function
`(case as bytes, path)` to `run`; `path` is a file in memory, whose name the function may extend.
"""

import gc
import glob
import logging
import os
import sys
import tempfile

import atheris


def instrumented(*modules):
    """A context in which `modules` are imported with coverage."""
    return atheris.instrument_imports(include=list(modules))


def run(check):
    """Fuzz `check` with the arguments of the command line, which are libFuzzer's."""
    if "sanitized" not in os.environ.get("W2V_EMBED_KERNELS", ""):
        sys.exit("run it by `make fuzz`, which builds the kernels with sanitizers")
    folder = "/dev/shm" if os.path.isdir("/dev/shm") else tempfile.gettempdir()
    path = os.path.join(folder, f"w2v_embed-fuzz-{os.getpid()}")
    logging.disable(logging.ERROR)
    atheris.Setup(sys.argv, lambda case: check(case, path))
    # Collections would walk through all that the imports made, again and again: a tenth of the time.
    gc.collect()
    gc.freeze()
    try:
        atheris.Fuzz()
    finally:
        for left in glob.glob(glob.escape(path) + "*"):
            os.remove(left)

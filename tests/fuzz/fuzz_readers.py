"""Coverage-guided fuzzing of the readers: `make fuzz`, for as long as you like (`make fuzz SECONDS=3600`).

The compiled kernels run bounds-checked (NUMBA_BOUNDSCHECK=1, set by the Makefile); coverage is that of the Python code. What is
found is written to benchmarks/.work/fuzz, and belongs into tests/fuzz/corpus once it is mended: `tests/test_hostile.py` tries
all files there.
"""

import os
import sys
import tempfile

import atheris

with atheris.instrument_imports(include=["w2v_embed.readers"], exclude=["w2v_embed.readers.kernels"]):
    from tests.fuzz.harness import check

_FOLDER = "/dev/shm" if os.path.isdir("/dev/shm") else tempfile.gettempdir()
_PATH = os.path.join(_FOLDER, f"w2v_embed-fuzz-{os.getpid()}")


def test_one_input(case):
    check(case, _PATH)


if __name__ == "__main__":
    if os.environ.get("NUMBA_BOUNDSCHECK") != "1":
        sys.exit("set NUMBA_BOUNDSCHECK=1 and a NUMBA_CACHE_DIR of its own, as `make fuzz` does")
    atheris.Setup(sys.argv, test_one_input)
    try:
        atheris.Fuzz()
    finally:
        if os.path.exists(_PATH):
            os.remove(_PATH)

"""The tests of the compiled loops once more, with sanitizers."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import sanitizers

ROOT = Path(__file__).parent.parent
BEYOND = """
import sys
import numpy as np
from w2v_embed.readers.scan import kernels
hits = np.array([[0, 0, 0, 3, int(sys.argv[1])]])
kernels.parse_text(np.frombuffer(b"abc 1", np.uint8).copy(), hits, np.zeros((1, 1), np.float32), np.zeros(1, np.bool_))
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the runtime is loaded as Linux does it"),
]


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory):
    return sanitizers.environment(sanitizers.build(tmp_path_factory.mktemp("sanitized")))


def run(environment, *arguments):
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)


def test_the_kernels_with_sanitizers(sanitized):
    tests = ["tests/test_kernels.py", "tests/test_excerpt.py", "tests/test_nets.py::test_what_the_fuzzer_knows"]
    done = run({**sanitized, "PYTHONMALLOC": "malloc"}, "-m", "pytest", "-p", "no:cacheprovider", *tests)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_a_read_outside_an_array_is_caught(sanitized):
    assert run(sanitized, "-c", BEYOND, "5").returncode == 0
    done = run(sanitized, "-c", BEYOND, "40")
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr

"""Tests marked slow download or take minutes: they run only when `-m` names them (`pytest -m slow`).

Where nobody has built the compiled loops, as in an unpacked sdist, that is done here, before anything imports them.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parent
if not any(ROOT.glob("w2v_embed/readers/scan/_kernels.*")) and "W2V_EMBED_KERNELS" not in os.environ:
    subprocess.run([sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"], cwd=ROOT, check=True)

# What is imported by those who have flax, and by nobody else.
collect_ignore = [] if find_spec("flax") else ["w2v_embed/matrix/_padded_embed.py"]


def pytest_collection_modifyitems(config, items):
    if "slow" in config.option.markexpr:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in slow]

"""docs/layers.md names a test for each behaviour: they must exist, and its code must run."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.keras

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs/layers.md").read_text(encoding="utf-8")


def test_the_named_tests_exist():
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    written = set(re.findall(r"^def (test_\w+)", "".join(p.read_text() for p in TESTS.glob("test_layers_*.py")), re.M))
    assert len(named) > 20
    assert not named - written


def test_the_code_runs():
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    assert blocks
    for block in blocks:
        ours = [line for line in block.splitlines() if not re.match(r"from (keras_|bert4keras)", line)]
        exec("\n".join(ours), {})

"""The code of docs/keras_layers.md runs, from top to bottom."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.keras

ROOT = Path(__file__).parent.parent


def test_the_code_runs(tmp_path, monkeypatch):
    page = (ROOT / "docs/keras_layers.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    assert (tmp_path / "small.keras").exists()
    assert names["reload_vectors"](names["loaded"], names["em"]) == [names["layer"].name]

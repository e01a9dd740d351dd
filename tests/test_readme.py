"""README's Python runs as it stands."""

import re
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.keras

ROOT = Path(__file__).parent.parent


def test_readme_runs(tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    names = {}
    exec("\n".join(blocks), names)
    assert "2 of 3 words found (66.7 %)" in capsys.readouterr().out
    assert names["layer"].mask_zero
    assert np.isfinite(names["em"].matrix).all()
    assert (tmp_path / "matrix.safetensors").exists()

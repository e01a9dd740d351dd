"""README's Python, and that of docs/files.md, runs as it stands."""

import re
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.keras

ROOT = Path(__file__).parent.parent


def blocks_of(name):
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL)


def test_readme_runs(tmp_path, monkeypatch, capsys):
    blocks = blocks_of("README.md")
    assert len(blocks) == 3
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    names = {}
    exec("\n".join(blocks), names)
    assert "2 of 3 words found (66.7 %)" in capsys.readouterr().out
    assert names["layer"].mask_zero
    assert np.isfinite(names["em"].matrix).all()
    assert (tmp_path / "matrix.safetensors").exists()


def test_a_source_of_ones_own_runs():
    (block,) = blocks_of("docs/files.md")
    names = {}
    exec(block, names)
    assert names["em"].matrix.tolist() == [[0, 0], [1, 2], [1, 2]]
    assert f"em.provenance.tolist()  # {names['em'].provenance.tolist()}\n" in block

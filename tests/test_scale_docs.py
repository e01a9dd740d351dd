"""The code of docs/scale.md runs, from top to bottom."""

import doctest
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_page_runs(monkeypatch, tmp_path):
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testfile(
        str(ROOT / "docs" / "scale.md"),
        module_relative=False,
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
    )
    assert not failed
    assert tried

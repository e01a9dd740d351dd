"""The code of docs/text.md runs, from top to bottom."""

import doctest
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.keras
def test_the_page_runs(monkeypatch, tmp_path):
    pytest.importorskip("jieba")
    pytest.importorskip("keras")
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testfile(
        str(ROOT / "docs" / "text.md"),
        module_relative=False,
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
    )
    assert not failed
    assert tried

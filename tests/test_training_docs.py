"""The code of docs/training.md runs, and its service answers where FastAPI is installed."""

import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.keras
def test_the_page_runs(monkeypatch, tmp_path):
    pytest.importorskip("jieba")
    pytest.importorskip("keras")
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    code, service = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    assert names["label"] in names["labels"]
    assert names["trained"].metrics["accuracy"] > 2 * names["trained"].metrics["baseline"]
    assert {path.name for path in tmp_path.iterdir()} == {"data", "topics.keras", "metrics.json"}
    compile(service, "service.py", "exec")
    if find_spec("fastapi") and find_spec("httpx"):  # what its test client needs
        from fastapi.testclient import TestClient

        monkeypatch.setenv("MODEL", "topics.keras")
        exec(service, names)
        answer = TestClient(names["app"]).post("/predict", json={"texts": ["中国队赢得比赛"], "top": 2})
        assert answer.status_code == 200
        assert answer.json()[0][0][0] == names["label"]
        assert np.isclose(answer.json()[0][0][1], names["probability"], atol=1e-5)

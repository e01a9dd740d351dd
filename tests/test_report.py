"""The HTML report: what it says, and that a real browser shows it."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from tests.conftest import write_text
from w2v_embed import build_matrix
from w2v_embed.cli import main

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WORDS = [f"word{k}" for k in range(60)]
NASTY = "</script><b>&amp;/*LIBRARY*/"


@pytest.fixture
def em(tmp_path):
    path = write_text(tmp_path / "v.txt", {word: [k, k * k % 7, 1] for k, word in enumerate(WORDS)})
    index = ["<pad>", *WORDS, *(word.upper() for word in WORDS[:30]), NASTY, "中国", "Word5-Word6"]
    return build_matrix(path, index, fallbacks=["lower"], suggest=True)


def data_of(page):
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    return json.loads(found[1])


def test_it_says_what_the_coverage_says(em, tmp_path):
    pytest.importorskip("altair")
    path = tmp_path / "r.html"
    counts = dict.fromkeys(em.word_index, np.int64(3))
    em.write_report(path, counts=counts, title="A <title>")
    page = path.read_text(encoding="utf-8")
    assert "<h1>A &lt;title&gt;</h1>" in page
    assert f"<b>{100 * em.coverage.rate:.1f} %</b>" in page
    data = data_of(page)
    assert sorted(row[0] for row in data["missing"]) == sorted([NASTY, "中国", "Word5-Word6"])
    assert ["Word5-Word6", 3, "parts"] in data["missing"]
    assert ["WORD7", 3, "lower", "word7"] in data["derived"]
    assert set(data["charts"]) == {"how", "rank", "norms", "projection"}
    assert "src=" not in page.split("<script>")[0]  # nothing from elsewhere
    assert len(page) < 3_000_000


def test_it_shows_unused_rows_and_hides_what_steers_terminals(tmp_path):
    pytest.importorskip("altair")
    words = [f"\u202e\x1b{k}" for k in range(5)]
    path = write_text(tmp_path / "v\u202e.txt", {word: [k, k * k, 1] for k, word in enumerate(words)})
    em = build_matrix(path, {**{word: k + 1 for k, word in enumerate(words)}, "x\u202e": 1200})
    em.steps = ({"step": "align", "source": "<b>\u202e"},)
    em.write_report(tmp_path / "r.html", title="t\u202e")
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<b>1,194</b><span>unused rows: ids that belong to no word</span>" in page
    assert "<h1>t\\u202e</h1>" in page
    assert "from v\\u202e.txt; align (source &lt;b&gt;\\u202e)</p>" in page
    data = data_of(page)
    assert data["missing"] == [["x\\u202e", 1, ""]]
    assert not {"\u202e", "\x1b"} & set(json.dumps(data, ensure_ascii=False))


def test_little_to_draw(tmp_path):
    pytest.importorskip("altair")
    path = write_text(tmp_path / "v.txt", {"a": [1, 2]})
    for name, index in {"none": ["x"], "one": ["a"]}.items():
        build_matrix(path, index).write_report(tmp_path / f"{name}.html")
        assert set(data_of((tmp_path / f"{name}.html").read_text(encoding="utf-8"))["charts"]) <= {
            "how",
            "rank",
            "norms",
        }


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome is installed")
def test_a_browser_draws_it(em, tmp_path):
    pytest.importorskip("altair")
    path = tmp_path / "r.html"
    em.write_report(path, counts=dict.fromkeys(em.word_index, 3))
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    dom = done.stdout
    assert 'data-drawn="yes"' in dom
    for chart in ("how", "rank", "norms", "projection"):
        assert re.search(rf'<div class="chart[^>]*id="{chart}"[^>]*>\s*<svg', dom), chart
    assert "Missing (3)" in dom
    assert "Found by a fallback (30)" in dom
    rows = re.search(r'<tbody id="rows">(.*?)</tbody>', dom, re.DOTALL)[1]
    assert rows.count("<tr>") == 3
    assert "&lt;/script&gt;&lt;b&gt;&amp;amp;/*LIBRARY*/" in rows


def test_the_command_writes_it(tmp_path, data):
    pytest.importorskip("altair")
    index = tmp_path / "i.json"
    index.write_text('{"中国": 1, "中国经济": 2}', encoding="utf-8")
    page = tmp_path / "r.html"
    assert (
        main(
            ["build", str(data / "vectors.bin"), str(index), "-o", str(tmp_path / "m.npz"), "--report", str(page), "-q"]
        )
        == 0
    )
    assert ["中国经济", 1, "parts"] in data_of(page.read_text(encoding="utf-8"))["missing"]


def test_without_the_libraries(em, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "altair", None)
    with pytest.raises(ImportError, match=r'drawn by Altair: pip install "w2v-embed\[report\]"'):
        em.write_report(tmp_path / "r.html")

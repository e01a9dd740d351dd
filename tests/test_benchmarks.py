"""What benchmarks write: Markdown, a line of history, a page with pictures; and how two commits are compared."""

import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_report import BROWSER

HOME = Path(__file__).parent.parent / "benchmarks"
COLUMNS = [("seconds", ".2f", True), ("texts/s", ".0f", False), ("MB", ".0f", None)]


@pytest.fixture
def bench(monkeypatch):
    """Imports a benchmark as it is imported when it runs."""
    monkeypatch.syspath_prepend(str(HOME))
    yield importlib.import_module
    for name in ("page", "run"):
        sys.modules.pop(name, None)


@pytest.fixture
def page(bench):
    return bench("page")


def table(page, home, commit, *rows, setting="10 words", title="Rows"):
    """A record of such a commit, by the way that benchmarks take."""
    made = page.Table(
        title,
        setting,
        [page.Column(*c) for c in COLUMNS],
        ["seconds"],
        {"gensim": "4.4.0"},
        home / "h.jsonl",
        home / "p.html",
    )
    made.record["commit"] = commit
    with made as table:
        for name, *values in rows:
            table.add(name, *values, ours=name == "we")


def test_a_tiny_run(bench, tmp_path, monkeypatch, capsys):
    """The main benchmark itself, over 300 words, without peers: nothing is fetched."""
    pytest.importorskip("altair")
    run, page = bench("run"), bench("page")
    monkeypatch.setattr(run, "WORK", tmp_path)
    monkeypatch.setattr(run, "WARM_WORDS", 100)
    monkeypatch.setattr(page, "HISTORY", tmp_path / "h.jsonl")
    monkeypatch.setattr(page, "PAGE", tmp_path / "build/p.html")
    monkeypatch.setattr(run, "peers_python", lambda: pytest.fail("no peer was asked for"))
    peers = ["gensim", "embfile", "reach", "snakefusion"]
    monkeypatch.setattr(
        sys, "argv", ["benchmarks/run.py", "--words", "300", "--rounds", "1", "--only", "select", "--without", *peers]
    )
    run.main()
    told = capsys.readouterr().out
    assert "**Rows of 300 words out of the text file** (300 words × 300, text of 0.00 GB, Python 3." in told
    assert "| w2v_embed | " in told
    (record,) = page.read(tmp_path / "h.jsonl")
    assert [row["name"] for row in record["rows"]] == ["cat", "w2v_embed", "whole process: w2v-embed build"]
    assert [row["ours"] for row in record["rows"]] == [False, True, True]
    seconds, ratio, of_cat, _, result = record["rows"][1]["values"]
    assert 0 < seconds[1] <= seconds[0] <= seconds[2]
    assert ratio == 1
    assert of_cat == seconds[0] / record["rows"][0]["values"][0][0]
    assert result == 301 * 300 * 4 / 1e6
    assert record["machine"] == page.machine()
    assert "benchmarks/run.py --words 300" in (tmp_path / "build/p.html").read_text(encoding="utf-8")


def test_the_page_and_the_comparison(page, tmp_path, capsys):
    pytest.importorskip("altair")
    old, new = "a" * 40, "b" * 40
    hostile = "</script><b>词 /*DATA*/"
    table(page, tmp_path, old, ("we", (1.0, 0.9, 1.1), 100, 5), ("gensim", 50, 2, None))
    table(page, tmp_path, new, ("we", (2.0, 1.9, 2.1), 50, 5), ("gensim", 50, 2, None), (hostile, 0, 0, 0))
    table(page, tmp_path, new, ("we", (4.0, 3.9, 4.1), 50, 5))  # a second run
    table(page, tmp_path, new, ("we", 1, 1, 1), setting="20 words")
    assert "| gensim | 50.00 | 2 |  |" in capsys.readouterr().out
    records = page.read(tmp_path / "h.jsonl")
    assert [record["commit"] for record in records] == [old, new, new, new]
    told = "\n".join(page.compare(records, old, new))
    assert "| | | aaaaaaaaa, 1 run | bbbbbbbbb, 2 runs | ÷ | |" in told
    assert "| we | seconds | 1.00 (0.90 to 1.10) | 3.00 (1.90 to 4.10) | 3.00 | worse |" in told
    assert "| we | texts/s | 100 | 50 | 0.50 |  |" in told
    assert "| gensim | seconds | 50.00 | 50.00 | 1.00 |  |" in told
    assert "20 words" not in told
    assert "</script><b>" not in told  # the older commit has it not
    back = "\n".join(page.compare(records, new, old))
    assert "| we | seconds | 3.00 (1.90 to 4.10) | 1.00 (0.90 to 1.10) | 0.33 | better |" in back
    # of each title the newest setting; its history in pictures
    text = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert text.count("<section") == 1
    page.write(records[:2], tmp_path / "p.html")
    text = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert "&lt;/script&gt;&lt;b&gt;词 /*DATA*/" in text
    assert '<td class="number">2.00 (1.90 to 2.10)</td>' in text.replace("class=number", 'class="number"')
    data = json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.DOTALL)[1])
    assert set(data["charts"]) == {"t0-0", "t0-0-then"}


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome is installed")
def test_a_browser_draws_it(page, tmp_path):
    pytest.importorskip("altair")
    table(page, tmp_path, "a" * 40, ("we", (1.0, 0.9, 1.1), 100, 5), ("10 rows: gensim", 50, 2, None))
    table(page, tmp_path, "b" * 40, ("we", (1.0, 0.9, 1.1), 100, 5), ("10 rows: gensim", 50, 2, None))
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", (tmp_path / "p.html").as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert 'data-drawn="yes"' in dom
    for chart in ("t0-0", "t0-0-then"):
        assert re.search(rf'<div class="chart[^>]*id="{chart}"[^>]*>\s*<svg', dom), chart


def test_verdicts(page):
    less, more, neither = (page.Column(*each) for each in COLUMNS)
    one, apart, near = [1.0, 0.9, 1.1], [2.0, 1.8, 2.2], [1.2, 1.05, 1.3]
    assert page.verdict(one, near, less) == page.verdict(near, one, less) == "within the spread"
    assert page.verdict(one, apart, less) == page.verdict(apart, one, more) == "worse"
    assert page.verdict(apart, one, less) == page.verdict(one, apart, more) == "better"
    assert page.verdict(one, apart, neither) == "differs"
    assert page.verdict(1.0, apart, less) == ""


def half(page, home):
    with page.Table("t", "", [page.Column("s")], ["s"], {}, home / "h.jsonl", home / "p.html") as made:
        made.add("a", 1.0)
        made.add("b", 1 / 0)


def test_half_a_table_is_none(page, tmp_path):
    with pytest.raises(ZeroDivisionError):
        half(page, tmp_path)
    assert not (tmp_path / "h.jsonl").exists()


def test_rows_that_fit_no_table(page):
    made = page.Table("t", "", [page.Column("s"), page.Column("MB")], ["s"], {})
    with pytest.raises(ValueError, match="'a' has 1 figures, the table 2 columns of them"):
        made.add("a", 1.0)
    made.add("a", 1.0, None)
    with pytest.raises(ValueError, match="the table has a row 'a' already"):
        made.add("a", 1.0, None)
    with pytest.raises(ValueError, match=r"no such columns to draw: \['ms'\]; there are \['s'\]"):
        page.Table("t", "", [page.Column("s")], ["ms"], {})


def test_a_history_that_was_cut_off(page, tmp_path, capsys):
    """By a killed process: the line is left out, and the next one is whole."""
    history = tmp_path / "h.jsonl"
    for _ in range(2):
        page.append({"commit": "a", "rows": [], "columns": [["s", ".2f", True]]}, history)
    history.write_bytes(history.read_bytes()[:-9])
    page.append({"commit": "b", "rows": [], "columns": []}, history)
    with open(history, "a", encoding="utf-8") as file:
        file.write('[1]\n{"rows": 3}\n')
    assert [record["commit"] for record in page.read(history)] == ["a", "b"]
    told = capsys.readouterr().err
    assert [f"h.jsonl, line {k} is no record of a table, and was left out" for k in (2, 4, 5)] == told.splitlines()
    assert page.read(tmp_path / "none.jsonl") == []


def test_commits_by_name(page, monkeypatch):
    records = [{"commit": each} for each in ("a" * 40, "a" * 40 + "+", "ab" * 20, "ab" * 20)]
    monkeypatch.setattr(page, "git", lambda *_: None)
    assert page.commit_of("aaa", records) == "a" * 40
    assert page.commit_of("aaa+", records) == "a" * 40 + "+"
    with pytest.raises(SystemExit, match=r"^a is said by several\. The history has a{9}, a{9}\+, (ab){4}a\.$"):
        page.commit_of("a", records)
    with pytest.raises(SystemExit, match="^ab\\+ has no figures: run the benchmarks with ab\\+ checked out"):
        page.commit_of("ab+", records)
    monkeypatch.setattr(page, "git", lambda *_: "ab" * 20)
    assert page.commit_of("HEAD", records) == "ab" * 20


def test_another_machine_is_not_compared(page):
    shared = {"benchmark": "run.py", "title": "t", "setting": "", "columns": [], "rows": []}
    records = [{**shared, "commit": commit, "machine": f"{commit}'s"} for commit in "ab"]
    told = "".join(page.compare(records, "a", "b"))
    assert told == "a (a's) and b (b's) share no table of one machine and setting."


def test_where_git_knows_nothing(page, monkeypatch, tmp_path):
    """As in an unpacked sdist, even one that lies in another repository."""
    from w2v_embed import __version__

    monkeypatch.setattr(page, "ROOT", tmp_path)
    assert page.state() == __version__
    if shutil.which("git"):
        subprocess.run(["git", "init", "-q", tmp_path], check=True)
        assert page.state() == __version__


def test_versions_of_another_python(page, tmp_path):
    mine = page.versions("numpy", "w2v-no-such-package")
    assert list(mine) == ["numpy"]
    assert re.fullmatch(r"\d[\w.]+", mine["numpy"])
    link = tmp_path / "python"  # the same one by another name: asked as a peer's
    link.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    link.chmod(0o755)
    assert page.versions("numpy", "w2v-no-such-package", python=link) == mine


def test_the_command(page, tmp_path, monkeypatch, capsys):
    history = tmp_path / "h.jsonl"
    monkeypatch.setattr(sys, "argv", ["page.py", "--history", str(history)])
    with pytest.raises(SystemExit, match=r"h\.jsonl has no figures yet: make bench"):
        page.main()
    monkeypatch.setattr(page, "write", lambda *_: None)
    table(page, tmp_path, "a" * 40, ("we", 1.0, 1, 1))
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--compare", "aaaa", "aaaa"])
    page.main()
    assert "| we | seconds | 1.00 | 1.00 | 1.00 |  |" in capsys.readouterr().out

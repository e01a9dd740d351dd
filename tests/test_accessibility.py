"""What axe-core says of the HTML reports and the site, in headless Chromium, light and dark, wide and as on a phone.

Opt-in: `pytest -m slow tests/test_accessibility.py`; axe-core comes from npm, and the site is that of `make docs`.
"""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

from tests.test_report import BROWSER, em  # noqa: F401
from w2v_embed.comparison import Candidate, compare, read_labelled

ROOT = Path(__file__).parent.parent
SITE = ROOT / "build" / "site"
# Once all is drawn, its findings stand at the end of the page.
RUN = """<script>addEventListener("load", () => setTimeout(() => axe.run().then(found => {
const told = document.createElement("pre"); told.id = "axe-found";
const shown = node => node.html.slice(0, 200) + " " + (node.any[0]?.message ?? "");
told.textContent = JSON.stringify({dark: matchMedia("(prefers-color-scheme: dark)").matches, passed: found.passes.length,
  wrong: found.violations.map(each => [each.impact, each.id, each.help, each.nodes.slice(0, 4).map(shown)])});
document.body.append(told)}), 1500))</script>"""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome is installed")]


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    home = tmp_path_factory.mktemp("axe")
    subprocess.run(["npm", "install", "--silent", "--prefix", home, "axe-core@4"], check=True)
    return (home / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")


def findings(page, axe, width, dark, profile):
    """What axe-core finds in a page, which is run from beside itself: its links to files still hold."""
    copy = page.with_name(f"axe-{page.name}")
    copy.write_text(f"{page.read_text(encoding='utf-8')}\n<script>{axe}</script>\n{RUN}", encoding="utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom"]
    command += [f"--window-size={width},1000", f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
    try:
        command += [f"--user-data-dir={profile}", copy.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    finally:
        copy.unlink()
    found = json.loads(unescape(re.search(r'<pre id="axe-found">(.*?)</pre>', done.stdout, re.DOTALL)[1]))
    assert found["dark"] is dark
    assert found["passed"] > 10
    return [each for each in found["wrong"] if each[0] in ("serious", "critical")]


LOOKS = [(1200, False), (1200, True), (390, False)]


@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_the_report(em, axe, width, dark, tmp_path):  # noqa: F811
    em.write_report(tmp_path / "r.html", counts=dict.fromkeys(em.word_index, 3))
    assert not findings(tmp_path / "r.html", axe, width, dark, tmp_path / "profile")


@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_the_benchmarks(axe, width, dark, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import page

    for commit in "ab":
        columns = [page.Column("seconds"), page.Column("MB")]
        made = page.Table("Rows", "10 words", columns, ["seconds"], {}, tmp_path / "h.jsonl", tmp_path / "b.html")
        made.record["commit"] = commit
        with made:
            made.add("w2v_embed", (1.0, 0.9, 1.1), 5, ours=True)
            made.add("gensim: slow", (50.0, 40.0, 60.0), None)
    assert not findings(tmp_path / "b.html", axe, width, dark, tmp_path / "profile")


@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_the_comparison(axe, width, dark, tmp_path):
    labels, texts = read_labelled(ROOT / "data/titles.tsv")
    vectors = [ROOT / "data/vectors.bin"]
    candidates = [Candidate(vectors, name="a"), Candidate(vectors, {"fallbacks": ["characters"]}, "b")]
    found = compare(labels[:300], texts[:300], candidates, split="characters", seeds=2)
    found.write_report(tmp_path / "c.html")
    assert not findings(tmp_path / "c.html", axe, width, dark, tmp_path / "profile")


@pytest.mark.parametrize(("width", "dark"), LOOKS)
@pytest.mark.parametrize(
    "name", ["index", "coverage", "api", "search", "notebooks/classifier", "notebooks/which_vectors"]
)
def test_the_site(axe, name, width, dark, tmp_path):
    if not SITE.is_dir():
        pytest.skip("make docs")
    assert not findings(SITE / f"{name}.html", axe, width, dark, tmp_path / "profile")

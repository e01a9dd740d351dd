"""The site: pages that no other test runs do run, links lead somewhere, messages are those of the package."""

import re
from pathlib import Path

import pytest

import w2v_embed

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))


@pytest.mark.parametrize(
    ("page", "needs"),
    [
        ("combining", []),
        ("coverage", ["altair", "opencc"]),
        ("refining", []),
        ("subwords", []),
        pytest.param("coming_from", ["keras", "tokenizers"], marks=pytest.mark.keras),
        pytest.param("start", ["keras", "jieba"], marks=pytest.mark.keras),
    ],
)
def test_a_page_runs(page, needs, tmp_path, monkeypatch):
    for name in needs:
        pytest.importorskip(name)
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / f"{page}.md").read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    names = {}
    exec("\n".join(blocks), names)
    if page == "start":
        assert names["history"].history["val_accuracy"][-1] > 0.7
        (money, _), (ball, _) = names["answers"]
        assert money in {"finance", "stocks"}
        assert ball == "sports"


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if not re.match(r"[a-z]+:", link):
            target, _, anchor = link.partition("#")
            other = DOCS / target if target else DOCS / page
            assert other.exists(), link
            if anchor:
                heads = re.findall(r"^#+ (.*)$", other.read_text(encoding="utf-8"), re.MULTILINE)
                assert anchor in [re.sub(r"[^\w\- ]", "", head).strip().lower().replace(" ", "-") for head in heads], (
                    link
                )


@pytest.mark.parametrize("page", PAGES)
def test_tests_that_hold_a_promise_are_there(page):
    there = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    named = re.findall(r"`(?:tests/)?(?:(test_\w+\.py)|(test_\w+)`)", (DOCS / page).read_text(encoding="utf-8"))
    for file, test in named:
        assert (Path(__file__).parent / file).is_file() if file else f"def {test}(" in there, file or test


def test_each_page_is_in_the_contents():
    contents = (DOCS / "index.md").read_text(encoding="utf-8")
    named = re.findall(r"^([a-z_]+)$", contents, re.MULTILINE)
    assert sorted(f"{name}.md" for name in named) == [page for page in PAGES if page != "index.md"]


def test_messages_are_those_of_the_package():
    source = "".join(path.read_text(encoding="utf-8") for path in Path(w2v_embed.__file__).parent.rglob("*.py"))
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall(r"^\| `(.*?)` \|", page, re.MULTILINE)
    assert len(messages) >= 7
    for message in messages:
        for part in re.split(r"…|\d+", message):
            assert part.strip() in source, message

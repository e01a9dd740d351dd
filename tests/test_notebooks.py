"""The notebooks: each cell was run, in its order, nothing failed; they are pages of the site; `-m slow` runs them."""

import ast
import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HOME = ROOT / "docs" / "notebooks"
NAMES = ["classifier", "in_context", "which_vectors"]


def cells_of(name):
    return json.loads((HOME / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]


def test_these_are_all():
    assert sorted(path.stem for path in HOME.glob("*.ipynb")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_was_run_as_it_stands(name):
    code = [cell for cell in cells_of(name) if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == [*range(1, len(code) + 1)]
    kinds = {output["output_type"] for cell in code for output in cell["outputs"]}
    assert "error" not in kinds
    assert len(kinds & {"stream", "execute_result", "display_data"}) >= 2
    for cell in code:
        ast.parse("".join(cell["source"]))
    assert (HOME / f"{name}.ipynb").stat().st_size < 200_000


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_a_page(name):
    pytest.importorskip("myst_parser")
    pages = runpy.run_path(str(ROOT / "docs" / "notebook_pages.py"))
    text = pages["markdown_of"]((HOME / f"{name}.ipynb").read_text(encoding="utf-8"))
    assert text.startswith("# ")
    for cell in cells_of(name):
        assert "".join(cell["source"]) in text


def test_outputs_that_would_break_a_page():
    pytest.importorskip("myst_parser")
    shown = runpy.run_path(str(ROOT / "docs" / "notebook_pages.py"))["_shown"]
    assert shown({"text": ["\x1b[31ma\x1b[0m ```` b\n"]}) == "`````text\na ```` b\n`````"
    assert shown({"data": {"text/plain": ["x"], "text/html": "<b>x</b>"}}) == (
        '```{raw} html\n<div class="output"><b>x</b></div>\n```'
    )
    picture = shown({"data": {"image/png": "AAA\n", "text/plain": "<Figure>"}})
    assert '<img alt="&lt;Figure&gt;" src="data:image/png;base64,AAA">' in picture


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs(name, tmp_path):
    """A copy, with the outputs of today."""
    for needed in ("nbclient", "ipykernel", "matplotlib", "keras"):
        pytest.importorskip(needed)
    shutil.copytree(ROOT / "docs" / "notebooks", tmp_path / "docs" / "notebooks")
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    (tmp_path / "data").symlink_to(ROOT / "data")
    before = cells_of(name)
    done = subprocess.run(
        [sys.executable, tmp_path / "scripts/notebooks.py", name], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    after = json.loads((tmp_path / f"docs/notebooks/{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    assert [cell["source"] for cell in after] == [cell["source"] for cell in before]
    assert [len(cell.get("outputs", [])) for cell in after] == [len(cell.get("outputs", [])) for cell in before]

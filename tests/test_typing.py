"""What type checkers see: stubs that say what is there, right calls that pass, wrong calls that do not, README's among them."""

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CALLS = ROOT / "tests/typing"


@pytest.fixture(scope="module")
def complaints(tmp_path_factory):
    """(file name, line number) → codes of what `mypy --strict` says about the calls and README's snippets."""
    pytest.importorskip("mypy")  # without it, nothing is said of any call
    readme = tmp_path_factory.mktemp("typing") / "readme.py"
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    readme.write_text("\n".join(blocks), encoding="utf-8")
    files = [CALLS / "right_calls.py", CALLS / "wrong_calls.py", readme]
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--follow-imports=silent",
        "--no-error-summary",
        *map(str, files),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    told = {}
    for line in done.stdout.splitlines():
        if found := re.fullmatch(r"(.+?):(\d+): error: .*\[([a-z-]+)\]", line):
            told.setdefault((Path(found[1]).name, int(found[2])), set()).add(found[3])
        else:
            assert ": note: " in line, line
    return told


@pytest.mark.parametrize("name", ["right_calls.py", "readme.py"])
def test_right_calls_pass(name, complaints):
    assert {place: codes for place, codes in complaints.items() if place[0] == name} == {}


def test_wrong_calls_are_refused_and_nothing_else(complaints):
    marked = {}
    for number, line in enumerate((CALLS / "wrong_calls.py").read_text(encoding="utf-8").splitlines(), 1):
        if "# error: " in line:
            marked["wrong_calls.py", number] = set(line.split("# error: ")[1].split(", "))
    assert len(marked) >= 40
    assert {place: codes for place, codes in complaints.items() if place[0] == "wrong_calls.py"} == marked


@pytest.mark.parametrize(
    "package",
    [
        "w2v_embed",
        "w2v_embed.readers",
        "w2v_embed.matrix",
        "w2v_embed.contextual",
        "w2v_embed.evaluation",
        "w2v_embed.scale",
    ],
)
def test_stubs_say_what_the_lazy_packages_have(package):
    module = import_module(package)
    stub = ast.parse(Path(module.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    homes = {
        alias.name: "." * node.level + node.module
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name  # else it is not exported
    }
    assert homes == module._HOMES
    assert set(dir(module)) - {"__version__"} == set(homes)

"""The plan of the house, as CONTRIBUTING.md draws it: floors, sizes, and how modules begin."""

import ast
import re
from pathlib import Path

import pytest

import w2v_embed

PACKAGE = Path(w2v_embed.__file__).parent
FLOORS = [
    {"readers"},
    {"corpus", "subwords"},
    {"matrix", "postprocess", "weights"},
    {"reports", "layers", "contextual", "evaluation", "vectorizer", "text", "hub"},
    {"training"},
    {"comparison", "scale"},
    {"cli", "__main__"},
]
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def floor_of(room):
    """The number of a room's floor: 0 is the ground."""
    return next((number for number, rooms in enumerate(FLOORS, 1) if room in rooms), 0)


def imports(path):
    """The modules of the package that one imports, anywhere in it, but not for types alone: (line, parts of the name)."""
    tree = ast.parse((PACKAGE / path).read_text(encoding="utf-8"))
    types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level and id(node) not in types:
            home = path.parent.parts[: len(path.parent.parts) - node.level + 1]
            for alias in node.names:
                yield node.lineno, [*home, *(node.module or "").split("."), alias.name]
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert not any(str(name).startswith("w2v_embed") for name in names), f"{path}:{node.lineno} is not relative"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module(path):
    text = (PACKAGE / path).read_text(encoding="utf-8")
    assert text.count("\n") <= 400, f"{path} is too long"
    tree = ast.parse(text)
    assert ast.get_docstring(tree), f"{path} does not say what it is"
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = [child for child in node.body if not _is_docstring(child)]
            lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert lines <= 60, f"{path}:{node.lineno} {node.name} has {lines} lines"
    here = path.parts[0].removesuffix(".py")
    for line, (room, *_) in ((line, [part for part in parts if part]) for line, parts in imports(path)):
        if room != here and not room.startswith("__"):
            climbs = floor_of(room) > floor_of(here)
            assert not climbs or (str(path), room) in CLIMBS, f"{path}:{line} climbs to {room}"


# A method is a door to what is above it, opened when somebody calls it.
CLIMBS = {("matrix/embedding_matrix.py", "reports"), ("matrix/embedding_matrix.py", "hub")}


def _is_docstring(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def test_the_map_shows_every_room():
    """A map that nobody reads again rots: what is built or torn down is drawn."""
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    drawn = text[text.index("## The map") : text.index("## Add")]
    for path in MODULES:
        name = path.stem if len(path.parts) < 3 else f"{path.parts[1]}/"
        if path.stem not in ("__init__", "__main__") and path.parts[0] != "layers":
            assert f"`{name}`" in drawn, path
    named = {name.removesuffix("/") for name in re.findall(r"`([a-z_0-9]+/?)`", drawn)}
    there = {path.stem for path in MODULES} | {part for path in MODULES for part in path.parts[:-1]}
    assert named - {"source_of", "w2v_embed"} <= there

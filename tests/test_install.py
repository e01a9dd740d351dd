"""The package where nobody may write to it, used by somebody without a home: an ordinary container; what a wheel holds, and
how it is built with and without a compiler; what works without the compiled loops, and without gensim."""

import configparser
import ctypes
import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import w2v_embed
from tests.conftest import DATA, write_binary, write_text
from w2v_embed.readers.scan import kernels

ROOT = Path(w2v_embed.__file__).parent.parent
LIBRARY = f"w2v_embed/readers/scan/{Path(kernels._c._name).name}"
CODE = """
import logging, sys
logging.basicConfig(format="%(levelname)s %(message)s")
import numpy as np
from w2v_embed import EmbeddingMatrix, build_matrix, load_vectors
from w2v_embed.readers.scan import hot
site, text, binary, loops = sys.argv[1:]
assert hot.__file__.startswith(site), hot.__file__
words = load_vectors(binary, limit=60)
index = {word: k for k, word in enumerate(words.index_to_key, 1)}
for path in (text, binary):
    em = build_matrix(path, {**index, "W1": 61, "none": 62}, fallbacks=["lower", "parts"], on_error="skip")
    assert em.matrix[1:61].tobytes() == words.vectors.tobytes(), path
assert hot.hot_loops(0)[0].__name__ == "w2v_embed.readers.scan." + loops
"""
_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, _CAP_FOWNER = 24, 1, 3


def drop_the_power_to_write_everywhere():
    """Root may write what nobody may; without these two capabilities it is a user like any other."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (_CAP_DAC_OVERRIDE, _CAP_FOWNER):
            if libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0):
                os._exit(77)


def nobody_can_run(python):
    """Whether the user nobody finds Python and the libraries."""
    where = [python, np.__file__]
    done = subprocess.run(["test", "-r", where[0], "-a", "-r", where[1]], user=65534, group=65534, check=False)
    return done.returncode == 0


def copied(folder):
    """A copy of the package, with its library, in a folder; returns the folder."""
    shutil.copytree(
        ROOT / "w2v_embed", folder / "w2v_embed", ignore=shutil.ignore_patterns("__pycache__", "_kernels.*")
    )
    shutil.copy(kernels._c._name, folder / LIBRARY)
    return folder


@pytest.fixture
def installed(tmp_path):
    """A folder with a copy of the package that nobody may write to."""
    site = copied(tmp_path / "site")
    for folder, _, files in os.walk(site):
        for file in files:
            os.chmod(os.path.join(folder, file), 0o444)
        os.chmod(folder, 0o555)
    for folder in (tmp_path, tmp_path.parent):
        os.chmod(folder, 0o755)
    yield site
    for folder, _, _ in os.walk(site):
        os.chmod(folder, 0o755)


def run_on_data(site, tmp_path, loops, environment, **how):
    """Load and build from files of one matrix in a process of its own, and see that it ran `loops`."""
    text = write_text(tmp_path / "v.txt", rows_of(DATA / "vectors.bin"))
    binary = shutil.copy(DATA / "vectors.bin", tmp_path / "vectors.bin")
    command = [sys.executable, "-c", CODE, site, text, binary, loops]
    environment = {**environment, "PYTHONPATH": str(site)}
    return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False, **how)


def rows_of(path):
    from w2v_embed import load_vectors

    kv = load_vectors(path, limit=500)
    return {word: kv[word].tolist() for word in kv.index_to_key}


@pytest.mark.skipif(sys.platform != "linux", reason="users and capabilities as Linux has them")
def test_the_compiled_loops_where_nothing_can_be_kept(installed, tmp_path):
    """There is nothing to keep: the first run compiles nothing and writes nothing, not even where it could."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    scratch.chmod(0o777)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("W2V_EMBED", "XDG", "HOME", "PYTHON"))}
    environment |= {"HOME": "/dev/null/no", "TMPDIR": str(scratch)}
    how = {"preexec_fn": drop_the_power_to_write_everywhere}
    if os.geteuid() == 0 and nobody_can_run(sys.executable):
        how = {"user": 65534, "group": 65534, "extra_groups": []}
    done = run_on_data(installed, tmp_path, "kernels", environment, **how)
    if done.returncode == 77:
        pytest.skip("this root cannot give up its power to write everywhere")
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    assert not list(installed.rglob("__pycache__"))
    assert not list(scratch.iterdir())


@pytest.mark.parametrize("library", ["none", "empty", "text", "one of C", "asked for"])
def test_without_a_library_the_plain_loops_run(library, tmp_path):
    """With the same results; what to do about it is said once."""
    site = copied(tmp_path / "site")
    path, environment = site / LIBRARY, {k: v for k, v in os.environ.items() if k != "W2V_EMBED_KERNELS"}
    path.unlink()
    if library == "empty":
        path.touch()
    elif library == "text":
        path.write_text("not a library\n" * 1000)
    elif library == "one of C":
        shutil.copy(next(Path(np.__file__).parent.rglob("*.so"), sys.executable), path)
    elif library == "asked for":
        environment["W2V_EMBED_KERNELS"] = "plain"
    done = run_on_data(site, tmp_path, "plain", environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("WARNING") == 1
    assert "the loops of NumPy run instead" in done.stderr
    assert "pip install --force-reinstall" in done.stderr


def test_each_requirement_has_a_lowest_version():
    """`make test-lowest` pins them."""
    scripts = runpy.run_path(str(ROOT / "scripts/environments.py"))
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = scripts["requirements"](list(setup["options.extras_require"]))
    assert len(lines) > 30
    assert not [line for line in lines if not re.match(r"[\w.-]+(\[\w+\])?>=[\d.]+\b", line)]
    pins = scripts["lowest"](lines)
    assert 'gensim==4.3.3; python_version < "3.14"' in pins
    assert "numpy==1.26" in pins
    assert not [line for line in pins if ">=" in line]


@pytest.mark.slow
def test_the_sdist_holds_every_file(tmp_path):
    told = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if told.returncode:
        pytest.skip("no checkout")
    subprocess.run([sys.executable, "setup.py", "-q", "sdist", "-d", tmp_path], cwd=ROOT, check=True)
    (made,) = tmp_path.iterdir()
    with tarfile.open(made) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert not set(told.stdout.splitlines()) - held


def test_the_address_of_the_source(source):
    gave, _ = build(
        source, "prepare_metadata_for_build_wheel('.')", {**os.environ, "W2V_EMBED_URL": "https://h/o/n.git"}
    )
    told = (source / gave / "METADATA").read_text(encoding="utf-8")
    assert re.findall(r"^Project-URL: (.*)$", told, re.MULTILINE) == [
        "Source, https://h/o/n",
        "Issues, https://h/o/n/issues",
        "Changelog, https://h/o/n/blob/HEAD/CHANGELOG.md",
        "Documentation, https://h/o/n/tree/HEAD/docs",
    ]


@pytest.fixture
def source(tmp_path):
    """A copy of what the package is built from."""
    names = ("setup.cfg", "setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
    if not (ROOT / "setup.py").exists():
        pytest.skip("the package that is tested does not lie in its source")
    for name in names:
        shutil.copy(ROOT / name, tmp_path)
    copied(tmp_path)
    (tmp_path / LIBRARY).unlink()
    return tmp_path


def files_of(package):
    return {path.relative_to(package.parent).as_posix() for path in package.rglob("*") if path.is_file()}


def build(source, step, environment=None):
    """One step of a build, as pip takes it; returns what it gave, and what it said."""
    command = [sys.executable, "-c", f"from setuptools import build_meta as b; open('gave', 'w').write(str(b.{step}))"]
    done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return (source / "gave").read_text(), done.stdout + done.stderr


def without_compiler(tmp_path, stub=False):
    """An environment in which no compiler is found, or one that is only a name."""
    folder = tmp_path / "path"
    folder.mkdir()
    if stub:
        (folder / "cc").write_text("#!/bin/sh\nexit 1\n")
        (folder / "cc").chmod(0o755)
    return {k: v for k, v in os.environ.items() if k != "CC"} | {"PATH": str(folder)}


needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))) and not find_spec("ziglang"), reason="nothing here compiles C"
)


@needs_compiler
def test_a_wheel_holds_all_that_the_package_is(source):
    """And its library, for this platform and every Python."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*pip, "-w", source, source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = source.glob("*.whl")
    assert wheel.name.startswith(f"w2v_embed-{w2v_embed.__version__}-py3-none-")
    assert not wheel.name.endswith("-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith("w2v_embed/")}
    assert LIBRARY not in files_of(source / "w2v_embed")
    assert held == files_of(source / "w2v_embed") | {LIBRARY}
    assert {"w2v_embed/py.typed", "w2v_embed/__init__.pyi", "w2v_embed/matrix/__init__.pyi"} <= held


@needs_compiler
def test_an_editable_install_has_its_library_beside_the_source(source):
    """And none, rather than an old one, where the source no longer compiles; nor does a wheel have that of an old build."""

    def in_wheel():
        with zipfile.ZipFile(source / build(source, "build_wheel('.')")[0]) as archive:
            return LIBRARY in archive.namelist()

    build(source, "build_editable('.')")
    assert (source / LIBRARY).exists()
    assert in_wheel()
    (source / "w2v_embed/readers/scan/kernels.c").write_text("#error\n")
    assert "building extension" in build(source, "build_editable('.')")[1]
    assert not (source / LIBRARY).exists()
    assert not in_wheel()


@pytest.mark.parametrize("compiler", ["none", "stub", "false", "/no/such compiler"])
def test_a_build_without_a_compiler(compiler, source):
    """Zig is asked for, and the package is built without its library where that does not come either."""
    if compiler in ("none", "stub"):
        environment = without_compiler(source, compiler == "stub")
        wanted = "['ziglang']"
    else:
        environment, wanted = {**os.environ, "CC": compiler}, "[]"
    assert build(source, "get_requires_for_build_wheel()", environment)[0] == wanted
    assert build(source, "get_requires_for_build_editable()", environment)[0] == wanted
    wheel, said = build(source, "build_wheel('.')", environment)
    with zipfile.ZipFile(source / wheel) as archive:
        built = LIBRARY in archive.namelist()
    assert built == (wanted != "[]" and find_spec("ziglang") is not None)
    assert built or 'building extension "w2v_embed.readers.scan._kernels" failed' in said


WITHOUT_GENSIM = """
import sys
sys.modules["gensim"] = None
import numpy as np
from w2v_embed import EmbeddingMatrix, build_matrix, convert, inspect, load_vectors
from w2v_embed.cli import main
text, binary, folder = sys.argv[1:]
em = build_matrix([text, binary], {"a": 1, "B": 2}, fallbacks=["lower", "parts"])
assert em.matrix.tolist() == [[0, 0], [1, 2], [3, 4]]
assert inspect(text)["words"] == inspect(binary)["words"] == 2
convert(text, folder + "/v.safetensors")
em.save(folder + "/m.npz")
assert build_matrix([EmbeddingMatrix.load(folder + "/m.npz")], ["<pad>", "a"]).matrix.tolist() == [[0, 0], [1, 2]]
assert main(["inspect", text]) == 0
for call in (lambda: load_vectors(text), lambda: load_vectors(folder + "/v.kv", trust=True)):
    try:
        call()
    except ImportError as error:
        assert "gensim" in str(error) and "pip install gensim" in str(error), error
    else:
        raise AssertionError("KeyedVectors without gensim")
"""


def test_everything_but_keyed_vectors_without_gensim(tmp_path):
    """As on Python 3.14, where it has no wheel."""
    rows = {"a": [1, 2], "b": [3, 4]}
    text, binary = write_text(tmp_path / "v.txt", rows), write_binary(tmp_path / "v.bin", rows)
    w2v_embed.load_vectors(text).save(str(tmp_path / "v.kv"))
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_GENSIM, text, binary, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr

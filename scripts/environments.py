"""The package in environments of its own, under .venvs/: at the lowest versions that setup.cfg admits, and on each Python.

    python scripts/environments.py lowest  [--keras] [pytest's arguments]
    python scripts/environments.py pythons [--keras] [pytest's arguments]

`lowest` takes the oldest Python that setup.cfg admits, pins each requirement to its lower bound, and runs the tests of this
checkout. `pythons` takes each Python from 3.10 to 3.14 that is found: into an empty environment it installs the wheel and then
the sdist, builds a matrix with each, unpacks the sdist, and runs its tests in there, with what setup.cfg says that tests need.

Without --keras, only the tests run that know nothing of Keras (some import it, with JAX). With it, those of layers and models
run, too, under TensorFlow and JAX; TensorFlow is left out where it has no wheel. All tests take an hour for each Python.
"""

from __future__ import annotations

import argparse
import configparser
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
HOMES = ROOT / ".venvs"
PYTHONS = [f"3.{minor}" for minor in range(10, 15)]
# What only looks at the code; no version of it changes what the package does.
TOOLS = {"mypy", "pyright", "ruff"}
TRIED = """
import sys
from w2v_embed import build_matrix
from w2v_embed.readers.scan import hot
em = build_matrix(sys.argv[1], ["<pad>", "中国", "qwxyz"])
assert em.coverage.found == ["中国"], em.coverage
assert em.matrix[1].any() and not em.matrix[2].any()
assert hot.hot_loops(0)[0].__name__.endswith(".kernels"), "the compiled loops are not there"
"""


def requirements(extras: list[str]) -> list[str]:
    """What setup.cfg asks for: the package's own requirements and those of extras, which may name others."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    found = setup["options"]["install_requires"].split("\n")
    for extra in extras:
        for line in setup["options.extras_require"][extra].split("\n"):
            inner = re.fullmatch(r"w2v-embed\[(.*)\]", line)
            found += requirements(inner[1].split(",")) if inner else [line]
    return list(dict.fromkeys(line for line in found if line and not line.startswith("#")))


def lowest(lines: list[str]) -> list[str]:
    """The same, each pinned to its lower bound.

    >>> lowest(["numpy>=1.26", "zstd>=1.0; python_version < '3.14'", "ray[data]>=2.40"])
    ['numpy==1.26', "zstd==1.0; python_version < '3.14'", 'ray[data]==2.40']
    """
    return [line.replace(">=", "==", 1) for line in lines]


def wanted(*extras: str) -> list[str]:
    """The requirements of extras, without mere tools."""
    return [line for line in requirements([*extras]) if re.match(r"[\w.-]+", line)[0] not in TOOLS]


def python_of(version: str) -> str | None:
    """The interpreter of a version, if there is one that runs; of pyenv's, too, whose names on the path may be none."""
    homes = sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob(f"versions/{version}.*/bin/python"))
    for path in (shutil.which(f"python{version}"), *map(str, homes)):
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        if path and subprocess.run([path, "-c", code], capture_output=True, text=True).stdout.strip() == version:
            return path
    return None


def environment(name: str, python: str) -> Path:
    """A new, empty environment; its interpreter."""
    home = HOMES / name
    shutil.rmtree(home, ignore_errors=True)
    if python == sys.executable:
        venv.create(home, with_pip=True)
    else:
        subprocess.run([python, "-m", "venv", home], check=True)
    return home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def pip(python: Path, *arguments: str | Path, check: bool = True) -> bool:
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, check=check).returncode == 0


def run_tests(python: Path, folder: Path, keras: list[str], more: list[str]) -> list[str]:
    """Run the tests in `folder`, then those of Keras under each backend; which of these runs failed."""
    failed = []
    for backend in ("", *keras):
        lane = ["-m", "keras" if backend else "not keras"]
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        settings = clean | {"KERAS_BACKEND": backend or "jax", "TF_CPP_MIN_LOG_LEVEL": "2"}
        done = subprocess.run(
            [python, "-m", "pytest", "-p", "no:cacheprovider", *lane, *more], cwd=folder, env=settings
        )
        if done.returncode not in (0, 5):  # 5: none of them was asked for
            failed.append(backend or "without Keras")
    return failed


def test_lowest(keras: bool, more: list[str]) -> list[str]:
    version = PYTHONS[0]
    path = python_of(version)
    python = environment("lowest", path or sys.executable)
    pins = lowest(wanted("test", *(["tensorflow"] if keras else [])))
    print(
        f"{'Python ' + version if path else 'this Python, for there is no ' + version}:", *pins, sep="\n  ", flush=True
    )
    (HOMES / "lowest.txt").write_text("\n".join(pins) + "\n", encoding="utf-8")
    pip(python, "-r", HOMES / "lowest.txt")
    return run_tests(python, ROOT, ["tensorflow", "jax"] if keras else [], more)


def test_pythons(keras: bool, more: list[str]) -> list[str]:
    built = HOMES / "dist"
    shutil.rmtree(built, ignore_errors=True)
    subprocess.run([sys.executable, "setup.py", "--quiet", "sdist", "--dist-dir", built], cwd=ROOT, check=True)
    (sdist,) = built.glob("*.tar.gz")
    tell = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", built, sdist]
    subprocess.run(tell, check=True)
    (wheel,) = built.glob("*.whl")
    failed = []
    for version in PYTHONS:
        path = python_of(version)
        if path is None:
            print(f"── Python {version}: not on this machine", flush=True)
            continue
        print(f"── Python {version}", flush=True)
        python = environment(version, path)
        for file in (wheel, sdist):
            pip(python, "--force-reinstall", file)
            subprocess.run([python, "-c", TRIED, ROOT / "data" / "vectors.bin"], cwd=built, check=True)
            print(f"{file.name}: installed, and builds a matrix", flush=True)
        (HOMES / "test.txt").write_text("\n".join(wanted("test")) + "\n", encoding="utf-8")
        pip(python, "-r", HOMES / "test.txt")
        backends = ["jax"] if keras else []
        if keras and pip(python, "--only-binary", ":all:", wanted("tensorflow")[-1], check=False):
            backends.insert(0, "tensorflow")
        folder = HOMES / f"unpacked-{version}"
        shutil.rmtree(folder, ignore_errors=True)
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
        (unpacked,) = folder.iterdir()
        failed += [f"Python {version}, {lane}" for lane in run_tests(python, unpacked, backends, more)]
    return failed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["lowest", "pythons"])
    parser.add_argument("--keras", action="store_true")
    asked, others = parser.parse_known_args()
    HOMES.mkdir(exist_ok=True)
    wrong = {"lowest": test_lowest, "pythons": test_pythons}[asked.what](asked.keras, others)
    sys.exit(f"failed: {'; '.join(wrong)}" if wrong else 0)

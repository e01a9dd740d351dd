"""The package where nobody may write to it, used by somebody without a home: an ordinary container; what a wheel holds, and
what works without gensim."""

import ctypes
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import w2v_embed
from tests.conftest import DATA, write_binary, write_text
from w2v_embed.readers.scan import _jit

CODE = """
import logging, sys
logging.basicConfig(format="%(levelname)s %(message)s")
import numpy as np
from w2v_embed import EmbeddingMatrix, build_matrix, load_vectors
from w2v_embed.readers.scan import hot
from w2v_embed.readers.scan import kernels
assert kernels.__file__.startswith(sys.argv[1]), kernels.__file__
assert hot.compiled_loops() is kernels
text, binary = sys.argv[2:4]
words = load_vectors(binary, limit=60)
index = {word: k for k, word in enumerate(words.index_to_key, 1)}
for path in (text, binary):
    em = build_matrix(path, {**index, "W1": 61, "none": 62}, fallbacks=["lower", "parts"], on_error="skip")
    assert em.matrix[1:61].tobytes() == words.vectors.tobytes(), path
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
    where = [python, np.__file__, _jit.nb.__file__]
    done = subprocess.run(
        ["test", "-r", where[0], "-a", "-r", where[1], "-a", "-r", where[2]], user=65534, group=65534, check=False
    )
    return done.returncode == 0


@pytest.fixture
def installed(tmp_path):
    """A folder with a copy of the package that nobody may write to."""
    site = tmp_path / "site"
    shutil.copytree(Path(w2v_embed.__file__).parent, site / "w2v_embed", ignore=shutil.ignore_patterns("__pycache__"))
    for folder, _, files in os.walk(site):
        for file in files:
            os.chmod(os.path.join(folder, file), 0o444)
        os.chmod(folder, 0o555)
    for folder in (tmp_path, tmp_path.parent):
        os.chmod(folder, 0o755)
    yield site
    for folder, _, _ in os.walk(site):
        os.chmod(folder, 0o755)


@pytest.mark.skipif(sys.platform != "linux", reason="users and capabilities as Linux has them")
def test_the_compiled_loops_where_nothing_can_be_kept(installed, tmp_path):
    """All that is compiled is compiled for this process, the result is right, and the log says so once."""
    kv_text = write_text(tmp_path / "v.txt", rows_of(DATA / "vectors.bin"))
    binary = shutil.copy(DATA / "vectors.bin", tmp_path / "vectors.bin")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA", "XDG", "HOME", "PYTHON"))}
    environment |= {"PYTHONPATH": str(installed), "HOME": "/dev/null/no"}
    how = {"preexec_fn": drop_the_power_to_write_everywhere}
    if os.geteuid() == 0 and nobody_can_run(sys.executable):
        how = {"user": 65534, "group": 65534, "extra_groups": []}
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(installed), str(kv_text), str(binary)],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        **how,
    )
    if done.returncode == 77:
        pytest.skip("this root cannot give up its power to write everywhere")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("the compiled loops cannot be kept on disk") == 1, done.stderr
    assert "Set NUMBA_CACHE_DIR" in done.stderr
    assert not list(installed.rglob("__pycache__"))


def rows_of(path):
    from w2v_embed import load_vectors

    kv = load_vectors(path, limit=500)
    return {word: kv[word].tolist() for word in kv.index_to_key}


def test_a_folder_of_compiled_loops_that_is_damaged_or_full(tmp_path, caplog):
    """Numba lets what is wrong with it end the call; here the loop is compiled anew."""

    def double(x):
        return 2 * x

    class Broken:
        _cache_file = SimpleNamespace(_source_stamp="of the loop's own file")

        def load_overload(self, *_):
            raise EOFError("Ran out of input")

        def save_overload(self, *_):
            raise OSError(28, "No space left on device")

    class Loop:
        def __init__(self):
            self._cache = Broken()

        def enable_caching(self):
            pass

    loop = Loop()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_jit.nb, "njit", lambda **_: lambda function: loop)
        patch.setattr(_jit.unkept, "told", False)
        assert _jit.compiled(double) is loop
        assert loop._cache.load_overload() is None
        assert loop._cache.save_overload() is None
    assert caplog.text.count("the compiled loops cannot be kept on disk (Ran out of input)") == 1
    assert "No space left" not in caplog.text


def test_a_numba_that_keeps_loops_in_another_way(caplog):
    """Where old machine code could be taken for new one, none is kept."""

    class Loop:
        def enable_caching(self):
            self._cache = SimpleNamespace()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_jit.nb, "njit", lambda **_: lambda function: Loop())
        patch.setattr(_jit.unkept, "told", False)
        assert not hasattr(_jit.compiled(lambda x: x), "_cache")
    assert "the compiled loops cannot be kept on disk" in caplog.text


KEYS = """
import sys
import numpy as np
from w2v_embed.readers.scan import _text, kernels
assert kernels.__file__.startswith(sys.argv[1]), kernels.__file__
buf, hits = np.frombuffer(b"a 1\\n" + bytes(64), np.uint8), np.zeros((1, 5), np.int64)
notes = np.zeros(1, np.int64), np.zeros(1, np.int64)
kernels.scan_text(buf, 4, 1, kernels.make_table([]), hits, np.zeros((1, 3), np.int64), notes)
print(notes[0][0], sum(_text._scan_text.stats.cache_hits.values()))
"""


def test_old_machine_code_is_not_taken_for_new(tmp_path):
    """Also where what changed stands in another file than the loop, of the same size and time."""
    site = tmp_path / "site"
    shutil.copytree(Path(w2v_embed.__file__).parent, site / "w2v_embed", ignore=shutil.ignore_patterns("__pycache__"))
    environment = {**os.environ, "PYTHONPATH": str(site), "NUMBA_CACHE_DIR": str(tmp_path / "numba")}

    def key_and_hits():
        done = subprocess.run(
            [sys.executable, "-B", "-c", KEYS, str(site)],
            env=environment,
            cwd="/",
            capture_output=True,
            text=True,
            check=True,
        )
        return tuple(map(int, done.stdout.split()))

    key, hits = key_and_hits()
    assert hits == 0
    assert key_and_hits() == (key, 1)
    path = site / "w2v_embed/readers/scan/plain.py"
    times = path.stat()
    text = path.read_text()
    path.write_text(text.replace("0xCBF29CE484222325", "0xCBF29CE484222326"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.read_text() != text
    other, hits = key_and_hits()
    assert other != key
    assert hits == 0


def test_a_wheel_holds_all_that_the_package_is(tmp_path):
    root = Path(w2v_embed.__file__).parent.parent
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, tmp_path)
    shutil.copytree(root / "w2v_embed", tmp_path / "w2v_embed", ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*pip, "-w", tmp_path, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith("w2v_embed/")}
    package = tmp_path / "w2v_embed"
    assert held == {str(path.relative_to(tmp_path)) for path in package.rglob("*") if path.is_file()}
    assert {"w2v_embed/py.typed", "w2v_embed/__init__.pyi", "w2v_embed/matrix/__init__.pyi"} <= held


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

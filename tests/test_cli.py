"""The command line: what it writes, prints and returns; and that it starts fast."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from w2v_embed import EmbeddingMatrix, build_matrix
from w2v_embed.cli import main

ROOT = Path(__file__).parent.parent


@pytest.fixture
def index(tmp_path):
    path = tmp_path / "index.json"
    path.write_text(json.dumps({"中国": 1, "qwxyz": 2}), encoding="utf-8")
    return path


def test_build(data, index, tmp_path, capsys):
    out = tmp_path / "m.safetensors"
    assert main(["build", str(data / "vectors.txt.bz2"), str(index), "-o", str(out)]) == 0
    printed = capsys.readouterr()
    assert "1 of 2 words found (50.0 %)" in printed.out
    assert "3 rows × 100" in printed.out
    assert printed.err == ""  # no bar without a terminal
    em = EmbeddingMatrix.load(out)
    assert (em.matrix == build_matrix(data / "vectors.bin", index).matrix).all()


def test_build_options(data, index, tmp_path, capsys):
    out = tmp_path / "m.npz"
    options = ["--num-words", "3", "--oov", "normal", "--seed", "3", "--dtype", "float16", "--on-error", "skip", "-q"]
    assert main(["build", str(data / "vectors.bin"), str(index), "-o", str(out), *options]) == 0
    assert capsys.readouterr().out == ""
    expected = build_matrix(data / "vectors.bin", index, num_words=3, oov="normal", seed=3, dtype="float16")
    assert EmbeddingMatrix.load(out).matrix.tobytes() == expected.matrix.tobytes()


def test_the_script_is_the_same_command(data, index, tmp_path):
    out = tmp_path / "m.npy"
    script = [
        sys.executable,
        str(ROOT / "scripts/build_matrix.py"),
        str(data / "vectors.bin"),
        str(index),
        "-o",
        str(out),
    ]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert out.exists()
    assert "words found" in done.stdout


def test_inspect(data, capsys):
    assert main(["inspect", str(data / "vectors.txt.bz2"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["format"], facts["compression"], facts["words"], facts["dim"]) == ("text", "bzip2", 11000, 100)
    assert facts["header"] == [11000, 100]
    assert main(["inspect", str(data / "vectors.bin")]) == 0
    assert "binary" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "{data}/none.txt", "{index}", "-o", "{tmp}/m.npz"], "none.txt: No such file"),
        (["build", "{data}/vectors.bin", "{tmp}/none.json", "-o", "{tmp}/m.npz"], "none.json: No such file"),
        (["build", "{data}/titles.tsv", "{index}", "-o", "{tmp}/m.npz"], "holds no word vectors"),
        (
            ["build", "{data}/vectors.bin", "{data}/titles.tsv", "-o", "{tmp}/m.npz"],
            "line 1: expected a word, a tab and its id",
        ),
        (["build", "{data}/vectors.bin", "{index}", "-o", "{tmp}/m.xyz"], "must end in .safetensors"),
        (["build", "{data}/vectors.bin", "{index}", "-o", "{tmp}/no/m.npz"], "there is no folder"),
        (["inspect", "{data}"], "is a folder"),
    ],
)
def test_bad_input_is_exit_code_1_and_one_line(arguments, message, data, index, tmp_path, capsys):
    filled = [argument.format(data=data, index=index, tmp=tmp_path) for argument in arguments]
    assert main(filled) == 1
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert not list(tmp_path.glob("m.*"))


@pytest.mark.parametrize(
    "arguments", [[], ["build"], ["build", "a", "b"], ["fly"], ["build", "a", "b", "-o", "c.npz", "--oov", "x"]]
)
def test_bad_usage_is_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: w2v-embed" in capsys.readouterr().err


def test_a_bar_on_a_terminal(data, index, tmp_path):
    """In a pseudo-terminal the bar shows bytes and rows found."""
    pty = pytest.importorskip("pty")
    import fcntl
    import os
    import termios

    main_end, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 100, 0, 0))
    command = [
        sys.executable,
        "-m",
        "w2v_embed.cli",
        "build",
        str(data / "vectors.bin"),
        str(index),
        "-o",
        str(tmp_path / "m.npz"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=terminal)
    os.close(terminal)
    shown = b""
    try:
        while chunk := os.read(main_end, 1 << 16):
            shown += chunk
    except OSError:  # how a pseudo-terminal ends
        pass
    assert process.wait() == 0
    assert b"1 rows found" in shown
    assert b"%" in shown


def modules_after(code):
    """Names of the modules that a fresh Python has loaded after running `code`."""
    code += "\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


HEAVY = {
    "keras",
    "tensorflow",
    "jax",
    "torch",
    "gensim",
    "pandas",
    "numba",
    "scipy",
    "safetensors",
    "jieba",
    "matplotlib",
}


@pytest.mark.parametrize(
    "code",
    [
        "import w2v_embed",
        "from w2v_embed import build_matrix, load_vectors, EmbeddingMatrix, Coverage",
        "from w2v_embed.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass",
        "from w2v_embed import build_matrix; build_matrix('data/vectors.bin', ['中国'])",
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(code):
    assert not modules_after(code) & HEAVY


def test_reading_never_loads_keras():
    """The whole reading half: gensim is loaded for KeyedVectors, Keras and its backends never."""
    code = (
        "from w2v_embed import *; em = build_matrix(load_vectors('data/vectors.bin'), ['中国']); em.coverage.to_frame()"
    )
    code = code.replace("from w2v_embed import *", "from w2v_embed import build_matrix, load_vectors")
    assert not modules_after(code) & {"keras", "tensorflow", "jax", "torch"}


def test_public_names():
    import w2v_embed

    assert set(dir(w2v_embed)) == {
        "Coverage",
        "EmbeddingMatrix",
        "__version__",
        "build_matrix",
        "embedding_layer",
        "load_vectors",
    }
    with pytest.raises(AttributeError, match="no attribute 'nothing'; it has load_vectors"):
        w2v_embed.nothing  # noqa: B018

"""`w2v-embed encode` and `similar`, as a person runs them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from w2v_embed.cli import main
from w2v_embed.contextual import ContextualEncoder, stream

BERT = str(Path(__file__).parent / "data" / "reference" / "bert_hf")
LINES = ["The bank of the river.", "", "king", "queen and king", "北京银行"]


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(LINES) + "\n", "utf-8")
    return str(path)


def test_encode_writes_a_vector_a_line(texts, tmp_path, capsys):
    output = str(tmp_path / "vectors.npy")
    assert (
        main(["encode", BERT, texts, "-o", output, "--layers", "-1", "1", "--pooling", "max", "--merge", "concat"]) == 0
    )
    assert capsys.readouterr().out == f"{output}: 5 vectors of 64 numbers (float32)\n"
    encoder = ContextualEncoder.from_pretrained(BERT)
    expected = encoder.encode(LINES, layers=[-1, 1], pooling="max", merge="concat")
    np.testing.assert_array_equal(np.load(output), expected)


def test_encode_passes_its_options_on(texts, tmp_path, capsys):
    output = str(tmp_path / "vectors.npy")
    options = ["--no-special-tokens", "--max-length", "6", "--stride", "2", "--batch-size", "2", "-q"]
    assert main(["encode", BERT, texts, "-o", output, *options]) == 0
    assert capsys.readouterr().out == ""
    expected = ContextualEncoder.from_pretrained(BERT).encode(LINES, special_tokens=False, max_length=6, stride=2)
    np.testing.assert_allclose(np.load(output), expected, atol=1e-5)


@pytest.mark.parametrize(("option", "value", "near"), [("engine", "onnx", 1e-5), ("compute_dtype", "float16", 0.05)])
def test_encode_is_told_how_to_compute(texts, tmp_path, option, value, near):
    if value == "onnx":
        pytest.importorskip("onnxruntime")
    output = str(tmp_path / "vectors.npy")
    assert main(["encode", BERT, texts, "-o", output, f"--{option.replace('_', '-')}", value]) == 0
    encoder = ContextualEncoder.from_pretrained(BERT, **{option: value})
    np.testing.assert_array_equal(np.load(output), encoder.encode(LINES))
    expected = ContextualEncoder.from_pretrained(BERT).encode(LINES)
    assert 0 < np.abs(np.load(output) - expected).max() < near


def test_what_another_run_writes_is_not_called_ours(texts, tmp_path, capsys, monkeypatch):
    def taken(file):
        (tmp_path / "v.npy.part").write_bytes(b"rows of another run")
        return False

    monkeypatch.setattr(stream, "lock", taken)
    assert main(["encode", BERT, texts, "-o", str(tmp_path / "v.npy")]) == 1
    told = capsys.readouterr().err
    assert "v.npy.part is being written by another run" in told
    assert "written before" not in told


def test_similar_prints_the_nearest_lines(texts, capsys):
    assert main(["similar", BERT, "king", texts, "-n", "2"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == " 1.0000  king"
    cosines = ContextualEncoder.from_pretrained(BERT).similarity("king", LINES)[0]
    best = np.argsort(-cosines)[1]
    assert second == f"{cosines[best]:7.4f}  {LINES[best]}"


def test_similar_whitens(texts, capsys):
    assert main(["similar", BERT, "king", texts, "-n", "5", "--whiten", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == " 1.0000  king"
    assert float(lines[-1].split()[0]) < 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["encode", BERT, "absent.txt", "-o", "v.npy"], "absent.txt: No such file or directory"),
        (["encode", "absent/model", "TEXTS", "-o", "v.npy"], "absent/model is neither a folder nor the prefix"),
        (["similar", BERT, "king", "TEXTS", "--whiten", "5"], "vectors must be more than 5, as many as columns"),
    ],
)
def test_mistakes_are_told(arguments, words, texts, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([texts if argument == "TEXTS" else argument for argument in arguments]) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["encode", BERT, "t.txt", "-o", "v.npy", "--pooling", "maxx"],
            "'maxx' .*mean, max, mean_max.* did you mean 'max'?",
        ),
        (["encode", BERT, "t.txt", "-o", "v.npy", "--merge", "x"], "'x' .*choose from sum, mean, concat"),
        (["similar", BERT, "king", "t.txt", "-n", "0"], "-n: expected a whole number from 1 on, received '0'"),
    ],
)
def test_bad_usage_is_exit_code_2(arguments, words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert re.search(words, capsys.readouterr().err)


@pytest.mark.parametrize("name", ["v.npy", "v.npy.part"])
def test_the_texts_are_not_overwritten(name, tmp_path, capsys):
    path = tmp_path / name
    path.write_text("king\n")
    assert main(["encode", BERT, str(path), "-o", str(tmp_path / "v.npy")]) == 2
    assert "are one file, which would be overwritten" in capsys.readouterr().err
    assert path.read_text() == "king\n"


def test_texts_reach_the_terminal_as_escapes(tmp_path, capsys):
    path = tmp_path / "t.txt"
    path.write_text("king \x1b]0;x\x07\n")
    assert main(["similar", BERT, "king", str(path)]) == 0
    assert capsys.readouterr().out.endswith("king \\x1b]0;x\\x07\n")


def test_a_line_that_is_no_utf8(tmp_path, capsys):
    path = tmp_path / "latin.txt"
    path.write_bytes(b"king\nna\xefve\n")
    assert main(["encode", BERT, str(path), "-o", str(tmp_path / "v.npy")]) == 1
    assert f"{path}, line 2: expected UTF-8" in capsys.readouterr().err
    assert [left.name for left in tmp_path.iterdir()] == ["latin.txt"]


def test_stopping_says_how_to_go_on(texts, tmp_path, monkeypatch, capsys):
    def stopped(*args, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(ContextualEncoder, "encode", stopped)
    output = tmp_path / "v.npy"
    assert main(["encode", BERT, texts, "-o", str(output)]) == 130
    assert capsys.readouterr().err == "w2v-embed: stopped; no output was written\n"
    output.with_name("v.npy.part").touch()
    assert main(["encode", BERT, texts, "-o", str(output)]) == 130
    assert capsys.readouterr().err == f"w2v-embed: stopped; the same command goes on from {output}.part\n"


# A child whose `keras`, or whose backend, is not installed: the first finder that is asked says so.
WITHOUT = """
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split(","):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Finder())
if sys.argv[2] == "main":
    from w2v_embed.cli import main
    sys.exit(main(sys.argv[3:]))
try:
    exec(sys.argv[3])
except ImportError as error:
    sys.exit(f"ImportError: {error}")
"""


def without(missing, *arguments, backend="tensorflow"):
    """Run in a process in which some packages are not installed; returns (exit code, what stderr says)."""
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", WITHOUT, missing, *arguments]
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    return run.returncode, run.stderr


@pytest.mark.parametrize("backend", [None, "tensorflow", "jax", "torch"])
def test_without_keras_or_its_backend_the_extra_is_named(backend, texts, tmp_path):
    missing = backend or "keras"
    for command in (["encode", BERT, texts, "-o", str(tmp_path / "v.npy")], ["similar", BERT, "king", texts]):
        code, told = without(missing, "main", *command, backend=backend or "tensorflow")
        assert code == 1
        assert f"No module named '{missing}'" in told
        assert told.startswith("w2v-embed: the encoders need Keras 3 and one of its backends, ")
        for extra in ("contextual", "tensorflow", "jax", "torch"):
            assert f"'w2v-embed[{extra}]'" in told
        assert "Traceback" not in told


@pytest.mark.parametrize(
    "statement",
    [
        "from w2v_embed.contextual import ContextualEncoder",
        "import w2v_embed.contextual.encoder",
        "import w2v_embed.contextual.families.models",
        "from w2v_embed import embedding_layer",
        "import w2v_embed.layers",
        "from w2v_embed.layers.bert import bert_embedding",
    ],
)
def test_whatever_needs_keras_says_so(statement):
    code, told = without("keras", "statement", statement)
    assert code == 1
    assert told.startswith("ImportError: ")
    assert "need Keras 3 and one of its backends, and importing Keras failed: No module named 'keras'" in told
    assert "'w2v-embed[tensorflow]'" in told


def test_the_command_line_does_not_wait_for_keras():
    code = "import sys, w2v_embed.cli; print('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"

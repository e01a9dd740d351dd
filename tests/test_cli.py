"""The command line: what it writes, prints and returns; and that it starts fast."""

import json
import os
import re
import shlex
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import w2v_embed
from tests.conftest import write_text
from w2v_embed import EmbeddingMatrix, build_matrix, load_vectors
from w2v_embed.cli import main
from w2v_embed.corpus import count_words
from w2v_embed.readers.conversion import convert
from w2v_embed.readers.inspection import inspect

ROOT = Path(__file__).parent.parent
BUILD = ["build", "a", "b", "-o", "c.npz"]
HOSTILE = "\x1b[31mred\x9b0m\x07\u202eevil\u2066\x7f"
UNSAFE = set("\x1b\x9b\x07\u202e\u2066\x7f\r")


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


def test_formats_and_trust_are_passed_on(data, index, tmp_path, capsys):
    kv, text = tmp_path / "v.kv", tmp_path / "v.txt"
    load_vectors(data / "vectors.bin", words=["中国"]).save(str(kv))
    text.write_text("中国 1 2\n", encoding="utf-8")
    out = str(tmp_path / "m.npz")
    assert main(["build", str(kv), str(index), "-o", out, "--trust", "-q"]) == 0
    assert EmbeddingMatrix.load(out).coverage.found == ["中国"]
    assert main(["convert", str(kv), str(tmp_path / "v.bin"), "--trust", "-q"]) == 0
    assert main(["inspect", str(kv), "--trust", "--format", "gensim"]) == 0
    for command in (["build", text, index, "-o", out], ["convert", text, tmp_path / "w.bin"], ["inspect", text]):
        assert main([*map(str, command), "--format", "text"]) == 0
        assert main([*map(str, command), "--format", "fasttext"]) == 1
    capsys.readouterr()


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
    there = {**os.environ, "PYTHONPATH": str(ROOT)}  # where the package need not be installed
    done = subprocess.run(script, capture_output=True, text=True, check=False, env=there)
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
        (
            ["build", "{data}/vectors.bin", "{tmp}/deep.json", "-o", "{tmp}/m.npz"],
            "deep.json: lists or objects nested too deeply",
        ),
        (
            ["build", "{data}/vectors.bin", "{tmp}/huge.json", "-o", "{tmp}/m.npz"],
            "huge.json: not JSON that can be read",
        ),
        (
            ["build", "{data}/vectors.bin", "{index}", "-o", "{tmp}/m.npz", "--counts", "{tmp}/deep.json"],
            "nested too deeply",
        ),
        (["build", "{data}/vectors.bin", "{index}", "-o", "{tmp}/m.npz", "--counts", "{tmp}/inf.json"], "received inf"),
        (
            ["build", "{data}/vectors.bin", "{index}", "-o", "{tmp}/m.npz", "--counts", "{tmp}/many.json"],
            "no text is that long",
        ),
    ],
)
def test_bad_input_is_exit_code_1_and_one_line(arguments, message, data, index, tmp_path, capsys):
    (tmp_path / "deep.json").write_text('{"a":' * 100_000)
    (tmp_path / "huge.json").write_text('{"a": 1%s}' % ("0" * 5000))
    (tmp_path / "inf.json").write_text('{"中国": 1e999}', encoding="utf-8")
    (tmp_path / "many.json").write_text('{"qwxyz": 1%s}' % ("0" * 400))
    filled = [argument.format(data=data, index=index, tmp=tmp_path) for argument in arguments]
    assert main(filled) == 1
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert not list(tmp_path.glob("m.*"))


def test_errors_speak_of_options(data, index, tmp_path, capsys):
    """The package speaks of its arguments; whoever runs a command has given options."""
    damaged, latin = tmp_path / "v.txt", tmp_path / "t.txt"
    damaged.write_text("a 1 2\nb 1\nc 1 2\n")
    latin.write_bytes("né".encode("latin-1"))
    kv = load_vectors(data / "vectors.bin", limit=2)
    kv.save(str(tmp_path / "v.kv"))
    for arguments, told in (
        (["build", damaged, index, "-o", tmp_path / "m.npz"], "--on-error skip"),
        (["inspect", tmp_path / "v.kv"], "--trust"),
        (["vocab", latin, "-o", tmp_path / "i.json"], "Pass the right --encoding, or download the file again."),
        (["vocab", index, "-o", tmp_path / "i.json", "--num-words", "1"], "num_words must be None or a whole number"),
    ):
        assert main([str(argument) for argument in arguments]) == 1
        printed = capsys.readouterr().err
        assert told in printed
        assert "=" not in printed.replace(str(tmp_path), "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["build"], "VECTORS"),
        (["build", "a", "b"], "--output"),
        (["fly"], "'fly'"),
        (
            [*BUILD, "--oov", "mena"],
            "--oov: invalid choice: 'mena' (choose from zeros, normal, mean); did you mean 'mean'?",
        ),
        ([*BUILD, "--fallback", "Lowre"], "invalid choice: 'Lowre' (choose from nfkc, lower, title"),
        ([*BUILD, "--fallback", "Lowre"], "did you mean 'lower'?"),
        ([*BUILD, "--dtype", "int8"], "invalid choice: 'int8'"),
        (
            [*BUILD, "--format", "txt"],
            "--format: invalid choice: 'txt' (choose from text, binary, fasttext, gensim, npz, safetensors)",
        ),
        ([*BUILD, "--num-words", "0"], "--num-words: expected a whole number from 1 on, received '0'"),
        ([*BUILD, "--num-words", "1" * 5000], "expected a whole number from 1 on, received '1111"),
        ([*BUILD, "--seed", "-1"], "--seed: expected a whole number from 0 on, received '-1'"),
        ([*BUILD, "--encoding", "hex"], "--encoding: Python knows no encoding 'hex'; try utf-8"),
        (["vocab", "a", "-o", "b.json", "--encoding", "utf-9"], "Python knows no encoding 'utf-9'"),
        ([*BUILD, "--\x1b[31m"], "unrecognized arguments: --\\x1b[31m"),
        ([*BUILD, "--fallbak=lower"], "unrecognized arguments: --fallbak=lower; did you mean '--fallback'?"),
        ([*BUILD, "--fallbak", "lower"], "usage: w2v-embed build "),
        (["inspect", "a", "--min-count", "5"], "usage: w2v-embed inspect "),
        (["biuld"], "did you mean 'build'?"),
        (["--completion", "zhs"], "did you mean 'zsh'?"),
    ],
)
def test_bad_usage_is_exit_code_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    told = capsys.readouterr().err
    assert "usage: w2v-embed" in told
    assert message in told


# ── what is read is not overwritten ──


def linked(kind, path, name):
    """Another name of the file `path`."""
    other = path.with_name(name)
    if kind == "path":
        return path
    (other.symlink_to if kind == "symlink" else other.hardlink_to)(path)
    return other


@pytest.mark.parametrize("kind", ["path", "symlink", "hardlink"])
def test_what_is_read_is_not_overwritten(kind, data, index, tmp_path, capsys):
    build = ["build", str(data / "vectors.bin"), str(index)]
    matrix, page = tmp_path / "m.safetensors", tmp_path / "p.html"
    assert main([*build, "-o", str(matrix), "-q"]) == 0
    page.write_text("x")
    counts = tmp_path / "new.counts.json"
    counts.write_text('{"a": 1}')
    for arguments, told in [
        (
            ["build", str(matrix), str(index), "-o", str(linked(kind, matrix, "a.safetensors"))],
            "--output .* and VECTORS",
        ),
        ([*build, "-o", str(linked(kind, index, "a.npz"))], "--output .* and WORD_INDEX"),
        (
            [*build, "-o", "m.npz", "--counts", str(counts), "--report", str(linked(kind, counts, "c.html"))],
            "--report .* --counts",
        ),
        ([*build, "-o", str(page), "--report", str(linked(kind, page, "b.html"))], "--report .* and --output"),
        (
            ["vocab", "t.txt", "-o", str(index), "--counts", str(linked(kind, index, "c.json"))],
            "--counts .* and --output",
        ),
        (["vocab", str(index), "-o", str(linked(kind, index, "d.json"))], "--output .* and CORPUS"),
        (["vocab", str(counts), "-o", str(tmp_path / "new.json")], "--counts .*new.counts.json and CORPUS"),
        (["convert", str(matrix), str(linked(kind, matrix, "e.safetensors"))], "OUT .* and IN"),
    ]:
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        assert main(arguments) == 2, arguments
        printed = capsys.readouterr().err
        assert re.search(
            rf"w2v-embed: {told} .* are one file, which would be overwritten. Choose another name\n", printed
        )
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_two_outputs_that_are_not_there_yet(tmp_path, capsys):
    command = ["vocab", "t.txt", "-o", str(tmp_path / "i.json"), "--counts", str(tmp_path / "." / "i.json")]
    assert main(command) == 2
    assert "are one file" in capsys.readouterr().err


# ── streams ──


def run(*arguments, **options):
    """`python -m w2v_embed.cli` in a process of its own: (exit code, what it printed, what it complained about)."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    command = [sys.executable, *options.pop("python", ["-m", "w2v_embed.cli"]), *map(str, arguments)]
    done = subprocess.run(
        command, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}, env=environment, check=False
    )
    return done.returncode, done.stdout or b"", done.stderr or b""


@pytest.mark.parametrize(
    "env", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
def test_a_terminal_that_is_not_utf8(env, data, index, tmp_path):
    out = tmp_path / "m.npz"
    code, printed, told = run("build", data / "vectors.bin", index, "-o", out, env=env)
    assert (code, told) == (0, b"")
    assert b"1 of 2 words found" in printed
    assert b"3 rows \\xd7 100" in printed
    code, printed, told = run("--help", env=env)
    assert (code, told) == (0, b"")
    assert b"\\u2192" in printed
    text = tmp_path / "v.txt"
    text.write_text("né 1\n𝒳 2\n中国 3\n", encoding="utf-8")
    code, printed, told = run("inspect", text, "--json", env=env)
    assert (code, told) == (0, b"")
    assert json.loads(printed)["first_words"] == ["né", "𝒳", "中国"]


def test_a_reader_that_goes_away(data, index, tmp_path):
    """As `w2v-embed build … | true`: the work is done all the same."""
    out = tmp_path / "m.npz"
    for arguments in (["build", data / "vectors.bin", index, "-o", out], ["inspect", data / "vectors.bin"], ["--help"]):
        reader, writer = os.pipe()
        os.close(reader)
        code, _, told = run(*arguments, stdout=writer)
        os.close(writer)
        assert (code, told) == (0, b"")
    assert EmbeddingMatrix.load(out).shape == (3, 100)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_a_full_disk_behind_standard_output(data, index, tmp_path):
    out = tmp_path / "m.npz"
    with open("/dev/full", "wb") as full:
        code, _, told = run("build", data / "vectors.bin", index, "-o", out, stdout=full)
    assert (code, told.count(b"\n")) == (1, 1)
    assert told.decode().startswith("w2v-embed: standard output: No space left on device (written before that: ")
    assert EmbeddingMatrix.load(out).shape == (3, 100)


def test_closed_streams(data, index, tmp_path):
    out = tmp_path / "m.npz"
    python = [
        "-c",
        "import sys; sys.stdout = sys.stderr = None; from w2v_embed.cli import main; sys.exit(main(sys.argv[1:]))",
    ]
    assert run("build", data / "vectors.bin", index, "-o", out, python=python) == (0, b"", b"")
    assert run("build", data / "none.bin", index, "-o", out, python=python) == (1, b"", b"")
    assert out.exists()


# ── Ctrl-C ──

# A job in the background of a shell is born deaf to Ctrl-C, and so are its children: tests may run in one.
ATTENTIVE = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
INTERRUPTED = """
import os, runpy, sys
class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                if {swallowed}:
                    raise ImportError("PLEASE READ THIS FOR ADVICE") from None
                raise
sys.modules.pop({module!r}, None)
sys.meta_path.insert(0, Stop())
sys.argv = ["w2v-embed", "build", "a", "b", "-o", "c.npz"]
runpy.run_module("w2v_embed.cli", run_name="__main__")
"""


@pytest.mark.parametrize("module", ["argparse", "numpy", "w2v_embed.cli.commands"])
@pytest.mark.parametrize("swallowed", [False, True])
def test_ctrl_c_while_modules_are_loaded(module, swallowed):
    """Swallowed: as NumPy's C code does, which then tells of a bad installation."""
    code, printed, told = run(python=["-c", ATTENTIVE + INTERRUPTED.format(module=module, swallowed=swallowed)])
    assert (code, printed, told) == (130, b"", b"w2v-embed: stopped; no output was written\n")


def test_ctrl_c_while_a_file_is_read(tmp_path):
    """A real signal, once the command works."""
    text = tmp_path / "t.txt"
    text.write_text("some words here\n" * 2_000_000)
    code = (
        f"{ATTENTIVE}import os, sys, w2v_embed.corpus as corpus\n"
        "count, times = corpus._add, []\n"
        "def counted(words, counts):\n"
        "    times.append(1)\n"
        "    if len(times) == 1000: os.kill(os.getpid(), signal.SIGINT)\n"
        "    return count(words, counts)\n"
        "corpus._add = counted\n"
        "from w2v_embed.cli import main; sys.exit(main())"
    )
    code, printed, told = run("vocab", text, "-o", tmp_path / "i.json", python=["-c", code])
    assert (code, printed, told) == (130, b"", b"w2v-embed: stopped; no output was written\n")
    assert [path.name for path in tmp_path.iterdir()] == ["t.txt"]


DROPS = """
asked = []
def press(*_):
    if not asked:
        asked.append(1)
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(9): pass  # Python answers signals in loops
class Asks:
    def __del__(self): press()
class Ends: pass
class Fails:
    def __del__(self): raise ValueError("another one")
def counted(words, counts):
    Fails()
    if {where!r} == "collector": gc.callbacks.append(press); gc.collect()
    elif {where!r} == "finalizer": Asks()
    else:
        ended = Ends()
        watched = weakref.ref(ended, press)
        del ended
    for _ in range(3000): time.sleep(0.01)
    os._exit(7)
"""


@pytest.mark.parametrize("where", ["collector", "finalizer", "weak reference"])
def test_ctrl_c_where_python_drops_it(tmp_path, where):
    """What is raised there is printed, no more; JAX has such a callback."""
    text = tmp_path / "t.txt"
    text.write_text("some words here\n")
    imports = "import gc, os, sys, time, weakref, w2v_embed.corpus as corpus"
    end = "corpus._add = counted\nfrom w2v_embed.cli import main; sys.exit(main())"
    code = f"{ATTENTIVE}{imports}{DROPS.format(where=where)}{end}"
    code, printed, told = run("vocab", text, "-o", tmp_path / "i.json", python=["-c", code])
    assert (code, printed) == (130, b"")
    assert told.endswith(b"\nw2v-embed: stopped; no output was written\n")
    assert b"ValueError: another one" in told
    assert b"KeyboardInterrupt" not in told
    assert [path.name for path in tmp_path.iterdir()] == ["t.txt"]


def test_what_was_written_is_told(data, index, tmp_path, monkeypatch, capsys):
    pytest.importorskip("altair")
    out, page = tmp_path / "m.npz", tmp_path / "p.html"
    command = ["build", str(data / "vectors.bin"), str(index), "-o", str(out), "--report", str(page), "-q"]

    def stop(error):
        def write_report(*args, **options):
            raise error

        monkeypatch.setattr(EmbeddingMatrix, "write_report", write_report)
        return main(command), capsys.readouterr().err

    assert stop(KeyboardInterrupt) == (130, f"w2v-embed: stopped; {out} was written, nothing else\n")
    assert stop(OSError("full")) == (1, f"w2v-embed: full (written before that: {out})\n")  # another one in its place


def test_memory_that_is_not_there(data, index, tmp_path, monkeypatch, capsys):
    def build_matrix(*args, **options):
        raise MemoryError("for 7 GB")

    monkeypatch.setattr("w2v_embed.matrix.build.build_matrix", build_matrix)
    assert main(["build", str(data / "vectors.bin"), str(index), "-o", str(tmp_path / "m.npz")]) == 1
    assert (
        capsys.readouterr().err
        == "w2v-embed: not enough memory (for 7 GB). Fewer words or rows take less (--num-words)\n"
    )


# ── terminal escapes ──


def test_nothing_out_of_a_file_steers_the_terminal(tmp_path, capsys, caplog):
    """Words of vectors, word index and counts, and the names of files."""
    folder = tmp_path / HOSTILE
    folder.mkdir()
    vectors, index, counts = folder / "v.txt", folder / "i.json", folder / "c.json"
    vectors.write_text(f"{HOSTILE} 1 2\na{HOSTILE} 3 4\nb nan 4\n", encoding="utf-8")
    index.write_text(json.dumps({HOSTILE: 1, "x" + HOSTILE: 2, "b": 5}), encoding="utf-8")
    counts.write_text(json.dumps({HOSTILE: 1, "x" + HOSTILE: 2}), encoding="utf-8")
    build = ["build", vectors, index, "-o", folder / "m.npz", "--counts", counts]
    again = folder / "again.json"
    again.write_text(json.dumps({HOSTILE: 1})[:-1] + f", {json.dumps(HOSTILE)}: 2}}", encoding="utf-8")
    for arguments, code in [
        ([*build, "--on-error", "skip"], 0),
        (build, 1),
        (["build", vectors, again, "-o", folder / "m.npz"], 1),
        (["build", folder / "none", index, "-o", folder / "m.npz"], 1),
        (["build", folder, index, "-o", folder / "m.npz"], 1),
        (["inspect", vectors, "--on-error", "skip"], 0),
        (["inspect", vectors, "--on-error", "skip", "--json"], 0),
        (["inspect", vectors], 1),
        (["convert", vectors, folder / "w.bin", "--on-error", "skip"], 0),
        (["vocab", index, "-o", folder / "w.json"], 0),
    ]:
        caplog.clear()
        assert main([str(argument) for argument in arguments]) == code, arguments
        printed = capsys.readouterr()
        shown = printed.out + printed.err + caplog.text
        assert not UNSAFE & set(shown), arguments
        assert "\\x1b[31mred" in shown or "\\u001b[31mred" in shown, arguments
        if "--json" in arguments:
            assert json.loads(printed.out)["first_words"][0] == HOSTILE
        if code:
            assert printed.err.count("\n") == 1
    assert json.loads((folder / "w.json").read_text(encoding="utf-8"))


def test_nothing_in_an_error_or_a_log_steers_the_terminal(tmp_path, caplog):
    folder = tmp_path / HOSTILE
    folder.mkdir()
    vectors = folder / "v.txt"
    vectors.write_text(f"{HOSTILE} 1 2\nb nan 4\n", encoding="utf-8")
    em = build_matrix(vectors, {HOSTILE: 1, "x": 4})
    em.save(folder / "m.npz")
    (folder / "bad.npz").write_bytes(b"x")
    for call in (
        lambda: load_vectors(vectors),
        lambda: load_vectors(folder),
        lambda: build_matrix(vectors, ["b"]),
        lambda: build_matrix(vectors, folder / "none.xyz"),
        lambda: inspect(vectors, on_error="raise"),
        lambda: convert(vectors, folder / "o.xyz"),
        lambda: count_words(folder, encoding="utf-8"),
        lambda: EmbeddingMatrix.load(folder / "bad.npz"),
        lambda: em.save(folder / "m.xyz"),
        lambda: em.write_report(folder / "m.xyz"),
    ):
        with pytest.raises((ValueError, OSError)) as caught:
            call()
        assert not UNSAFE & set(str(caught.value))
        assert "\\x1b[31mred" in str(caught.value)
    assert not UNSAFE & set(caplog.text)
    assert not UNSAFE & set(em.coverage.summary() + repr(em) + em.coverage.to_json())
    assert json.loads(em.coverage.to_json())["missing"] == 1


def test_a_word_without_end_is_shown_in_short(tmp_path):
    path = write_text(tmp_path / "v.txt", {"a": [1]})
    em = build_matrix(path, ["<pad>", "b" * 10**6])
    assert len(em.coverage.summary()) < 300
    with pytest.raises(ValueError, match=r"… \(1,000,000 characters\)") as caught:
        build_matrix(path, {"b" * 10**6: -1})
    assert len(str(caught.value)) < 300


def test_a_bar_on_a_terminal(data, index, tmp_path):
    """In a pseudo-terminal the bar shows bytes and rows found."""
    pty = pytest.importorskip("pty")
    import fcntl
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


def test_help_and_wrong_usage_do_not_even_load_numpy():
    for arguments in (["--help"], ["build", "--help"], ["build"], ["fly"], ["--version"]):
        code = f"from w2v_embed.cli import main\ntry:\n    main({arguments})\nexcept SystemExit:\n    pass"
        assert "numpy" not in modules_after(code)


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
        "Source",
        "__version__",
        "build_matrix",
        "convert",
        "count_words",
        "embedding_layer",
        "inspect",
        "load_vectors",
        "make_word_index",
        "warm_start",
    }
    with pytest.raises(AttributeError, match="no attribute 'nothing'; it has load_vectors"):
        w2v_embed.nothing  # noqa: B018


def commands():
    """The parsers of all commands, by their names."""
    from w2v_embed.cli.commands import _parser

    return next(action.choices for action in _parser()._actions if action.choices and "build" in action.choices)


def test_each_help_ends_with_calls_that_can_be_parsed(capsys):
    for name, command in commands().items():
        examples = command.format_help().partition("examples:\n")[2]
        assert examples, name
        for line in examples.splitlines():
            program, called, *arguments = shlex.split(line)
            assert (program, called) == ("w2v-embed", name)
            command.parse_args(arguments)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell, capsys):
    pytest.importorskip("shtab")
    with pytest.raises(SystemExit) as caught:
        main(["--completion", shell])
    assert caught.value.code in (0, None)
    script = capsys.readouterr().out
    for word in ("build", "compare", "fallback", "procrustes"):
        assert word in script
    program = shutil.which(shell)
    if program:
        assert subprocess.run([program, "-n"], input=script.encode(), check=False).returncode == 0


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
def test_bash_completes(tmp_path):
    pytest.importorskip("shtab")
    (tmp_path / "vectors.txt").write_text("a 1\n")
    script = (
        f'eval "$({sys.executable} -m w2v_embed --completion bash)"; '
        "_f=$(complete -p w2v-embed | sed -E 's/.*-F ([^ ]+).*/\\1/'); compopt() { :; }; "
    )
    for words, expected in (
        ("w2v-embed b", "build"),
        ("w2v-embed build --ali", "--align"),
        ("w2v-embed build --oov m", "mean"),
    ):
        call = f'COMP_WORDS=({words}); COMP_CWORD={len(words.split()) - 1}; $_f; echo "${{COMPREPLY[@]}}"'
        there = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            ["bash", "-c", script + call], cwd=tmp_path, capture_output=True, text=True, check=False, env=there
        )
        assert done.stdout.split() == [expected], (done.stdout, done.stderr)


def test_python_dash_m(capsys):
    done = subprocess.run([sys.executable, "-m", "w2v_embed", "-V"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == w2v_embed.__version__


def test_build_tells_json(data, index, tmp_path, capsys):
    out = tmp_path / "m.npz"
    assert main(["build", str(data / "vectors.bin"), str(index), "-o", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["rows"], told["dim"], told["padding_row"], told["output"]) == (3, 100, 0, str(out))
    assert told["coverage"]["found"] == 1

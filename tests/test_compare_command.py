"""`w2v-embed compare`: what it takes and prints, and that the commands it prints make what it judged."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")

import w2v_embed
from tests.conftest import write_text
from w2v_embed import EmbeddingMatrix, build_matrix
from w2v_embed.cli import main
from w2v_embed.cli.compare import candidates, command_lines
from w2v_embed.comparison import Candidate
from w2v_embed.corpus import count_words, make_word_index

WORDS = {"red": [f"r{k}" for k in range(12)], "blue": [f"b{k}" for k in range(12)]}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with labelled texts and two files of vectors, of names that a shell would trip over."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    lines = [f"{label}\t{' '.join(rng.choice(WORDS[label], 4))} 谜" for label in ("red", "blue") * 30]
    (tmp_path / "my $(touch pwned) 'texts'.tsv").write_text("\n".join(lines), encoding="utf-8")
    good = {word: [sign * 1.0, rng.normal()] for label, sign in (("red", 1), ("blue", -1)) for word in WORDS[label]}
    write_text(tmp_path / "-good;x.txt", good)
    write_text(tmp_path / "dim.txt", {word: rng.normal(size=3).tolist() for word in [*WORDS["red"], *WORDS["blue"]]})
    return tmp_path


def run(folder, *options):
    return main(["compare", *options, "--seeds", "3", "--", "my $(touch pwned) 'texts'.tsv", "-good;x.txt", "dim.txt"])


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell")
def test_the_printed_commands_make_the_first_s_matrix(folder, capsys):
    assert run(folder, "--fallback", "lower") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("| vectors | words | tokens |")
    assert "| -good;x.txt | 96.0% | 80.0% | 2 |" in printed
    commands = printed.split("The matrix of the first:\n")[1].strip()
    assert len(commands.split("\n")) == 2
    shell = f'w2v-embed() {{ {shlex.quote(sys.executable)} -m w2v_embed.cli "$@"; }}\n{commands}'
    root = str(Path(w2v_embed.__file__).parent.parent)
    subprocess.run(["bash", "-e", "-c", shell], check=True, env={**os.environ, "PYTHONPATH": root}, capture_output=True)
    made = EmbeddingMatrix.load("my $(touch pwned) 'texts'.safetensors")
    lines = (folder / "my $(touch pwned) 'texts'.tsv").read_text(encoding="utf-8").split("\n")
    texts = [line.split("\t")[1] for line in lines]
    (folder / "plain.txt").write_text("\n".join(texts), encoding="utf-8")
    wanted = build_matrix("-good;x.txt", make_word_index(count_words("plain.txt")))
    assert made.word_index == wanted.word_index
    np.testing.assert_array_equal(made.matrix, wanted.matrix)
    assert not (folder / "pwned").exists()


def test_json_and_page(folder, capsys):
    pytest.importorskip("altair")
    assert run(folder, "--json", "--html", "p.html", "-q") == 0
    told = json.loads(capsys.readouterr().out)
    assert [result["name"] for result in told["results"]] == ["-good;x.txt", "dim.txt"]
    assert told["seeds"] == 3
    page = (folder / "p.html").read_text(encoding="utf-8")
    assert "w2v-embed build &#x27;./-good;x.txt&#x27;" in page


def test_quiet_is_the_table_alone(folder, capsys):
    assert run(folder, "-q", "--pooling", "idf", "--examples", "20") == 0
    printed = capsys.readouterr().out
    assert [line[0] for line in printed.strip().split("\n")] == ["|"] * 4


def args_of(*options):
    from w2v_embed.cli.commands import _parser

    return _parser().parse_args(["compare", "l.tsv", "a.vec", "b.vec", *options])


def test_candidates_and_no_option_that_nobody_gave():
    made = list(candidates(args_of()))
    assert [candidate.vectors for candidate in made] == [["a.vec"], ["b.vec"]]
    assert not {"combine", "align", "postprocess"} & set(made[0].options)
    args = args_of(
        "--combine", "concat", "--combine", "average", "--align", "ridge", "--post", "center", "--post", "pca:2"
    )
    made = list(candidates(args))
    steps = {"postprocess": ["center", "pca:2"]}
    chosen = ("combine", "align", "postprocess")
    assert [
        (candidate.vectors, {name: value for name, value in candidate.options.items() if name in chosen})
        for candidate in made
    ] == [
        (["a.vec"], {}),
        (["a.vec"], steps),
        (["b.vec"], {}),
        (["b.vec"], steps),
        (["a.vec", "b.vec"], {"combine": "concat", "align": "ridge"}),
        (["a.vec", "b.vec"], {"combine": "concat", "align": "ridge", **steps}),
        (["a.vec", "b.vec"], {"combine": "average", "align": "ridge"}),
        (["a.vec", "b.vec"], {"combine": "average", "align": "ridge", **steps}),
    ]
    told = command_lines(args, made[-1]).split("\n")[1]
    assert told == (
        "w2v-embed build a.vec b.vec l.words.json -o l.safetensors --combine average --align ridge --post center --post pca:2"
    )


def test_weights_by_frequency_take_the_counts_that_vocab_writes():
    args = args_of("--post", "frequency_weight:sif")
    _, refined, *_ = candidates(args)
    assert command_lines(args, refined).endswith("--counts l.words.counts.json --post frequency_weight:sif")


def test_options_of_reading_are_in_the_command():
    args = args_of(
        "--encoding", "gb18030", "--on-error", "skip", "--format", "text", "--trust", "--text-encoding", "gb18030"
    )
    (first, _) = candidates(args)
    vocab, build = command_lines(args, first).split("\n")
    assert vocab == "w2v-embed vocab l.tsv --labelled -o l.words.json --encoding gb18030"
    assert build == (
        "w2v-embed build a.vec l.words.json -o l.safetensors --encoding gb18030 --trust --format text --on-error skip"
    )


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell")
def test_a_name_that_steers_terminals_is_spelt_in_bytes():
    name = "a\x1b[31m\u202e'\udcff\n.vec"
    told = command_lines(args_of(), Candidate([name], {"fallbacks": []}))
    assert "\x1b" not in told
    assert len(told.split("\n")) == 2
    path = told.split("\n")[1].split()[2]
    printed = subprocess.run(["bash", "-c", f"printf %s {path}"], capture_output=True, check=True).stdout
    assert printed == os.fsencode(name)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["l.tsv", "a.txt", "--combine", "concat"], 2, "--combine needs two different VECTORS or more"),
        (["l.tsv", "a.txt", "a.txt", "--combine", "concat"], 2, "--combine needs two different VECTORS or more"),
        (["l.tsv", "a.txt", "--align", "ridge"], 2, "--align is of --combine; pass --combine, too"),
        (["l.tsv", "a.txt", "--html", "p.txt"], 1, "the name of a report must end in .html"),
        (["l.tsv", "a.txt", "--html", "l.tsv"], 2, "are one file, which would be overwritten"),
        (["none.tsv", "a.txt"], 1, "none.tsv"),
        (["l.tsv", "none.txt"], 1, "none.txt"),
        (["one.tsv", "a.txt"], 1, "labels must be two different ones at least"),
        (["bad.tsv", "a.txt"], 1, "bad.tsv, line 2: expected label<TAB>text"),
    ],
)
def test_refusals(tmp_path, monkeypatch, capsys, options, code, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "l.tsv").write_text("".join(f"{'ab'[k % 2]}\tx{k} y\n" for k in range(20)), encoding="utf-8")
    (tmp_path / "one.tsv").write_text("a\tx\na\ty\na\tz\n", encoding="utf-8")
    (tmp_path / "bad.tsv").write_text("a\tx\nbad\n", encoding="utf-8")
    write_text(tmp_path / "a.txt", {"x": [1, 2], "y": [2, 1]})
    assert main(["compare", *options]) == code
    assert message in capsys.readouterr().err


def test_vocab_leaves_labels_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "l.tsv").write_text("\ufeffsports\tto be\nnews\tor not\tto be\n\n", encoding="utf-8")
    assert main(["vocab", "l.tsv", "--labelled", "-o", "w.json", "-q"]) == 0
    assert json.loads((tmp_path / "w.json").read_text()) == {"be": 1, "to": 2, "not": 3, "or": 4}

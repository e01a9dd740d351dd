"""`train`, `w2v-embed train` and `predict`, from labelled lines to answers, on a language of thirty words."""

import io
import json
import os
import re
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from tests.conftest import write_text  # noqa: E402
from tests.test_text_open_vocabulary import made_of  # noqa: E402
from w2v_embed import EmbeddingMatrix, build_matrix  # noqa: E402
from w2v_embed.cli import main  # noqa: E402
from w2v_embed.text import TextEncoder, load_model  # noqa: E402
from w2v_embed.training import compare_embeddings, fit_encoder, read_labelled, train  # noqa: E402
from w2v_embed.training.classifiers import make_model  # noqa: E402
from w2v_embed.training.embeddings import SideBySide  # noqa: E402
from w2v_embed.training.trained import share_with_vector  # noqa: E402

pytestmark = pytest.mark.keras

ROOT = Path(__file__).parent.parent
ARTIFACTS = ROOT / "tests" / "data" / "artifacts"
WORDS = {"red": [f"r{k}" for k in range(15)], "blue": [f"b{k}" for k in range(15)]}
SPELLING = TextEncoder({"a": 1}, subwords=made_of(["zebra"]))
FAST = ["--epochs", "9", "--rate", "0.1", "--length", "6"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two labels whose words lie apart; r14 and b14 are in the vectors only, `mystery` in the texts only."""
    folder = tmp_path_factory.mktemp("training")
    rng = np.random.default_rng(0)
    rows = {word: rng.normal(size=4) * 0.3 + sign for sign, name in ((1, "red"), (-1, "blue")) for word in WORDS[name]}
    write_text(folder / "vectors.txt", {word: [f"{value:.5f}" for value in row] for word, row in rows.items()})
    lines = [f"{name}\t{' '.join(rng.choice(WORDS[name][:14], 4))} mystery" for name in ("red", "blue") * 60]
    (folder / "texts.tsv").write_text("\n".join(lines), encoding="utf-8")
    (folder / "new.txt").write_text("b14 b14\nr14\t?\n\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def given(files):
    """labels, texts, matrix, encoder"""
    labels, texts = read_labelled(files / "texts.tsv")
    encoder = fit_encoder(texts, more_words=["r14", "b14"], length=6)
    return labels, texts, build_matrix(files / "vectors.txt", encoder.word_index), encoder


def test_train_then_predict_words_that_no_training_text_held(files, tmp_path, capsys):
    out, pictures = tmp_path / "m.keras", tmp_path / "p"
    options = ["--classifier", "cnn", "--examples", "64", "-o", str(out), *FAST, "--pictures", str(pictures)]
    assert main(["train", str(files / "texts.tsv"), str(files / "vectors.txt"), *options]) == 0
    assert "macro F1" in capsys.readouterr().out
    told = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert told["accuracy"] > 0.9 > 0.7 > told["baseline"]
    assert told["model"] == "m.keras"
    assert told["texts"]["train"] == 64
    assert np.sum(told["confusion"]) == told["texts"]["test"] == sum(one["support"] for one in told["labels"].values())
    assert len(told["history"]["val_accuracy"]) <= 9
    assert told["options"]["embedding"] == "gradual"
    assert {path.name for path in pictures.iterdir()} == {"curves.png", "confusion.png"}

    assert main(["predict", str(out), str(files / "new.txt")]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[2] for line in lines] == ["b14 b14", "r14\\t?", ""]
    assert [line[0] for line in lines[:2]] == ["blue", "red"]


def test_predict_reads_standard_input_and_writes_json(tmp_path, capsys, monkeypatch):
    model, new = str(ARTIFACTS / "classifier.keras"), tmp_path / "new.txt"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("goal\tteam\nbank\u2028 stock\n".encode() * 700)))
    assert main(["predict", model, "--json", "--top", "2"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.split("\n") if line]
    assert len(told) == 1400  # more than are read at once
    assert [one["text"] for one in told[:2]] == ["goal\tteam", "bank\u2028 stock"]
    names = [[label["label"] for label in one["labels"]] for one in told[:2]]
    assert names == [["sports", "economy"], ["economy", "sports"]]
    expected = load_model(model).ranked(["goal\tteam"])[0]
    assert [(label["label"], pytest.approx(label["probability"], abs=1e-5)) for label in told[0]["labels"]] == expected
    new.write_bytes(b"")
    assert main(["predict", model, str(new)]) == 0
    assert capsys.readouterr().out == ""
    new.write_text("\ngoal\x1b[31m\n")
    assert main(["predict", model, str(new), "--threshold", "0.9"]) == 0
    assert capsys.readouterr().out == "\t\t\nsports\t0.915\tgoal\\x1b[31m\n"
    new.write_bytes(b"goal\n\xff\n")
    assert main(["predict", model, str(new)]) == 1
    assert "new.txt, line 2: expected UTF-8" in capsys.readouterr().err
    assert main(["predict", str(new)]) == 1
    assert "is no .keras file" in capsys.readouterr().err
    assert main(["predict", model, str(tmp_path / "none.txt")]) == 1


def test_texts_of_several_labels(tmp_path, capsys):
    rng = np.random.default_rng(0)
    lines = []
    for _ in range(240):
        has = [name for name in WORDS if rng.random() < 0.5]
        words = [word for name in has for word in rng.choice(WORDS[name][:14], 2)]
        lines.append(f"{'|'.join(has)}\t{' '.join(words)}")
    write_text(
        tmp_path / "v.txt", {word: [int(name == "red"), int(name == "blue")] for name in WORDS for word in WORDS[name]}
    )
    (tmp_path / "t.tsv").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "new.txt").write_text("b14 r14 b3 r3\nr14\n\n")
    out = tmp_path / "m.keras"
    options = [
        "--multi-label",
        "|",
        "-o",
        str(out),
        "--metrics",
        str(tmp_path / "told.json"),
        *FAST,
        "--embedding",
        "frozen",
    ]
    assert (
        main(["train", str(tmp_path / "t.tsv"), str(tmp_path / "v.txt"), *options, "--class-weight", "balanced"]) == 0
    )
    assert "all labels right" in capsys.readouterr().out
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["confusion"] is None
    assert told["accuracy"] > 0.8 > told["baseline"]
    model = load_model(out)
    assert model.multi_label
    assert main(["predict", str(out), str(tmp_path / "new.txt")]) == 0
    printed = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert {*printed[0][0].split(",")} == {"red", "blue"}
    assert printed[1][0] == "red"
    assert printed[2] == ["", "", ""]
    assert len(model.ranked(["r14"])[0]) == 2
    with zipfile.ZipFile(out) as archive:
        assert json.loads(archive.read("text.json"))["multi_label"] is True
    with pytest.raises(ValueError, match="threshold must be a number from 0 to 1, received 2"):
        model.ranked(["r14"], threshold=2)


def test_the_same_seed_gives_the_same_and_training_stops_early(given):
    told = []
    one, two = (
        train(*given[:3], encoder=given[3], embedding="frozen", epochs=15, patience=2, rate=0.1, progress=tell)
        for tell in (lambda *done: told.append(done), None)
    )
    assert one.metrics["history"] == two.metrics["history"]
    epochs = len(one.metrics["history"]["loss"])
    assert epochs < 15
    assert told == [(number, 15) for number in range(1, epochs + 1)]
    assert (
        epochs == np.argmax(one.metrics["history"]["val_accuracy"]) + 1 + 2
    )  # the first of the best, and the patience


def test_weights_decide_where_nothing_else_does(given):
    """And a model that takes texts of any length."""
    _, _, matrix, _ = given
    labels, texts = ["red", "red", "blue"] * 40, [f"r{k} r{k + 1}" for k in range(12)] * 10
    encoder = TextEncoder(matrix.word_index)
    trained = train(labels, texts, matrix, encoder=encoder, class_weight={"blue": 50.0}, embedding="frozen", rate=0.1)
    assert {label for label, _ in trained.model.predict([*texts, "r3 " * 40])} == {"blue"}


def test_compare_prints_one_row_an_embedding(files, capsys, monkeypatch):
    one = partial(compare_embeddings, embeddings=("frozen",))
    monkeypatch.setattr("w2v_embed.training.embeddings.compare_embeddings", one)
    options = ["--compare", "--examples", "64", "--seeds", "1", "--epochs", "9", "--rate", "0.1", "--length", "6"]
    assert main(["train", str(files / "texts.tsv"), str(files / "vectors.txt"), *options]) == 0
    printed = capsys.readouterr().out
    table = printed[printed.index("|") :].splitlines()
    assert table[:2] == ["| embedding | 64 examples |", "| --- | --- |"]
    cells = re.fullmatch(r"\| frozen \| ([\d.]+) ± 0.000 \|", table[2])
    assert float(cells[1]) > 0.9
    assert "accuracy on 24 texts" in printed


def test_a_table_of_accuracies():
    found = SideBySide([64, 2000], 24, {"oov": [[0.5, 0.7], [0.9, 0.9]]})
    assert found.table().splitlines() == [
        "| embedding | 64 examples | 2,000 examples |",
        "| --- | --- | --- |",
        "| oov | 0.600 ± 0.100 | 0.900 ± 0.000 |",
    ]


def test_a_bilstm_skips_padding():
    table = np.random.default_rng(0).normal(size=(9, 4)).astype("float32")
    table[0] = 0
    matrix = EmbeddingMatrix(table, {f"w{k}": k for k in range(1, 9)}, padding_row=0)
    model = make_model("bilstm", matrix, "frozen", 6, classes=3, rate=0.01)
    long = model.predict(np.array([[3, 5, 8, 0, 0, 0]]), verbose=0)
    short = make_model("bilstm", matrix, "frozen", 3, classes=3, rate=0.01)
    short.set_weights(model.get_weights())
    np.testing.assert_allclose(long, short.predict(np.array([[3, 5, 8]]), verbose=0), rtol=1e-5, atol=5e-6)


def test_what_the_script_wrote_before_is_read(capsys, tmp_path):
    """tests/data/artifacts/classifier.keras, of a script that had split and padded by itself."""
    pytest.importorskip("jieba")
    told = json.loads((ARTIFACTS / "classifier.json").read_text(encoding="utf-8"))
    model = load_model(ARTIFACTS / "classifier.keras")
    assert model.encode(told["texts"]).tolist() == told["ids"]
    np.testing.assert_allclose(model.probabilities(told["texts"]), told["probabilities"], rtol=1e-5, atol=5e-6)
    (tmp_path / "new.txt").write_text("\n".join(told["texts"]), encoding="utf-8")
    assert main(["predict", str(ARTIFACTS / "classifier.keras"), str(tmp_path / "new.txt")]) == 0
    printed = [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]
    assert printed == [told["labels"][int(np.argmax(row))] for row in told["probabilities"]]


def test_the_script_is_the_same_command(tmp_path):
    script = [sys.executable, str(ROOT / "scripts" / "train_classifier.py")]
    done = subprocess.run([*script, "predict", str(tmp_path / "none.keras")], capture_output=True, text=True, input="")
    assert (done.returncode, done.stderr) == (1, f"w2v-embed: {tmp_path / 'none.keras'}: No such file or directory\n")


def test_interrupted_it_leaves_nothing(files, tmp_path, capsys, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("w2v_embed.training.trained.learn", interrupted)
    out = tmp_path / "m.keras"
    assert main(["train", str(files / "texts.tsv"), str(files / "vectors.txt"), "-o", str(out)]) == 130
    assert capsys.readouterr().err == "w2v-embed: stopped; no output was written\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["none.tsv", "v.txt", "-o", "m.keras"], 1, "none.tsv: No such file"),
        (["empty.tsv", "v.txt", "-o", "m.keras"], 1, "empty.tsv: expected lines label<TAB>text, got none"),
        (["bad.tsv", "v.txt", "-o", "m.keras"], 1, "bad.tsv, line 2: expected label<TAB>text"),
        (["one.tsv", "v.txt", "-o", "m.keras"], 1, "labels must be two different ones at least"),
        (["few.tsv", "v.txt", "-o", "m.keras"], 1, "texts must be more, or held_out larger"),
        (["blank.tsv", "v.txt", "-o", "m.keras"], 1, "no word of the texts occurs 1 times or more"),
        (["l.tsv", "none.txt", "-o", "m.keras"], 1, "none.txt: No such file"),
        (["l.tsv", "v.txt", "-o", "m.h5"], 1, "path must end in .keras"),
        (["l.tsv", "v.txt", "-o", "no/m.keras"], 1, "there is no folder"),
        (["l.tsv", "v.txt", "-o", "m.keras", "--metrics", "m.txt"], 1, "must end in .json"),
        (
            ["l.tsv", "v.txt", "-o", "other.keras"],
            1,
            "metrics.json is that of m.keras, which would be lost; pass --metrics",
        ),
        (["l.tsv", "v.txt", "-o", "foreign/o.keras"], 1, "metrics.json is no metrics of a model"),
        (["l.tsv", "v.txt"], 2, "--output, or --compare, is needed"),
        (["l.tsv", "v.txt", "-o", "m.keras", "--compare"], 2, "--compare writes no model"),
        (["l.tsv", "v.txt", "-o", "m.keras", "--examples", "3", "4"], 2, "with --compare only"),
        (["l.tsv", "v.txt", "--compare", "--pictures", "p"], 2, "--pictures are of a model"),
        (["l.tsv", "v.txt", "-o", "m.keras", "--metrics", "l.tsv"], 2, "are one file, which would be overwritten"),
        (["l.tsv", "v.txt", "-o", "m.keras", "--class-weight", "w.json"], 1, "class_weight must name labels"),
        (["l.tsv", "v.txt", "-o", "m.keras", "--class-weight", "none.json"], 1, "none.json: No such file"),
        (["l.tsv", "v.txt", "-o", "m.keras", "--multi-label", " "], 1, "separator must be a text"),
    ],
)
def test_refusals(tmp_path, monkeypatch, capsys, options, code, message):
    monkeypatch.chdir(tmp_path)
    write_text(tmp_path / "v.txt", {"x1": [1, 2], "y": [2, 1]})
    texts = {
        "l.tsv": "".join(f"{'ab'[k % 2]}\tx{k} y\n" for k in range(20)),
        "empty.tsv": "",
        "bad.tsv": "a\tx\nbad\n",
        "one.tsv": "a\tx1\na\ty\na\tx1 y\n",
        "few.tsv": "a\tx1\nb\ty\n",
        "blank.tsv": "a\t\nb\t \n",
        "w.json": '{"c": 3}',
        "m.keras": "",
        "metrics.json": '{"format": "w2v_embed.metrics", "model": "m.keras"}',
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "metrics.json").write_text("[]")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main(["train", *options]) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": ["red"]}, "labels and texts must be of the same length, received 1 and 120"),
        ({"labels": [7] * 120}, "labels must be a str for each text, or a list of str for each .* received 7"),
        ({"labels": ["red", ["blue"]] * 60}, "labels must be a str for each text, .* received both"),
        ({"labels": [["red"], [3]] * 60}, "labels must be a str for each text, .* received 3"),
        ({"encoder": {"a": 1}}, "encoder must be a TextEncoder, received"),
        ({"encoder": TextEncoder({"a": 1})}, "matrix must be made for the words of the encoder"),
        (
            {"encoder": TextEncoder({"a": 0, "<pad>": 1})},
            "encoder and matrix must have padding at 0, received padding_id=1",
        ),
        (
            {"encoder": SPELLING},
            "encoder must be without subwords, as these classifiers have no OpenVocabularyEmbedding",
        ),
        ({"classifier": "transformer"}, 'classifier must be "mean", "cnn" or "bilstm", received'),
        ({"embedding": "thawed"}, 'embedding must be "random"'),
        ({"class_weight": "even"}, 'class_weight must be None, "balanced" or a dict'),
        ({"class_weight": {"red": 0}}, "class_weight of 'red' must be a finite number above 0, received 0"),
        ({"held_out": 1}, "held_out must be a number above 0 and below 1, received 1"),
        ({"epochs": 0}, "epochs must be a whole number from 1 on, received 0"),
        ({"patience": True}, "patience must be a whole number"),
        ({"batch_size": 0}, "batch_size must be a whole number"),
        ({"rate": -1}, "rate must be a finite number above 0, received -1"),
        ({"examples": 1}, "examples must be None or a whole number from 2 on, received 1"),
        ({"seed": -1}, "seed must be a whole number from 0"),
        ({"texts": [""] * 120}, "texts must hold words that the encoder knows, received 120 texts without any"),
    ],
)
def test_what_cannot_be_trained(given, options, message):
    labels, texts, matrix, encoder = given
    options = {"encoder": encoder, **options}
    with pytest.raises((ValueError, TypeError), match=message):
        train(options.pop("labels", labels), options.pop("texts", texts), matrix, **options)


def test_few_vectors_are_told(given, caplog):
    _, texts, matrix, encoder = given
    bare = build_matrix(Nothing(), encoder.word_index)
    assert share_with_vector(bare, encoder(texts)) == 0
    assert "only 0.0 % of the words in the texts have a vector" in caplog.text
    assert share_with_vector(matrix, encoder(texts)) == 0.8


class Nothing:
    vector_size = 4

    def vectors_for(self, words):
        found = np.array([word == "b14" for word in words])
        return np.ones((len(words), 4)) * found[:, None], found


def test_numbers_that_run_away_are_told(given, monkeypatch):
    class Lost:
        def predict(self, ids, verbose):
            return np.full((len(ids), 2), np.nan)

    monkeypatch.setattr("w2v_embed.training.trained.learn", lambda *_, **__: (Lost(), {}))
    with pytest.raises(ValueError, match="rate must be lower: the training ran away, its numbers are NaN; received 9"):
        train(*given[:3], encoder=given[3], rate=9)


@pytest.mark.slow
def test_the_shipped_titles_get_the_same_answers_under_every_backend(data, tmp_path):
    """Trained here, asked in fresh processes, in raw texts: odd ones, empty ones, of unknown words only."""
    pytest.importorskip("jieba")
    out = tmp_path / "m.keras"
    command = ["train", str(data / "titles.tsv"), str(data / "vectors.bin"), "--split", "jieba", "-o", str(out)]
    assert main([*command, "--epochs", "6", "-q"]) == 0
    _, texts = read_labelled(data / "titles.tsv")
    texts = [*texts[::10], "", "\u200b谜\u3000", "\ufeff中国\x85经济", "🙂 e\u0301", "qwxyz " * 99]
    model = load_model(out)
    (tmp_path / "t.json").write_text(json.dumps(texts))
    code = (
        "import json, sys; from w2v_embed.text import load_model\n"
        "model, texts = load_model('m.keras'), json.load(open('t.json'))\n"
        "print(json.dumps([model.encode(texts).tolist(), model.probabilities(texts).tolist(), model.predict(texts)]))"
    )
    expected = model.probabilities(texts)
    for backend in ("tensorflow", "jax", "torch"):
        env = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=env)
        assert done.returncode == 0, done.stderr
        ids, probabilities, answers = json.loads(done.stdout)
        assert ids == model.encode(texts).tolist()
        np.testing.assert_allclose(probabilities, expected, atol=1e-5, rtol=0)
        assert [label for label, _ in answers] == [label for label, _ in model.predict(texts)]

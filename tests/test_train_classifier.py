"""scripts/train_classifier.py from lines to a saved classifier and back, on a language of thirty words."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")

pytestmark = pytest.mark.keras

SCRIPT = Path(__file__).parent.parent / "scripts" / "train_classifier.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("train_classifier", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two labels whose words lie apart; r14 and b14 are in the vectors only, `mystery` in the texts only."""
    folder = tmp_path_factory.mktemp("classifier")
    rng = np.random.default_rng(0)
    words = {"red": [f"r{i}" for i in range(15)], "blue": [f"b{i}" for i in range(15)]}
    with open(folder / "vectors.txt", "w") as file:
        file.write("30 4\n")
        for sign, label in ((1, "red"), (-1, "blue")):
            for word in words[label]:
                vector = rng.normal(size=4) * 0.3 + sign
                file.write(word + " " + " ".join(f"{value:.5f}" for value in vector) + "\n")
    with open(folder / "texts.tsv", "w") as file:
        for i in range(120):
            label = ("red", "blue")[i % 2]
            file.write(f"{label}\t{' '.join(rng.choice(words[label][:14], 4))} mystery\n")
    (folder / "new.txt").write_text("b14 b14\nr14\n\n")
    return folder


@pytest.mark.parametrize(("model", "embedding"), [("mean", "gradual"), ("cnn", "oov")])
def test_train_then_predict_words_that_no_training_text_held(script, files, model, embedding, tmp_path, capsys):
    options = ["--model", model, "--embedding", embedding, "--epochs", "9", "--rate", "0.1", "--length", "6"]
    options += ["--examples", "64", "-o", str(tmp_path)]
    assert script.main(["train", str(files / "texts.tsv"), str(files / "vectors.txt"), *options]) == 0
    printed = capsys.readouterr().out
    assert float(re.search(r"never looked at: ([\d.]+)", printed)[1]) > 0.9
    assert {path.name for path in tmp_path.iterdir()} == {"classifier.keras", "curves.png", "confusion.png"}

    assert script.main(["predict", str(tmp_path / "classifier.keras"), str(files / "new.txt")]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[2] for line in lines] == ["b14 b14", "r14", ""]
    assert [line[0] for line in lines[:2]] == ["blue", "red"]


def test_a_bilstm_skips_padding(script):
    table = np.random.default_rng(0).normal(size=(9, 4)).astype("float32")
    table[0] = 0
    matrix = script.build_matrix(Words(table), {f"w{i}": i for i in range(1, 9)})
    model = script.make_model("bilstm", matrix, "frozen", 6, classes=3, rate=0.01)
    long = model.predict(np.array([[3, 5, 8, 0, 0, 0]]), verbose=0)
    short = script.make_model("bilstm", matrix, "frozen", 3, classes=3, rate=0.01)
    short.set_weights(model.get_weights())
    np.testing.assert_allclose(long, short.predict(np.array([[3, 5, 8]]), verbose=0), rtol=1e-5, atol=5e-6)


class Words:
    """A source for build_matrix: w1, w2, … are the rows of a table."""

    def __init__(self, table):
        self.table, self.vector_size = table, table.shape[1]

    def vectors_for(self, words):
        return self.table[[int(word[1:]) for word in words]], np.ones(len(words), bool)


def test_compare_prints_one_row_an_embedding(script, files, capsys, monkeypatch):
    monkeypatch.setattr(script, "EMBEDDINGS", ("random", "oov"))
    options = ["--compare", "--examples", "64", "--seeds", "1", "--epochs", "2", "--length", "6"]
    assert script.main(["train", str(files / "texts.tsv"), str(files / "vectors.txt"), *options]) == 0
    printed = capsys.readouterr().out
    assert "| embedding | 64 examples |" in printed
    for embedding in script.EMBEDDINGS:
        assert re.search(rf"^\| {embedding} \| [\d.]+ ± [\d.]+ \|$", printed, re.MULTILINE)


def test_chinese_is_split_by_jieba_and_the_rest_at_spaces(script):
    assert script.split_words("我们在学校学习") == ["我们", "在", "学校", "学习"]
    assert script.split_words("It's 3 o'Clock") == ["it", "s", "3", "o", "clock"]


def test_a_users_mistake_is_a_line_and_exit_code_1(script, files, tmp_path, capsys):
    bad = tmp_path / "bad.tsv"
    bad.write_text("red\tr1\nno tab\n")
    assert script.main(["train", str(bad), str(files / "vectors.txt")]) == 1
    assert "bad.tsv, line 2: expected label<TAB>text, got 'no tab'" in capsys.readouterr().err
    assert script.main(["predict", str(tmp_path / "none.keras")]) == 1
    assert "none.keras" in capsys.readouterr().err
    plain = tmp_path / "plain.keras"
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(plain)
    assert script.main(["predict", str(plain)]) == 1
    assert "was not saved by this script" in capsys.readouterr().err

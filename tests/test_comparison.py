"""Comparing word vectors: texts read and parted, the probe, whether a difference is luck, and the whole."""

import json
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.conftest import write_text
from w2v_embed.comparison import Candidate, compare, read_labelled, split_rows
from w2v_embed.comparison.probe import probe
from w2v_embed.comparison.significance import corrected_t_test, holm

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NASTY = "</script><img src=x onerror=alert(1)>/*DATA*/"
RED, BLUE = [f"r{k}" for k in range(15)], [f"蓝{k}" for k in range(15)]


def labelled(n):
    """Labels and texts."""
    rng = np.random.default_rng(0)
    words = {NASTY: RED, "蓝色": BLUE}
    labels = [(NASTY, "蓝色")[k % 2] for k in range(n)]
    return labels, [f"{' '.join(rng.choice(words[label], 4))} 谜" for label in labels]


@pytest.fixture(scope="module")
def texts():
    return labelled(80)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Vectors that tell the two labels apart."""
    rng = np.random.default_rng(0)
    rows = {word: (rng.normal(size=4) * 0.3 + (1 if word in RED else -1)).round(4).tolist() for word in RED + BLUE}
    return str(write_text(tmp_path_factory.mktemp("good") / "good.txt", rows))


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """Vectors that tell nothing: all alike."""
    return str(write_text(tmp_path_factory.mktemp("noise") / "noise.txt", {w: [1, 2, 3] for w in RED + BLUE[:5]}))


# ── labelled texts ──


def test_labels_are_texts_and_blank_lines_are_passed_over(tmp_path):
    path = tmp_path / "l.tsv"
    path.write_bytes("\ufeff1\tone\r\n\n1.0\t \n 2 \ta\tb\n0\t\n \t\n".encode()[:-3])
    assert read_labelled(path) == (["1", "1.0", "2", "0"], ["one", " ", "a\tb", ""])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"expected lines label<TAB>text, got none"),
        (b"\n \n", r"expected lines label<TAB>text, got none"),
        (b"a\tb\nno tab\n", r"line 2: expected label<TAB>text, got 'no tab': no tab"),
        (b"\tb\n", r"line 1: expected label<TAB>text, got '\\tb': no label before the tab"),
        (b"a\tb\n\xff\xfa\tb\n", r"line 2 \(byte 4\): expected UTF-8"),
    ],
)
def test_what_is_no_labelled_file(tmp_path, content, message):
    path = tmp_path / "l.tsv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_labelled(path)


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["", "x", "y", "z", "u", "v"])), min_size=1, max_size=40
    ),
    st.integers(0, 5),
    st.sampled_from([(0.2,), (0.5,), (0.2, 0.2), (0.9,)]),
)
def test_no_text_stands_on_two_sides(rows, seed, shares):
    labels, texts = map(list, zip(*rows))
    parts = split_rows(labels, texts, seed, *shares)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(rows)))
    homes = {}
    for number, part in enumerate(parts):
        for row in part.tolist():
            assert not texts[row] or homes.setdefault(texts[row], number) == number
    assert {labels[row] for row in parts[-1].tolist()} == set(labels)  # a label with one text is learned, at least
    again = split_rows(labels, texts, seed, *shares)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again))


def test_the_shares_are_kept_where_texts_differ():
    labels, texts = ["a", "b"] * 500, [str(k) for k in range(1000)]
    assert [len(part) for part in split_rows(labels, texts, 1, 0.2, 0.3)] == [200, 300, 500]
    assert not np.array_equal(split_rows(labels, texts, 1, 0.2)[0], split_rows(labels, texts, 2, 0.2)[0])


# ── luck ──


def test_the_test_is_the_paper_s():
    first, second = [0.80, 0.84, 0.79, 0.81], [0.78, 0.80, 0.79, 0.77]
    differences = np.subtract(first, second)
    value = differences.mean() / np.sqrt((1 / 4 + 0.25) * differences.var(ddof=1))
    assert corrected_t_test(first, second, 0.25) == pytest.approx(2 * stats.t.sf(value, 3))
    # with nothing to correct it is the plain paired one
    assert corrected_t_test(first, second, 0) == pytest.approx(stats.ttest_rel(first, second).pvalue)
    assert corrected_t_test(second, first, 0.25) == corrected_t_test(first, second, 0.25)


def test_what_has_no_variance():
    assert corrected_t_test([0.5], [0.4], 0.25) is None
    assert corrected_t_test([0.5, 0.6], [0.5, 0.6], 0.25) == 1.0
    assert corrected_t_test([0.5, 0.5], [0.25, 0.25], 0.25) == 0.0
    assert holm([]) == []
    assert holm([0.9, 0.9]) == [1.0, 1.0]


def test_it_is_not_fooled_by_splits_that_share_texts():
    """Two candidates that are equally good: at 5 % the corrected test finds a difference seldom, the plain one often."""
    rng = np.random.default_rng(0)
    found = Counter()
    for _ in range(300):
        right = rng.random((2, 100)) < 0.7  # who gets which text right; splits test on parts of the same hundred
        splits = [rng.permutation(100)[:20] for _ in range(10)]
        first, second = ([float(each[rows].mean()) for rows in splits] for each in right)
        found["plain"] += stats.ttest_rel(first, second).pvalue < 0.05
        found["corrected"] += corrected_t_test(first, second, 20 / 80) < 0.05
    assert found["corrected"] < 0.1 * 300 < found["plain"]


# ── the probe ──


def test_the_probe_learns_what_is_there_and_no_scale_matters():
    rng = np.random.default_rng(0)
    labels = np.array(["1", "0"] * 60, object)
    vectors = rng.normal(size=(120, 5)) + (labels == "1")[:, None] * 3
    train, test = np.arange(80), np.arange(80, 120)
    guesses = probe(vectors, labels, train, test)
    assert (guesses == labels[test]).mean() > 0.9
    assert (probe(vectors * 1e-4 + 7, labels, train, test) == guesses).all()


def test_the_probe_without_anything_to_see_guesses_the_most_frequent():
    labels = np.array(["a", "b", "b", "b", "b", "a", "b", "a"], object)
    assert (probe(np.zeros((8, 3)), labels, np.arange(6), np.array([6, 7])) == "b").all()
    assert len(probe(np.zeros((8, 3)), labels, np.array([0, 1]), np.array([7]))) == 1  # too few to choose by


# ── the whole ──


def test_the_better_one_is_first_and_told_apart(texts, good, noise):
    found = compare(*texts, [Candidate([noise]), Candidate([good])], seeds=4)
    first, second = found.results
    assert found.winner is first
    assert [first.candidate.name, second.candidate.name] == ["good.txt", "noise.txt"]
    assert first.accuracy > 0.95
    assert second.accuracy < 0.8
    assert second.difference == second.accuracy - first.accuracy
    assert second.p < 0.05
    assert first.p is None
    assert found.ties == []
    counts = Counter(word for text in texts[1] for word in text.split())
    known = set(RED + BLUE)
    assert first.types == sum(word in known for word in counts) / len(counts)
    assert first.tokens == sum(n for word, n in counts.items() if word in known) / counts.total()
    assert first.missing == [("谜", 80)]
    assert first.shape == (len(counts) + 1, 4)
    assert (found.train, found.test, found.seeds) == (64, 16, 4)
    assert 0.3 < found.baseline < 0.6


def test_the_same_call_finds_the_same(texts, good, noise):
    def told(found):
        rows = found.as_dict()["results"]
        return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]

    candidates = [Candidate([noise]), Candidate([good])]
    once = compare(*texts, candidates, seeds=2)
    assert told(compare(*texts, candidates[::-1], seeds=2)) == told(once)
    assert compare(*texts, candidates, seeds=3).winner.accuracies[:2] == once.winner.accuracies  # a split is its seed's


def test_a_candidate_alone_and_one_split(texts, good):
    found = compare(*texts, [Candidate([good])], seeds=1)
    assert found.winner.spread == 0
    assert "One split tells nothing about luck" in " ".join(found.notes())
    two = compare(*texts, [Candidate([good]), Candidate([good])], seeds=1)
    assert [result.p for result in two.results] == [None, None]
    assert two.ties == two.results[1:]


@pytest.mark.parametrize("steps", [[], ["center"]])
def test_one_that_knows_no_word(texts, good, tmp_path, caplog, steps):
    """Nor can its rows be refined."""
    other = write_text(tmp_path / "other.txt", {"x": [1, 2], "y": [2, 1]})
    options = {"postprocess": steps}
    found = compare(*texts, [Candidate([good], options), Candidate([other], options)], seeds=3)
    assert found.results[1].types == 0
    assert found.results[1].accuracy < 0.7
    assert "none of the 31 words was found" in caplog.text
    assert "No candidate has any of the words" in " ".join(compare(*texts, [Candidate([other])], seeds=1).notes())


def test_labels_with_few_texts_and_texts_of_nothing(good):
    labels = ["a"] * 20 + ["b"] * 20 + ["lonely", "a"]
    texts = [f"r{k % 15} r{k}" for k in range(20)] + [f"蓝{k % 15} 蓝{k}" for k in range(20)] + ["r1 蓝1", ""]
    found = compare(labels, texts, [Candidate([good])], seeds=6)
    assert "lonely" not in found.winner.by_label  # it is for training
    assert found.winner.accuracy > 0.8


def test_repeated_texts_stay_together_and_are_told(good):
    labels, texts = ["a", "b"] * 20, [f"r{k % 4}" if k % 2 else f"蓝{k % 4}" for k in range(40)]
    found = compare(labels, texts, [Candidate([good])], seeds=5, test=0.5)
    assert found.repeated == 40
    assert "40 texts repeat others" in " ".join(found.notes())


def test_all_poolings_and_few_examples(texts, good):
    for pooling in ("mean", "idf", "sif"):
        found = compare(*texts, [Candidate([good])], seeds=2, pooling=pooling, examples=20)
        assert found.train == 20
        assert found.winner.accuracy > 0.9 or pooling == "sif", pooling  # which removes what tells these labels apart
    told = []
    compare(
        *texts, [Candidate([good]), Candidate([good])], seeds=2, progress=lambda done, total: told.append((done, total))
    )
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ["a"] * 80}, r"labels must be two different ones at least .* received \['a'\] in 64 texts"),
        ({"labels": ["a"]}, "labels and texts must be of the same length, received 1 and 80"),
        ({"texts": [" "] * 80}, "texts must hold words, received 80 texts without any"),
        ({"texts": ["same"] * 80}, r"labels must be two|texts must be more, or test larger: of 80 texts none"),
        ({"candidates": []}, "candidates must be one Candidate at least, received none"),
        ({"test": 1}, "test must be a number above 0 and below 1, received 1"),
        ({"test": True}, "test must be a number above 0 and below 1, received True"),
        ({"seeds": 0}, "seeds must be a whole number from 1 on, received 0"),
        ({"examples": 1}, "labels must be two different ones at least"),
        ({"examples": 0}, "examples must be None or a whole number from 1 on, received 0"),
        ({"pooling": "max"}, 'pooling must be "mean", "idf" or "sif"'),
        ({"classifier": "svm"}, 'classifier must be "mean", "cnn" or "bilstm"'),
        ({"split": "x"}, 'split must be "whitespace"'),
    ],
)
def test_refusals(texts, good, changes, message):
    given = {"labels": texts[0], "texts": texts[1], "candidates": [Candidate([good])], **changes}
    with pytest.raises(ValueError, match=message):
        compare(**given)


def test_what_is_no_candidate(texts, good):
    with pytest.raises(TypeError, match="candidates must be Candidates, received '/"):
        compare(*texts, [good])
    with pytest.raises(TypeError, match="nonsense"):
        compare(*texts, [Candidate([good], {"nonsense": 1})])


def test_names_differ(texts, good, tmp_path):
    shutil.copy(good, tmp_path)
    found = compare(*texts, [Candidate([good]), Candidate([tmp_path / "good.txt"])], seeds=1)
    assert len({result.candidate.name for result in found.results}) == 2


# ── what comes out ──


def data_of(page):
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)[1])


def test_table_json_and_page_say_the_same(texts, good, noise, tmp_path):
    pytest.importorskip("altair")
    found = compare(*texts, [Candidate([good], name=f"好 | {NASTY}"), Candidate([noise])], seeds=3)
    table = found.table().split("\n")
    assert table[2].startswith(f"| 好 \\| {NASTY} | 96.8% | 80.0% | 4 |")
    told = json.loads(found.to_json())
    assert told["results"][0]["accuracy"] == found.winner.accuracy
    assert told["results"][1]["vectors"] == [noise]
    assert told["labels"] == {NASTY: 40, "蓝色": 40}
    page = tmp_path / "p.html"
    found.write_report(page, command="w2v-embed build '<b>'", title="A <title>")
    text = page.read_text(encoding="utf-8")
    assert "<h1>A &lt;title&gt;</h1>" in text
    assert "<pre>w2v-embed build &#x27;&lt;b&gt;&#x27;</pre>" in text
    assert "<img" not in text.split("<script>")[0]
    data = data_of(text)
    assert data["rows"] == found.cells()[1:]
    assert set(data["charts"]) == {"accuracy", "coverage", "labels"}
    assert data["missing"][0][1] == "谜 ×80"


def test_names_in_pictures_differ(texts, good, tmp_path):
    pytest.importorskip("altair")
    found = compare(*texts, [Candidate([good])], seeds=1)
    long = [replace(found.winner, candidate=Candidate([good], {}, f"{'x' * 60}{k}{'y' * 60}")) for k in range(3)]
    replace(found, results=long).write_report(tmp_path / "p.html")
    names = [name for name, _ in data_of((tmp_path / "p.html").read_text(encoding="utf-8"))["missing"]]
    assert len(set(names)) == 3


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome is installed")
def test_a_browser_draws_it(texts, good, noise, tmp_path):
    pytest.importorskip("altair")
    found = compare(*texts, [Candidate([good], name=NASTY), Candidate([noise])], seeds=3)
    page = tmp_path / "p.html"
    found.write_report(page)
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert 'data-drawn="yes"' in dom
    for chart in ("accuracy", "coverage", "labels"):
        assert re.search(rf'<div class="chart[^>]*id="{chart}"[^>]*>\s*<svg', dom), chart
    assert re.search(r"<section[^>]* hidden(=\"\")?><h2>Accuracy of the Keras", dom)
    assert "<img" not in dom.split("<script>")[0]
    assert "蓝色" in dom
    assert "谜 ×80" in dom


@pytest.mark.keras
def test_the_keras_classifier_on_the_same_splits(good, noise):
    pytest.importorskip("keras")
    found = compare(*labelled(4000), [Candidate([good]), Candidate([noise])], seeds=1, classifier="mean")
    assert [len(result.keras) for result in found.results] == [1, 1]
    assert found.winner.keras[0] > 0.8
    assert found.cells()[0][7] == "Keras"
    assert "Keras: the classifier 'mean'" in " ".join(found.notes())
    assert found.results[0].as_dict()["keras_accuracy"] == np.mean(found.results[0].keras)


def test_the_code_of_the_docs_runs(tmp_path, monkeypatch):
    root = Path(__file__).parent.parent
    page = (root / "docs/which_vectors.md").read_text(encoding="utf-8")
    pytest.importorskip("altair")
    (tmp_path / "data").symlink_to(root / "data")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec("\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL)), names)
    assert names["found"].winner.accuracy > 0.6
    assert (tmp_path / "page.html").exists()

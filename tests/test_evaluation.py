"""Word similarity and analogies: the figures are gensim's, and what is wrong in a file is told with its place."""

import json
import math
import tracemalloc
from collections import Counter

import numpy as np
import pytest
from gensim.models import KeyedVectors
from gensim.test.utils import datapath

from tests.conftest import write_binary, write_text
from w2v_embed import EmbeddingMatrix, build_matrix
from w2v_embed.cli import main
from w2v_embed.evaluation import analogies, analogy, word_similarity
from w2v_embed.evaluation.files import read_analogies, read_pairs
from w2v_embed.readers.opened import Opened

WORDSIM, SIMLEX, QUESTIONS = map(datapath, ("wordsim353.tsv", "simlex999.txt", "questions-words.txt"))
OPTIONS = [
    {},
    {"case_insensitive": False},
    {"restrict_vocab": 700},
    {"dummy4unknown": True},
    {"restrict_vocab": 300, "case_insensitive": False, "dummy4unknown": True},
    {"restrict_vocab": 1},
]


def keyed(words, rows):
    kv = KeyedVectors(rows.shape[1])
    kv.add_vectors(words, rows.astype(np.float32))
    return kv


@pytest.fixture(scope="module")
def kv():
    """Most words of the files, some in other cases too and in front of them, in no order; pairs of one category are alike."""
    rng = np.random.default_rng(0)
    rows = {}
    for first, second, figure in read_pairs(WORDSIM) + read_pairs(SIMLEX):
        rows.setdefault(first, rng.normal(size=20))
        rows.setdefault(second, rows[first] * figure / 10 + rng.normal(size=20))
    for category in read_analogies(QUESTIONS).values():
        offset = rng.normal(size=20)
        for a, b, _, _ in category:
            rows.setdefault(a, rng.normal(size=20))
            rows.setdefault(b, rows[a] + offset + 0.3 * rng.normal(size=20))
    words = [word for word in rows if rng.random() < 0.9]
    for word in words[::7]:
        for other in (word.upper(), word.title(), word.lower()):
            rows.setdefault(other, rows[word] + rng.normal(size=20))
    words = [word for word in rows if word in words or rng.random() < 0.5]
    words = [words[k] for k in rng.permutation(len(words))]
    return keyed(words, np.array([rows[word] for word in words]))


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """The first questions of each category."""
    path = tmp_path_factory.mktemp("few") / "questions.txt"
    lines, count = [], 0
    for line in open(QUESTIONS, encoding="utf-8"):  # noqa: SIM115
        count = 0 if line.startswith(":") else count + 1
        if count < 40:
            lines.append(line)
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def given(tmp_path):
    """Writes a text to a file; returns its path."""

    def write(text, name="given.txt"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


def all_kinds(kv, tmp_path):
    """The same vectors in memory and in files."""
    rows = {word: kv[word].tolist() for word in kv.key_to_index}
    em = EmbeddingMatrix(kv.vectors, kv.key_to_index)
    em.save(tmp_path / "v.safetensors")
    text, binary = write_text(tmp_path / "v.txt", rows), write_binary(tmp_path / "v.bin", rows)
    return [kv, em, text, binary, tmp_path / "v.safetensors"]


# ── against gensim ──


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("file", [WORDSIM, SIMLEX])
def test_pairs_as_gensim_counts_them(kv, file, options, tmp_path):
    if options.get("restrict_vocab") == 1:
        with pytest.raises(ValueError, match="No valid similarity judgements"):
            kv.evaluate_word_pairs(file, **options)
        expected = [[math.nan], [math.nan], 100.0]
    else:
        expected = kv.evaluate_word_pairs(file, **options)
    for vectors in all_kinds(kv, tmp_path):
        got = word_similarity(vectors, file, **options)
        assert got.spearman == pytest.approx(expected[1][0], abs=2e-6, nan_ok=True)
        assert got.pearson == pytest.approx(expected[0][0], abs=1e-6, nan_ok=True)
        assert got.pairs == len(read_pairs(file))
        assert 100 * (got.pairs - got.covered) / got.pairs == pytest.approx(expected[2])


@pytest.mark.parametrize("options", OPTIONS)
def test_analogies_as_gensim_counts_them(kv, few, options, tmp_path):
    score, sections = kv.evaluate_word_analogies(str(few), **options)
    for vectors in all_kinds(kv, tmp_path):
        got = analogies(vectors, few, **options)
        assert got.accuracy == score
        assert list(got.by_category) == [section["section"] for section in sections[:-1]]
        for section in sections[:-1]:
            one = got.by_category[section["section"]]
            assert (one.correct, one.counted) == (
                len(section["correct"]),
                len(section["correct"] + section["incorrect"]),
            )
        assert got.questions == sum(one.questions for one in got.by_category.values())
        assert got.covered == sum(one.covered for one in got.by_category.values())
    if options.get("restrict_vocab") is None:
        assert 0.2 < score < 0.9


def test_multiplied_as_gensim_multiplies(kv, few):
    """gensim does not judge by 3CosMul, but answers by it."""
    got = analogies(kv, few)
    first = {}
    for word in kv.index_to_key:
        first.setdefault(word.upper(), word)
    correct = Counter()
    for category, questions in read_analogies(few).items():
        for question in questions:
            a, b, c, d = (first.get(word.upper()) for word in question)
            if a and b and c and d:
                answers = kv.most_similar_cosmul(positive=[b, c], negative=[a], topn=30)
                asked = {word.upper() for word in question[:3]}
                answer = next(word for word, _ in answers if word.upper() not in asked)
                correct[category] += answer.upper() == d.upper()
    assert {name: one.correct_mul for name, one in got.by_category.items()} == {
        name: correct[name] for name in got.by_category
    }
    assert got.accuracy_mul == sum(correct.values()) / got.covered != got.accuracy


@pytest.mark.parametrize("seed", range(40))
def test_any_vocabulary_as_gensim_counts_it(seed, tmp_path, monkeypatch):
    """Few words in many spellings, so that gensim's oddities show; in tables of any size."""
    rng = np.random.default_rng(seed)
    stems = ["ab", "cd", "ef", "gh", "ij", "straße"][: rng.integers(2, 7)]
    spellings = {
        s
        for stem in stems
        for s in (stem, stem.upper(), stem.title(), stem[0] + stem[1:].upper(), stem[:-1] + stem[-1].upper())
    }
    words = [word for word in sorted(spellings) if rng.random() < 0.8] or ["ab"]
    words = [words[k] for k in rng.permutation(len(words))]
    kv = keyed(words, rng.normal(size=(len(words), 4)))
    lines = [": one"]
    for k in range(60):
        lines += [": two"] if k == 30 else []
        lines.append(" ".join(rng.choice([*sorted(spellings), "xx"], 4, p=None)))
    path = tmp_path / "q.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name, value in (
        ("_QUESTIONS", int(rng.integers(1, 70))),
        ("_TOGETHER", int(rng.integers(1, 9))),
        ("_CELLS", 64),
    ):
        monkeypatch.setattr(analogy, name, value)
    for options in (
        {},
        {"case_insensitive": False},
        {"dummy4unknown": True},
        {"restrict_vocab": int(rng.integers(1, len(words) + 3))},
    ):
        score, sections = kv.evaluate_word_analogies(str(path), **options)
        got = analogies(kv, path, **options)
        counts = [(len(section["correct"]), len(section["incorrect"])) for section in sections[:-1]]
        assert [(one.correct, one.counted - one.correct) for one in got.by_category.values()] == counts
        assert got.accuracy == score


def test_a_zero_row_is_no_answer(given):
    kv = keyed(list("abcde"), np.array([[1, 0], [1, 0.1], [1, 0.2], [0, 0], [-1, -1.0]]))
    got = analogies(kv, given(": x\na b c e\na b c d\nd b c e\n"))
    assert (got.correct, got.correct_mul, got.covered) == (1, 1, 3)
    assert word_similarity(kv, given("a d 1\na b 2\na e 0\n")).covered == 3


# ── files ──


def test_layouts_of_pairs(given):
    three = [("love", "sex", 6.77), ("tiger", "cat", 7.35)]
    for text in (
        "love\tsex\t6.77\ntiger\tcat\t7.35\n",
        "\ufeff# a comment\r\n#\r\n\r\nlove\tsex\t6.77\r\ntiger\tcat\t7.35",
        "Word 1\tWord 2\tHuman (mean)\nlove\tsex\t6.77\ntiger\tcat\t7.35\n",
        "Word 1,Word 2,Human (mean)\nlove,sex,6.77\ntiger,cat,7.35\n",
        "Word 1\tWord 2\tHuman (mean)\t1\t2\nlove\tsex\t6.77\t9\t6\ntiger\tcat\t7.35\t9\t7\n",
        "word1\tword2\tPOS\tSimLex999\tconc(w1)\nlove\tsex\tN\t6.77\t3\ntiger\tcat\tN\t7.35\t3\n",
        "love sex 6.77\ntiger   cat 7.35\n",
    ):
        assert read_pairs(given(text)) == three
    assert read_pairs(given("New York\tbig apple\t9\n")) == [("New York", "big apple", 9.0)]
    assert len(read_pairs(WORDSIM)) == 353
    assert len(read_pairs(SIMLEX)) == 999


def test_layouts_of_analogies(given):
    """CA8 has word2vec's layout."""
    text = "\ufeff: A\n避 避一避 补 补一补\n\n: B\n说 说来说去 比 比来比去\n:C\n: D 1\n: A\n弯 弯弯 红 红红"
    assert read_analogies(given(text)) == {
        "A": [("避", "避一避", "补", "补一补"), ("弯", "弯弯", "红", "红红")],
        "B": [("说", "说来说去", "比", "比来比去")],
        "C": [],
        "D 1": [],
    }
    assert sum(map(len, read_analogies(QUESTIONS).values())) == 19_544


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "given.txt holds no pair of words"),
        ("# only\n\n", "given.txt holds no pair of words"),
        ("a\tb\tx\n", "given.txt holds no pair of words"),  # a header
        ("a\tb\t1\nc\td\n", r"given.txt, line 2: expected 3 fields, as in the lines above, between tabs, got 'c\\td'"),
        ("a b\n", "given.txt, line 1: expected two words and a number, between spaces, got 'a b'"),
        (
            "#\na,b,1\n\nc,d,x\n",
            "given.txt, line 4: expected two words, and a finite number in the field 3, got 'c,d,x'",
        ),
        ("a\tb\t1\nc\td\tnan\n", "line 2: expected two words, and a finite number"),
        ("a\tb\t1\nc\td\tinf\n", "line 2: expected two words, and a finite number"),
        ("a\tb\t1\n\td\t3\n", "line 2: expected two words, and a finite number"),
        ("a\tb\t1\nc d 3\n", "line 2: expected 3 fields"),
        ("a\tb\t1\nc\td\t3\t4\n", "line 2: expected 3 fields"),
        ("w\tv\tPOS\tSimLex999\na\tb\tN\tx\n", "line 2: expected two words, and a finite number in the field 4"),
    ],
)
def test_pairs_that_are_none(text, told, given):
    with pytest.raises(ValueError, match=told):
        word_similarity(EmbeddingMatrix([[1.0]], {"a": 0}), given(text))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "given.txt holds no analogy"),
        (": a\n: b\n", "given.txt holds no analogy"),
        ("a b c d\n: x\n", "given.txt, line 1: expected a category, as in ': family', before the first question"),
        (
            ": x\na b c d\n\na b c\n",
            "given.txt, line 4: expected four words between spaces, or ': category', got 'a b c'",
        ),
        (": x\na b c d e\n", "line 2: expected four words"),
    ],
)
def test_analogies_that_are_none(text, told, given):
    with pytest.raises(ValueError, match=told):
        analogies(EmbeddingMatrix([[1.0]], {"a": 0}), given(text))


def test_files_that_are_not_there(tmp_path):
    em = EmbeddingMatrix([[1.0]], {"a": 0})
    for judge in (word_similarity, analogies):
        with pytest.raises(FileNotFoundError):
            judge(em, tmp_path / "none.txt")
        with pytest.raises(IsADirectoryError):
            judge(em, tmp_path)
        with pytest.raises(ValueError, match="restrict_vocab must be None or a whole number from 1 on, received 0"):
            judge(em, WORDSIM, restrict_vocab=0)
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(ValueError, match="b.txt"):
        word_similarity(em, tmp_path / "b.txt")


# ── vectors ──


class Asked:
    """Knows vectors of words in lower case, and not which words there are."""

    vector_size = 2

    def vectors_for(self, words):
        found = np.array([word.islower() and word != "qx" for word in words])
        return np.array([[len(word), ord(word[0]) - 97] for word in words], float) * found[:, None], found


def test_what_can_only_be_asked(given):
    file = given("Cat dog 1\ncat TIGER 2\nqx cat 3\nowl bear 3\n")
    got = word_similarity(Asked(), file)
    same = keyed(["cat", "dog", "tiger", "owl", "bear"], Asked().vectors_for(["cat", "dog", "tiger", "owl", "bear"])[0])
    assert got == word_similarity(same, file)
    assert got.covered == 3
    assert word_similarity(Asked(), file, case_insensitive=False).covered == 1
    with pytest.raises(
        TypeError, match=r"analogies must go through all words: .* received Asked. Make a matrix of the words"
    ):
        analogies(Asked(), QUESTIONS)
    with pytest.raises(TypeError, match="vectors must be a path"):
        word_similarity(3, file)


def test_numbers_that_are_none(given):
    kv = keyed(["cat", "dog", "owl"], np.array([[1, 2], [np.nan, 1], [3, 1.0]]))
    with pytest.raises(ValueError, match="expected finite numbers in the vector of 'DOG'"):
        word_similarity(kv, given("cat dog 1\nowl cat 2\n"))
    with pytest.raises(ValueError, match="expected finite numbers in the vector of 'dog'; 1 rows have others"):
        analogies(kv, given(": x\ncat dog owl cat\n"))
    assert word_similarity(kv, given("cat owl 1\nowl cat 2\n")).covered == 2


def test_a_damaged_file_is_an_error_unless_skipped(tmp_path, given):
    path = write_text(tmp_path / "v.txt", {"cat": [1, 2], "dog": [1, "x"], "owl": [3, 1], "bear": [0, 1]})
    file = given("cat owl 1\nowl bear 2\ndog cat 3\n")
    with pytest.raises(ValueError, match="v.txt, line 3"):
        word_similarity(path, file)
    assert word_similarity(path, file, on_error="skip").covered == 2
    with pytest.raises(ValueError, match="v.txt, line 3"):
        analogies(path, given(": x\ncat owl bear cat\n"))


def test_lent_and_made_rows_are_not_judged(tmp_path, given):
    """As a file that the matrix was saved to has only words with vectors of their own."""
    path = write_text(tmp_path / "v.txt", {"cat": [1, 2], "dog": [1, 1]})
    em = build_matrix(path, ["Cat", "dog", "nobody"], fallbacks=["lower"], oov="normal")
    em.save(tmp_path / "m.npz")
    file = given("cat dog 1\ndog nobody 2\n")
    for vectors in (em, tmp_path / "m.npz"):
        assert word_similarity(vectors, file).covered == 0


def test_only_what_is_needed_is_read(tmp_path, monkeypatch, given):
    """Where case counts only the wanted rows are parsed; the reading ends with the last word that can come."""
    rows = {f"w{k}": [k, 1] for k in range(200_000)}
    path = write_text(tmp_path / "v.txt", rows)
    file = given("w1 w2 1\nw3 w2 2\nw900 w1 3\n")
    asked, read = [], []
    real_look, real_run = Opened.look_for, Opened.run

    def look(self, words, *more):
        asked.append(words)
        real_look(self, words, *more)

    def run(self, *args, **options):
        real_run(self, *args, **options)
        read.append(self.records)

    monkeypatch.setattr("w2v_embed.readers.blocks._BLOCK", 1 << 20)
    monkeypatch.setattr(Opened, "look_for", look)
    monkeypatch.setattr(Opened, "run", run)
    whole = word_similarity(path, file)
    for options in (
        {"case_insensitive": False},
        {"restrict_vocab": 901},
        {"restrict_vocab": 901, "case_insensitive": False},
    ):
        assert word_similarity(path, file, **options) == whole
    assert asked == [None, ["w1", "w2", "w3", "w900"]] * 2
    assert max(read) < 150_000
    for options in ({"restrict_vocab": 900}, {"restrict_vocab": 900, "case_insensitive": False}):
        assert word_similarity(path, file, **options).covered == 2
    assert max(read) < 150_000


def test_memory_is_the_rows_and_some_tables(given):
    rng = np.random.default_rng(0)
    words = [f"w{k}" for k in range(50_000)]
    kv = keyed(words, rng.normal(size=(50_000, 50)))
    file = given(": x\n" + "".join(" ".join(words[k] for k in rng.integers(0, 50_000, 4)) + "\n" for _ in range(800)))
    tracemalloc.start()
    analogies(kv, file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * kv.vectors.nbytes + (72 << 20)  # all cosines of the questions' words would be 480 MB


# ── the command ──


def test_the_command(kv, few, tmp_path, capsys, given):
    _, em, text, binary, _ = all_kinds(kv, tmp_path)
    pairs = given("Tiger\tcat\t7\nlove\tsex\t6\ntiger\tqwxyz\t5\n", "pairs.tsv")
    arguments = ["evaluate", str(text), str(binary), "--pairs", str(pairs), "--pairs", WORDSIM, "--analogies", str(few)]
    assert main([*arguments, "--json", "--restrict-vocab", "900"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert [result["vectors"] for result in results] == [str(text), str(binary)]
    for result in results:
        assert result["pairs"][WORDSIM] == word_similarity(em, WORDSIM, restrict_vocab=900).to_dict()
        assert result["analogies"][str(few)] == analogies(em, few, restrict_vocab=900).to_dict()
    assert main([*arguments, "--restrict-vocab", "0"]) == 0
    lines = capsys.readouterr().out.split("\n")
    got, one = word_similarity(em, WORDSIM), analogies(em, few)
    assert lines[0].split() == ["pairs.tsv", "wordsim353.tsv", "questions.txt"]
    assert f"{got.spearman:.3f} ({got.covered}/353)" in lines[2]
    assert f"{one.accuracy:.3f}, {one.accuracy_mul:.3f} ({one.covered:,}/{one.questions:,})" in lines[3]
    family = one.by_category["family"]
    assert f"{family.accuracy:.3f}, {family.accuracy_mul:.3f}" in next(
        line for line in lines if line.startswith("family")
    )
    assert main([*arguments, "--case-sensitive", "--dummy4unknown", "--json"]) == 0
    options = {"case_insensitive": False, "dummy4unknown": True}
    assert json.loads(capsys.readouterr().out)[0]["analogies"][str(few)] == analogies(em, few, **options).to_dict()


def test_what_the_command_refuses(tmp_path, capsys, given):
    path = write_text(tmp_path / "v.txt", {"cat": [1, 2]})
    assert main(["evaluate", str(path)]) == 2
    assert "nothing to judge by: expected --pairs FILE or --analogies FILE" in capsys.readouterr().err
    bad = given("cat dog\n")
    assert main(["evaluate", str(tmp_path / "none.txt"), "--pairs", str(bad)]) == 1
    assert "given.txt, line 1: expected two words and a number" in capsys.readouterr().err
    assert main(["evaluate", str(path), "--pairs", str(given("cat dog 1\n"))]) == 0
    assert "– (0/1)" in capsys.readouterr().out
    assert main(["evaluate", str(path), "--pairs", str(given("cat dog 1\n")), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["pairs"][str(tmp_path / "given.txt")]["spearman"] is None

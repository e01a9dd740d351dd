"""What the coverage says, counted by hand; counts out of texts; the word index made of them; the projector's files."""

import gzip
import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from tests.conftest import write_text
from w2v_embed import Coverage, EmbeddingMatrix, build_matrix
from w2v_embed.cli import main
from w2v_embed.corpus import count_words, make_word_index, read_counts
from w2v_embed.matrix.fallbacks import Derivation

COUNTS = {"the": 50, "The": 20, "new-york": 5, "qq": 15, "zz": 10, "not in it": 900}


@pytest.fixture
def em(tmp_path):
    path = write_text(tmp_path / "v.txt", {"the": [1, 2, 0], "new": [3, 4, 0], "york": [5, 6, 0]})
    index = {"the": 1, "The": 2, "new-york": 3, "qq": 4, "zz": 5}
    return build_matrix(path, index, fallbacks=["lower", "parts"])


def test_by_type_and_by_token(em):
    coverage = em.coverage
    assert coverage.rate == 3 / 5
    assert coverage.by_source == {"v.txt": 1, "v.txt (lower)": 1, "v.txt (parts)": 1}
    assert coverage.by_fallback == {"exact": 1, "lower": 1, "parts": 1}
    for counts in (COUNTS, Counter(COUNTS), pd.Series(COUNTS)):
        assert coverage.weighted_rate(counts) == 75 / 100
        assert coverage.top_missing(counts, 1) == [("qq", 15)]
    assert [coverage.how(word) for word in ("the", "The", "qq")] == ["exact", "lower", None]
    assert coverage.top_missing() == [("qq", 1), ("zz", 1)]


def test_by_rank(em):
    curve = {rank: (types, tokens) for rank, types, tokens in em.coverage.by_rank(COUNTS)}
    # the 50, The 20, qq 15 (missing), zz 10 (missing), new-york 5
    assert curve == {1: (1, 1), 2: (1, 1), 3: (2 / 3, 70 / 85), 4: (2 / 4, 70 / 95), 5: (3 / 5, 75 / 100)}
    assert Coverage([], [], {}).by_rank({}) == []


def slow_ranked(counts, words):
    return sorted(((word, counts.get(word, 0)) for word in words), key=lambda item: (-item[1], item[0]))


@pytest.mark.parametrize("kind", range(6))
def test_ranks_are_those_of_a_plain_sort(kind):
    """Wherever the list is cut: of many equal ones, of floats, of whole numbers that no float tells apart."""
    rng = np.random.default_rng(kind)
    draw = [
        lambda: int(rng.integers(0, 3)),
        lambda: float(rng.random()),
        lambda: [0, 1, 1.0, 2.5][rng.integers(4)],
        lambda: 2**53 + int(rng.integers(0, 3)),
        lambda: [2**62, float(2**62), 2**63 - 1, 1, True][rng.integers(5)],
        lambda: [np.int64(2), np.float32(2), 2, np.int8(1)][rng.integers(4)],
    ][kind]
    for size in (1, 2, 7, 100):
        words = [f"w{k}" for k in rng.permutation(size).tolist()]
        counts = {word: draw() for word in words[size // 3 :]}
        found, missing = words[: size // 2], words[size // 2 :]
        coverage = Coverage(found, missing, dict.fromkeys(found, "x"))
        expected = slow_ranked(counts, words)
        assert coverage.ranked(counts) == expected
        for n in (0, 1, 3, size, -1):
            assert coverage.top_missing(counts, n) == slow_ranked(counts, missing)[:n]
        for rank, share, tokens in coverage.by_rank(counts):
            top = expected[:rank]
            have = [count for word, count in top if word in found]
            assert share == len(have) / rank
            assert tokens == pytest.approx(sum(have) / (sum(count for _, count in top) or 1))


def test_counts_are_looked_at_once(em):
    """A summary asked for each count three times."""

    class Asked(dict):
        asked = 0

        def get(self, *args):
            self.asked += 1
            return super().get(*args)

    for tell in (em.coverage.summary, em.coverage.to_dict, em.coverage.to_json, em.coverage.by_rank):
        counts = Asked(COUNTS)
        tell(counts=counts)
        assert counts.asked == 5


def test_frame_json_and_text(em):
    frame = em.coverage.to_frame(COUNTS).set_index("word")
    assert frame.loc["new-york"].to_dict() == {
        "found": True,
        "source": "v.txt (parts)",
        "how": "parts",
        "derived_from": "new + york",
        "count": 5,
    }
    assert frame.loc["qq"].to_dict() == {"found": False, "source": None, "how": None, "derived_from": None, "count": 15}
    facts = json.loads(em.coverage.to_json(COUNTS))
    assert facts["token_rate"] == 0.75
    assert facts["top_missing"] == [["qq", 15], ["zz", 10]]
    assert json.loads(em.coverage.to_json())["top_missing"] == ["qq", "zz"]
    text = em.coverage.summary(counts=COUNTS)
    assert "3 of 5 words found (60.0 %), 75.0 % of the 100 tokens" in text
    assert "missing: 2, the most frequent: qq (15), zz (10)" in text


def test_counts_that_are_none(em):
    for wrong, error, message in [
        ([1], TypeError, "counts must map words to numbers .* received list"),
        ({"the": -1}, ValueError, "numbers from 0 on, received -1 for the word 'the'"),
        ({"the": "x"}, ValueError, "received 'x' for the word 'the'"),
        ({"the": float("nan")}, ValueError, "finite numbers from 0 on, received nan for the word 'the'"),
        ({"the": float("inf")}, ValueError, "finite numbers from 0 on, received inf for the word 'the'"),
        ({"the": 10**400}, ValueError, "received <int of 1329 bits> for the word 'the'"),
        ({"the": 2**63}, ValueError, "received 9223372036854775808 for the word 'the': no text is that long"),
        ({"the": pd.NA}, ValueError, "received <NA> for the word 'the'"),
        ({"the": [1, 2]}, ValueError, "received \\[1, 2\\] for the word 'the'"),
    ]:
        with pytest.raises(error, match=message):
            em.coverage.weighted_rate(wrong)


def test_counts_out_of_a_text(em, tmp_path):
    text = tmp_path / "corpus.txt"
    text.write_text("the the The\nqq other\n")
    assert em.coverage.weighted_rate(text) == em.coverage.weighted_rate(str(text)) == 3 / 4
    file = tmp_path / "counts.json"
    file.write_text('{"the": 1, "qq": 3}')
    assert em.coverage.weighted_rate(file) == 1 / 4
    file.write_text("[1]")
    with pytest.raises(ValueError, match=r"counts\.json: expected a JSON object word -> count, got list"):
        read_counts(file)
    for content, told in [
        ('{"the": 1, "qq": 2, "the": 3}', "'the' stands there twice: line 1 with the count 1, line 1 with the count 3"),
        ("[" * 100_000, "nested too deeply"),
        ('{"the": 1%s}' % ("0" * 5000), "not JSON that can be read"),
        ('{"the": 1e999}', "received inf for the word 'the'"),
        ('{"the": Infinity}', "received inf for the word 'the'"),
        ('{"the": 1%s}' % ("0" * 400), "received <int of 1329 bits> for the word 'the'"),
    ]:
        file.write_text(content)
        with pytest.raises(ValueError, match=told):
            em.coverage.weighted_rate(file)
    file.write_bytes(b'{"\xff": 1}')
    with pytest.raises(ValueError, match=r"counts\.json, line 1 \(byte 2\): expected UTF-8, got b'\\xff"):
        read_counts(file)
    file.write_text("{")
    with pytest.raises(ValueError, match=r"counts\.json, line 1: not JSON"):
        read_counts(file)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_counting_is_streamed(tmp_path, pack, monkeypatch):
    monkeypatch.setattr("w2v_embed.readers.lines._CHUNK", 7)
    lines = ["\ufeffthe cat  sat", "", "中国 the\r", "\u3000x\u3000", "the end"]
    path = tmp_path / "t.txt"
    path.write_bytes(pack("\n".join(lines).encode()))
    told = []
    counts = count_words(path, progress=lambda *report: told.append(report))
    assert counts == {"the": 3, "cat": 1, "sat": 1, "中国": 1, "x": 1, "end": 1}
    assert sum(counts.values()) == 8
    assert told[-1] == (path.stat().st_size, path.stat().st_size)
    assert count_words([path, path])["the"] == 6
    assert count_words(path, split=lambda line: [line.strip()])["the end"] == 1


def test_a_line_without_end_is_counted_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("w2v_embed.readers.lines._CHUNK", 64)
    monkeypatch.setattr("w2v_embed.splitting._LONGEST_LINE", 100)
    path = tmp_path / "t.txt"
    path.write_text("alpha beta " * 500)
    assert count_words(path) == {"alpha": 500, "beta": 500}


def test_a_line_without_end_or_space_is_counted_in_a_bounded_time(tmp_path, monkeypatch):
    """One line of 64 MB was not done in a minute: with each MB all before it was split again. What is decoded and split, each
    time, stays bounded."""
    monkeypatch.setattr("w2v_embed.readers.lines._CHUNK", 1 << 10)
    monkeypatch.setattr("w2v_embed.splitting._LONGEST_LINE", 1 << 13)
    path = tmp_path / "t.txt"
    path.write_text("x" * (1 << 17))
    counts = count_words(path)
    assert max(map(len, counts)) == (1 << 13) + (1 << 10)  # cut in the middle of a word: it has no other place
    assert sum(len(word) * count for word, count in counts.items()) == 1 << 17
    seen = []
    counts = count_words(path, split=lambda line: seen.append(len(line)) or [line])
    assert max(seen) <= (1 << 13) + (1 << 10)
    assert sum(seen) == 1 << 17
    path.write_text("be gin " + "x" * 5000 + " end\nend")
    assert count_words(path) == {"be": 1, "gin": 1, "x" * 5000: 1, "end": 2}


@pytest.mark.parametrize("between", ["\n", " ", "。", ""])
def test_a_long_line_of_chinese_is_cut_between_words(between, tmp_path, data, monkeypatch):
    jieba = pytest.importorskip("jieba")
    jieba.setLogLevel("WARNING")
    titles = [line.split("\t")[-1] for line in (data / "titles.tsv").read_text(encoding="utf-8").splitlines()[:400]]
    text = between.join("".join(char for char in title if "\u4e00" <= char <= "\u9fd5") for title in titles)
    path = tmp_path / "t.txt"
    path.write_text(text, encoding="utf-8")
    monkeypatch.setattr("w2v_embed.readers.lines._CHUNK", 1000)  # which cuts characters, too
    monkeypatch.setattr("w2v_embed.splitting._LONGEST_RUN", 500)
    expected = Counter(word for word in jieba.cut(text) if not word.isspace())
    assert count_words(path, split="jieba") == expected
    path.write_text("a" * 2000 + "。" + "中国" * 400, encoding="utf-8")
    counts = count_words(path, split="jieba")
    assert counts["中国"] == 400
    assert sum(len(word) * count for word, count in counts.items()) == 2801


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be", "gb18030", "big5", "utf-8-sig"]
)
@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_texts_in_other_encodings(encoding, chunk, tmp_path, monkeypatch):
    """Lines were cut before they were decoded, and so in the middle of a character of two bytes."""
    monkeypatch.setattr("w2v_embed.readers.lines._CHUNK", chunk)
    path = tmp_path / "t.txt"
    path.write_bytes(
        "the cat\nthe 中國 上 \r\n\u4e0a\u0a0a the".replace("\u0a0a", "" if encoding == "big5" else "\u0a0a").encode(
            encoding
        )
    )
    counts = {"the": 3, "cat": 1, "中國": 1, "上": 1 + (encoding == "big5")}
    assert count_words(path, encoding=encoding) == (counts if encoding == "big5" else {**counts, "上\u0a0a": 1})


@pytest.mark.parametrize("chunk", [1, 5, 1 << 20])
@pytest.mark.parametrize(
    ("raw", "encoding", "told"),
    [
        (b"ok\nok \xff", "utf-8", r"line 2 \(byte 6\): expected utf-8, got b'\\xff' \(invalid start byte\)"),
        (
            b"ok\nok\n \xe4\xb8",
            "utf-8",
            r"line 3 \(byte 7\): expected utf-8, got b'\\xe4\\xb8' \(unexpected end of data\)",
        ),
        (
            "ok\n上\udc00".encode("utf-16-le", "surrogatepass"),
            "utf-16-le",
            r"line 2 \(byte 8\): expected utf-16-le, got b'\\x00",
        ),
        ("ok\n".encode("gb18030") + b"\x81", "gb18030", r"line 2 \(byte 3\): expected gb18030, got b'\\x81'"),
        (
            "ok\nx".encode("utf-16-le"),
            "utf-16",
            r'line 1 \(byte 0\): expected utf-16, got .*BOM\)\. Without a byte order mark it is "utf-16-le" or "utf-16-be"',
        ),
        (b"ok\nx", "utf-16", r'line 1 \(byte \d\): expected utf-16, got .*it is "utf-16-le" or "utf-16-be"'),
        ("ok\nx".encode("utf-16"), "utf-8", r"line 1 \(byte 0\): expected utf-8, .*It looks like utf-16"),
        ("ok\nx".encode("utf-16-le"), "utf-8", r"line 1 \(byte 1\): expected utf-8, got a NUL"),
    ],
)
def test_bytes_that_are_no_text(raw, encoding, told, chunk, tmp_path, monkeypatch):
    monkeypatch.setattr("w2v_embed.readers.lines._CHUNK", chunk)
    path = tmp_path / "t.txt"
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=rf"t\.txt, {told}") as caught:
        count_words(path, encoding=encoding)
    assert "Pass the right encoding" in str(caught.value)


def test_an_encoding_that_is_none(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("x")
    for wrong in ("utf-9", "hex"):
        with pytest.raises(ValueError, match=f"Python knows no encoding '{wrong}'; try utf-8"):
            count_words(path, encoding=wrong)


def test_texts_that_cannot_be_counted(tmp_path):
    path = tmp_path / "t.txt"
    path.write_bytes("ok\n中国".encode("gb18030"))
    with pytest.raises(ValueError, match=r"t\.txt, line 2 \(byte 3\): expected utf-8, got .*Pass the right encoding"):
        count_words(path)
    assert count_words(path, encoding="gb18030") == {"ok": 1, "中国": 1}
    with pytest.raises(
        ValueError,
        match='split must be "whitespace", "jieba", "characters" or a callable line -> words, a jieba.Tokenizer or a',
    ):
        count_words(path, split="space")
    path.write_bytes(gzip.compress(b"some words here " * 1000)[:60])
    with pytest.raises(ValueError, match=r"t\.txt: the gzip stream is cut or damaged"):
        count_words(path)


def test_word_index_of_counts():
    counts = {"b": 2, "a": 2, "c": 3, "d": 1, "<unk>": 9}
    assert make_word_index(counts) == {"<unk>": 1, "c": 2, "a": 3, "b": 4, "d": 5}
    assert make_word_index(counts, special_tokens=["<pad>", "<unk>"]) == {
        "<pad>": 0,
        "<unk>": 1,
        "c": 2,
        "a": 3,
        "b": 4,
        "d": 5,
    }
    assert make_word_index(counts, special_tokens=["<unk>"], num_words=3) == {"<unk>": 1, "c": 2}
    with pytest.raises(ValueError, match="num_words must be None or a whole number from 3 on, received 2"):
        make_word_index(counts, special_tokens=["<unk>"], num_words=2)
    with pytest.raises(ValueError, match="special_tokens must differ, received \\['x', 'x'\\]"):
        make_word_index(counts, special_tokens=["x", "x"])
    for min_count in (-1, True, 2.5):
        with pytest.raises(ValueError, match=f"min_count must be a whole number from 0 on, received {min_count}"):
            make_word_index(counts, min_count=min_count)


def test_vocab_and_build_on_the_command_line(tmp_path, data, capsys):
    text = tmp_path / "t.txt"
    text.write_text("中国 经济 中国\n中国经济 qq 经济 中国\n", encoding="utf-8")
    out = tmp_path / "index.json"
    assert main(["vocab", str(text), "-o", str(out), "--special", "<pad>", "--min-count", "1"]) == 0
    assert json.loads(out.read_text(encoding="utf-8")) == {"<pad>": 0, "中国": 1, "经济": 2, "qq": 3, "中国经济": 4}
    counts = tmp_path / "index.counts.json"
    assert json.loads(counts.read_text(encoding="utf-8")) == {"中国": 3, "经济": 2, "qq": 1, "中国经济": 1}
    assert "7 tokens, 4 words; 5 kept: 100.0% of the tokens" in capsys.readouterr().out
    command = ["build", str(data / "vectors.bin"), str(out), "-o", str(tmp_path / "m.npz"), "--fallback", "lower"]
    command += ["--fallback", "parts", "--counts", str(counts), "--cache-dir", str(tmp_path / "cache")]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "3 of 4 words found (75.0 %), 85.7 % of the 7 tokens" in printed
    assert "vectors.bin (parts): 1" in printed
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_mistakes_on_the_command_line(tmp_path, data, capsys):
    index = tmp_path / "i.json"
    index.write_text('{"a": 1}')
    build = ["build", str(data / "vectors.bin"), str(index), "-o", str(tmp_path / "m.npz")]
    for extra, message in [
        (["--report", "page.pdf"], "must end in .html; received 'page.pdf'"),
        (["--report", str(tmp_path / "no/p.html")], "there is no folder"),
        (["--counts", str(tmp_path / "none.json")], "No such file"),
    ]:
        assert main([*build, *extra]) == 1
        assert message in capsys.readouterr().err
    assert main(["vocab", str(tmp_path / "none.txt"), "-o", str(tmp_path / "o.json")]) == 1
    assert main(["vocab", str(index), "-o", str(tmp_path / "o.txt")]) == 1
    assert "must end in .json" in capsys.readouterr().err
    assert main(["vocab", str(index), "-o", str(tmp_path / "no/o.json")]) == 1
    assert "there is no folder" in capsys.readouterr().err
    assert main(["vocab", str(index), "-o", str(tmp_path / "o.json"), "--min-count", "9"]) == 1
    assert "no word occurs 9 times or more, so the word index would be empty" in capsys.readouterr().err
    assert not (tmp_path / "o.json").exists()


# ── the projector ──


def test_projector_files_always_match(tmp_path):
    odd = ["a\tb", "a\nb", " ", "", "\u3000", "\u2028", "\ufeffx", "中国", 'q"', "\ud800", "x ", "\r", "New York"]
    words = [word for word in odd if word]
    em = build_matrix(write_text(tmp_path / "v.txt", {"中国": [1, 2]}), ["<pad>", *odd[:3], *odd[4:]], oov="normal")
    em.export_projector(tmp_path / "p")
    tensors = (tmp_path / "p/tensors.tsv").read_bytes().decode().split("\n")
    labels = (tmp_path / "p/metadata.tsv").read_bytes().decode().split("\n")
    assert tensors.pop() == labels.pop() == ""
    assert labels.pop(0) == "word\tsource\thow"
    # as the projector reads: lines are trimmed, empty ones left out
    labels = [line.strip().split("\t") for line in labels if line.strip()]
    assert len(labels) == len(tensors) == len(words)
    assert all(len(fields) == 3 for fields in labels)
    assert len({fields[0] for fields in labels}) == len(words)
    for word, line in zip([word for word in em.word_index if word != "<pad>"], tensors):
        row = np.array(line.split("\t"), np.float32)
        np.testing.assert_allclose(row, em.matrix[em.word_index[word]], rtol=1e-6)
    assert 'metadata_path: "metadata.tsv"' in (tmp_path / "p/projector_config.pbtxt").read_text()


def test_no_label_is_a_formula(tmp_path):
    """A spreadsheet runs cells that begin so; the projector shows the apostrophe and then the word."""
    formulas = ["=1+1", "+1", "-1", "@x", "＝1", "'=1", "''=1", '"=1', "\t=1", "\r=1"]
    plain = ["'s", "a=b", "a-b", "中国"]
    name = '=HYPERLINK("x").txt'
    em = build_matrix(write_text(tmp_path / name, {"=1+1": [1, 2]}), ["<pad>", *formulas, *plain])
    em.export_projector(tmp_path / "p", counts={"=1+1": 1})
    rows = [line.split("\t") for line in (tmp_path / "p/metadata.tsv").read_text(encoding="utf-8").splitlines()[1:]]
    labels = [row[0] for row in rows]
    assert len(set(labels)) == len(formulas) + len(plain)
    assert {"'" + word for word in formulas if word[0] not in "\t\r"} | set(plain) <= set(labels)
    assert {"\\t=1", "\\r=1"} <= set(labels)
    assert not [cell for row in rows for cell in row if cell[:1] in tuple('=+-@"＝')]
    assert rows[0] == ["'=1+1", '\'=HYPERLINK("x").txt', "exact", "1"]


def test_projector_takes_the_most_frequent(em, tmp_path):
    em.export_projector(tmp_path / "p", counts=COUNTS, limit=3)
    lines = (tmp_path / "p/metadata.tsv").read_text().splitlines()
    assert lines == [
        "word\tsource\thow\tcount",
        "the\tv.txt\texact\t50",
        "The\tv.txt (lower)\tlower\t20",
        "qq\toov\toov\t15",
    ]
    with pytest.raises(ValueError, match="limit must be None or .* received 0"):
        em.export_projector(tmp_path / "p", limit=0)
    em.word_index = {}
    with pytest.raises(ValueError, match="no words to label its rows with"):
        em.export_projector(tmp_path / "p")


def test_a_derivation_survives(em):
    assert em.coverage.derived["new-york"] == Derivation("parts", ("new", "york"))


def test_what_a_notebook_shows():
    coverage = Coverage(["a", "b"], ["<b>x", "\x1b[31m"], {"a": "<i>.txt", "b": "v.txt"})
    page = coverage._repr_html_()
    assert "<b>2</b> of 4 words found (50.0 %)" in page
    assert "width:50.0%" in page
    assert "<code>&lt;b&gt;x</code>" in page
    assert "&lt;i&gt;.txt</td><td>1</td>" in page
    assert "\x1b" not in page
    em = EmbeddingMatrix(np.ones((3, 2), "float32"), {"a": 1, "b": 2})
    assert "<b>EmbeddingMatrix</b> 3 × 2, float32, " in em._repr_html_()
    assert em.coverage._repr_html_() in em._repr_html_()
    full = Coverage(["a"], [], {"a": "v.txt"})._repr_html_()
    assert "missing" not in full
    assert "0 of 0 words found (0.0 %)" in Coverage([], [], {})._repr_html_().replace("<b>", "").replace("</b>", "")

"""The table of formats: a further one is a class and nothing else; what goes without gensim."""

import inspect as source_of
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from gensim.models.fasttext import ft_ngram_hashes
from hypothesis import example, given
from hypothesis import strategies as st

from tests.conftest import same_bits, write_binary, write_fasttext, write_text
from w2v_embed import EmbeddingMatrix, build_matrix, convert, inspect, load_vectors
from w2v_embed.readers import formats
from w2v_embed.readers.ngrams import hashes_of
from w2v_embed.readers.opened import Opened
from w2v_embed.readers.tables import table_of

ROWS = {"the": [1, 2.5, -3], "cat": [0.1, 1e-40, 3e38], "中国": [-0.0, 0, 7], "New York": [4, 5, 6]}


class Counted(formats.Format):
    """b"COUNTED", u32 words, u32 dim; each word: u8 bytes in it, these, dim float32."""

    name, suffixes, packable = "counted", (".counted",), True

    def recognises(self, head):
        return head.startswith(b"COUNTED")

    def open(self, file):
        data, at = file.whole(), 15
        n, dim = struct.unpack_from("<2I", data, 7)
        words, rows = [], np.empty((n, dim), np.float32)
        for k in range(n):
            stop = at + 1 + data[at]
            words.append(data[at + 1 : stop].decode())
            rows[k] = np.frombuffer(data, "<f4", dim, stop)
            at = stop + 4 * dim
        return table_of(words, rows)

    def why_not(self, word, dim):
        return "is longer than 255 bytes" if len(word.encode()) > 255 else None

    def header(self, words, dim, *, source, sums):
        return b"COUNTED" + struct.pack("<2I", len(words), dim)

    def rows(self, words, vectors):
        encoded = [word.encode() for word in words]
        return b"".join(bytes([len(word)]) + word + row.tobytes() for word, row in zip(encoded, vectors))


@pytest.fixture
def counted():
    """The format above, in the table as long as a test runs."""
    counted = Counted()
    formats.register(counted)
    yield counted
    formats.TABLE.remove(counted)


@pytest.mark.parametrize("name", ["v.counted", "v.counted.gz", "v.counted.zst"])
def test_a_toy_format_of_at_most_40_lines_is_a_peer(counted, tmp_path, name):
    assert len(source_of.getsource(Counted).splitlines()) <= 40
    text, path = write_text(tmp_path / "v.txt", ROWS), tmp_path / name

    assert convert(text, path)[:2] == (len(ROWS), 3)

    expected = load_vectors(text)
    for told in (None, "counted"):
        kv = load_vectors(path, format=told)
        assert kv.index_to_key == list(ROWS)
        assert same_bits(kv.vectors, expected.vectors)
    assert load_vectors(path, words=["中国"], limit=1).index_to_key == ["中国"]
    em = build_matrix(path, ["<pad>", "The", "中国", "CAT", "dog"], fallbacks=["lower"])
    other = build_matrix(text, em.word_index, fallbacks=["lower"])
    assert same_bits(em.matrix, other.matrix)
    assert em.provenance.tolist() == ["padding", f"{name} (lower)", name, f"{name} (lower)", "oov"]
    facts, others = inspect(path), inspect(text)
    assert facts["format"] == "counted"
    same = ("words", "dim", "first_words", "norms", "neighbours", "damage")
    assert [facts[key] for key in same] == [others[key] for key in same]
    for back in ("back.txt", "back.bin", "back.safetensors", "back.counted"):
        convert(path, tmp_path / back, on_error="skip")
        kv = load_vectors(tmp_path / back)
        assert same_bits(kv.vectors, expected.vectors[[word in kv.key_to_index for word in ROWS]])


def test_damage_in_a_toy_format_is_told(counted, tmp_path):
    path, long = tmp_path / "v.counted", "x" * 256
    rows = [("a", [1, 2]), ("b", [np.nan, 2]), ("a", [3, 4])]
    body = [counted.rows([word], np.array([row], np.float32)) for word, row in rows]
    path.write_bytes(counted.header(rows, 2, source="", sums=None) + b"".join(body))
    with pytest.raises(ValueError, match=r"v\.counted, row 2: expected finite numbers in the vector of 'b', got nan"):
        load_vectors(path)
    kv = load_vectors(path, on_error="skip")
    assert (kv.index_to_key, dict(kv.damage.counts)) == (["a"], {"not finite": 1, "duplicate word": 1})
    text = write_text(tmp_path / "v.txt", {long: [1, 2], "b": [3, 4]})
    with pytest.raises(ValueError, match="line 2 .*xxx' is longer than 255 bytes. Choose another format"):
        convert(text, path)


def test_a_toy_format_is_gone_when_it_is_taken_out(tmp_path):
    path = tmp_path / "v.counted"
    path.write_bytes(b"COUNTED" + struct.pack("<2I", 0, 3))
    with pytest.raises(ValueError, match="holds no word vectors"):
        load_vectors(path)
    with pytest.raises(
        ValueError, match=r"must end in \.txt, \.vec, \.bin, \.safetensors; \.txt, \.vec, \.bin may have"
    ):
        convert(write_text(tmp_path / "v.txt", ROWS), path)


def test_a_name_can_be_taken_once(counted):
    with pytest.raises(ValueError, match="format must have a name of its own, received 'counted', which is there"):
        formats.register(Counted())


# ── the table ──


def written(name, tmp_path):
    """A file of each format."""
    text = write_text(tmp_path / "v.txt", {"a": [1, 2], "b": [3, 4]})
    path = tmp_path / f"{name}.file"
    if name == "text":
        return text
    if name == "binary":
        return write_binary(path, {"a": [1, 2], "b": [3, 4]})
    if name == "fasttext":
        return write_fasttext(path, ["a", "b"], [[1, 2], [3, 4]], np.zeros((0, 2)))
    if name == "gensim":
        load_vectors(text).save(str(path))
        return path
    em = EmbeddingMatrix(np.array([[1, 2], [3, 4]], np.float32), {"a": 0, "b": 1})
    em.save(path.with_suffix(f".{name}"))
    return path.with_suffix(f".{name}")


@pytest.mark.parametrize("name", [one.name for one in formats.TABLE])
def test_each_format_is_recognised_by_itself_alone_and_says_its_dim(tmp_path, name):
    path = written(name, tmp_path)
    head = path.read_bytes()
    assert [one.name for one in formats.TABLE if one.recognises(head)] == list(dict.fromkeys([name, "text"]))
    for told in (None, name):
        with Opened(path, told, trust=True) as opened:
            assert (opened.format.name, opened.dim) == (name, 2)
    assert load_vectors(path, format=name, trust=True).index_to_key == ["a", "b"]
    assert inspect(path, trust=True)["format"] == name


def test_what_a_file_begins_with_tells_its_dim(tmp_path):
    """No more is read of it before somebody says what is wanted."""
    for name in ("text", "binary", "fasttext", "safetensors"):
        path = written(name, tmp_path)
        if name == "safetensors":
            whole = path.read_bytes()
            path.write_bytes(whole[:-16] + bytes(16))  # the numbers, which have a checksum
        with Opened(path) as opened:
            assert opened.dim == 2
            assert not hasattr(opened, "reader")


def test_the_documentation_goes_by_the_table():
    files = (Path(__file__).parent.parent / "docs" / "files.md").read_text()
    rows = [line.split(" | ")[1] for line in files.splitlines() if line.startswith("| ") and line.count(" | ") == 3]
    told = [name.strip('`"') for row in rows for name in row.split(", ")]
    assert sorted(set(told) - {"---", "format="}) == sorted(one.name for one in formats.TABLE)


# ── without gensim ──


@given(st.text(max_size=12), st.integers(0, 4), st.integers(0, 7), st.integers(1, 10_000))
@example("", 1, 3, 7)
@example("中国ñ", 1, 6, 2_000_000)
def test_the_hashes_of_ngrams_are_gensims(word, minn, maxn, buckets):
    try:
        expected = ft_ngram_hashes(word, minn, maxn, buckets)
    except UnicodeEncodeError:
        with pytest.raises(UnicodeEncodeError):
            hashes_of(word, minn, maxn, buckets)
        return
    assert hashes_of(word, minn, maxn, buckets) == list(expected)


@pytest.fixture
def without_gensim(monkeypatch):
    """A Python without gensim, once a test calls it."""

    def forget():
        for name in ("gensim", "gensim.models", "gensim.models.fasttext"):
            monkeypatch.setitem(sys.modules, name, None)

    return forget


def test_what_goes_without_gensim(tmp_path, without_gensim):
    rng = np.random.default_rng(0)
    own, ngrams = rng.normal(size=(3, 4)).astype("f4"), rng.normal(size=(50, 4)).astype("f4")
    words, vocabulary = ["the", "cat", "中国"], ["<pad>", "the", "中国", "cats", "dog"]
    fasttext = write_fasttext(tmp_path / "v.bin", words, own, ngrams)
    paths = [
        fasttext,
        write_text(tmp_path / "v.txt", ROWS),
        write_binary(tmp_path / "w.bin", {"the": [1, 2], "cat": [3, 4]}),
    ]
    build_matrix(paths[1], vocabulary).save(tmp_path / "m.safetensors")
    kv = load_vectors(fasttext)
    kv.save(str(tmp_path / "v.kv"))
    paths.append(tmp_path / "m.safetensors")
    expected = [build_matrix(path, vocabulary) for path in paths]
    with_ngrams = build_matrix(fasttext, vocabulary, fallbacks=["subwords"])
    assert same_bits(with_ngrams.matrix[3], kv.get_vector("cats"))

    without_gensim()

    for path, em in zip(paths, expected):
        assert same_bits(build_matrix(path, vocabulary).matrix, em.matrix)
        assert inspect(path)["words"] >= 2
    assert same_bits(build_matrix(fasttext, vocabulary, fallbacks=["subwords"]).matrix, with_ngrams.matrix)
    assert convert(fasttext, tmp_path / "out.txt")[:2] == (3, 4)
    with pytest.raises(
        ImportError, match=r"the result of load_vectors needs gensim, .* pip install gensim. build_matrix"
    ):
        load_vectors(paths[1])
    with pytest.raises(ImportError, match=r"gensim's own format, that of .*v\.kv, needs gensim"):
        inspect(tmp_path / "v.kv", trust=True)

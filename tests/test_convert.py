"""convert: each format into each, bit for bit, and what cannot be written."""

import os

import numpy as np
import pytest
from gensim.models import KeyedVectors

from tests.conftest import same_bits, write_text
from w2v_embed import EmbeddingMatrix, load_vectors
from w2v_embed.cli import main
from w2v_embed.readers import opened
from w2v_embed.readers.conversion import convert

PLAIN = ["v.txt", "v.vec", "v.bin"]
ROWS = {
    f"w{k}": row.tolist()
    for k, row in enumerate(np.random.default_rng(0).integers(0, 2**32, (300, 7), np.uint32).view("f4"))
}
ROWS = {word: row for word, row in ROWS.items() if np.isfinite(row).all()} | {
    "中国": [0.0, -0.0, 1e-45, 3.4e38, 1, 0.1, -1e-38]
}


@pytest.fixture
def source(tmp_path):
    return write_text(tmp_path / "source.txt", ROWS)


@pytest.mark.parametrize(
    "name",
    [*PLAIN, "v.safetensors", *(f"v.{k}.{p}" for k in ("txt", "bin") for p in ("gz", "bz2", "xz", "zst", "zip"))],
)
def test_there_and_back_are_the_same_bits(hot, source, tmp_path, name):
    """Any float32 but NaN and infinity, given in the shortest decimals, comes back."""
    there, back = tmp_path / name, tmp_path / "back.txt"
    rows, dim, report = convert(source, there)
    assert (rows, dim, report.total) == (len(ROWS), 7, 0)
    expected = np.array(list(ROWS.values()), np.float32)
    kv = load_vectors(there)
    assert kv.index_to_key == list(ROWS)
    assert same_bits(kv.vectors, expected)
    convert(there, back)
    assert same_bits(load_vectors(back).vectors, expected)
    if name in PLAIN:
        gensims = KeyedVectors.load_word2vec_format(str(there), binary=name == "v.bin")
        assert gensims.index_to_key == list(ROWS)
        assert same_bits(gensims.vectors, expected)


@pytest.mark.parametrize("packing", ["gz", "bz2", "xz", "zst", "zip"])
def test_no_flipped_bit_changes_a_row_silently(hot, source, tmp_path, packing):
    """Each format has a checksum, and each is looked at."""
    path = tmp_path / f"v.bin.{packing}"
    convert(source, path)
    whole, expected = path.read_bytes(), load_vectors(path)
    rng = np.random.default_rng(0)
    refused = 0
    for place in rng.integers(8, len(whole), 60).tolist():
        flipped = bytearray(whole)
        flipped[place] ^= 1 << rng.integers(8)
        path.write_bytes(flipped)
        try:
            kv = load_vectors(path)
        except ValueError as error:
            refused += 1
            assert str(path) in str(error)  # noqa: PT017 (some flips hit what is not read)
        else:
            assert kv.index_to_key == expected.index_to_key
            assert same_bits(kv.vectors, expected.vectors)
    assert refused > 50


@pytest.mark.parametrize(
    "old", ["v.txt", "v.bin", "v.bin.gz", "v.bin.bz2", "v.txt.xz", "v.txt.zst", "v.txt.zip", "v.safetensors"]
)
@pytest.mark.parametrize("new", ["out.bin", "out.safetensors"])
def test_a_file_that_gets_a_new_one_in_its_place_is_read_from_the_old_one(source, tmp_path, monkeypatch, old, new):
    """The words come in the first reading, the vectors in the second, between which another file takes the name."""
    path, other = tmp_path / old, tmp_path / "other.txt"
    convert(source, path)
    write_text(other, {word: [*row[:-1], 7, 8] for word, row in reversed(ROWS.items())})
    expected = load_vectors(path)
    run, runs = opened.Opened.run, []

    def then_rename(*args, **options):
        run(*args, **options)
        runs.append(1)
        if len(runs) == 1:
            os.replace(other, path)

    monkeypatch.setattr(opened.Opened, "run", then_rename)
    convert(path, tmp_path / new)
    monkeypatch.undo()
    kv = load_vectors(tmp_path / new)
    assert kv.index_to_key == expected.index_to_key
    assert same_bits(kv.vectors, expected.vectors)


def test_a_file_that_is_changed_between_its_two_readings(source, tmp_path, monkeypatch):
    (tmp_path / "out.bin").write_bytes(b"old")
    run, other = opened.Opened.run, {word: [*row[:-1], 7] for word, row in ROWS.items()}
    monkeypatch.setattr(opened.Opened, "run", lambda *args, **how: run(*args, **how) or write_text(source, other))
    with pytest.raises(
        ValueError, match=r"source\.txt changed while it was read: of \d+ words \d+ came, or other numbers"
    ):
        convert(source, tmp_path / "out.bin")
    assert (tmp_path / "out.bin").read_bytes() == b"old"


def test_an_artifact_is_an_embedding_matrix(source, tmp_path):
    convert(source, tmp_path / "m.safetensors")
    em = EmbeddingMatrix.load(tmp_path / "m.safetensors")
    assert list(em.word_index) == list(ROWS)
    assert em.coverage.rate == 1
    assert em.coverage.by_source == {"source.txt": len(ROWS)}


def test_what_is_damaged_is_not_written(source, tmp_path):
    source.write_bytes(b"3 2\na 1 2\nb 1 x\na 3 4\n")
    out = tmp_path / "v.bin"
    out.write_bytes(b"old")
    with pytest.raises(ValueError, match=r"source\.txt, line 3 .*: expected a number, got 'x'"):
        convert(source, out)
    assert out.read_bytes() == b"old"
    rows, _, report = convert(source, out, on_error="skip")
    assert (rows, dict(report.counts)) == (1, {"unreadable number": 1, "duplicate word": 1})
    assert load_vectors(out).vectors.tolist() == [[1, 2]]
    assert list(tmp_path.glob(".*.tmp")) == []


def test_words_that_a_format_cannot_hold(source, tmp_path):
    source.write_bytes(b"New York 1 2\na 3 4\nb 5 6\n")
    with pytest.raises(ValueError, match=r"line 1 .*'New York' holds a space or a newline.*Choose another format"):
        convert(source, tmp_path / "v.bin")
    assert convert(source, tmp_path / "v.bin", on_error="skip")[0] == 2
    assert convert(source, tmp_path / "v.txt")[0] == 3
    assert load_vectors(tmp_path / "v.txt").index_to_key == ["New York", "a", "b"]
    odd = ["in\nline", "at 0.5", "\ud800", " x"]
    matrix = np.arange(8, dtype=np.float32).reshape(4, 2)
    EmbeddingMatrix(matrix, dict(zip(odd, range(4))), origins=[3] * 4, sources=[("x", None)]).save(
        tmp_path / "m.safetensors"
    )
    rows, _, report = convert(tmp_path / "m.safetensors", tmp_path / "odd.txt", on_error="skip")
    assert (rows, dict(report.counts)) == (1, {"unwritable word": 3})
    assert load_vectors(tmp_path / "odd.txt").index_to_key == [" x"]
    with pytest.raises(ValueError, match=r"row 1: the word 'in\\nline' would be read back as something else"):
        convert(tmp_path / "m.safetensors", tmp_path / "odd.txt")
    source.write_bytes(b"1 2\nNew York 1 2\n")
    with pytest.raises(ValueError, match="has no word that .* could hold; nothing was written"):
        convert(source, tmp_path / "none.bin", on_error="skip")


def test_outputs_that_cannot_be(source, tmp_path):
    for name in ("v.kv", "v", "v.gz", "v.safetensors.gz"):
        with pytest.raises(ValueError, match=rf"must end in \.txt, \.vec, \.bin, \.safetensors.*received '.*{name}'"):
            convert(source, tmp_path / name)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        convert(source, tmp_path / "no" / "v.txt")
    (tmp_path / "d.txt").mkdir()
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        convert(source, tmp_path / "d.txt")


def test_a_file_onto_itself(source):
    before = load_vectors(source).vectors
    convert(source, source)
    assert same_bits(load_vectors(source).vectors, before)


def test_the_command(source, tmp_path, capsys):
    assert main(["convert", str(source), str(tmp_path / "v.bin.gz")]) == 0
    assert f"v.bin.gz: {len(ROWS)} words × 7, written in" in capsys.readouterr().out
    assert main(["convert", str(source), str(tmp_path / "v.kv")]) == 1
    assert "must end in" in capsys.readouterr().err
    kv = load_vectors(source)
    kv.save(str(tmp_path / "v.kv"))
    assert main(["convert", str(tmp_path / "v.kv"), str(tmp_path / "kv.txt")]) == 1
    assert "--trust" in capsys.readouterr().err
    assert main(["convert", "--trust", "-q", str(tmp_path / "v.kv"), str(tmp_path / "kv.txt")]) == 0
    assert capsys.readouterr().out == ""
    assert same_bits(load_vectors(tmp_path / "kv.txt").vectors, kv.vectors)

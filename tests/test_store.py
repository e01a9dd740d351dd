"""EmbeddingMatrix ⇄ file: nothing lost, no half file."""

import json
import os

import numpy as np
import pytest
from safetensors import safe_open

from tests.conftest import same_bits
from w2v_embed import EmbeddingMatrix, build_matrix


@pytest.fixture
def em(data):
    index = {"中国": 1, "经济": 2, "qwxyz": 3, "\u2028": 4, 'a"b\\': 6}
    return build_matrix(data / "vectors.bin", index, oov="normal", on_error="skip")


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_round_trip(em, tmp_path, suffix, dtype):
    em.matrix = em.matrix.astype(dtype)
    em.save(tmp_path / f"m{suffix}")
    back = EmbeddingMatrix.load(tmp_path / f"m{suffix}")
    assert same_bits(back.matrix, em.matrix)
    assert back.word_index == em.word_index
    assert back.padding_row == em.padding_row == 0
    assert back.provenance.tolist() == em.provenance.tolist()
    assert back.coverage == em.coverage
    assert os.listdir(tmp_path) == [f"m{suffix}"]


def test_npy_is_the_bare_matrix(em, tmp_path):
    em.save(tmp_path / "m.npy")
    assert same_bits(np.load(tmp_path / "m.npy"), em.matrix)
    back = EmbeddingMatrix.load(tmp_path / "m.npy")
    assert (back.word_index, back.padding_row) == ({}, 0)


def test_other_programs_can_read_the_files(em, tmp_path):
    em.save(str(tmp_path / "m.safetensors"))
    with safe_open(str(tmp_path / "m.safetensors"), "numpy") as file:
        assert same_bits(file.get_tensor("matrix"), em.matrix)
        assert json.loads(file.metadata()["word_index"]) == em.word_index
    em.save(tmp_path / "m.npz")
    assert same_bits(np.load(tmp_path / "m.npz")["matrix"], em.matrix)


def test_a_failed_save_leaves_the_old_file(em, tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    em.save(path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        em.save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_what_cannot_be_is_said(em, tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.safetensors, \.npz, \.npy; received .*m\.pkl"):
        em.save(tmp_path / "m.pkl")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        em.save(tmp_path / "no" / "m.npz")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        EmbeddingMatrix.load(tmp_path / "none.npz")
    (tmp_path / "d.npy").mkdir()
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        em.save(tmp_path / "d.npy")
    for suffix in (".safetensors", ".npz", ".npy"):
        path = tmp_path / f"cut{suffix}"
        em.save(path)
        whole = path.read_bytes()
        for part in (b"", whole[: len(whole) // 2], b"junk" * 100):
            path.write_bytes(part)
            with pytest.raises(ValueError, match=r"cut.* is not a whole"):
                EmbeddingMatrix.load(path)


def test_foreign_archives_and_pickles_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", matrix=np.zeros((2, 2)))
    with pytest.raises(ValueError, match="not a whole .npz file written by EmbeddingMatrix.save"):
        EmbeddingMatrix.load(tmp_path / "other.npz")
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match="not a whole .npy"):
        EmbeddingMatrix.load(tmp_path / "objects.npy")

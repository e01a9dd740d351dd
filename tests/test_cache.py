"""The cache: an equal call is answered, any other one is not, and nothing stale or broken is served."""

import os
import time

import numpy as np
import pytest
from gensim.models import KeyedVectors

from tests.conftest import same_bits, write_text
from w2v_embed import build_matrix, cache, matrix

INDEX = {"the": 1, "Cat": 2, "nobody": 3}


@pytest.fixture
def path(tmp_path):
    return write_text(tmp_path / "v.txt", {"the": [1, 2], "cat": [3, 4]})


@pytest.fixture
def built(monkeypatch):
    """A list that grows by one for each matrix that was built and not taken from the cache."""
    calls = []
    build = matrix._build
    monkeypatch.setattr(matrix, "_build", lambda *args, **options: calls.append(args) or build(*args, **options))
    return calls


def test_off_by_default(path, built):
    build_matrix(path, INDEX)
    build_matrix(path, INDEX)
    assert len(built) == 2


def test_an_equal_call_is_answered(path, built, tmp_path):
    options = {"fallbacks": ["lower"], "oov": "normal", "cache_dir": tmp_path / "cache" / "deep"}
    first = build_matrix(path, INDEX, **options)
    second = build_matrix(str(path), dict(reversed(INDEX.items())), **options)
    assert len(built) == 1
    assert same_bits(second.matrix, first.matrix)
    assert second.coverage == first.coverage
    assert second.word_index == first.word_index


@pytest.mark.parametrize(
    "options",
    [
        {"oov": "mean"},
        {"seed": 1},
        {"dtype": "float16"},
        {"fallbacks": ["lower"]},
        {"num_words": 3},
        {"on_error": "skip"},
        {"encoding": "latin-1"},
        {"suggest": True},
    ],
)
def test_every_option_counts(path, built, tmp_path, options):
    build_matrix(path, INDEX, cache_dir=tmp_path / "cache")
    build_matrix(path, INDEX, cache_dir=tmp_path / "cache", **options)
    assert len(built) == 2


def test_the_vocabulary_and_the_order_of_fallbacks_count(path, built, tmp_path):
    for index in (INDEX, {**INDEX, "more": 4}, ["the", "Cat", "nobody"]):
        build_matrix(path, index, cache_dir=tmp_path)
    for fallbacks in (["lower", "upper"], ["upper", "lower"]):
        build_matrix(path, INDEX, fallbacks=fallbacks, cache_dir=tmp_path)
    assert len(built) == 5


@pytest.mark.parametrize("clock", ["ticks", "stands still", "ticks, and the file is old"])
def test_a_changed_file_is_never_served_stale(path, built, tmp_path, monkeypatch, clock):
    """Though its size is the same and its time of modification was set back."""
    first, real = path.stat(), os.stat
    if clock == "stands still":
        monkeypatch.setattr(os, "stat", lambda name, **how: first if name == path else real(name, **how))
    elif clock == "ticks, and the file is old":
        monkeypatch.setattr(cache, "_YOUNG", -1e9)
    for round_, number in enumerate([5, 6, 7]):
        with open(path, "r+b") as file:
            file.write(b"2 2\nthe 1 2\ncat %d 4\n" % number)
        os.utime(path, ns=(first.st_atime_ns, first.st_mtime_ns))
        time.sleep(0.02)  # one tick of the inode's clock
        em = build_matrix(path, {"cat": 1}, cache_dir=tmp_path / "cache")
        assert em.matrix[1].tolist() == [number, 4]
        assert len(built) == round_ + 1


def test_an_old_file_is_known_by_its_status(path, built, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_YOUNG", -1e9)
    build_matrix(path, INDEX, cache_dir=tmp_path)
    build_matrix(path, INDEX, cache_dir=tmp_path)
    assert len(built) == 1
    os.utime(path)
    build_matrix(path, INDEX, cache_dir=tmp_path)
    assert len(built) == 2


def test_a_file_that_changes_while_it_is_read_is_not_kept(path, tmp_path, monkeypatch):
    build = matrix._build

    def and_change(*args, **options):
        em = build(*args, **options)
        write_text(path, {"the": [9, 9], "cat": [9, 9]})
        return em

    monkeypatch.setattr(matrix, "_build", and_change)
    build_matrix(path, INDEX, cache_dir=tmp_path / "cache")
    assert os.listdir(tmp_path / "cache") == []


def test_a_broken_cache_is_built_again(path, built, tmp_path, caplog):
    folder = tmp_path / "cache"
    build_matrix(path, INDEX, cache_dir=folder)
    (file,) = folder.iterdir()
    file.write_bytes(file.read_bytes()[:50])
    em = build_matrix(path, INDEX, cache_dir=folder)
    assert em.coverage.found == ["the"]
    assert "the cached matrix is damaged and is built again" in caplog.text
    assert len(built) == 2


def test_what_was_skipped_is_told_again(tmp_path, built, caplog):
    path = tmp_path / "v.txt"
    path.write_text("3 2\nthe 1 2\nthe 3 4\ncat 1\n")
    for _ in range(2):
        caplog.clear()
        em = build_matrix(path, {"the": 1, "x": 2}, on_error="skip", cache_dir=tmp_path / "cache")
        assert "1 × duplicate word" in caplog.text
        assert em.damage[0].counts["too few numbers"] == 1
    assert len(built) == 1


def test_what_has_no_identity_is_refused(path, tmp_path):
    kv = KeyedVectors(2)
    kv.add_vectors(["a"], np.ones((1, 2)))
    with pytest.raises(
        TypeError, match="cache_dir works for vector files, received a KeyedVectors; leave cache_dir out"
    ):
        build_matrix(kv, INDEX, cache_dir=tmp_path)
    for options in ({"oov": lambda shape, rng: np.ones(shape)}, {"fallbacks": [lambda word: None]}):
        with pytest.raises(TypeError, match="cannot tell whether a callable .* has changed"):
            build_matrix(path, INDEX, cache_dir=tmp_path, **options)

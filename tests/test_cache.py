"""The cache: an equal call is answered, any other one is not, and nothing stale or broken is served."""

import json
import os
import time

import numpy as np
import pytest
from gensim.models import KeyedVectors
from safetensors import safe_open

from tests.conftest import same_bits, write_text
from w2v_embed import EmbeddingMatrix, build_matrix, contents, load_vectors, stamps, store
from w2v_embed.matrix import build as matrix
from w2v_embed.matrix import cache

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


def test_how_long_the_building_takes_counts_for_nothing(path, built, tmp_path, monkeypatch):
    """The file is young at the first call, then it is not: its entry serves, and from then on without its content."""
    read = []
    monkeypatch.setattr(cache, "_digest", lambda file, digest=cache._digest: read.append(file) or digest(file))
    for young in (1e9, -1e9, -1e9):
        monkeypatch.setattr(stamps, "_YOUNG", young)
        build_matrix(path, INDEX, cache_dir=tmp_path / "cache")
    assert len(built) == 1
    assert len(read) == 3  # before and after the building, and when it was no more young


def test_a_young_file_that_changes_unseen_is_not_served_when_it_is_old(path, built, tmp_path, monkeypatch):
    """It was rewritten within one tick of the clock after the entry was made."""
    first, real = path.stat(), os.stat
    monkeypatch.setattr(os, "stat", lambda name, **how: first if name == path else real(name, **how))
    for young, number in ((1e9, 3), (-1e9, 4)):
        monkeypatch.setattr(stamps, "_YOUNG", young)
        path.write_bytes(b"2 2\nthe 1 2\ncat %d 4\n" % number)
        em = build_matrix(path, {"cat": 1}, cache_dir=tmp_path / "cache")
        assert em.matrix[1].tolist() == [number, 4]
    assert len(built) == 2


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
        {"format": "text"},
        {"trust": True},
        {"postprocess": ["center"]},
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
        monkeypatch.setattr(stamps, "_YOUNG", 1e9)  # for it stands still
    elif clock == "ticks, and the file is old":
        monkeypatch.setattr(stamps, "_YOUNG", -1e9)
    for round_, number in enumerate([5, 6, 7]):
        with open(path, "r+b") as file:
            file.write(b"2 2\nthe 1 2\ncat %d 4\n" % number)
        os.utime(path, ns=(first.st_atime_ns, first.st_mtime_ns))
        time.sleep(0.02)  # one tick of the inode's clock
        em = build_matrix(path, {"cat": 1}, cache_dir=tmp_path / "cache")
        assert em.matrix[1].tolist() == [number, 4]
        assert len(built) == round_ + 1


def test_an_old_file_is_known_by_its_status(path, built, tmp_path, monkeypatch):
    monkeypatch.setattr(stamps, "_YOUNG", -1e9)
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


def entry_of(folder):
    (file,) = folder.iterdir()
    return file


def test_an_entry_under_another_name_is_not_taken(path, built, tmp_path, caplog):
    folder = tmp_path / "cache"
    build_matrix(path, {"the": 1}, cache_dir=folder)
    wrong = entry_of(folder).read_bytes()
    entry_of(folder).unlink()
    build_matrix(path, {"cat": 1}, cache_dir=folder)
    entry_of(folder).write_bytes(wrong)
    em = build_matrix(path, {"cat": 1}, cache_dir=folder)
    assert em.matrix[1].tolist() == [3, 4]
    assert "the cached matrix is damaged and is built again" in caplog.text
    assert "it is the entry for " in caplog.text
    assert len(built) == 3


def test_an_entry_without_a_checksum_is_not_taken(path, built, tmp_path, caplog):
    """`load` takes such files, which earlier versions wrote; the cache would serve what nothing vouches for."""
    folder = tmp_path / "cache"
    build_matrix(path, {"the": 1}, cache_dir=folder)
    file = entry_of(folder)
    with safe_open(str(file), "numpy") as opened:
        metadata, matrix = opened.metadata(), opened.get_tensor("matrix")
        tensors = {name: opened.get_tensor(name) for name in contents.TENSORS}
    del metadata["checksum"]
    file.write_bytes(store.safetensors_head(matrix.shape, matrix.dtype, metadata, tensors) + (matrix + 1).tobytes())
    assert EmbeddingMatrix.load(file).matrix[1].tolist() == [2, 3]
    assert build_matrix(path, {"the": 1}, cache_dir=folder).matrix[1].tolist() == [1, 2]
    assert "it has no checksum" in caplog.text
    assert len(built) == 2


def test_no_flipped_bit_is_served(path, built, tmp_path, caplog, monkeypatch):
    """Wherever it is: in the rows, in the words, in the checksum itself."""
    monkeypatch.setattr(stamps, "_YOUNG", -1e9)  # else the entry would be written anew when the file is no more young
    folder = tmp_path / "cache"
    first = build_matrix(path, INDEX, fallbacks=["lower"], cache_dir=folder)
    file = entry_of(folder)
    whole = file.read_bytes()
    rng = np.random.default_rng(0)
    bits = [
        *rng.integers(0, 8 * len(whole), 80).tolist(),
        *range(8 * len(whole) - first.matrix.nbytes * 8, 8 * len(whole), 5),
    ]
    for bit in bits:
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        em = build_matrix(path, INDEX, fallbacks=["lower"], cache_dir=folder)
        assert same_bits(em.matrix, first.matrix)
        assert (em.word_index, em.coverage) == (first.word_index, first.coverage)
        assert file.read_bytes() == whole
    assert len(built) > 0.9 * len(bits)
    assert f"{file.name} is not a whole .safetensors file" in caplog.text
    assert "its checksum says" in caplog.text


def test_an_entry_that_tells_nonsense_is_built_again(path, built, tmp_path, caplog):
    """As another program could write it, with the right key and checksum."""
    folder = tmp_path / "cache"
    build_matrix(path, INDEX, cache_dir=folder)
    file = entry_of(folder)
    with safe_open(str(file), "numpy") as opened:
        matrix, good = opened.get_tensor("matrix"), opened.metadata()
        tensors = {name: opened.get_tensor(name) for name in contents.TENSORS}
    report = {"path": "v.txt", "on_error": "skip", "counts": {"x": 1}, "examples": {"x": ["here"]}}
    odd = {
        "damage": [
            [{}],
            [{**report, "examples": {}}],
            [{**report, "counts": {"x": "1"}}],
            [{**report, "more": 1}],
            [3],
        ],
        "contents": [[], [None, None], 3],
        "origins": [[9] * 4, [-1] * 4, [3] * 3, []],
        "sources": [[], ["v.txt"], 3, [[1, None]]],
        "derived": [[[1, 0, 0]], [[0, 0, 0]], [[9, 0, 0]], [[1, 0, 1]]],
        "suggestions": [{"lower": 3}, {"lower": [3]}, []],
        "suggested": [[1], [7]],
        "padding_row": [3, "x"],
        "ids": [[1, 2], [1, 2, 4], [1, 2, -1], [1, 2, 2]],
        "words": [b"the\xffCat\xffthe\xff", b"the\xffCat\xff", b"the\xffCat\xff\xc0\x80\xff", b""],
        "lenders": [b"the\xff", b"the"],
        "format": ["w2v_embed 3"],
    }
    for field, values in odd.items():
        for value in values:
            metadata, told = dict(good), dict(tensors)
            if field in tensors:
                given = np.frombuffer(value, np.uint8) if isinstance(value, bytes) else value
                told[field] = np.asarray(given, tensors[field].dtype)
            else:
                metadata[field] = value if field == "format" else json.dumps(value)
            crc = contents.crc32(matrix)
            metadata["checksum"] = contents.checksum_of(metadata, matrix.shape, "float32", crc, told)
            file.write_bytes(store.safetensors_head(matrix.shape, "float32", metadata, told) + matrix.tobytes())
            built.clear()
            caplog.clear()
            em = build_matrix(path, INDEX, cache_dir=folder)
            assert len(built) == 1, (field, value)
            assert "is damaged and is built again" in caplog.text
            assert em.coverage.found == ["the"]
    build_matrix(path, INDEX, cache_dir=folder)
    assert len(built) == 1


def test_what_cannot_be_read_or_kept_is_no_error(path, built, tmp_path, caplog, monkeypatch):
    folder = tmp_path / "cache"
    build_matrix(path, INDEX, cache_dir=folder)
    file = entry_of(folder)
    file.unlink()
    file.mkdir()
    assert build_matrix(path, INDEX, cache_dir=folder).coverage.found == ["the"]
    assert f"the matrix could not be kept in the cache: cannot write {file}: it is a folder" in caplog.text
    file.rmdir()
    os.mkfifo(file)
    assert build_matrix(path, INDEX, cache_dir=folder).coverage.found == ["the"]
    assert f"the matrix could not be kept in the cache: cannot write {file}: it is a pipe" in caplog.text
    file.unlink()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert build_matrix(path, INDEX, cache_dir=folder).coverage.found == ["the"]
    assert "could not be kept in the cache: [Errno 28] No space left on device" in caplog.text
    assert os.listdir(folder) == []


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


def test_a_cached_answer_skips_no_refusal(path, built, tmp_path):
    """Of a file that is only read where it is trusted, or not in another format than it has."""
    gensims, folder = tmp_path / "v.kv", tmp_path / "cache"
    load_vectors(path).save(str(gensims))
    for _ in range(2):
        build_matrix(gensims, INDEX, trust=True, cache_dir=folder)
        build_matrix(path, INDEX, cache_dir=folder)
    assert len(built) == 2
    with pytest.raises(ValueError, match="trust=True"):
        build_matrix(gensims, INDEX, cache_dir=folder)
    with pytest.raises(ValueError, match=r"v.txt is not .*fasttext|v.txt .*fastText"):
        build_matrix(path, INDEX, format="fasttext", cache_dir=folder)


def test_the_files_beside_gensims_count(path, built, tmp_path, monkeypatch):
    """Its large arrays lie there."""
    monkeypatch.setattr(stamps, "_YOUNG", -1e9)
    gensims = tmp_path / "v.kv"
    load_vectors(path).save(str(gensims), sep_limit=0)
    beside = tmp_path / "v.kv.vectors.npy"
    options = {"trust": True, "cache_dir": tmp_path / "cache"}
    assert build_matrix(gensims, {"the": 1}, **options).matrix[1].tolist() == [1, 2]
    np.save(beside, np.load(beside) + 1)
    assert build_matrix(gensims, {"the": 1}, **options).matrix[1].tolist() == [2, 3]
    assert len(built) == 2

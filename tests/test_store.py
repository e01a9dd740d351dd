"""EmbeddingMatrix ⇄ file: nothing lost, no half file."""

import json
import os
import resource
import signal
import socket
import stat
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors import safe_open

from tests.conftest import same_bits, write_text
from w2v_embed import EmbeddingMatrix, build_matrix, inspect, load_vectors, output, store
from w2v_embed.readers.conversion import convert


@pytest.fixture
def em(data):
    index = {"中国": 1, "经济": 2, "qwxyz": 3, "\u2028": 4, 'a"b\\': 6}
    return build_matrix(data / "vectors.bin", index, oov="normal")


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


def alternate(folder, suffix, rows=3):
    """Two artifacts of the same words in opposite order: (path of the first, of the second, what the first's words hold)."""
    words = [f"w{k}" for k in range(rows)]
    matrix = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2) + 1
    for name, order in ((f"a{suffix}", 1), (f"b{suffix}", -1)):
        index = {word: k for k, word in enumerate(words[::order])}
        EmbeddingMatrix(matrix * order, index, origins=[3] * rows, sources=[("x", None)]).save(folder / name)
    return folder / f"a{suffix}", folder / f"b{suffix}", dict(zip(words, matrix.tolist()))


def renaming(monkeypatch, other, path):
    """From now on the last part of the metadata that is read is followed by another file taking the place of this one."""

    def loads(text):
        value = json.loads(text)
        if value == [] and other.exists():  # the damage
            other.replace(path)
        return value

    monkeypatch.setattr(store, "json", SimpleNamespace(loads=loads, dumps=json.dumps))


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@pytest.mark.parametrize("way", ["load", "load_vectors", "build_matrix", "inspect", "convert"])
def test_what_is_read_is_of_one_file(tmp_path, monkeypatch, suffix, way):
    """Though another takes its place between its header and its rows."""
    path, other, expected = alternate(tmp_path, suffix)
    renaming(monkeypatch, other, path)
    if way == "load":
        em = EmbeddingMatrix.load(path)
        got = {word: em.matrix[index].tolist() for word, index in em.word_index.items()}
    elif way == "load_vectors":
        kv = load_vectors(path)
        got = {word: kv[word].tolist() for word in kv.index_to_key}
    elif way == "build_matrix":
        em = build_matrix(path, list(expected))
        got = {word: em.matrix[index].tolist() for word, index in em.word_index.items()}
    elif way == "inspect":
        facts = inspect(path)
        assert facts["first_words"] == list(expected)
        return
    else:
        convert(path, tmp_path / "out.txt")
        kv = load_vectors(tmp_path / "out.txt")
        got = {word: kv[word].tolist() for word in kv.index_to_key}
    assert got == expected
    assert not other.exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_many_rows_are_of_one_file(tmp_path, suffix):
    """Though another takes its place when some of them were read."""
    path, other, expected = alternate(tmp_path, suffix, rows=12_000)
    done = []
    kv = load_vectors(path, progress=lambda *told: done.append(done or other.replace(path)))
    assert {word: kv[word].tolist() for word in kv.index_to_key} == expected
    assert len(done) > 1


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_no_flipped_bit_is_read(em, tmp_path, suffix):
    path = tmp_path / f"m{suffix}"
    em.save(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for bit in rng.integers(0, 8 * len(whole), 400).tolist():
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        for read in (EmbeddingMatrix.load, load_vectors):
            try:
                back = read(path)
            except ValueError as error:
                refused += 1
                assert str(path) in str(error)  # noqa: PT017 (some flips hit what is not read)
            else:
                if read is load_vectors:
                    assert all(same_bits(back[word], em.matrix[em.word_index[word]]) for word in back.index_to_key)
                else:
                    assert same_bits(back.matrix, em.matrix)
                    assert (back.word_index, back.coverage) == (em.word_index, em.coverage)
    assert refused > 600


def test_files_of_earlier_versions_have_no_checksum(em, tmp_path):
    path = tmp_path / "m.safetensors"
    em.save(path)
    with safe_open(str(path), "numpy") as file:
        metadata = file.metadata()
    del metadata["checksum"]
    path.write_bytes(store.safetensors_header(em.shape, em.matrix.dtype, metadata) + em.matrix.tobytes())
    assert same_bits(EmbeddingMatrix.load(path).matrix, em.matrix)


@pytest.mark.parametrize(
    ("offsets", "more", "told"),
    [
        ([4, 20], 0, r"it has \d+ bytes and tensor 'matrix' ends at byte \d+"),
        (
            [4, 20],
            4,
            r"its header says 2 × 2 numbers in the bytes \d+ to \d+, the file has room for them in those from",
        ),
        (
            [0, 16],
            4,
            r"its header says 2 × 2 numbers in the bytes \d+ to \d+, the file has room for them in those from",
        ),
        ([-16, 0], 0, r"tensor 'matrix' of shape \(2, 2\) and dtype F32 spans bytes -16 to 0"),
        ([0, 8], 0, r"tensor 'matrix' of shape \(2, 2\) and dtype F32 spans bytes 0 to 8"),
        (None, 0, "tensor 'matrix' must have dtype, shape and two data_offsets"),
    ],
)
def test_a_matrix_lies_behind_the_header_and_nowhere_else(offsets, more, told, tmp_path):
    path = tmp_path / "m.safetensors"
    EmbeddingMatrix(np.ones((2, 2), np.float32), {"a": 1}).save(path)
    size, content = path.read_bytes()[:8], path.read_bytes()[8:]
    header = json.loads(content[: int.from_bytes(size, "little")])
    header["matrix"]["data_offsets"] = offsets
    packed = json.dumps(header).encode()
    path.write_bytes(len(packed).to_bytes(8, "little") + packed + content[-16:] + bytes(more))
    for read in (EmbeddingMatrix.load, load_vectors):
        with pytest.raises(ValueError, match=told):
            read(path)


def test_a_header_is_not_longer_than_it_can_be(tmp_path):
    """A sparse file takes no room on the disk, whatever its size."""
    path = tmp_path / "m.safetensors"
    with open(path, "wb") as file:
        file.write((3 << 30).to_bytes(8, "little") + b'{"matrix"')
        file.truncate((3 << 30) + 8)
    with pytest.raises(
        ValueError, match="its header says that it has 3,221,225,472 bytes; expected at most 1,073,741,824"
    ):
        EmbeddingMatrix.load(path)


class Cut:
    """In the place of another file."""

    def exists(self):
        return True

    def replace(self, path):
        os.truncate(path, path.stat().st_size - 3)


def test_a_file_that_is_cut_while_it_is_read(tmp_path, monkeypatch):
    path, _, _ = alternate(tmp_path, ".safetensors")
    renaming(monkeypatch, Cut(), path)
    with pytest.raises(ValueError, match="not a whole .safetensors file .*it ends 3 bytes too early"):
        EmbeddingMatrix.load(path)


# ── writing ──


def outputs(em):
    """Each kind of output: (name, what writes it to a path)."""
    return {
        "m.safetensors": em.save,
        "m.npz": em.save,
        "m.npy": em.save,
        "v.txt": lambda path: convert(path.with_name("in.txt"), path),
        "v.bin.gz": lambda path: convert(path.with_name("in.txt"), path),
        "v.bin.zst": lambda path: convert(path.with_name("in.txt"), path),
        "v.txt.zip": lambda path: convert(path.with_name("in.txt"), path),
        "index.json": lambda path: store.write_json(path, em.word_index),
        "report.html": em.write_report,
    }


# The last takes a second to draw, and is left out where it would be drawn often.
OUTPUTS = list(outputs(SimpleNamespace(save=None, write_report=None)))


@pytest.fixture
def target(request, em, tmp_path):
    """The path of an output of some kind, and what writes it."""
    write_text(tmp_path / "in.txt", {f"w{k}": [k] * 300 for k in range(100)})
    return tmp_path / request.param, outputs(em)[request.param]


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.mark.parametrize("target", OUTPUTS[:-1], indirect=True)
def test_permissions(target):
    """A new file gets the usual ones, one that was there keeps its own."""
    path, write = target
    for mask in (0o022, 0o077, 0o002):
        before = os.umask(mask)
        try:
            write(path)
        finally:
            os.umask(before)
        assert mode_of(path) == 0o666 & ~mask
        path.unlink()
    for mode in (0o600, 0o640, 0o664, 0o444):
        path.write_bytes(b"old")
        path.chmod(mode)
        write(path)
        assert mode_of(path) == mode
        assert path.read_bytes() != b"old"


def test_the_umask_is_not_touched(em, tmp_path, monkeypatch):
    """It belongs to all threads."""
    monkeypatch.setattr(os, "umask", None)
    em.save(tmp_path / "m.npy")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_an_output_keeps_its_owner(em, tmp_path):
    path = tmp_path / "m.npy"
    path.touch()
    os.chown(path, 65534, 65533)
    em.save(path)
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65533)


@pytest.mark.parametrize("target", OUTPUTS, indirect=True)
def test_a_symlink_is_followed(target):
    """Also one to a file that is not there yet."""
    path, write = target
    real = path.parent / "deep" / f"real{path.suffix}"
    real.parent.mkdir()
    path.symlink_to(real)
    for _ in range(2):
        write(path)
        assert path.is_symlink()
        assert real.is_file()
    assert os.listdir(real.parent) == [real.name]


@pytest.mark.parametrize("target", OUTPUTS, indirect=True)
def test_devices_pipes_and_folders_are_refused(target, tmp_path):
    path, write = target
    os.mkfifo(path)
    with pytest.raises(
        ValueError, match=rf"cannot write .*{path.name}: it is a pipe or a device; expected the name of a file"
    ):
        write(path)
    assert stat.S_ISFIFO(os.stat(path).st_mode)
    path.unlink()
    path.symlink_to("/dev/null")
    with pytest.raises(ValueError, match="it is a pipe or a device"):
        write(path)
    path.unlink()
    with socket.socket(socket.AF_UNIX) as here:
        here.bind(str(path))
        with pytest.raises(ValueError, match="it is a pipe or a device"):
            write(path)
    path.unlink()
    path.symlink_to(tmp_path / "no" / "file")
    with pytest.raises(FileNotFoundError, match="cannot write .*: there is no folder .*no"):
        write(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(IsADirectoryError, match="cannot write .*: it is a folder"):
        write(path)


def test_what_cannot_be_written_is_said_before_anything_is_read(tmp_path):
    """The vectors are not even there."""
    from w2v_embed.cli import main

    os.mkfifo(tmp_path / "m.npz")
    os.mkfifo(tmp_path / "v.txt")
    for command in (["build", "none.txt", "none.json", "-o", "m.npz"], ["convert", "none.txt", "v.txt"]):
        command[-1] = str(tmp_path / command[-1])
        assert main(command) == 1
        with pytest.raises(ValueError, match="it is a pipe or a device"):
            (store.check_output if command[0] == "build" else lambda path: convert("none.txt", path))(command[-1])


def test_a_folder_that_takes_no_files(em, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # for root may write everywhere
    with pytest.raises(PermissionError, match=f"cannot write .*m.npy: no file can be made in the folder {tmp_path}"):
        em.save(tmp_path / "m.npy")


def test_long_names(em, tmp_path):
    """As long as the file system takes them."""
    path = tmp_path / ("\u4e2d" * 80 + "x" * 11 + ".npy")
    em.save(path)
    em.save(path)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("target", OUTPUTS[:-1], indirect=True)
def test_a_full_disk(em, target, tmp_path):
    """The error names the output, the old file stays, and nothing else does; wherever the room ends."""
    path, write = target
    write(path)
    size = path.stat().st_size
    em.save(tmp_path / "em.safetensors")
    there = sorted(os.listdir(tmp_path))
    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        for room in (0, 1, size // 2, size - 1):
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
            try:
                with pytest.raises(OSError, match=f"File too large: '{path}'") as caught:
                    write(path)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            assert caught.value.filename == str(path)
            assert path.read_bytes() == b"old"
            assert sorted(os.listdir(tmp_path)) == there
    finally:
        signal.signal(signal.SIGXFSZ, before)


@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
def test_a_failed_save_leaves_the_old_file(em, tmp_path, monkeypatch, call):
    path = tmp_path / "m.safetensors"
    em.save(path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device", "some.tmp")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
        em.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_what_killed_writers_left_is_removed_but_not_what_is_written_now(em, tmp_path):
    left = tmp_path / ".other.npy.0123456789abcdef.w2v.tmp"
    left.write_bytes(b"half")
    mine = tmp_path / ".m.npy.swp"
    mine.write_bytes(b"an editor's")
    inside, go_on = threading.Event(), threading.Event()

    def slowly(file):
        file.write(b"whole")
        inside.set()
        go_on.wait()

    other = threading.Thread(target=output.write_atomically, args=(tmp_path / "slow", slowly))
    other.start()
    inside.wait()
    em.save(tmp_path / "m.npy")
    go_on.set()
    other.join()
    assert sorted(os.listdir(tmp_path)) == [".m.npy.swp", "m.npy", "slow"]
    assert (tmp_path / "slow").read_bytes() == b"whole"


def test_a_temporary_file_that_was_swept_up_before_it_was_locked(tmp_path, monkeypatch):
    flock, locked = output.fcntl.flock, []

    def late(number, how):
        if not locked:
            for left in tmp_path.iterdir():
                left.unlink()
        locked.append(how)
        flock(number, how)

    monkeypatch.setattr(output.fcntl, "flock", late)
    output.write_atomically(tmp_path / "file", lambda file: file.write(b"whole"))
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert len(locked) == 2


def test_without_locks(em, tmp_path, monkeypatch):
    """As on Windows, where what somebody holds open cannot be removed, and on file systems that know no locks."""
    monkeypatch.setattr(output, "fcntl", None)
    (tmp_path / ".x.npy.0123456789abcdef.w2v.tmp").touch()
    em.save(tmp_path / "m.npy")
    assert os.listdir(tmp_path) == ["m.npy"]
    monkeypatch.undo()

    def unknown(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(output.fcntl, "flock", unknown)
    (tmp_path / ".x.npy.0123456789abcdef.w2v.tmp").touch()
    em.save(tmp_path / "m.npy")
    assert sorted(os.listdir(tmp_path)) == [".x.npy.0123456789abcdef.w2v.tmp", "m.npy"]


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


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@pytest.mark.parametrize("matrix", [np.ones((2, 2), int), np.ones((2, 2), ">f4"), np.ones((2, 0))], ids=str)
def test_a_matrix_that_could_not_be_loaded_is_not_saved(matrix, suffix, tmp_path):
    path = tmp_path / f"m{suffix}"
    with pytest.raises(ValueError, match=rf"cannot write .*m{suffix}: expected a matrix of float16.* Convert it first"):
        EmbeddingMatrix(matrix, {"a": 1}).save(path)
    assert not path.exists()


def test_foreign_archives_and_pickles_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", matrix=np.zeros((2, 2)))
    with pytest.raises(ValueError, match="not a whole .npz file written by EmbeddingMatrix.save"):
        EmbeddingMatrix.load(tmp_path / "other.npz")
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match="not a whole .npy"):
        EmbeddingMatrix.load(tmp_path / "objects.npy")


@pytest.mark.parametrize("length", [0x280, 0x380, 0x480, 0x580])
def test_a_header_whose_length_begins_like_a_pickle(tmp_path, length):
    """Python's pickles begin with the bytes 80 02 to 80 05; so do such lengths."""
    path = tmp_path / "m.safetensors"

    def length_with(word):
        EmbeddingMatrix(np.ones((2, 3), np.float32), {word: 1}, padding_row=0).save(path)
        return int.from_bytes(path.read_bytes()[:8], "little")

    word = "w" * (1 + length - length_with("w"))
    assert length_with(word) == length
    assert load_vectors(path).index_to_key == [word]
    assert inspect(path)["format"] == "safetensors"

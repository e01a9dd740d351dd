"""Checksums of blocks of rows: what is read by them is what was written, and no more is read than they are of."""

import json
import zlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file

from tests.conftest import same_bits, write_text
from w2v_embed import EmbeddingMatrix, build_matrix, contents, convert, load_vectors, placed, shards, store, summed

ROWS, DIM = 500, 300  # three rows a block, the last one of two
WANTED = [0, 1, 60, 301, 302, 499]


@pytest.fixture
def em():
    matrix = np.random.default_rng(0).normal(size=(ROWS, DIM)).astype(np.float32)
    return EmbeddingMatrix(matrix, {f"w{k}": k for k in range(ROWS)}, origins=[3] * ROWS, sources=["v"])


@pytest.fixture
def path(em, tmp_path):
    em.save(tmp_path / "m.safetensors")
    return tmp_path / "m.safetensors"


@pytest.fixture
def read(monkeypatch):
    """The stretches that are read of rows: (first byte, bytes)."""
    told = []
    fill = summed.fill

    def counted(file, begin, view):
        told.append((begin, len(view)))
        fill(file, begin, view)

    monkeypatch.setattr(summed, "fill", counted)
    return told


def parts(path):
    """The metadata and the arrays of a file."""
    with safe_open(str(path), "numpy") as file:
        metadata = file.metadata()
        return metadata, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)


def write(path, metadata, arrays, crc=None):
    """An artifact whose checksum counts these, whatever they say."""
    matrix = arrays["matrix"]
    names = [name for name in (*contents.TENSORS, "sums") if name in arrays]
    tensors = {name: arrays[name] for name in names}
    crc = zlib.crc32(matrix.tobytes()) if crc is None else crc
    metadata = {**metadata, "checksum": contents.checksum_of(metadata, matrix.shape, matrix.dtype, crc, tensors)}
    path.write_bytes(store.safetensors_head(matrix.shape, matrix.dtype, metadata, tensors) + matrix.tobytes())


def flipped(path, at, bit=0):
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


def place_of(path, name, at=0):
    """The byte of the file at which a tensor has its byte `at`."""
    data = path.read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    return begin + json.loads(data[8:begin])[name]["data_offsets"][0] + at


def some_of(path, rows=WANTED):
    return build_matrix(path, {f"w{row}": k for k, row in enumerate(rows)})


def test_the_table(em, path, tmp_path):
    """A block is as many rows as 4096 bytes hold; whoever writes a file, it is the same."""
    expected = [zlib.crc32(em.matrix[k : k + 3].tobytes()) for k in range(0, ROWS, 3)]
    assert parts(path)[1]["sums"].tolist() == expected
    assert load_file(path)["sums"].dtype == np.int64
    write_text(tmp_path / "v.txt", dict(zip(em.word_index, em.matrix)))
    convert(tmp_path / "v.txt", tmp_path / "c.safetensors")
    assert parts(tmp_path / "c.safetensors")[1]["sums"].tolist() == expected
    build_matrix(path, list(em.word_index), out=tmp_path / "o.safetensors")
    assert parts(tmp_path / "o.safetensors")[1]["sums"].tolist() == expected
    em.save(tmp_path / "m.npz")  # is read as a whole
    assert "sums" not in np.load(tmp_path / "m.npz").files


def test_a_matrix_that_is_moved_in_its_file_has_them(em, path, tmp_path, monkeypatch):
    monkeypatch.setattr(placed, "_ROOM", 1)
    build_matrix(path, list(em.word_index), out=tmp_path / "o.safetensors")
    assert same_bits(EmbeddingMatrix.load(tmp_path / "o.safetensors").matrix, em.matrix)
    assert same_bits(some_of(tmp_path / "o.safetensors").matrix, em.matrix[WANTED])


@given(
    rows=st.integers(0, 700),
    dim=st.sampled_from([1, 3, 100, 1025, 5000]),
    dtype=st.sampled_from(["f2", "f4", "f8"]),
    cuts=st.lists(st.integers(0, 700), max_size=5),
)
def test_sums_add_up_to_the_checksum_of_all(rows, dim, dtype, cuts):
    """However the rows come."""
    rows = min(rows, 20_000 // dim)
    matrix = np.random.default_rng(rows).normal(size=(rows, dim)).astype(dtype)
    bounds = sorted({0, rows, *(min(cut, rows) for cut in cuts)})
    summing, block = summed.Summing(dim, dtype), max(4096 // matrix[:1].nbytes, 1) if rows else 1
    for begin, end in pairwise(bounds):
        summing.add(matrix[begin:end])
    expected = [zlib.crc32(matrix[k : k + block].tobytes()) for k in range(0, rows, block)]
    assert summing.sums().tolist() == expected == summed.sums_of(matrix).tolist()
    assert len(expected) == summed.count_of(matrix.shape, dtype)
    assert summed.whole_of(summing.sums(), matrix.shape, dtype) == zlib.crc32(matrix.tobytes())


def test_many_sums_add_up():
    """More than are joined in one way alone."""
    matrix = np.arange(5000, dtype="f8").reshape(-1, 1)
    sums = np.array([zlib.crc32(row.tobytes()) for row in matrix.repeat(512, axis=1)], np.int64)
    assert summed.whole_of(sums, (5000, 512), "f8") == zlib.crc32(matrix.repeat(512, axis=1).tobytes())


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_some_rows_are_those_of_all(em, tmp_path, hot, dtype):
    path = tmp_path / "m.safetensors"
    em = em.with_matrix(em.matrix.astype(dtype))
    em.save(path)
    rng = np.random.default_rng(1)
    with open(path, "rb", buffering=0) as file:
        rows, *_ = store.open_safetensors(file)
        rows.stretches = hot.read_stretches
        for number in (0, 1, 2, 5, 40, 100, ROWS):
            begin = int(rng.integers(0, ROWS - number + 1))
            stop = int(rng.integers(begin + number, ROWS + 1))
            numbers = np.sort(rng.choice(np.arange(begin, stop), number, replace=False))
            assert same_bits(rows.some(numbers, begin, stop), em.matrix[numbers])
            assert same_bits(rows[begin:stop], em.matrix[begin:stop])
        assert same_bits(rows.some(np.array([ROWS - 1]), 0, ROWS), em.matrix[-1:])
        assert rows[7:3].shape == (0, DIM)


def test_no_more_is_read_than_their_blocks(em, path, read, monkeypatch):
    stretches = []
    with open(path, "rb", buffering=0) as file:
        rows, *_ = store.open_safetensors(file)
        del read[:]
        rows.stretches = lambda number, begins, sizes, out: stretches.append(sizes.tolist()) or 0
        rows.some(np.array(WANTED), 0, ROWS)
    begin = place_of(path, "matrix")
    blocks = [(begin + 3600 * k, 3600 if k < 166 else 2400) for k in (0, 20, 100, 166)]
    assert read == blocks
    assert stretches == [[size for _, size in blocks]]


def test_files_without_sums_are_read_as_before(em, path):
    """All rows, whatever is wanted, and the checksum behind the last."""
    metadata, arrays = parts(path)
    write(path, metadata, {name: array for name, array in arrays.items() if name != "sums"})
    assert same_bits(EmbeddingMatrix.load(path).matrix, em.matrix)
    assert same_bits(some_of(path).matrix, em.matrix[WANTED])
    flipped(path, place_of(path, "matrix", 4 * DIM * 200))
    for look in (EmbeddingMatrix.load, some_of):
        with pytest.raises(
            ValueError, match=r"m\.safetensors is not a whole .*its checksum says [0-9a-f]{8}, its content"
        ):
            look(path)


# ── attacks ──


def test_a_changed_block_is_refused_where_it_is_read(em, path):
    """By whoever reads it, and by nobody else."""
    rng, place = np.random.default_rng(2), place_of(path, "matrix")
    whole = path.read_bytes()
    blocks = {row // 3 for row in WANTED}
    hits = 0
    for at, bit in zip(rng.integers(0, em.matrix.nbytes, 24).tolist(), rng.integers(0, 8, 24).tolist()):
        block = at // 3600 if at % 2 else [*blocks][at % len(blocks)]
        at = min(3600 * block + at % 3600, em.matrix.nbytes - 1)
        flipped(path, place + at, bit)
        first = 3 * (at // 3600)
        told = rf"its rows {first} to {min(first + 3, ROWS) - 1} says [0-9a-f]+, their content gives [0-9a-f]+: a part of it"
        if at // 3600 in blocks:
            hits += 1
            with pytest.raises(ValueError, match=rf"m\.safetensors is not a whole .*{told}"):
                some_of(path)
        else:
            assert same_bits(some_of(path).matrix, em.matrix[WANTED])
        for look in (EmbeddingMatrix.load, load_vectors):
            with pytest.raises(ValueError, match=told):
                look(path)
        path.write_bytes(whole)
    assert 6 < hits < 24


def test_a_reading_that_stops_early_is_checked(em, path):
    """All words that are looked for stand before the end."""
    flipped(path, place_of(path, "matrix", 5))
    with pytest.raises(ValueError, match="its rows 0 to 2 says"):
        some_of(path, [0])
    assert same_bits(some_of(path, [3]).matrix, em.matrix[[3]])


def test_a_changed_table_is_refused(path):
    whole, place = path.read_bytes(), place_of(path, "sums")
    for at in (0, 3, 4, 7, 8 * 100 + 1, 8 * 167 - 1, 8 * 167 - 8):
        flipped(path, place + at, at % 8)
        for look in (EmbeddingMatrix.load, load_vectors, some_of, lambda path: EmbeddingMatrix.load(path, mmap=True)):
            with pytest.raises(
                ValueError, match=r"m\.safetensors is not a whole .*(its checksum says|its sums go from)"
            ):
                look(path)
        path.write_bytes(whole)


@pytest.mark.parametrize("counted", [True, False])
def test_the_table_of_another_file_is_refused(em, path, tmp_path, counted):
    """Of one of the same shape; also where the checksum counts the table, but the rows that are there."""
    other = em.with_matrix(em.matrix + 1)
    other.save(tmp_path / "o.safetensors")
    foreign = parts(tmp_path / "o.safetensors")[1]["sums"]
    metadata, arrays = parts(path)
    if counted:
        write(path, metadata, {**arrays, "sums": foreign})
    else:
        place, data = place_of(path, "sums"), path.read_bytes()
        path.write_bytes(data[:place] + foreign.tobytes() + data[place + foreign.nbytes :])
    for look in (EmbeddingMatrix.load, load_vectors, some_of):
        with pytest.raises(ValueError, match="is not a whole .*its checksum says"):
            look(path)


def test_rows_that_are_not_those_of_the_table_are_refused(em, path):
    """Though table and checksum go together: block by block, also where two have changed their places."""
    metadata, arrays = parts(path)
    moved = arrays["matrix"].copy()
    moved[[0, 60]] = moved[[60, 0]]
    crc = summed.whole_of(arrays["sums"], moved.shape, moved.dtype)
    write(path, metadata, {**arrays, "matrix": moved}, crc)
    for look in (EmbeddingMatrix.load, load_vectors, some_of):
        with pytest.raises(ValueError, match="the checksum of its rows 0 to 2 says"):
            look(path)
    assert same_bits(some_of(path, [30, 31]).matrix, em.matrix[[30, 31]])


def test_a_table_needs_a_checksum(path):
    """Without one nothing would say whose table it is."""
    metadata, arrays = parts(path)
    write(path, metadata, arrays)
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"checksum"', b'"checkSum"', 1))
    with pytest.raises(ValueError, match="its checksum says None, its content gives"):
        some_of(path)


@pytest.mark.parametrize(
    ("sums", "told"),
    [
        (lambda sums: sums[:-1], r"its tensor sums is I64 of shape \(166,\); expected I64 of shape \(167,\)"),
        (lambda sums: np.append(sums, 0), r"is I64 of shape \(168,\)"),
        (lambda sums: sums[:0], r"is I64 of shape \(0,\)"),
        (lambda sums: sums[:, None], r"is I64 of shape \(167, 1\)"),
        (lambda sums: sums.astype(np.int32), r"is I32 of shape \(167,\)"),
        (lambda sums: sums + (1 << 32), r"its sums go from \d+ to \d+; expected CRC-32"),
        (lambda sums: -sums, r"its sums go from -\d+ to -\d+; expected CRC-32"),
    ],
)
def test_a_table_of_another_size(path, sums, told):
    metadata, arrays = parts(path)
    write(path, metadata, {**arrays, "sums": sums(arrays["sums"])})
    for look in (EmbeddingMatrix.load, load_vectors):
        with pytest.raises(ValueError, match=rf"m\.safetensors is not a whole .*{told}"):
            look(path)


def test_a_table_of_gigabytes_is_not_read(tmp_path):
    """A sparse file takes no room on the disk, whatever its size."""
    path, n = tmp_path / "m.safetensors", 1 << 27
    header = {"sums": {"dtype": "I64", "shape": [n], "data_offsets": [0, 8 * n]}}
    header["matrix"] = {"dtype": "F32", "shape": [5, 2], "data_offsets": [8 * n, 8 * n + 40]}
    packed = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(len(packed).to_bytes(8, "little") + packed)
        file.truncate(8 + len(packed) + 8 * n + 40)
    with pytest.raises(ValueError, match=r"is I64 of shape \(134217728,\); expected I64 of shape \(1,\)"):
        load_vectors(path)


def test_a_cut_file(path):
    data = path.read_bytes()
    for size in (len(data) - 1, len(data) - 1200, place_of(path, "matrix"), place_of(path, "sums", 8), 100):
        path.write_bytes(data[:size])
        with pytest.raises(ValueError, match=r"m\.safetensors"):
            some_of(path, [0])


def test_a_file_that_is_cut_while_it_is_read(path, hot):
    data = path.read_bytes()
    with open(path, "rb", buffering=0) as file:
        rows, *_ = store.open_safetensors(file)
        path.write_bytes(data[: place_of(path, "matrix", 3600 * 100 + 7)])  # the same file
        for stretches in (hot.read_stretches, rows.stretches):
            rows.stretches = stretches
            with pytest.raises(ValueError, match="it ends 3593 bytes too early"):
                rows.some(np.array([0, 300]), 0, ROWS)


# ── mapped ──


def test_all_but_the_rows_of_a_mapped_file_is_checked(em, path):
    whole = path.read_bytes()
    for name in ("words", "ids", "origins"):
        flipped(path, place_of(path, name))
        with pytest.raises(ValueError, match=r"m\.safetensors is not a whole"):
            EmbeddingMatrix.load(path, mmap=True)
        path.write_bytes(whole)
    flipped(path, place_of(path, "matrix", 5))
    assert same_bits(EmbeddingMatrix.load(path, mmap=True).matrix[1:], em.matrix[1:])


def test_rows_of_a_part_are_checked(em, tmp_path):
    """What `load_rows` reads, see tests/test_layers_rows.py."""
    path = tmp_path / "m.safetensors.index.json"
    shards.save_shards(em, path, most=250 * 1200)
    index = shards.read_index(path)
    part = index.parts[1]
    flipped(part.path, place_of(part.path, "matrix[250:500]", 1200 * 100))
    matrix, check = shards.mapped_part(index, part)
    assert matrix.shape == (250, DIM)
    check(0, 99)
    check(102, 250)
    check(50, 50)
    for begin, end in ((0, 100), (101, 102), (0, 250)):  # the row beside it is of the same block
        with pytest.raises(ValueError, match=r"m-250-500-of-500\.safetensors is not a whole .*rows 99 to 101 says"):
            check(begin, end)
    other = index._replace(shape=(500, 3))
    with pytest.raises(
        ValueError, match=r"m-250-500-of-500\.safetensors is no part of m\..* \(expected float32 of shape"
    ):
        shards.mapped_part(other, part)

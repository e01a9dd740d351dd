"""Files in pieces: whatever their size, and whoever reads them when, what comes out is what one piece would give."""

import gzip
import itertools
import os
import threading

import numpy as np
import pytest

from tests.conftest import same_bits, use_hot, write_binary, write_text
from w2v_embed import build_matrix, load_vectors, progress
from w2v_embed.readers import blocks, excerpt, load, opened
from w2v_embed.readers.pieces import InPlace

ROW = np.array([1, -2.5], "<f4").tobytes()
ZEROS = b"b " + b"\x01\x00\x80\x3f" + bytes(200)  # they begin in a vector
CORPUS = {
    "header": b"4 2\na 1 2\nbb 3 4\nccc 5 6\nd -7 8e-1\n",
    "no newline at the end": b"a 1 2\nbb 3 4\nccc 5 6",
    "CRLF": b"3 2\r\na 1 2\r\nbb 3 4\r\nccc 5 6\r\n",
    "blank lines": b"a 1 2\n\n\n  \n\nbb 3 4\n" + b"\n" * 50 + b"c 5 6\n\n",
    "lines of eight": b"".join(b"%c 1 2.5\n" % k for k in b"abcdefghijklmnopq"),
    "a long line": b"a 1 2\nb 3" + b" " * 300 + b"4\nc 5 6\n" + b"x" * 300 + b" 7 8\nd 9 9\n",
    "one line": b"a 1 2",
    "words with spaces": b"3 2\nNew York 1 2\n. . 3 4\nx\t5 6\ny  7 8\n",
    "damage": b"a 1 2\nb 1\nc 1 2 3\nd 1 x\na 5 6\ne nan 1\n 1 2\n\xff 1 2\nf 1 2\nf 1 2\ng 1\0 2\nh 7 8\n",
    "the header lies": b"9 2\na 1 2\nb 3 4\n",
    "the header lies less": b"1 2\na 1 2\nb 3 4\nc 5 6\na 0 0\nd 7 8\n",
    "zeros at the end": b"a 1 2\nb 3 4\n" + bytes(90),
    "zeros in a line": b"a 1 2\nb 3 4.12" + bytes(90),
    "more zeros than a record has": b"a 1 2\nb 3 4\n" + bytes(1500) + b"\nc 5 6\n",
    "a line that is too long": b"a 1 2\nb 3 4\n" + b"x" * 1500 + b" 5 6\nc 5 6\n",
    "damage before a line that is too long": b"a 1 2\nb 3 4\nc 1\n" + b"x" * 1500 + b" 5 6\nc 5 6\n",
    "a line as long as can be": b"a 1 2\n" + b"x" * 1019 + b" 5 6\nc 5 6\n",
    "binary": b"5 2\n" + b"".join(b"%s " % word + ROW + b"\n" for word in (b"a", b"bb", b"c", b"d", b"bb")),
    "binary without newlines": b"4 2\n" + b"".join(b"%s " % word + ROW for word in (b"a", b"bb", b"ccccccccc", b"d")),
    "binary, cut": b"3 2\n" + b"".join(b"%s " % word + ROW + b"\n" for word in (b"a", b"bb", b"c"))[:-6],
    "binary, zeros": b"3 2\n" + b"a " + ROW + ZEROS,
    "binary, a number of zero": b"4 2\n"
    + b"".join(b"%s " % word + ROW[:4] + bytes(4) for word in (b"a", b"bb", b"c", b"d")),
    "binary, a word without an end": b"9 2\n" + b"a " + ROW + b"\n" + b"x" * 1500,
}


def readings(path):
    """All that can be had of a file: of the whole and of some words, with what is damaged skipped, and raised."""
    for on_error in ("raise", "skip"):
        for read in (
            lambda **how: load_vectors(path, **how),
            lambda **how: load_vectors(path, limit=2, **how),
            lambda **how: load_vectors(path, words=["bb", "c", "New York"], **how),
        ):
            try:
                kv = read(on_error=on_error)
                damage = kv.damage.counts, kv.damage.examples
                yield kv.index_to_key, kv.vectors.tobytes(), damage, sorted(kv.key_to_index.items())
            except ValueError as error:
                yield str(error)
        try:
            em = build_matrix(path, ["a", "bb", "c", "D"], fallbacks=["lower"], on_error=on_error)
            yield em.matrix.tobytes(), em.coverage.missing, [(told.counts, told.examples) for told in em.damage]
        except ValueError as error:
            yield str(error)


@pytest.mark.parametrize("name", CORPUS)
def test_pieces_of_any_size_give_the_same(name, tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(CORPUS[name])
    monkeypatch.setattr(opened, "_LEAST_NUMBERS", 1)
    monkeypatch.setattr(blocks, "_LONGEST_RECORD", 1024)
    results = {}
    sizes = [("kernels", size) for size in (1 << 10, *range(1, 41))]
    for hot, size in (*sizes, ("plain", 1 << 10), ("plain", 1), ("plain", 23)):
        use_hot(hot, monkeypatch)
        monkeypatch.setattr(blocks, "_BLOCK", size)
        results[hot, size] = list(readings(path))
    for got in results.values():
        assert got == results["kernels", 1 << 10]


@pytest.mark.parametrize("name", ["header", "damage", "a long line", "zeros in a line", "binary", "binary, zeros"])
def test_streams_give_what_files_give(name, tmp_path, monkeypatch):
    """The same in another way: packed, where one thread after another reads."""
    path, packed = tmp_path / "file", tmp_path / "packed"
    path.write_bytes(CORPUS[name])
    packed.write_bytes(gzip.compress(CORPUS[name]))
    use_hot("kernels", monkeypatch)
    for size in (1, 7, 16, 1 << 10):
        monkeypatch.setattr(blocks, "_BLOCK", size)
        results = [repr(list(readings(one))).replace(str(one), "FILE") for one in (path, packed)]
        assert results[0] == results[1]


@pytest.fixture
def two_threads(monkeypatch):
    """Compiled loops on two threads, and pieces of 256 bytes."""
    use_hot("kernels", monkeypatch)


def overtaking(monkeypatch):
    """Every other piece comes only when the one behind it is there."""
    loaded, read = [threading.Event() for _ in range(10_000)], InPlace.load

    def load(self, scratch):
        number = scratch.at // 256
        read(self, scratch)
        loaded[number].set()
        if number % 2 == 0 and threading.active_count() > 1:
            loaded[number + 1].wait(0.2)

    monkeypatch.setattr(InPlace, "load", load)


def test_the_first_error_is_raised_though_the_next_piece_was_there_before(tmp_path, two_threads, monkeypatch):
    lines = [b"w%d 1 2\n" % k for k in range(400)]
    for first in (100, 101, 130, 131):
        bad = lines.copy()
        for k in range(first, 400):
            bad[k] = b"bad%d 1\n" % k
        path = tmp_path / f"v{first}.txt"
        path.write_bytes(b"".join(bad))
        byte = len(b"".join(bad[:first]))
        with monkeypatch.context() as patch:
            overtaking(patch)
            with pytest.raises(ValueError, match=rf"line {first + 1} \(byte {byte:,}\): expected 2".replace(",", " ")):
                load_vectors(path)
            kv = load_vectors(path, on_error="skip")
        assert kv.index_to_key == [f"w{k}" for k in range(first)]
        assert kv.damage.counts["too few numbers"] == 400 - first


def at_read(monkeypatch, number, change):
    """`change()` before the read with this number, of all behind the head."""
    numbers, real = itertools.count(), excerpt._preadv

    def preadv(*args):
        if next(numbers) == number:
            change()
        return real(*args)

    monkeypatch.setattr(excerpt, "_preadv", preadv)


@pytest.mark.parametrize("on_error", ["raise", "skip"])
@pytest.mark.parametrize("size", [0, 300, 2000, 5000])
@pytest.mark.parametrize("name", ["text", "binary"])
def test_a_file_that_becomes_shorter_while_it_is_read(tmp_path, hot, monkeypatch, name, size, on_error):
    write = {"text": write_text, "binary": write_binary}[name]
    path = write(tmp_path / "v", {f"word{k}": [k, 2, 3] for k in range(1000)})
    at_read(monkeypatch, 15, lambda: os.truncate(path, size))
    with pytest.raises(ValueError, match="v has become shorter while it was read. Wait until it is written"):
        load_vectors(path, on_error=on_error)


@pytest.mark.parametrize("at", [0, 15, 62, 63])
def test_a_file_that_grows_while_it_is_read(tmp_path, hot, monkeypatch, at):
    """It is read as far as it went when it was opened, whichever thread comes first."""
    path = write_text(tmp_path / "v", {f"word{k}": [k, 2, 3] for k in range(1000)}, header=False)

    def grow():
        with open(path, "ab") as file:
            file.write(b"".join(b"more%d 1 2 3\n" % k for k in range(1000)))

    at_read(monkeypatch, at, grow)
    kv = load_vectors(path)
    assert kv.index_to_key == [f"word{k}" for k in range(1000)]
    assert kv.vectors[999].tolist() == [999, 2, 3]


def test_nothing_is_read_far_behind_a_line_that_is_too_long(tmp_path, two_threads, monkeypatch):
    path = tmp_path / "v.txt"
    path.write_bytes(b"a 1 2\nb 3 4\n" * 100 + b"x" * 100_000 + b"\nc 1 2\n" * 100_000)
    monkeypatch.setattr(blocks, "_LONGEST_RECORD", 4096)
    furthest, real = [], excerpt._preadv

    def preadv(file, views, at):
        furthest.append(at)
        return real(file, views, at)

    monkeypatch.setattr(excerpt, "_preadv", preadv)
    with pytest.raises(ValueError, match=r"v\.txt: the line that begins at byte 1200 is longer than 4096 bytes"):
        load_vectors(path, on_error="skip")
    assert max(furthest) < 20_000


@pytest.mark.parametrize("header", [True, False])
def test_bytes_lie_as_far_into_a_page_as_in_the_file(tmp_path, monkeypatch, header):
    """Copied by a few bytes forward in their pages, they took five times as long on one processor."""
    path = write_text(tmp_path / "v.txt", many(3000), header=header)
    apart = []

    def preadv(file, views, at):
        apart.append((np.frombuffer(views[0], np.uint8).ctypes.data - at) % 4096)
        return os.preadv(file, views, at)

    monkeypatch.setattr(excerpt, "_preadv", preadv)
    use_hot("kernels", monkeypatch)
    for size in (1 << 12, 3 << 20):
        monkeypatch.setattr(blocks, "_BLOCK", size)
        load_vectors(path)
    assert len(apart) > 10
    assert set(apart) == {0}


def test_progress_only_grows_and_comes_to_the_end(tmp_path, hot, monkeypatch):
    monkeypatch.setattr(progress, "_INTERVAL", 0)
    path = write_text(tmp_path / "v.txt", {f"w{k}": [k] * 4 for k in range(3000)})
    size, told = path.stat().st_size, []
    load_vectors(path, progress=lambda done, total: told.append((done, total)))
    assert len(told) > 10
    assert told == sorted(told)
    assert told[-1] == (size, size)
    told.clear()
    build_matrix(path, ["w2"], progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1][0] < size / 2


def many(n, dim=3):
    return {f"w{k}": np.random.default_rng(k).normal(size=dim).astype(np.float32).tolist() for k in range(n)}


@pytest.mark.parametrize("first_rows", [1, 40, 1 << 16])
@pytest.mark.parametrize("packing", [bytes, gzip.compress])
@pytest.mark.parametrize("claimed", [None, 0, 1, 500, 2000, 10**9])
def test_rows_end_where_they_belong_whatever_the_header_says(tmp_path, hot, monkeypatch, claimed, packing, first_rows):
    """Rows fall out all along: words that come again, damage, and lines that are read the exact way come in between."""
    monkeypatch.setattr(load, "_FIRST_ROWS", first_rows)
    rows = many(2000)
    lines = [f"{word} {' '.join(map(str, row))}\n" for word, row in rows.items()]
    odd = {k: f"New York {k} 1 2 3\n" for k in range(0, 2000, 111)}
    text, words, vectors, again = "", [], [], 0
    for k, (line, row) in enumerate(zip(lines, rows.values())):
        if k % 37 == 5:
            text += lines[k - 5] * (1 + k % 3) + "damaged 1\n"
            again += 1 + k % 3
        text += odd.get(k, "") + line
        words += [f"New York {k}"] * (k in odd) + [f"w{k}"]
        vectors += [[1, 2, 3]] * (k in odd) + [row]
    path = tmp_path / "v.txt"
    path.write_bytes(packing(((f"{claimed} 3\n" if claimed is not None else "") + text).encode()))
    kv = load_vectors(path, on_error="skip")
    assert kv.index_to_key == words
    assert kv.key_to_index == {word: k for k, word in enumerate(words)}
    assert same_bits(kv.vectors, np.array(vectors, np.float32))
    assert kv.damage.counts["duplicate word"] == again
    for limit in (1, 299, 2000):
        some = load_vectors(path, on_error="skip", limit=limit)
        assert some.index_to_key == words[:limit]
        assert same_bits(some.vectors, np.array(vectors[:limit], np.float32))
    picked = load_vectors(path, on_error="skip", words=words[::3])
    assert picked.index_to_key == words[::3]
    assert same_bits(picked.vectors, np.array(vectors[::3], np.float32))


def test_lines_that_become_shorter_grow_the_array(tmp_path, hot, monkeypatch):
    """The first lines say that there are few."""
    monkeypatch.setattr(opened, "HEAD", 1000)
    path = tmp_path / "v.txt"
    first = b"".join(b"%040d 1.0000000000 2.0000000000\n" % k for k in range(50))
    path.write_bytes(first + b"".join(b"%d 1 2\n" % k for k in range(9000)))
    kv = load_vectors(path)
    assert len(kv) == 9050
    assert (kv.vectors == [1, 2]).all()


def test_a_clean_file_is_parsed_where_its_rows_stay(tmp_path, hot, monkeypatch):
    rows = many(500)
    paths = [write_text(tmp_path / "v.txt", rows), write_text(tmp_path / "g.txt", rows, header=False)]
    for path in (*paths, write_binary(tmp_path / "v.bin", rows)):
        own = []

        class Watched(load.Collected):
            def add(self, block, own=own):
                own.append(block.rows.base is self.matrix)
                return super().add(block)

        monkeypatch.setattr(load, "Collected", Watched)
        assert same_bits(load_vectors(path).vectors, np.array(list(rows.values()), np.float32))
        assert all(own)

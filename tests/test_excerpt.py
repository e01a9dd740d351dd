"""Records that lie apart in a file: as a stream, and the rows of some of them."""

import numpy as np
import pytest

from tests.conftest import same_bits, write_binary, write_text
from w2v_embed.readers import excerpt
from w2v_embed.readers.compression import Source
from w2v_embed.readers.excerpt import Excerpt, read_at
from w2v_embed.readers.opened import Opened
from w2v_embed.readers.scan import kernels

BEGINS, SIZES = np.array([90, 0, 5, 20]), np.array([10, 3, 0, 60])


@pytest.fixture(params=["preadv", "_seek_and_read"])
def source(request, tmp_path, monkeypatch):
    """A file of a hundred bytes, read as the system can, and as on Windows, which has no preadv."""
    if request.param == "_seek_and_read":
        monkeypatch.setattr(excerpt, "_preadv", excerpt._seek_and_read)
    path = tmp_path / "file"
    path.write_bytes(bytes(range(100, 200)))
    with Source(path) as opened:
        yield opened


def test_stretches_one_behind_the_other(source, hot):
    """Whatever part is asked for; and of each byte, where it lies in the file."""
    data = source.path.read_bytes()
    stretches = Excerpt(source, BEGINS, SIZES, hot)
    expected = b"".join(data[begin : begin + size] + b"\n" for begin, size in zip(BEGINS, SIZES))
    for at in range(len(expected) + 2):
        for size in range(len(expected) + 2):
            view = memoryview(bytearray(b"\xff" * size))
            n = stretches.read_into(at, view)
            assert n == len(expected[at : at + size])
            assert bytes(view) == expected[at : at + size] + b"\xff" * (size - n)
    assert stretches.size == len(expected)
    assert [stretches.in_file(k) for k in (0, 9, 11, 13, 15, 16, 75)] == [90, 99, 0, 2, 5, 20, 79]


def test_no_stretch(source, hot):
    stretches = Excerpt(source, BEGINS[:0], SIZES[:0], hot)
    assert stretches.read_into(0, memoryview(bytearray(9))) == stretches.size == 0


@pytest.mark.parametrize("sizes", [[3, 20], [20, 3]])
def test_a_stretch_beyond_the_end_of_the_file(source, hot, sizes):
    stretches = Excerpt(source, np.array([90, 90]), np.array(sizes), hot)
    with pytest.raises(ValueError, match="file has become shorter while it was read"):
        stretches.read_into(0, memoryview(bytearray(25)))


@pytest.mark.parametrize(("begins", "sizes", "room"), [([0], [3], 3), ([-1], [3], 9), ([0, 1], [9, -5], 9)])
def test_stretches_that_have_no_room(source, begins, sizes, room):
    """The compiled loop trusts what it is told: who calls it is asked first."""
    with pytest.raises(ValueError, match=f"{len(begins)} stretches of {sum(sizes)} bytes do not fit into {room}"):
        kernels.read_stretches(source.fileno(), np.array(begins), np.array(sizes), np.zeros(room, np.uint8))


@pytest.mark.parametrize(("begin", "size"), [(90, 11), (200, 1)])
def test_a_file_that_is_shorter(source, begin, size):
    with pytest.raises(ValueError, match="file has become shorter while it was read"):
        read_at(source, begin, size)


class Kept:
    """A sink that keeps words' numbers and rows."""

    count = 0

    def __init__(self):
        self.targets, self.rows = [], []

    def add(self, block):
        self.targets.append(block.targets.copy())
        self.rows.append(block.rows.copy())
        return None, ()


@pytest.mark.parametrize("write", [write_text, write_binary])
def test_rows_of_records_that_lie_apart(tmp_path, monkeypatch, hot, write):
    """Of all kinds, in the order of the file."""
    monkeypatch.setattr("w2v_embed.readers.opened._LEAST_NUMBERS", 1)
    monkeypatch.setattr("w2v_embed.readers.opened.threads_for", lambda size: 2)
    rng = np.random.default_rng(0)
    words = [f"w{k}" for k in range(300)] + [
        "中国",
        "a" * 300,
        *(["New York", "New  York"] if write is write_text else []),
    ]
    rows = dict(zip(words, rng.normal(size=(len(words), 3)).astype(np.float32).tolist()))
    path = write(tmp_path / "v", rows)
    others = [words[k] for k in rng.permutation(len(words))[:150]] + ["not there", "a" * 300]
    others = list(dict.fromkeys(others))
    with Opened(path) as file:
        file.look_for(["nothing"], candidates=set)
        file.run(Kept(), log=False)
        sink = Kept()
        file.go_back(others, sink)
    there = [word for word in words if word in others]
    assert [others[k] for k in np.concatenate(sink.targets).tolist()] == there
    assert len(sink.rows) > 3
    assert same_bits(np.concatenate(sink.rows), np.array([rows[word] for word in there], np.float32))

"""Counting on many workers: the same counts, in the same order, whoever dies; and how many threads each takes."""

import bz2
import json
import os
import signal
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from w2v_embed import count_words, threads
from w2v_embed.cli import main
from w2v_embed.corpus import merge_counts
from w2v_embed.engines import ProcessPool, engine, run_all
from w2v_embed.readers import lines

needs_kill = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")


class DiesOnce:
    """Splits at white space; the first who splits a line with `word` is killed, as long as there is no file `mark`."""

    def __init__(self, mark, word, always=False):
        self.mark, self.word, self.always = mark, word, always

    def __call__(self, line):
        if self.word in line and (self.always or not self.mark.exists()):
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return line.split()


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(lines, "_PIECE", 50)
    monkeypatch.setattr(lines, "_CHUNK", 16)
    monkeypatch.setattr(lines, "_LOOKED_THROUGH", 7)


@pytest.fixture(scope="module")
def two():
    with ThreadPoolExecutor(2) as pool:
        yield pool


TEXTS = st.lists(
    st.sampled_from(["a ", "b", "中", "国", " ", "\n", "\ufeff", "é\r\n", "\u3000", "\u2028", "x" * 30, "𝒳"]),
    max_size=150,
).map("".join)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=TEXTS,
    encoding=st.sampled_from(["utf-8", "gb18030", "utf-16", "utf-8-sig"]),
    split=st.sampled_from(["whitespace", "characters"]),
)
def test_pieces_count_as_the_whole(text, encoding, split, small_pieces, two, tmp_path):
    path = tmp_path / "t.txt"
    path.write_bytes(text.encode(encoding))
    plain = count_words(path, split=split, encoding=encoding)
    counted = count_words([path], split=split, encoding=encoding, executor=two)
    assert list(counted.items()) == list(plain.items())
    words = Counter(word for line in text.split("\n") for word in line.removeprefix("\ufeff").split())
    if split == "whitespace" and encoding == "utf-8":
        assert plain == words  # and both are right


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS)
def test_pieces_are_the_file(text, small_pieces, tmp_path):
    """Each byte once, in order, and each cut behind a newline."""
    path = tmp_path / "t.txt"
    raw = text.encode()
    path.write_bytes(raw)
    cuts = list(lines.pieces(path))
    spans = [(piece.begin, len(raw) if piece.end is None else piece.end) for piece in cuts]
    assert b"".join(raw[begin:end] for begin, end in spans) == raw
    assert all(raw[begin - 1 : begin] == b"\n" for begin, _ in spans[1:])
    assert all(
        raw.find(b"\n", begin + 49) in (-1, end - 1) for begin, end in spans[:-1]
    )  # none is longer than it must be


def test_packed_files_and_several(data, two, tmp_path):
    """A packed file is a piece of its own, between those of others."""
    text, packed = data / "titles.tsv", tmp_path / "t.bz2"
    packed.write_bytes(bz2.compress(b"some words\n" * 20))
    paths = [text, packed, text]
    assert count_words(paths, executor=two) == count_words(paths)


def test_an_error_in_a_piece_names_its_place_in_the_file(small_pieces, two, tmp_path):
    path = tmp_path / "t.txt"
    path.write_bytes(b"some words\n" * 20 + b"and \xff\n" + b"more\n" * 20)
    messages = []
    for executor in (None, two):
        with pytest.raises(ValueError, match=r"t\.txt, line 21 \(byte 224\): expected utf-8, got b'.xff") as caught:
            count_words(path, executor=executor)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    path.write_bytes(b"\xff\xfe" + ("words \n" * 30).encode("utf-16-le"))
    with pytest.raises(ValueError, match="It looks like utf-16"):
        count_words(path, executor=two)


def test_a_file_that_becomes_shorter(small_pieces, tmp_path):
    path = tmp_path / "t.txt"
    path.write_bytes(b"some words\n" * 20)

    class Cutting:
        def submit(self, function, *arguments):
            path.write_bytes(b"some words\n" * 6)
            return ThreadPoolExecutor(1).submit(function, *arguments)

    with pytest.raises(ValueError, match=r"t\.txt has become shorter while it was read"):
        count_words(path, executor=Cutting())


def test_progress_of_pieces(small_pieces, two, tmp_path):
    path, told = tmp_path / "t.txt", []
    path.write_bytes(b"some words\n" * 20)
    count_words([path, path], executor=two, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (220, 220)
    assert told.count((220, 220)) == 2


@needs_kill
@pytest.mark.parametrize("kind", ["ours", "theirs"])
def test_a_worker_is_killed(kind, small_pieces, tmp_path, caplog):
    path, mark = tmp_path / "t.txt", tmp_path / "died"
    path.write_text("".join(f"word{k} other{k % 7}\n" for k in range(40)))
    dies = DiesOnce(mark, "word20")
    plain = count_words(path)
    with ProcessPool(1) if kind == "ours" else ProcessPoolExecutor(1) as pool:
        assert list(count_words(path, split=dies, executor=pool).items()) == list(plain.items())
    assert mark.exists()
    assert ("this process does the rest alone" in caplog.text) == (kind == "theirs")


@needs_kill
def test_what_kills_every_worker_is_given_up(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("word word\n")
    with (
        ProcessPool(1) as pool,
        pytest.raises(
            RuntimeError, match=r"workers died 5 times while this was done or waiting: .*t\.txt.*Fewer workers"
        ),
    ):
        count_words(path, split=DiesOnce(tmp_path / "died", "word", always=True), executor=pool)


def test_what_is_no_executor(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("word word\n")
    with pytest.raises(
        TypeError, match=r"executor must be None or have submit\(function, \*arguments\) -> future.* received 'ray'"
    ):
        count_words(path, executor="ray")
    with ProcessPool(1) as pool, pytest.raises(TypeError, match="cannot be sent to another process .* lambda"):
        count_words(path, split=lambda line: line.split(), executor=pool)
    with (
        pytest.raises(ValueError, match='engine must be "processes", "ray" or "dask", received \'spark\''),
        engine("spark"),
    ):
        pass


def test_work_is_handed_out_a_few_pieces_ahead():
    """Results that nobody has taken yet are memory."""
    handed = []

    class Counting:
        _max_workers = 2

        def submit(self, function, *arguments):
            handed.append(arguments)
            return ThreadPoolExecutor(1).submit(function, *arguments)

    results = run_all(Counting(), abs, ((-k,) for k in range(100)))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    assert len(handed) == 7
    results.close()
    assert list(run_all(Counting(), abs, [])) == []


# ── merging ──


def test_merged_counts_are_those_of_all_texts(tmp_path, two):
    texts = ["the cat sat on the mat", "the dog \ud800 sat", "中国 the 中国"]
    whole, files = Counter(), []
    for k, text in enumerate(texts):
        counts = Counter(text.split())
        whole.update(counts)
        files.append(tmp_path / f"{k}.json")
        files[-1].write_text(json.dumps(counts))
    for parts in (1, 2, 7):
        for executor in (None, two):
            assert merge_counts(files, parts=parts, executor=executor) == whole
        often = {word: count for word, count in whole.items() if count >= 2}
        assert merge_counts(files, parts=parts, min_count=2) == often
    with pytest.raises(ValueError, match=r"t\.txt: expected a \.json file of word -> count"):
        merge_counts([tmp_path / "t.txt"])
    with pytest.raises(ValueError, match="parts must be a whole number from 1 on, received 0"):
        merge_counts(files, parts=0)


def test_the_command_counts_on_processes_and_merges(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(lines, "_PIECE", 100)
    monkeypatch.chdir(tmp_path)
    for k in range(2):
        Path(f"{k}.txt").write_text("".join(f"label\tword{n % 9} other\n" for n in range(40 + k)))
        assert main(["vocab", f"{k}.txt", "--labelled", "-o", f"{k}.json", "-q"]) == 0
    assert main(["vocab", "0.txt", "1.txt", "--labelled", "-o", "all.json"]) == 0
    whole = capsys.readouterr().out.replace("all.", "some.")
    command = ["vocab", "0.txt", "1.txt", "--labelled", "-o", "some.json", "--engine", "processes", "--workers", "1"]
    assert main(command) == 0
    assert capsys.readouterr().out == whole
    command = ["vocab", "--merge", "0.counts.json", "1.counts.json", "-o", "merged.json", "--parts", "2"]
    assert main(command) == 0
    for name in ("some", "merged"):
        assert Path(f"{name}.json").read_bytes() == Path("all.json").read_bytes()
        assert Path(f"{name}.counts.json").read_bytes() == Path("all.counts.json").read_bytes()
    capsys.readouterr()
    assert main([*command, "--min-count", "20"]) == 0
    assert capsys.readouterr().out.startswith("1 words kept\n")
    for more, told in (
        (["--labelled"], "--labelled is of texts; --merge reads counts"),
        (["--workers", "2"], "--workers is of --engine; pass --engine, too"),
        (
            ["--engine", "processes", "--address", "x"],
            "--address is of --engine ray and dask; processes are of this machine",
        ),
    ):
        assert main([*command, *more]) == 2
        assert told in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*command, "--engine", "spark"])
    assert "invalid choice: 'spark' (choose from processes, ray, dask)" in capsys.readouterr().err


# ── threads ──


def group(folder, name, text, old=False):
    home = folder / name
    home.mkdir(parents=True, exist_ok=True)
    if old:
        (home / "cpu.cfs_quota_us").write_text(text)
        (home / "cpu.cfs_period_us").write_text("100000\n")
    else:
        (home / "cpu.max").write_text(text)


@pytest.mark.parametrize(
    ("own", "groups", "expected"),
    [
        ("0::/pod/one\n", {"pod/one": "150000 100000\n", "pod": "max 100000\n", "": "400000 100000\n"}, [1.5, 4.0]),
        ("0::/pod/one\n", {"": "50000 100000\n"}, [0.5]),  # in a container its root alone is there
        ("0::/../up\n", {"": "200000 100000\n"}, [2.0]),
        ("0::/\n", {"": "max 100000\n"}, []),
        ("0::/\n", {"": "0 100000\n"}, []),
        ("0::/\n", {"": "1 0\n"}, []),
        ("0::/\n", {"": "much"}, []),
        ("nonsense", {"": "50000 100000\n"}, []),
        ("", {}, []),
    ],
)
def test_quotas_of_control_groups(own, groups, expected, tmp_path):
    for name, text in groups.items():
        group(tmp_path / "groups", name, text)
    (tmp_path / "own").write_text(own)
    assert list(threads.quotas(tmp_path / "groups", tmp_path / "own")) == expected


def test_quotas_of_old_control_groups(tmp_path):
    group(tmp_path / "groups/cpu", "pod", "300000\n", old=True)
    group(tmp_path / "groups/cpu", "", "-1\n", old=True)
    (tmp_path / "own").write_text("5:memory:/pod\n4:cpu,cpuacct:/pod\n")
    assert list(threads.quotas(tmp_path / "groups", tmp_path / "own")) == [3.0]
    assert list(threads.quotas(tmp_path / "groups", tmp_path / "none")) == []


def test_cores_are_what_is_bound_granted_or_told(monkeypatch):
    monkeypatch.delenv("W2V_EMBED_THREADS", raising=False)
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: set(range(12)), raising=False)
    for granted, expected in (([], 8), ([2.5, 4.0], 3), ([0.1], 1), ([64.0], 8)):
        monkeypatch.setattr(threads, "quotas", lambda granted=granted: granted)
        assert threads.cores() == expected
    assert threads.usable() == 12
    monkeypatch.setenv("W2V_EMBED_THREADS", "16")
    assert threads.cores() == 16
    for wrong in ("0", "two", "-1", "1.5"):
        monkeypatch.setenv("W2V_EMBED_THREADS", wrong)
        with pytest.raises(
            ValueError, match=rf"W2V_EMBED_THREADS must be a whole number from 1 on, received .?{wrong}"
        ):
            threads.cores()


def threads_of_worker():
    return {name: os.environ.get(name) for name in ("W2V_EMBED_THREADS", "OMP_NUM_THREADS")}


def test_workers_share_the_threads(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("W2V_EMBED_THREADS", "3")
    with ProcessPool(1) as pool:
        assert pool.submit(threads_of_worker).result() == {"W2V_EMBED_THREADS": "3", "OMP_NUM_THREADS": "3"}
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(threads, "usable", lambda: 7)
    threads.share_among(2)
    assert os.environ["W2V_EMBED_THREADS"] == os.environ["OPENBLAS_NUM_THREADS"] == "3"

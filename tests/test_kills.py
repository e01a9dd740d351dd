"""SIGKILL while something is written: always the old file or the new one, whole, and nothing that piles up.

The usual test kills at lines of the package, evenly spread over those that a whole run passes; the slow one at any moment:

    W2V_EMBED_KILLS=1000 pytest -m slow tests/test_kills.py -s
"""

import os
import random
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROWS, DIM = 400, 20


def save(folder, name, version):
    from w2v_embed import EmbeddingMatrix

    words = {f"word{k}": k for k in range(ROWS)}
    matrix = np.full((ROWS, DIM), version + 1, np.float32)
    EmbeddingMatrix(matrix, words, origins=[3] * ROWS, sources=[("x", None)]).save(folder / name)


def convert(folder, name, version):
    from w2v_embed.readers.conversion import convert

    convert(folder.parent / f"in{version}.txt", folder / name)


def cached(folder, name, version):
    from w2v_embed import build_matrix

    build_matrix(folder.parent / f"in{version}.txt", [f"word{k}" for k in range(ROWS)], cache_dir=folder)


def placed(folder, name, version):
    from w2v_embed import build_matrix

    build_matrix(folder.parent / f"in{version}.txt", [f"word{k}" for k in range(ROWS)], out=folder / name)


def encode(folder, name, version):
    """As `ContextualEncoder.encode`, which has a model behind it."""
    from w2v_embed.contextual.stream import NpyWriter

    texts = [f"text {k} of {version}" for k in range(24)]
    with NpyWriter(folder / name, DIM, {"version": version}) as writer:
        writer.skip(texts[: writer.rows])
        for k in range(writer.rows, len(texts), 3):
            writer.write(texts[k : k + 3], np.full((3, DIM), k + version, np.float32))
        writer.finish()


JOBS = {
    "m.safetensors": save,
    "out.safetensors": placed,
    "m.npz": save,
    "m.npy": save,
    "v.txt": convert,
    "v.bin": convert,
    "v.bin.gz": convert,
    "v.txt.zst": convert,
    "v.safetensors": convert,
    "cache": cached,
    "e.npy": encode,
}
LEFT_BY_ENCODE = {"e.npy.part", "e.npy.part.json", "e.npy.part.json.new"}  # which the next run takes up


def kill_often(name, folder, count, at_lines):
    """Run in a process of its own, which has one thread and no Keras: a fork is a writer. Prints what came of it."""
    from w2v_embed import stamps

    stamps._YOUNG = -1e9  # an entry is written once
    job, rng = JOBS[name], random.Random(0)
    whole = []
    for version in (0, 1):
        numbers = " ".join([str(version + 0.5)] * DIM)
        (folder / f"in{version}.txt").write_text("".join(f"word{k} {numbers}\n" for k in range(ROWS)))
    for version in (0, 1):
        there = folder / f"whole{version}"
        there.mkdir()
        job(there, name, version)
        whole.append(files_in(there))
    target = folder / "target"
    target.mkdir()
    job(target, name, 0)
    assert whole[0].keys() != whole[1].keys() or whole[0] != whole[1]
    assert files_in(target) == whole[0]

    def run(version, last_line=None):
        """Fork a writer; returns its number."""
        child = os.fork()
        if not child:
            if last_line is not None:
                sys.settrace(killing_at(last_line))
            job(target, name, version)
            os._exit(0)
        return child

    def whole_run(version):
        """How many lines, and how long."""
        begin, lines = time.perf_counter(), 0
        if at_lines:
            lines = count_lines(lambda: job(target, name, version))
        else:
            assert os.waitpid(run(version), 0)[1] == 0
        return lines, time.perf_counter() - begin

    def forget():
        for entry in target.iterdir() if job is cached else ():
            entry.unlink()

    measured = []
    for version in (1, 0, 1, 0, 1, 0):
        forget()
        measured.append(whole_run(version))
    lines, seconds = measured[-1][0], statistics.median(took for _, took in measured)
    killed, version, changed = 0, 1, 0
    for number in range(count):
        if job is cached and number % 2:
            forget()
        before = files_in(target)
        child = run(version, lines * number // count if at_lines else None)
        if not at_lines:
            time.sleep(1.1 * seconds * rng.random())
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        assert os.waitstatus_to_exitcode(status) in (0, -signal.SIGKILL), status
        died = bool(status)
        killed += died
        after = files_in(target)
        left = {file for file in after if file.startswith(".")} | (LEFT_BY_ENCODE & after.keys())
        assert len(left) <= (3 if job is encode else 1), left
        for file, content in after.items():
            if file not in left:
                assert content in (before.get(file), whole[version].get(file)), (number, file, len(content))
        assert job is cached or name in after
        changed += died and before.get(name) != after.get(name)
        if not died:
            assert whole[version].items() <= after.items()
        if job is not encode or not died:  # which goes on where it was
            version = 1 - version
    job(target, name, version)
    assert whole[version].items() <= files_in(target).items()
    assert not [file for file in files_in(target) if file.startswith(".") or file in LEFT_BY_ENCODE]
    print(f"{name}: {count} writers, {killed} of them killed; {changed} of these when the new file was there")


def files_in(folder):
    return {entry.name: entry.read_bytes() for entry in folder.iterdir()}


def of_package(frame):
    return f"w2v_embed{os.sep}" in frame.f_code.co_filename and "tests" not in frame.f_code.co_filename


def killing_at(line):
    left = line

    def trace(frame, event, _):
        nonlocal left
        if not of_package(frame):
            return None
        if event == "line":
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


def count_lines(call):
    n = 0

    def trace(frame, event, _):
        nonlocal n
        if not of_package(frame):
            return None
        n += event == "line"
        return trace

    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(None)
    return n


def run_apart(name, folder, count, how):
    done = subprocess.run(
        [sys.executable, "-m", "tests.test_kills", name, str(folder), str(count), how],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@needs_fork
@pytest.mark.parametrize("name", JOBS)
def test_a_few_kills(name, tmp_path):
    told = run_apart(name, tmp_path, 20, "lines")
    assert "20 writers, " in told
    assert ", 0 of them killed" not in told


@needs_fork
@pytest.mark.slow
@pytest.mark.parametrize("name", JOBS)
def test_many_kills_at_any_moment(name, tmp_path):
    print("\n" + run_apart(name, tmp_path, int(os.environ.get("W2V_EMBED_KILLS", "1000")), "time"))


if __name__ == "__main__":
    kill_often(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "lines")

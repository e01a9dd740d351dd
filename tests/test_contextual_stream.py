"""The file that `encode` writes: one writer at a time, right rows after a kill at any moment, and a state that is checked."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from w2v_embed.contextual import stream
from w2v_embed.contextual.stream import NpyWriter

TEXTS = ["a", "b", "c", "d", "e"]


def rows(*numbers):
    return np.repeat(np.array(numbers, np.float32)[:, None], 2, axis=1)


def begun(path, *numbers, settings=None):
    """Leave the first rows of a run, as one that was stopped does."""
    with NpyWriter(path, 2, settings or {"a": 1}) as writer:
        for text, number in zip(TEXTS, numbers):
            writer.write([text], rows(number))


def resumed(path, *numbers):
    """Go on to the end, with these rows for those that are not there."""
    with NpyWriter(path, 2, {"a": 1}) as writer:
        before = writer.rows
        writer.skip(TEXTS[:before])
        for text, number in list(zip(TEXTS, numbers))[before:]:
            writer.write([text], rows(number))
        return before, np.load(writer.finish())


# One writer at a time

OTHER = """
import sys
from w2v_embed.contextual import stream
try:
    writer = stream.NpyWriter(sys.argv[1], 2, {"a": 1})
except ValueError as error:
    sys.exit(str(error))
writer.write(["a"], [[1, 1]])
writer.write(["b"], [[2, 2]])
print("begun", flush=True)
sys.stdin.read()
"""


def other_process(path):
    command = [sys.executable, "-c", OTHER, str(path)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_second_run_to_one_output_is_refused(tmp_path):
    file = tmp_path / "v.npy"
    told = r"v\.npy\.part is being written by another run: wait for it to end, or pass another output"
    with NpyWriter(file, 2, {"a": 1}) as first:
        first.write(["a"], rows(1))
        with pytest.raises(ValueError, match=told):
            NpyWriter(file, 2, {"a": 1})
        with pytest.raises(ValueError, match=told):
            NpyWriter(file, 2, {"a": 2})
        with other_process(file) as second:
            assert "is being written by another run" in second.communicate()[1]
        first.write(["b"], rows(2))
        np.testing.assert_array_equal(np.load(first.finish()), rows(1, 2))
    assert os.listdir(tmp_path) == ["v.npy"]


def test_the_lock_dies_with_its_process(tmp_path):
    file = tmp_path / "v.npy"
    with other_process(file) as other:
        assert other.stdout.readline() == "begun\n"
        with pytest.raises(ValueError, match="is being written by another run"):
            NpyWriter(file, 2, {"a": 1})
        other.send_signal(signal.SIGKILL)
        other.wait()
        before, result = resumed(file, 1, 2, 3, 4, 5)
    assert before == 2
    np.testing.assert_array_equal(result, rows(1, 2, 3, 4, 5))


def test_the_end_of_a_run_leaves_the_part_of_the_next_alone(tmp_path):
    file = tmp_path / "v.npy"
    with NpyWriter(file, 2, {"a": 1}) as first:
        first.write(["a"], rows(1))
        first.finish()
        second = NpyWriter(file, 2, {"a": 1})
    second.write(["a"], rows(7))
    with second:
        second.finish()
    np.testing.assert_array_equal(np.load(file), rows(7))


def test_a_file_that_was_renamed_before_it_was_locked_is_opened_again(tmp_path, monkeypatch):
    file = tmp_path / "v.npy"
    lock, tried, part = stream.lock, [], tmp_path / "v.npy.part"

    def late(opened):
        tried.append(part)
        if len(tried) < 3:
            os.replace(part, file)
            if len(tried) == 2:
                part.write_bytes(b"of a third run")
        return lock(opened)

    monkeypatch.setattr(stream, "lock", late)
    with NpyWriter(file, 2, {"a": 1}) as writer:
        writer.write(["a"], rows(1))
        writer.finish()
    assert len(tried) == 3
    np.testing.assert_array_equal(np.load(file), rows(1))


@pytest.mark.skipif(stream.fcntl is None, reason="Windows has other locks")
def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, caplog):
    def unable(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(stream.fcntl, "flock", unable)
    begun(tmp_path / "v.npy", 1)
    assert "v.npy.part cannot be locked ([Errno" in caplog.text
    assert "start no second run that writes to it" in caplog.text


# What an earlier run left


def changed(**changes):
    """A change of the state whose checksum is right."""

    def change(state):
        del state["check"]
        state.update(changes)
        return {**state, "check": stream._check(state)}

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda state: {**state, "rows": 1},
        lambda state: {**state, "rows": -1},
        lambda state: {key: value for key, value in state.items() if key != "check"},
        lambda state: {key: value for key, value in state.items() if key != "crc"},
        lambda state: [state],
        lambda state: None,
        changed(rows=-1),
        changed(rows=0),
        changed(rows=True),
        changed(rows=2.0),
        changed(rows="2"),
        changed(rows=[2]),
        changed(settings=[]),
        changed(more=1),
    ],
)
def test_a_state_that_is_none(tmp_path, change):
    file = tmp_path / "v.npy"
    begun(file, 1, 2)
    state = tmp_path / "v.npy.part.json"
    state.write_text(json.dumps(change(json.loads(state.read_text()))))
    told = (
        r"v\.npy\.part\.json is damaged or was not written by this version .*: delete it and v\.npy\.part to begin anew"
    )
    with pytest.raises(ValueError, match=told):
        NpyWriter(file, 2, {"a": 1})
    state.unlink()
    before, result = resumed(file, 1, 2, 3)
    assert before == 0
    np.testing.assert_array_equal(result, rows(1, 2, 3))


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b"[" * 100_000, b"\0" * 500, b'{"check": ' + b"1" * 5000 + b"}"]
)
def test_a_state_that_is_no_json(tmp_path, content):
    begun(tmp_path / "v.npy", 1, 2)
    (tmp_path / "v.npy.part.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"v\.npy\.part\.json is damaged or was not written by this version"):
        NpyWriter(tmp_path / "v.npy", 2, {"a": 1})


@pytest.mark.parametrize("rows_", [3, 10**30])
def test_a_state_that_says_more_than_the_part_holds(tmp_path, rows_):
    begun(tmp_path / "v.npy", 1, 2)
    state = tmp_path / "v.npy.part.json"
    state.write_text(json.dumps(changed(rows=rows_)(json.loads(state.read_text()))))
    with pytest.raises(ValueError, match=r"v\.npy\.part is shorter than v\.npy\.part\.json says: delete both"):
        NpyWriter(tmp_path / "v.npy", 2, {"a": 1})


def test_rows_that_are_not_those_of_the_state(tmp_path):
    begun(tmp_path / "v.npy", 1, 2)
    part = tmp_path / "v.npy.part"
    data = bytearray(part.read_bytes())
    data[130] ^= 1
    part.write_bytes(data)
    with pytest.raises(ValueError, match=r"v\.npy\.part does not hold what v\.npy\.part\.json says: delete both"):
        NpyWriter(tmp_path / "v.npy", 2, {"a": 1})


def test_rows_of_other_settings_texts_or_widths_are_refused(tmp_path):
    file = tmp_path / "v.npy"
    begun(file, 1, 2)
    with pytest.raises(
        ValueError, match=r"v\.npy\.part was begun with other settings \(b, a\): delete it to begin anew"
    ):
        NpyWriter(file, 2, {"b": 1})
    with pytest.raises(ValueError, match=r"was begun with other settings \(width\)"):
        NpyWriter(file, 3, {"a": 1})
    for texts in (["a", "c"], ["a"], [None, "\ud800"]):
        with (
            pytest.raises(ValueError, match=r"begun with other texts: its first 2 are not these"),
            NpyWriter(file, 2, {"a": 1}) as writer,
        ):
            writer.skip(texts)
    assert resumed(file, 1, 2, 3)[0] == 2


def test_a_state_without_its_part_is_forgotten_before_rows_are_written(tmp_path):
    file = tmp_path / "v.npy"
    begun(file, 1, 2)
    (tmp_path / "v.npy.part").unlink()
    writer = NpyWriter(file, 2, {"a": 1})
    assert writer.rows == 0
    assert not (tmp_path / "v.npy.part.json").exists()
    with writer:
        writer.write(["a"], rows(5))
        np.testing.assert_array_equal(np.load(writer.finish()), rows(5))


# A kill between any two lines of the writer. The process that is killed is forked by one that has loaded little.

KILLED = """
import json, os, shutil, signal, sys
import numpy as np
from w2v_embed import output
from w2v_embed.contextual import stream

sources, folder, old = (stream.__file__, output.__file__), sys.argv[1], sys.argv[2] == "old"
os.fsync = lambda file: None  # it is for a machine that loses its power, and a kill takes nothing that was written
path = os.path.join(folder, "v.npy")
texts, rows = ["a", "b", "c"], np.arange(6, dtype=np.float32).reshape(3, 2)
before = np.full((2, 2), -1, np.float32)

def run(vectors=rows):
    with stream.NpyWriter(path, 2, {"a": 1}) as writer:
        done = writer.rows
        writer.skip(texts[:done])
        for n in range(done, 3):
            writer.write(texts[n : n + 1], vectors[n : n + 1])
        writer.finish()

def forked(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def killed_at(line):
    left = line
    def trace(frame, event, argument):
        nonlocal left
        if frame.f_code.co_filename not in sources:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace
    sys.settrace(trace)
    run()

for line in range(1, 10_000):
    shutil.rmtree(folder)
    os.mkdir(folder)
    if old:
        np.save(path, before)
    killed = forked(lambda: killed_at(line))
    held = np.load(path) if os.path.exists(path) else None
    whole = held is not None and np.array_equal(held, rows)
    assert whole or (np.array_equal(held, before) if old else held is None), (line, held)
    if line % 3 == 0:  # killed once more, on the way on
        forked(lambda: killed_at(line // 2 + 1))
    if line % 5 == 0:  # what others may have left half
        with open(path + ".part.json.new", "w") as file:
            file.write("{")
    assert forked(run) == 0
    assert np.array_equal(np.load(path), rows), line
    assert os.listdir(folder) == ["v.npy"], (line, os.listdir(folder))
    if killed == 0:
        break
print(line, "lines")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows cannot fork")
@pytest.mark.parametrize("old", ["old", "none"])
def test_a_kill_at_any_line_leaves_the_old_file_or_the_new(tmp_path, old):
    (tmp_path / "folder").mkdir()
    command = [sys.executable, "-c", KILLED, str(tmp_path / "folder"), old]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout.split()[0]) > 100


# The output


def test_a_link_is_followed_and_permissions_are_kept(tmp_path):
    real = tmp_path / "real.npy"
    real.touch()
    real.chmod(0o640)
    link = tmp_path / "link.npy"
    link.symlink_to(real)
    with NpyWriter(link, 2, {}) as writer:
        writer.write(["a"], rows(1))
        writer.finish()
    assert link.is_symlink()
    np.testing.assert_array_equal(np.load(real), rows(1))
    assert real.stat().st_mode & 0o777 == 0o640


def test_what_is_no_file_is_refused_before_the_first_text(tmp_path):
    with pytest.raises(IsADirectoryError, match=r"cannot write .*: it is a folder"):
        NpyWriter(tmp_path, 2, {})
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "v.npy")
        with pytest.raises(ValueError, match=r"cannot write .*v\.npy: it is a pipe or a device"):
            NpyWriter(tmp_path / "v.npy", 2, {})
        os.mkfifo(tmp_path / "w.npy.part")
        with pytest.raises(ValueError, match=r"cannot write .*w\.npy\.part: it is a pipe or a device"):
            NpyWriter(tmp_path / "w.npy", 2, {})
    with pytest.raises(FileNotFoundError, match=r"absent"):
        NpyWriter(tmp_path / "absent" / "v.npy", 2, {})
    assert sorted(Path(tmp_path).iterdir()) == sorted(
        p for p in (tmp_path / "v.npy", tmp_path / "w.npy.part") if p.exists()
    )


def test_a_run_that_dies_without_a_row_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), NpyWriter(tmp_path / "v.npy", 2, {}):
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []

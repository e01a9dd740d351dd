"""Several threads, one file: the order, what one of them meets, threads that there are none of, forks."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest

from tests.conftest import same_bits, use_hot, write_text
from w2v_embed import build_matrix, load_vectors, progress
from w2v_embed.matrix import lending
from w2v_embed.readers.relay import in_threads, relay


class Numbers:
    """A reader of numbers, for the relay alone; some take longer, so that others overtake them."""

    def __init__(self, blocks, broken=None):
        self.blocks, self.broken = iter(range(blocks)), broken

    def scratch(self):
        return []

    def fill(self, scratch):
        scratch[:] = [next(self.blocks, None)]
        return scratch[0] is not None

    def read(self, scratch, in_order):
        if scratch[0] % 25 == 0:
            time.sleep(0.002)
        if scratch[0] == self.broken:
            raise ValueError(f"block {scratch[0]}")
        return scratch[0]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_relay_commits_in_order_stops_and_raises_the_first_error(threads):
    seen = []
    assert relay(Numbers(500), lambda block: seen.append(block), threads)
    assert seen == list(range(500))
    seen.clear()
    assert not relay(Numbers(500), lambda block: seen.append(block) or block == 99, threads)
    assert seen == list(range(100))
    seen.clear()
    with pytest.raises(ValueError, match="block 77"):
        relay(Numbers(500, broken=77), seen.append, threads)
    assert seen == list(range(77))
    assert not [t for t in threading.enumerate() if t.name.startswith("w2v_embed")]


class InSteps(Numbers):
    """Two steps of each block are done in order."""

    def __init__(self, blocks, broken=(None, None)):
        super().__init__(blocks, broken)
        self.done = [], []

    def step(self, step, number):
        if self.broken == (step, number):
            raise ValueError(f"step {step} of block {number}")
        self.done[step].append(number)
        return number

    def read(self, scratch, in_order):
        for step in (0, 1):
            assert in_order(step, self.step, step, scratch[0]) == scratch[0]
        return scratch[0]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_steps_in_order_until_somebody_stops_or_fails(threads):
    for k in range(20):
        reader, seen = InSteps(300), []
        assert relay(reader, seen.append, threads)
        assert reader.done == (seen, seen) == (list(range(300)),) * 2
        seen.clear()
        assert not relay(InSteps(300), lambda block, k=k, seen=seen: seen.append(block) or block == k, threads)
        assert seen == list(range(k + 1))
        for step in (0, 1):
            seen.clear()
            with pytest.raises(ValueError, match=f"step {step} of block {k}"):
                relay(InSteps(300, (step, k)), seen.append, threads)
            assert seen == list(range(k))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("w2v_embed")]


def test_interrupt_ends_the_helpers():
    def commit(block):
        if threading.current_thread() is threading.main_thread() and block > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        relay(Numbers(100_000), commit, 3)
    assert not helpers()


def helpers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("w2v_embed")]


class InOne(Numbers):
    """Raises `error` at some `place`, in the caller's thread or in a helper."""

    def __init__(self, error, place, in_helper):
        super().__init__(100_000)
        self.error, self.place, self.in_helper = error, place, in_helper

    def at(self, place, number=100):
        here = threading.current_thread() is not threading.main_thread()
        if place == self.place and here == self.in_helper and number >= 20:
            raise self.error

    def scratch(self):
        self.at("scratch")
        return super().scratch()

    def fill(self, scratch):
        more = super().fill(scratch)
        self.at("fill", scratch[0])
        return more

    def read(self, scratch, in_order):
        self.at("read", scratch[0])
        return super().read(scratch, in_order)

    def commit(self, number):
        self.at("commit", number)


@pytest.mark.parametrize("in_helper", [False, True])
@pytest.mark.parametrize("place", ["scratch", "fill", "read", "commit"])
@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit(), MemoryError(), OSError(5)]
)
def test_whatever_is_raised_ends_all_and_is_raised_by_the_caller(error, place, in_helper):
    reader = InOne(error, place, in_helper)
    if place == "scratch" and in_helper and isinstance(error, MemoryError):
        reader.blocks = iter(range(50))
        assert relay(reader, reader.commit, 3)  # without the helper
    else:
        with pytest.raises(type(error)) as caught:
            relay(reader, reader.commit, 3)
        assert caught.value is error
    assert not helpers()


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError, ValueError])
def test_progress_that_raises_in_a_helper_ends_the_reading(tmp_path, monkeypatch, error):
    use_hot("kernels", monkeypatch)
    path = write_text(tmp_path / "v.txt", {f"w{k}": [k] * 4 for k in range(3000)})
    monkeypatch.setattr(progress, "_INTERVAL", 0)

    def in_helper(*_):
        if threading.current_thread() is not threading.main_thread():
            raise error("from progress")

    for read in (load_vectors, lambda path, **how: build_matrix(path, ["w1", "none"], **how)):

        def until_a_helper_has_a_turn(read=read):
            while True:
                read(path, progress=in_helper)

        with pytest.raises(error, match="from progress"):
            until_a_helper_has_a_turn()
        assert not helpers()


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs signals to threads")
def test_interrupts_at_any_moment_leave_nobody_behind():
    """Also those that come while the helpers are ending, and several."""
    before, lost = signal.signal(signal.SIGINT, signal.default_int_handler), 0
    try:
        for k in range(40):
            moments, main = [k % 7, k % 3], threading.main_thread().ident

            def commit(block, moments=moments, main=main):
                if moments and block >= moments[-1]:
                    moments.pop()
                    signal.pthread_kill(main, signal.SIGINT)

            with suppress(KeyboardInterrupt):  # one that hits a weak reference's callback is lost, says Python
                relay(Numbers(5000), commit, 3)
                lost += 1
            for helper in helpers():
                if helper.is_alive():  # it was just being started; Python also lists those that never were
                    helper.join(60)
                assert not helper.is_alive()
        assert lost < 10
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("most", [0, 1])
def test_threads_that_cannot_be_started_are_done_without(hot, tmp_path, monkeypatch, most):
    """Here for the records that lie apart, too: those that fallbacks go back for."""
    rows = {f"w{k}": [k] * 60 for k in range(200)}
    path = write_text(tmp_path / "v.txt", rows)
    words = [f"W{k}" for k in range(200)]
    expected = load_vectors(path).vectors
    start, started = threading.Thread.start, []

    def no_more(thread):
        if len(started) >= most:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", no_more)
    monkeypatch.setattr("w2v_embed.readers.opened.threads_for", lambda size: 4)
    monkeypatch.setattr(lending, "threads_for", lambda size: 4)
    for read in (lambda: load_vectors(path).vectors, lambda: build_matrix(path, words, fallbacks=["lower"]).matrix):
        started.clear()
        assert same_bits(read(), expected)
    assert in_threads(lambda part: (part.start, part.stop), 10, 3) == [(0, 3), (3, 6), (6, 10)]


def test_parts_in_threads():
    assert in_threads(lambda part: sum(range(part.start, part.stop)), 1000, 7) != []
    assert sum(in_threads(lambda part: sum(range(part.start, part.stop)), 1000, 7)) == sum(range(1000))
    with pytest.raises(SystemExit):
        in_threads(lambda part: sys.exit(part.start), 10, 5)
    assert not helpers()


FORK = """
import os, signal, sys, threading
from w2v_embed import build_matrix
from w2v_embed.readers import excerpt

inside, go_on = threading.Event(), threading.Event()


def build(path):
    return build_matrix(path, [f"W{k}" for k in range(300)], fallbacks=["lower"]).matrix.sum()


def wait(*args, read=excerpt._preadv):
    # Stops another thread where it reads a record that lies apart.
    if threading.current_thread() is not threading.main_thread():
        inside.set()
        go_on.wait(20)
    return read(*args)


excerpt._preadv = wait
thread = threading.Thread(target=build, args=sys.argv[1:], daemon=True)
thread.start()
inside.wait(20)
child = os.fork()
if not child:
    signal.alarm(300)
    os._exit(0 if build(sys.argv[1]) > 0 else 1)
go_on.set()
thread.join()
pid, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_while_another_thread_builds(tmp_path):
    path = write_text(tmp_path / "v.txt", {f"w{k}": [k] * 60 for k in range(300)})
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(path)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr

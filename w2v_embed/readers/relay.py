"""The order of reading: several threads, one file, results as if one thread had read it from top to bottom.

A worker takes the next piece under a lock (`reader.fill`, which is cheap, or reads a stream), makes a block of it while others
make theirs (`reader.read`, where the time goes and no GIL is held), waits for its turn, and hands it over (`commit`). What
`read` itself must do for one block after another it has done `in_order`. So memory is one buffer a worker, whatever the file's
size; each block stays in the cache of the core that read it; and commits come in the order of the file: the first of two equal
words wins, and the first error is raised.

Whatever a worker meets, be it `SystemExit` out of somebody's `progress`, ends all of them and is raised by the caller's thread.
The caller's thread is a worker itself: where the system gives no more threads, it reads alone.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    class Reader(Protocol):
        """What is read block by block, by several threads."""

        def scratch(self) -> Any:
            """One worker's memory."""
            ...

        def fill(self, scratch: Any, /) -> bool:
            """Take the next block, one thread at a time; False where there is none."""
            ...

        def read(self, scratch: Any, in_order: InOrder, /) -> Any:
            """What is in the block, many threads at a time."""
            ...

    class InOrder(Protocol):
        """What `read` calls, for every block the same steps: 0, then 1."""

        def __call__(self, step: int, work: Callable[..., _Result], /, *args: Any) -> _Result:
            """`work(*args)`, when that step has been done for all blocks before."""
            ...


_Result = TypeVar("_Result")
_Part = TypeVar("_Part")
_COMMIT = 2  # the step behind those of `InOrder`


def relay(reader: Reader, commit: Callable[[Any], object], threads: int) -> bool:
    """Run every block of `reader` through `commit`, in order, until `commit` returns True or the file ends.

    Returns:
        Whether the file was read to its end.
    """
    team = _Team(reader, commit)
    helpers: list[threading.Thread] = []

    def settle(caught=None):
        """Wait for the helpers, also when Ctrl-C comes meanwhile: no helper may be left behind."""
        while True:
            try:
                if caught is not None:
                    team.stop(caught)
                for helper in helpers:
                    if helper.is_alive():  # else Ctrl-C came while it was started: it looks at `stopped` first of all
                        helper.join()
                return
            except BaseException as again:
                caught = again

    try:
        scratch = reader.scratch()
        _start(team.help_out, threads - 1, helpers)
        team.work(scratch)
        settle()
    except BaseException as caught:  # Ctrl-C reaches only this thread
        try:
            settle(caught)
        except BaseException as again:  # once more, on the way there
            settle(again)
    if team.failure is not None:
        raise team.failure
    return not team.stopped


class _Turn:
    """Which block a step is done for next. Ctrl-C can leave a `Condition` locked on the way into a `with`, but no lock."""

    def __init__(self):
        self.lock, self.next = threading.Lock(), 0
        self.changed = threading.Condition(self.lock)


class _StoppedError(Exception):
    """Somebody has stopped: no turn will come."""


class _Team:
    """What the workers share."""

    def __init__(self, reader, commit):
        self._reader, self._commit = reader, commit
        self._reading, self._turns = threading.Lock(), [_Turn() for _ in range(_COMMIT + 1)]
        self._failing, self._filled = threading.Lock(), 0
        self._ended = self.stopped = False
        self.failure = None

    def stop(self, caught):
        with self._failing:
            self.failure = self.failure or caught
        self.stopped = True
        for turn in self._turns:
            with turn.lock:
                turn.changed.notify_all()

    def _in_order(self, number, step, work, *args):
        turn = self._turns[step]
        with turn.lock:
            while turn.next != number and not self.stopped:
                turn.changed.wait()
            if self.stopped:
                raise _StoppedError
            result = work(*args)
            turn.next += 1
            turn.changed.notify_all()
        return result

    def help_out(self):
        try:
            try:
                scratch = None if self.stopped else self._reader.scratch()
            except MemoryError:  # the others have some
                return
            self.work(scratch)
        except BaseException as caught:
            self.stop(caught)

    def work(self, scratch):
        while True:
            error = block = None
            with self._reading:
                if self._ended or self.stopped:
                    return
                try:
                    self._ended = not self._reader.fill(scratch)
                except BaseException as caught:  # raised in its turn: what came before it is good
                    self._ended, error = True, caught
                if self._ended and error is None:
                    return
                number = self._filled
                self._filled += 1
            if error is None:
                try:
                    block = self._reader.read(scratch, partial(self._in_order, number))
                except BaseException as caught:
                    error = caught
            try:
                self._in_order(number, _COMMIT, self._hand_over, block, error)
            except _StoppedError:
                return
            if self.stopped:  # who waits for a step of another block must hear of it
                self.stop(None)

    def _hand_over(self, block, error):
        if error is not None:
            raise error
        if self._commit(block):
            self.stopped = True


def _start(work, n, helpers):
    """Start `n` threads that run `work()`, or as many as the system gives, and put them to the list `helpers`."""
    for number in range(1, n + 1):
        helper = threading.Thread(target=work, name=f"w2v_embed reader {number}", daemon=True)
        helpers.append(helper)
        try:
            helper.start()
        except RuntimeError:  # can't start new thread
            return


def in_threads(work: Callable[[slice], _Result], n: int, threads: int) -> list[_Result]:
    """`work(part)` for slices of `range(n)` that are about equal, one a thread; returns the list of its results."""
    bounds = [n * k // threads for k in range(threads + 1)]
    results: list[_Result] = []
    each_in_threads(work, map(slice, bounds, bounds[1:]), results.append, threads)
    return results


def each_in_threads(
    work: Callable[[_Part], _Result], parts: Iterable[_Part], keep: Callable[[_Result], None], threads: int
) -> None:
    """Run `keep(work(part))` for each of `parts`: many work at a time, and one keeps, in the order of the parts."""
    relay(_Parts(work, iter(parts)), keep, threads)


class _Parts:
    """Parts of some work, as `relay` asks for them."""

    def __init__(self, work, parts):
        self._work, self._parts = work, parts

    def scratch(self):
        return [None]

    def fill(self, scratch):
        scratch[0] = next(self._parts, None)
        return scratch[0] is not None

    def read(self, scratch, in_order):
        return self._work(scratch[0])

"""The order of reading: several threads, one file, results as if one thread had read it from top to bottom.

A worker takes the reading lock and fills its own buffer with the next block (`reader.fill`), lets others read while it finds
and parses the block's rows (`reader.read`, where the time goes and no GIL is held), waits for its turn, and hands the rows
over (`commit`). So memory is one buffer a worker, whatever the file's size; each block stays in the cache of the core that
read it; and commits come in the order of the file: the first of two equal words wins, and the first error is raised.

Whatever a worker meets, be it `SystemExit` out of somebody's `progress`, ends all of them and is raised by the caller's thread.
The caller's thread is a worker itself: where the system gives no more threads, it reads alone.
"""

import threading


def relay(reader, commit, threads):
    """Run every block of `reader` through `commit`, in order, until `commit` returns True or the file ends.

    Returns:
        Whether the file was read to its end.
    """
    reading = threading.Lock()
    turn = threading.Condition()
    filled = committed = 0
    ended = stopped = False
    failure = None

    def stop(caught):
        nonlocal failure, stopped
        with turn:
            failure, stopped = failure or caught, True
            turn.notify_all()

    def work(scratch):
        nonlocal filled, committed, ended, stopped
        while True:
            error = block = None
            with reading:
                if ended or stopped:
                    return
                try:
                    ended = not reader.fill(scratch)
                except BaseException as caught:  # raised in its turn: what came before it is good
                    ended, error = True, caught
                if ended and error is None:
                    return
                number = filled
                filled += 1
            if error is None:
                try:
                    block = reader.read(scratch)
                except BaseException as caught:
                    error = caught
            with turn:
                while committed != number and not stopped:
                    turn.wait()
                if stopped:
                    return
                if error is not None:
                    raise error
                stopped = bool(commit(block))
                committed += 1
                turn.notify_all()

    def help_out():
        try:
            try:
                scratch = None if stopped else reader.scratch()
            except MemoryError:  # the others have some
                return
            work(scratch)
        except BaseException as caught:
            stop(caught)

    def settle(caught=None):
        """Wait for the helpers, also when Ctrl-C comes meanwhile: no helper may be left behind."""
        while True:
            try:
                if caught is not None:
                    stop(caught)
                for helper in helpers:
                    if helper.is_alive():  # else Ctrl-C came while it was started: it looks at `stopped` first of all
                        helper.join()
                return
            except BaseException as again:
                caught = again

    helpers = []
    try:
        scratch = reader.scratch()
        _start(help_out, threads - 1, helpers)
        work(scratch)
        settle()
    except BaseException as caught:  # Ctrl-C reaches only this thread
        try:
            settle(caught)
        except BaseException as again:  # once more, on the way there
            settle(again)
    if failure is not None:
        raise failure
    return not stopped


def _start(work, n, helpers):
    """Start `n` threads that run `work()`, or as many as the system gives, and put them to the list `helpers`."""
    for number in range(1, n + 1):
        helper = threading.Thread(target=work, name=f"w2v_embed reader {number}", daemon=True)
        helpers.append(helper)
        try:
            helper.start()
        except RuntimeError:  # can't start new thread
            return


def in_threads(work, n, threads):
    """`work(part)` for slices of `range(n)` that are about equal, one a thread; returns the list of its results."""
    bounds = [n * k // threads for k in range(threads + 1)]
    results = []
    relay(_Parts(work, map(slice, bounds, bounds[1:])), results.append, threads)
    return results


class _Parts:
    """Parts of some work, as `relay` asks for them."""

    def __init__(self, work, parts):
        self._work, self._parts = work, parts

    def scratch(self):
        return [None]

    def fill(self, scratch):
        scratch[0] = next(self._parts, None)
        return scratch[0] is not None

    def read(self, scratch):
        return self._work(scratch[0])

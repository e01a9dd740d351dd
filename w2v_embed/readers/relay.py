"""The order of reading: several threads, one file, results as if one thread had read it from top to bottom.

A worker takes the reading lock and fills its own buffer with the next block (`reader.fill`), lets others read while it finds
and parses the block's rows (`reader.read`, where the time goes and no GIL is held), waits for its turn, and hands the rows
over (`commit`). So memory is one buffer a worker, whatever the file's size; each block stays in the cache of the core that
read it; and commits come in the order of the file: the first of two equal words wins, and the first error is raised.
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

    def work():
        nonlocal filled, committed, ended, stopped, failure
        scratch = reader.scratch()
        while True:
            error = block = None
            with reading:
                if ended or stopped:
                    return
                try:
                    ended = not reader.fill(scratch)
                except Exception as caught:  # raised in its turn: what came before it is good
                    ended, error = True, caught
                if ended and error is None:
                    return
                number = filled
                filled += 1
            if error is None:
                try:
                    block = reader.read(scratch)
                except Exception as caught:
                    error = caught
            with turn:
                while committed != number and not stopped:
                    turn.wait()
                if stopped:
                    return
                try:
                    if error is not None:
                        raise error
                    stopped = bool(commit(block))
                except Exception as caught:
                    failure, stopped = caught, True
                committed += 1
                turn.notify_all()

    helpers = [threading.Thread(target=work, name=f"w2v_embed reader {n}", daemon=True) for n in range(1, threads)]
    for helper in helpers:
        helper.start()
    try:
        work()
    except BaseException:  # Ctrl-C reaches only this thread
        with turn:
            stopped = True
            turn.notify_all()
        raise
    finally:
        for helper in helpers:
            helper.join()
    if failure is not None:
        raise failure
    return not stopped

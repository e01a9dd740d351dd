"""Much work on many workers: whatever has `submit(function, *arguments) -> future` runs it, results in the order of the work.

`concurrent.futures` has it, and so does a Dask client; Ray gets it here. A worker may die: what it had is done again. Where
results must be the same whoever dies, the functions that are submitted have to give the same again; all of ours do.
"""

from __future__ import annotations

import multiprocessing
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from ._types import EngineName
from .checks import one_of, whole
from .shown import logger, quoted
from .threads import cores, share_among

if TYPE_CHECKING:
    from ._types import Executor, Pending

_Result = TypeVar("_Result")

_DEATHS = 5  # of workers, while one piece of work was waiting or done
_AHEAD = 256  # pieces of work that are handed out, where nobody says how many workers there are


def run_all(
    executor: Executor | None, function: Callable[..., _Result], work: Iterable[tuple[Any, ...]]
) -> Iterator[_Result]:
    """Yield `function(*arguments)` for all `work`, in its order; a few pieces a worker are handed out at a time.

    Args:
        executor: what runs it; None: this process.
        function: at the top of a module, so that other processes find it.
        work: the arguments of each call.

    Raises:
        RuntimeError: a piece of work outlived its workers too often.
        TypeError: `executor` is none, or `function` and its arguments cannot be sent to another process.
    """
    if executor is None:
        yield from (function(*arguments) for arguments in work)
        return
    run, ahead, running = _Runner(executor, function), _ahead(executor), deque[tuple[tuple[Any, ...], Any]]()
    try:
        for arguments in work:
            running.append((arguments, run.start(arguments)))
            if len(running) >= ahead:
                yield run.result(*running.popleft())
        while running:
            yield run.result(*running.popleft())
    finally:
        for _, future in running:
            getattr(future, "cancel", bool)()


def checked_executor(executor: Executor | None) -> Executor | None:
    """`executor`, if it is one, or None."""
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise TypeError(
            "executor must be None or have submit(function, *arguments) -> future, as those of concurrent.futures, a Dask "
            f"client and w2v_embed.scale.RayExecutor, received {quoted(executor)} ({type(executor).__name__})"
        )
    return executor


class _Runner:
    """Starts work, and starts it again where a worker died."""

    def __init__(self, executor, function):
        self._executor, self._function = executor, function

    def start(self, arguments):
        if self._executor is not None:
            try:
                return self._executor.submit(self._function, *arguments)
            except BrokenExecutor as error:  # concurrent.futures' pools take nothing more, once a worker died
                logger.warning("the executor is broken (%s); this process does the rest alone", error)
                self._executor = None
        return None

    def result(self, arguments, future):
        for _ in range(_DEATHS):
            if future is None:
                return self._function(*arguments)
            try:
                return future.result()
            except BrokenExecutor:
                future = self.start(arguments)
            except (pickle.PicklingError, AttributeError, TypeError):
                self._check_sendable(arguments)
                raise
        raise RuntimeError(
            f"workers died {_DEATHS} times while this was done or waiting: {quoted(arguments)}. Is there enough memory for "
            "each? Fewer workers take less"
        )

    def _check_sendable(self, arguments):
        try:
            pickle.dumps((self._function, arguments))
        except Exception as error:
            raise TypeError(
                f"what is to be done cannot be sent to another process ({error}). Functions must stand at the top of a module: "
                "a lambda, or one that is made inside another, does not."
            ) from error


def _ahead(executor):
    workers = getattr(executor, "_max_workers", None)
    return 2 * workers + 1 if isinstance(workers, int) else _AHEAD


class ProcessPool:
    """Processes of this machine, each with its share of the threads; the pool is made anew where one of them died.

    Args:
        workers: how many; None = as many as there are processors to use.
    """

    def __init__(self, workers: int | None = None) -> None:
        self._max_workers: int = cores(1 << 10) if workers is None else whole("workers", workers, or_none=True)
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, function: Callable[..., _Result], /, *arguments: Any) -> Future[_Result]:
        """As of `concurrent.futures`."""
        for _ in range(2):
            if self._pool is None:
                # A fork would take along whatever locks the threads of a backend hold.
                context = multiprocessing.get_context("spawn")
                share = share_among, (self._max_workers,)
                self._pool = ProcessPoolExecutor(self._max_workers, context, *share)
            try:
                return self._pool.submit(function, *arguments)
            except BrokenExecutor:
                self.close()
        raise BrokenExecutor("processes die as soon as they are started")

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def __enter__(self) -> ProcessPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RayExecutor:
    """Ray with the face of `concurrent.futures`. Where a worker or a node dies, Ray does its work again elsewhere.

    Args:
        options: of the tasks, as `ray.remote` takes them (`num_cpus`, `num_gpus`, `max_retries`, …).
    """

    def __init__(self, **options: Any) -> None:
        self._ray = _imported("ray", "ray")
        if not self._ray.is_initialized():
            self._ray.init(log_to_driver=False)
        self._options = {"max_retries": _DEATHS, **options}
        self._remote: dict[Callable[..., Any], Any] = {}

    def submit(self, function: Callable[..., _Result], /, *arguments: Any) -> Pending[_Result]:
        """As of `concurrent.futures`."""
        if function not in self._remote:
            self._remote[function] = self._ray.remote(**self._options)(function)
        return _RayFuture(self._ray, self._remote[function].remote(*arguments))


class _RayFuture:
    def __init__(self, ray, reference):
        self._ray, self._reference = ray, reference

    def result(self):
        try:
            return self._ray.get(self._reference)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause if isinstance(getattr(error, "cause", None), Exception) else error from None

    def cancel(self):
        self._ray.cancel(self._reference, force=False)


@contextmanager
def engine(name: EngineName, workers: int | None = None, address: str | None = None) -> Iterator[Executor]:
    """An executor by name, until the `with` ends.

    Args:
        name: "processes" of this machine, "ray" or "dask".
        workers: how many processes; of Ray and Dask their own clusters say.
        address: of a cluster that runs; None: one of this machine, begun for the occasion.
    """
    one_of("engine", name, get_args(EngineName))
    if name == "processes":
        with ProcessPool(workers) as pool:
            yield pool
    elif name == "ray":
        ray = _imported("ray", "ray")
        begun = not ray.is_initialized()
        if begun:
            bounds = {} if address or workers is None else {"num_cpus": workers}
            ray.init(address=address, log_to_driver=False, **bounds)
        try:
            yield RayExecutor()
        finally:
            if begun:
                ray.shutdown()
    else:
        distributed = _imported("distributed", "dask")
        given = {"address": address} if address else {"n_workers": workers, "threads_per_worker": 1}
        with distributed.Client(**given) as client:
            yield client


def _imported(module, extra):
    try:
        return __import__(module)
    except ImportError as error:
        raise ImportError(f'{module} is not installed: pip install "w2v-embed[{extra}]"') from error

"""Where work runs: an executor, a memory budget, a progress callback and a temporary folder.

A :class:`Pool` carries everything about *how* figures are computed and nothing about *which*: the
figures are the same for any pool. Threads are the default, since compressors and NumPy release the
interpreter lock; processes or any other ``concurrent.futures`` executor do as well.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol, Self, TypeVar

from kcomplexity.parallel.progress import Meter, OnProgress
from kcomplexity.parallel.threads import available_processors, map_in_threads

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")
R = TypeVar("R")

#: Bytes that the jobs in flight may declare together by default.
DEFAULT_MAX_MEMORY = 768 << 20


class Job(Protocol[R_co]):
    """A picklable piece of work that declares its cost."""

    @property
    def memory(self) -> int:
        """Bytes it takes at its peak."""

    @property
    def work(self) -> int:
        """What it adds to the progress bar, in bytes."""

    def __call__(self) -> R_co:
        """Do it."""


class Pool:
    """An executor with a memory budget; a context manager.

    Parameters
    ----------
    threads : int, optional
        How many workers; by default the processors this process may use.
    kind : {"thread", "process"}
        What the workers are.
    executor : concurrent.futures.Executor, optional
        One of your own instead (it is not shut down here).
    max_memory : int
        Bytes that the jobs in flight may declare together. A single job above it still runs,
        alone, so that no setting makes a figure impossible.
    piece : int
        How many cuts' worth of weights are handled at once; changes the speed and the memory,
        never a figure.
    progress : callable, optional
        Called with the number of bytes a finished job accounts for, from the waiting thread.
    on_progress : callable, optional
        Called instead with a :class:`~kcomplexity.parallel.progress.Progress`: the bytes done so
        far and the stage and the total of the last :meth:`expect`.
    tmpdir : path, optional
        Where tensors that cannot be read by range are spooled; the system's by default.
    """

    def __init__(
        self,
        threads: int | None = None,
        *,
        kind: Literal["thread", "process"] = "thread",
        executor: Executor | None = None,
        max_memory: int = DEFAULT_MAX_MEMORY,
        piece: int = 1,
        progress: Callable[[int], None] | None = None,
        on_progress: OnProgress | None = None,
        tmpdir: Path | None = None,
    ) -> None:
        self.threads = threads or available_processors()
        self.piece = piece
        self._meter = Meter(on_progress) if on_progress else None
        self.progress = progress or self._meter or (lambda _n_bytes: None)
        self.shares_memory = executor is None and kind == "thread"
        self._budget = _Budget(max_memory)
        self._kind = kind
        self._tmpdir = tmpdir
        self._stack = ExitStack()
        self._owns_executor = executor is None
        self._executor: Executor | None = executor
        self._workspace: Path | None = None
        self._lock = threading.Lock()
        self._cancelled = False

    def __enter__(self) -> Self:
        from threadpoolctl import threadpool_limits

        # Workers are the parallelism: a BLAS that starts threads of its own inside one would
        # oversubscribe the machine and add in another order.
        self._stack.enter_context(threadpool_limits(limits=1))
        if self._owns_executor:
            self._executor = self._start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._owns_executor and self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
        self._stack.close()

    def run(self, jobs: Iterable[Job[R_co]]) -> Iterator[R_co]:
        """Yield the results of `jobs` in their order, as many at once as memory admits."""
        if self._executor is None:
            raise RuntimeError("a Pool is used as a context manager: with Pool() as pool: ...")
        in_flight: deque[tuple[Future[Any], int]] = deque()
        try:
            for job in jobs:
                # Results are handed on in order; a bounded queue keeps finished ones few.
                while len(in_flight) > 2 * self.threads:
                    yield self._take(in_flight)
                if self._cancelled:
                    raise CancelledError
                in_flight.append((self._submit(self._executor, job), job.work))
            while in_flight:
                yield self._take(in_flight)
        finally:
            # The files that jobs read may be closed next, so none may be left running.
            wait([future for future, _ in in_flight if not future.cancel()])

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield ``function(item)`` in the order of `items`; the calls may run jobs themselves.

        Each call has a thread, so that small ones, which run few jobs each, fill the pool together.
        Calls may be nested. When one fails, or whoever waits is interrupted, no other call starts
        and the pool is cancelled: after Ctrl-C nobody wants to wait for what is under way.
        """
        return map_in_threads(function, items, self.threads, on_error=self.cancel)

    def expect(self, total: int | None, stage: str) -> None:
        """Report the next stage to `on_progress`: `total` bytes, those done so far included."""
        if self._meter is not None:
            self._meter.expect(total, stage)

    def limit_linear_algebra(self) -> None:
        """Keep SciPy's BLAS to one thread too. Call it from the thread that entered the pool.

        SciPy brings a BLAS of its own, which is loaded on first use. A limit applies to the
        libraries loaded when it is set, and only the thread that set the first can set another.
        """
        import scipy.linalg  # noqa: F401
        from threadpoolctl import threadpool_limits

        self._stack.enter_context(threadpool_limits(limits=1))

    def cancel(self) -> None:
        """Start no more jobs, for good: every thread that runs jobs gets a CancelledError."""
        self._cancelled = True

    def _submit(self, executor: Executor, job: Job[R_co]) -> Future[R_co]:
        n_bytes = job.memory
        self._budget.admit(n_bytes)
        try:
            future = executor.submit(_call, job)
        except BaseException:
            self._budget.release(n_bytes)
            raise
        future.add_done_callback(lambda _: self._budget.release(n_bytes))
        return future

    def _take(self, in_flight: deque[tuple[Future[Any], int]]) -> Any:
        future, work = in_flight[0]
        result = future.result()
        in_flight.popleft()
        self.progress(work)
        return result

    def reserve(self, n_bytes: int) -> AbstractContextManager[None]:
        """Reserve `n_bytes` of the budget for what outlives a job, such as a shuffled tensor."""
        return self._budget.reserve(n_bytes)

    def at_exit(self, close: Callable[[], None]) -> None:
        """Call `close` when the pool is done, before its temporary files are removed."""
        with self._lock:
            self._stack.callback(close)

    def temporary_file(self) -> Path:
        """Return the path of a new empty file that is removed with the pool."""
        import tempfile

        with self._lock:
            if self._workspace is None:
                folder = tempfile.TemporaryDirectory(prefix="kcomplexity-", dir=self._tmpdir)
                self._workspace = Path(self._stack.enter_context(folder))
        handle, name = tempfile.mkstemp(dir=self._workspace)
        os.close(handle)
        return Path(name)

    def _start(self) -> Executor:
        if self._kind == "thread":
            return ThreadPoolExecutor(self.threads, thread_name_prefix="kcomplexity")
        # Imported where used: sockets, pickling and all are a tenth of the start.
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        # Spawn, not fork: the coordinating threads hold locks that a forked child would inherit.
        executor = ProcessPoolExecutor(
            self.threads, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker
        )
        with _interrupts_held():
            for _ in range(self.threads):  # each starts one process, which inherits the mask
                executor.submit(os.getpid)
        return executor


class _Budget:
    """Bytes declared by the jobs in flight and by what outlives them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.jobs = self.jobs_bytes = self.reserved = 0
        self.changed = threading.Condition()

    def admit(self, n_bytes: int) -> None:
        with self.changed:
            self.changed.wait_for(
                lambda: self.jobs == 0 or self.jobs_bytes + self.reserved + n_bytes <= self.limit
            )
            self.jobs += 1
            self.jobs_bytes += n_bytes

    def release(self, n_bytes: int) -> None:
        with self.changed:
            self.jobs -= 1
            self.jobs_bytes -= n_bytes
            self.changed.notify_all()

    @contextmanager
    def reserve(self, n_bytes: int) -> Iterator[None]:
        with self.changed:
            self.changed.wait_for(
                lambda: self.reserved == 0 or self.reserved + n_bytes <= self.limit
            )
            self.reserved += n_bytes
        try:
            yield
        finally:
            with self.changed:
                self.reserved -= n_bytes
                self.changed.notify_all()


def _call(job: Job[R_co]) -> R_co:  # Dask names a task by its function, an object by its repr
    return job()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let Ctrl-C wait, where the system can: a process interrupted as it starts prints a trace."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker() -> None:
    """Set up a process: one BLAS thread, and Ctrl-C left to the one that hands out the work."""
    import scipy.linalg  # noqa: F401 - has a BLAS of its own, which is to be limited as well
    from threadpoolctl import threadpool_limits

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threadpool_limits(limits=1)

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
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeVar

__all__ = ["DEFAULT_MAX_MEMORY", "Job", "Pool", "available_processors"]

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

#: Bytes that the jobs in flight may declare together when nobody says otherwise.
DEFAULT_MAX_MEMORY = 768 << 20


class Job(Protocol[R_co]):
    """A picklable piece of work that knows what it costs."""

    @property
    def memory(self) -> int:
        """Bytes it holds at its peak."""

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
        tmpdir: Path | None = None,
    ) -> None:
        self.threads = threads or available_processors()
        self.piece = piece
        self.progress = progress or _ignore
        self.shares_memory = executor is None and kind == "thread"
        self._budget = _Budget(max_memory)
        self._kind = kind
        self._tmpdir = tmpdir
        self._stack = ExitStack()
        self._given = executor
        self._executor: Executor | None = executor
        self._workspace: Path | None = None
        self._lock = threading.Lock()
        self._cancelled = False

    def __enter__(self) -> Self:
        from threadpoolctl import threadpool_limits

        # Workers are the parallelism: a BLAS that starts threads of its own inside one would
        # oversubscribe the machine and add in another order.
        self._stack.enter_context(threadpool_limits(limits=1))
        if self._given is None:
            self._executor = self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._given is None and self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
        self._stack.close()

    def run(self, jobs: Iterable[Job[R_co]]) -> Iterator[R_co]:
        """Yield the results of `jobs` in their order, as many at once as memory admits."""
        if self._executor is None:
            raise RuntimeError("a Pool is used as a context manager: with Pool() as pool: ...")
        flying: deque[tuple[Future[Any], int]] = deque()
        try:
            for job in jobs:
                # Results are handed on in order; a bounded queue keeps finished ones few.
                while len(flying) > 2 * self.threads:
                    yield self._take(flying)
                if self._cancelled:
                    raise CancelledError
                flying.append((self._submit(self._executor, job), job.work))
            while flying:
                yield self._take(flying)
        finally:
            # What a job reads may be closed next: none is left running.
            wait([future for future, _ in flying if not future.cancel()])

    def side_by_side(self, calls: Iterable[Callable[[], T]]) -> Iterator[T]:
        """Yield the results of `calls`, in their order, each made in a thread that may run jobs.

        What is small runs few jobs at once: several such calls fill the pool together. When one of
        them, or who waits for them, is interrupted, no other starts and the pool is cancelled.
        """
        flying: deque[Future[T]] = deque()
        with ThreadPoolExecutor(self.threads, thread_name_prefix="kcomplexity-call") as drivers:
            try:
                flying.extend(drivers.submit(call) for call in calls)
                while flying:
                    yield flying.popleft().result()
            except BaseException:
                # After Ctrl-C nobody wants to wait for what is under way.
                self.cancel()
                for future in flying:
                    future.cancel()
                raise

    def limit_linear_algebra(self) -> None:
        """Keep SciPy's BLAS to one thread too: from the thread that entered the pool, before jobs.

        It is a library of its own, loaded where it is first needed; a limit holds what is loaded
        when it is taken, and only the thread that took the first one can take another.
        """
        import scipy.linalg  # noqa: F401
        from threadpoolctl import threadpool_limits

        self._stack.enter_context(threadpool_limits(limits=1))

    def cancel(self) -> None:
        """Start no more jobs, for good: whoever runs some gets a CancelledError.

        Several threads may be running jobs when one of them is interrupted.
        """
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

    def _take(self, flying: deque[tuple[Future[Any], int]]) -> Any:
        future, work = flying[0]
        result = future.result()
        flying.popleft()
        self.progress(work)
        return result

    @contextmanager
    def reserve(self, n_bytes: int) -> Iterator[None]:
        """Hold `n_bytes` of the budget for something that outlives a job (a shuffled tensor)."""
        self._budget.reserve(n_bytes)
        try:
            yield
        finally:
            self._budget.unreserve(n_bytes)

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
            self.threads,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
        )
        with _interrupts_held():
            for _ in range(self.threads):  # each starts one process, which inherits the mask
                executor.submit(os.getpid)
        return executor


class _Budget:
    """Bytes declared by the jobs in flight and by what outlives them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.jobs = self.jobs_bytes = 0
        self.reserved = 0
        self.changed = threading.Condition()

    def admit(self, n_bytes: int) -> None:
        def fits() -> bool:
            return self.jobs == 0 or self.jobs_bytes + self.reserved + n_bytes <= self.limit

        with self.changed:
            self.changed.wait_for(fits)
            self.jobs += 1
            self.jobs_bytes += n_bytes

    def release(self, n_bytes: int) -> None:
        with self.changed:
            self.jobs -= 1
            self.jobs_bytes -= n_bytes
            self.changed.notify_all()

    def reserve(self, n_bytes: int) -> None:
        def fits() -> bool:
            return self.reserved == 0 or self.reserved + n_bytes <= self.limit

        with self.changed:
            self.changed.wait_for(fits)
            self.reserved += n_bytes

    def unreserve(self, n_bytes: int) -> None:
        with self.changed:
            self.reserved -= n_bytes
            self.changed.notify_all()


def available_processors() -> int:
    """Processors this process may use (its affinity where the system tells)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _ignore(n_bytes: int) -> None:
    """Report nothing."""


def _call(job: Job[R_co]) -> R_co:
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

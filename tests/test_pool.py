"""A pool runs jobs in order, as many at once as memory admits, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from textwrap import indent
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcomplexity.parallel.pool import Pool
from kcomplexity.parallel.progress import Progress
from kcomplexity.parallel.threads import available_processors
from tests import wait_until


class Gauge:
    """What is in flight at once."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.jobs: list[int] = []
        self.most = self.most_with_others = self.n_run = 0

    def enter(self, memory: int) -> None:
        with self.lock:
            self.jobs.append(memory)
            self.n_run += 1
            self.most = max(self.most, sum(self.jobs))
            if len(self.jobs) > 1:
                self.most_with_others = max(self.most_with_others, sum(self.jobs))

    def leave(self, memory: int) -> None:
        with self.lock:
            self.jobs.remove(memory)


@dataclass
class Sized:
    """A job that tells the gauge of its memory for as long as it runs."""

    gauge: Gauge
    memory: int
    work: int = 1
    seconds: float = 0.0
    raises: BaseException | None = None
    started: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> int:
        self.gauge.enter(self.memory)
        self.started.set()
        try:
            time.sleep(self.seconds)
            if self.raises:
                raise self.raises
        finally:
            self.gauge.leave(self.memory)
        return self.memory


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 150), max_size=30), st.integers(1, 5))
def test_jobs_in_flight_never_declare_more_than_allowed_but_for_one_alone(sizes, threads):
    gauge = Gauge()
    with Pool(threads, max_memory=100) as pool:
        results = list(pool.run(Sized(gauge, n, seconds=1e-4) for n in sizes))
    assert results == sizes  # in their order
    assert gauge.most_with_others <= 100
    assert gauge.n_run == len(sizes)
    assert gauge.most >= max(sizes, default=0)


def test_a_job_above_the_limit_runs_alone():
    gauge = Gauge()
    with Pool(4, max_memory=10) as pool:
        assert list(pool.run([Sized(gauge, n, seconds=0.01) for n in (5, 5, 99, 5)])) == [
            5,
            5,
            99,
            5,
        ]
    assert gauge.most == 99
    assert gauge.most_with_others <= 10


def test_small_jobs_do_run_at_once():
    barrier = threading.Barrier(3, timeout=20)

    @dataclass
    class Meeting(Sized):
        def __call__(self) -> int:
            return barrier.wait() * 0

    with Pool(3, max_memory=3) as pool:
        assert list(pool.run([Meeting(Gauge(), 1) for _ in range(3)])) == [0, 0, 0]


def test_what_is_reserved_is_taken_from_the_budget_and_given_back():
    gauge = Gauge()
    with Pool(4, max_memory=100) as pool:
        with pool.reserve(60):
            list(pool.run([Sized(gauge, 30, seconds=0.002) for _ in range(8)]))
            assert gauge.most <= 40
        list(pool.run([Sized(gauge, 30, seconds=0.01) for _ in range(8)]))
    assert 40 < gauge.most <= 100


def test_a_reservation_waits_for_another_but_never_for_ever():
    with Pool(1, max_memory=100) as pool:
        with pool.reserve(1000):  # alone, however large
            entered = threading.Event()

            def second() -> None:
                with pool.reserve(10):
                    entered.set()

            thread = threading.Thread(target=second)
            thread.start()
            assert not entered.wait(0.05)
            gauge = Gauge()  # jobs go on one by one beside it
            assert list(pool.run([Sized(gauge, 5) for _ in range(4)])) == [5] * 4
            assert gauge.most == 5
        thread.join(20)
        assert entered.is_set()


@pytest.mark.parametrize("own", [True, False])
def test_an_exception_leaves_no_job_running_and_no_memory_taken(own):
    gauge = Gauge()
    error = ValueError("no")
    with ThreadPoolExecutor(3) as executor, Pool(3, executor=executor if own else None) as pool:
        jobs = [Sized(gauge, 1, seconds=0.05, raises=error if i == 1 else None) for i in range(40)]
        with pytest.raises(ValueError, match="no"):
            list(pool.run(jobs))
        assert gauge.jobs == []
        assert gauge.n_run < len(jobs)
        n_run = gauge.n_run
        assert list(pool.run([Sized(gauge, 7)])) == [7]  # and the pool is as good as new
        assert gauge.n_run == n_run + 1


def test_giving_up_in_the_middle_leaves_no_job_running():
    gauge = Gauge()
    with Pool(2) as pool:
        results = pool.run([Sized(gauge, i, seconds=0.01) for i in range(40)])
        assert next(results) == 0
        results.close()  # type: ignore[attr-defined]
        assert gauge.jobs == []
        assert gauge.n_run < 40


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
def test_an_interrupt_leaves_no_job_running():
    gauge = Gauge()
    jobs = [Sized(gauge, 1, seconds=0.2) for _ in range(40)]

    def interrupt() -> None:
        # The waiting thread has handed out what it may, and waits.
        wait_until(lambda: pool._budget.jobs == 2 * 2 + 1)
        os.kill(os.getpid(), signal.SIGINT)

    with Pool(2) as pool:
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            list(pool.run(jobs))
        thread.join()
        assert gauge.jobs == []
    assert gauge.n_run < len(jobs)


def test_a_broken_executor_takes_no_memory_with_it():
    class Refusing(ThreadPoolExecutor):
        refuses = True

        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            if self.refuses:
                raise RuntimeError("broken")
            return super().submit(fn, *args, **kwargs)

    gauge = Gauge()
    with Refusing(2) as executor, Pool(2, executor=executor, max_memory=10) as pool:
        with pytest.raises(RuntimeError, match="broken"):
            list(pool.run([Sized(gauge, 10)]))
        executor.refuses = False
        assert list(pool.run([Sized(gauge, 10, seconds=0.001)] * 3)) == [10] * 3
        assert pool._budget.jobs == pool._budget.jobs_bytes == 0


def test_finished_results_wait_in_a_bounded_queue():
    gauge = Gauge()
    ahead: list[int] = []
    with Pool(2) as pool:
        for i, _ in enumerate(pool.run(Sized(gauge, 1) for _ in range(200))):
            wait_until(lambda: pool._budget.jobs == 0)  # all that was handed out is done
            ahead.append(gauge.n_run - i)
    assert max(ahead) == ahead[0] == 2 * 2 + 1


def test_progress_is_told_as_results_are_taken():
    told: list[int] = []
    with Pool(3, progress=told.append) as pool:
        list(pool.run([Sized(Gauge(), 1, work=i) for i in range(10)]))
    assert told == list(range(10))


def test_progress_events_add_up_the_bytes_of_all_stages():
    events: list[Progress] = []
    with Pool(3, on_progress=events.append) as pool:
        pool.expect(6, "reading")
        list(pool.run([Sized(Gauge(), 1, work=i) for i in range(4)]))
        pool.expect(11, "measuring")
        list(pool.run([Sized(Gauge(), 1, work=5)]))
    assert events == [
        Progress("reading", 0, 6),
        *(Progress("reading", done, 6) for done in (0, 1, 3, 6)),
        Progress("measuring", 6, 11),
        Progress("measuring", 11, 11),
    ]


def test_calls_that_run_jobs_may_be_nested_and_keep_their_order():
    gauge = Gauge()

    def inner(i: int) -> int:
        return i + len(list(pool.run([Sized(gauge, 1)])))

    def outer(i: int) -> list[int]:
        return list(pool.map(inner, range(i, i + 3)))

    with Pool(2) as pool:
        assert list(pool.map(outer, range(5))) == [[i + 1, i + 2, i + 3] for i in range(5)]
    assert gauge.n_run == 15


def test_a_call_that_fails_cancels_the_pool_and_the_calls_that_have_not_begun():
    begun: list[int] = []

    def call(i: int) -> None:
        begun.append(i)
        raise ValueError("no")

    with Pool(1) as pool:
        with pytest.raises(ValueError, match="no"):
            list(pool.map(call, range(100)))
        with pytest.raises(CancelledError):
            list(pool.run([Sized(Gauge(), 1)]))
    assert len(begun) < 100


def test_the_temporary_folder_goes_with_the_pool(tmp_path):
    closed: list[bool] = []
    with Pool(1, tmpdir=tmp_path) as pool:
        assert list(tmp_path.iterdir()) == []  # made when it is needed
        first, second = pool.temporary_file(), pool.temporary_file()
        assert first != second
        assert first.parent == second.parent
        assert first.parent.parent == tmp_path
        pool.at_exit(lambda: closed.append(first.exists()))
    assert closed == [True]  # what reads a file is closed before it goes
    assert list(tmp_path.iterdir()) == []


def test_the_temporary_folder_goes_after_an_error_too(tmp_path):
    def fail() -> None:
        with Pool(1, tmpdir=tmp_path) as pool:
            pool.temporary_file().write_bytes(b"1")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_pool_is_used_as_a_context_manager():
    with pytest.raises(RuntimeError, match="context manager"):
        list(Pool(1).run([Sized(Gauge(), 1)]))


def test_the_default_is_every_processor_this_process_may_use():
    assert Pool().threads == available_processors() >= 1
    assert Pool(3).threads == 3


def most_threads() -> int:
    from threadpoolctl import threadpool_info

    return max((library["num_threads"] for library in threadpool_info()), default=1)


def test_blas_has_one_thread_inside_a_pool_and_its_own_after():
    before = most_threads()
    with Pool(2):
        assert most_threads() == 1
    assert most_threads() == before


#: A process of its own: SciPy's BLAS is loaded when the pool is at work already.
_FRESH = """
import sys
import numpy as np
import kcomplexity as kc
assert "scipy" not in sys.modules
rng = np.random.default_rng(3)
shapes = [(600, 700), (500, 450)]
weights = {f"w{i}": rng.normal(size=shape).astype("f4") for i, shape in enumerate(shapes)}
specs = ["lowrank@rd0.1", "stable-rank", "spectral-entropy"]
rows = kc.score(weights, specs=specs, threads=2, workers=sys.argv[1]).rows
print([repr(row.value) for row in rows])
"""


@pytest.mark.parametrize("workers", ["thread", "process"])
def test_figures_do_not_depend_on_the_threads_that_a_blas_would_take(workers):
    script = f"if __name__ == '__main__':\n{indent(_FRESH, '    ')}"

    def figures(n_threads: int) -> str:
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        found = subprocess.run(
            [sys.executable, "-c", script, workers],
            env=os.environ | dict.fromkeys(names, str(n_threads)),
            capture_output=True,
            text=True,
            check=True,
        )
        return found.stdout

    assert figures(1) == figures(2)


def test_every_blas_has_its_threads_back_after_a_pool():
    script = (
        "from threadpoolctl import threadpool_info\n"
        "from kcomplexity.parallel.pool import Pool\n"
        "def most(): return max(one['num_threads'] for one in threadpool_info())\n"
        "with Pool(1) as pool:\n"
        "    pool.limit_linear_algebra()\n"
        "    print(most(), end=' ')\n"
        "with Pool(1): print(most(), end=' ')\n"
        "print(most(), sum(one['user_api'] == 'blas' for one in threadpool_info()))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    inside, again, after, n_libraries = found.stdout.split()
    assert inside == again == "1"
    assert int(n_libraries) >= 1
    assert after == "2"


def test_a_cancelled_pool_starts_no_more_jobs_in_any_thread():
    gauge = Gauge()
    many = [Sized(gauge, 1, seconds=0.01) for _ in range(500)]
    with Pool(2) as pool, ThreadPoolExecutor(2) as drivers:
        running = [drivers.submit(lambda: list(pool.run(many))) for _ in range(2)]
        assert many[0].started.wait(5)
        pool.cancel()
        for future in running:
            with pytest.raises(CancelledError):
                future.result(timeout=5)
    assert gauge.n_run < 50
    assert gauge.jobs == []


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="needs signal masks")
def test_workers_that_are_processes_leave_interrupts_to_us():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with Pool(1, kind="process") as pool:
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
        pid = next(pool.run([Pid()]))
        os.kill(pid, signal.SIGINT)
        assert list(pool.run([Pid(), Pid()])) == [pid, pid]


@dataclass
class Pid:
    """A job that tells where it runs."""

    memory: int = 1
    work: int = 1

    def __call__(self) -> int:
        return os.getpid()

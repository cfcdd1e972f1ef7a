"""Threads that coordinate: they hand the jobs of their calls to a pool and wait for them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

#: Calls that are handed out for each thread before the first of them is waited for: many, since a
#: long one at the front keeps only those behind it waiting.
_AHEAD = 64


def map_in_threads(
    function: Callable[[T], R],
    items: Iterable[T],
    threads: int | None = None,
    *,
    initializer: Callable[[], object] | None = None,
    on_error: Callable[[], object] | None = None,
) -> Iterator[R]:
    """Yield ``function(item)`` for each item, in their order, computed in threads.

    `items` is read a little ahead of the results, and `initializer` called once in each thread.
    When a call fails or the caller is interrupted, `on_error` is called, the calls that have not
    begun are dropped, and those under way are waited for.
    """
    threads = threads or available_processors()
    waiting: deque[Future[R]] = deque()
    executor = ThreadPoolExecutor(
        threads, thread_name_prefix="kcomplexity-call", initializer=initializer
    )
    with executor:
        try:
            for item in items:
                waiting.append(executor.submit(function, item))
                # What is done is handed on while the rest goes on.
                while waiting and (len(waiting) > _AHEAD * threads or waiting[0].done()):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BaseException:
            if on_error is not None:
                on_error()
            for future in waiting:
                future.cancel()
            raise


def available_processors() -> int:
    """Return the number of processors this process may use (its affinity, where known)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

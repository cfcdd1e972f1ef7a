"""The one place where threads are started."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def map_in_threads(
    function: Callable[[T], R],
    items: Iterable[T],
    threads: int | None = None,
    *,
    initializer: Callable[[], object] | None = None,
    on_error: Callable[[], object] | None = None,
) -> Iterator[R]:
    """Yield ``function(item)`` for each item, in their order, computed in threads.

    `items` is read to its end at once, and `initializer` called once in each thread. When a call
    fails or the caller is interrupted, `on_error` is called, the calls that have not begun are
    dropped, and those under way are waited for.
    """
    waiting: deque[Future[R]] = deque()
    executor = ThreadPoolExecutor(
        threads or available_processors(),
        thread_name_prefix="kcomplexity-call",
        initializer=initializer,
    )
    with executor:
        try:
            waiting.extend(executor.submit(function, item) for item in items)
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

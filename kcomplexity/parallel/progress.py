"""How far a long call has come: the one shape of every ``progress=`` callback."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """One report of a call under way.

    Attributes
    ----------
    stage : str
        What is being done, for a reader: ``"measuring"``, ``"round 3: 812 motifs"``.
    done : int
        Bytes finished since the call began; 0 where the work is not counted in bytes.
    total : int or None
        Bytes in all, as far as they are known now; None where they are not.
    """

    stage: str
    done: int = 0
    total: int | None = None


#: Called from the thread that waits, never from a worker.
OnProgress = Callable[[Progress], None]


class Meter:
    """Adds up the bytes of finished jobs and reports the sum as :class:`Progress`.

    Several threads may wait for jobs of one pool; the reports come one at a time, in order.
    """

    def __init__(self, report: OnProgress) -> None:
        self._report = report
        self._now = Progress("")
        self._lock = threading.Lock()

    def expect(self, total: int | None, stage: str) -> None:
        """Report the next stage: `total` bytes in all, those done so far included."""
        with self._lock:
            self._now = Progress(stage, self._now.done, total)
            self._report(self._now)

    def __call__(self, n_bytes: int) -> None:
        """Count `n_bytes` as done and report."""
        with self._lock:
            now = self._now
            self._now = Progress(now.stage, now.done + n_bytes, now.total)
            self._report(self._now)

"""How far a long call has come: the one shape of every ``progress=`` callback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

__all__ = ["OnProgress", "Progress", "counting"]


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


def counting(
    progress: OnProgress, stage: str, total: int | None, done: int = 0
) -> Callable[[int], None]:
    """Return a ``Pool.progress`` that adds up bytes and reports the sum, from `done` on.

    Units measured side by side call it from their own threads; `progress` is called by one of them
    at a time.
    """
    lock = Lock()

    def count(n_bytes: int) -> None:
        nonlocal done
        with lock:
            done += n_bytes
            progress(Progress(stage, done, total))

    return count

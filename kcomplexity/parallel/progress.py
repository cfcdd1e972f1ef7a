"""How far a long call has come: the one shape of every ``progress=`` callback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["OnProgress", "Progress"]


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

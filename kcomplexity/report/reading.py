"""Reading a result to show it: any result, a Tracker's file as the trajectory that it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kcomplexity.report.tracked import as_trajectory
from kcomplexity.results.reading import read_document


def read_result(path: str | Path) -> dict[str, Any]:
    """Read a result file in its JSON form; parameters and errors as for :func:`read_document`."""
    return dict(as_trajectory(read_document(path)))

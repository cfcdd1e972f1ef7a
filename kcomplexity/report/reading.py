"""Reading what is shown: any result, a Tracker's file as the trajectory that it is, a metric."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

from kcomplexity.errors import ResultError
from kcomplexity.report.tracked import as_trajectory
from kcomplexity.results.reading import read_document


def read_result(path: str | Path) -> dict[str, Any]:
    """Read a result file in its JSON form; parameters and errors as for :func:`read_document`."""
    return dict(as_trajectory(read_document(path)))


def read_metric(path: str | Path) -> dict[str, Any]:
    """Read a metric of training, to draw next to a trajectory: its ``name``, and its ``points``.

    The file is CSV of numbers with a header line. The first column, or the one called ``step``, is
    the step, and the next one the metric.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *lines = [line for line in csv.reader(file) if line]
    except (OSError, ValueError, csv.Error) as error:
        raise ResultError(f"{path}: expected CSV with a header line: {error}") from error
    names = [name.strip() for name in header]
    step = names.index("step") if "step" in names else 0
    others = [i for i in range(len(names)) if i != step]
    if not others:
        raise ResultError(f"{path}: expected two columns, a step and a metric, not {names}")
    points = []
    for number, line in enumerate(lines, 2):
        try:
            at, value = float(line[step]), float(line[others[0]])
        except (ValueError, IndexError) as error:
            raise ResultError(
                f"{path}, line {number}: {','.join(line)!r}: expected a step and a number"
            ) from error
        if math.isfinite(at) and math.isfinite(value):
            points.append([at, value])
    return {"name": names[others[0]], "points": points}

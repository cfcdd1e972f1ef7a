"""Reading what is shown: any result, a metric, a Tracker's file as the trajectory that it is."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kcomplexity.errors import ResultError, SpecError
from kcomplexity.inference import kendall
from kcomplexity.report.rows import Json, expecting
from kcomplexity.results.reading import kind_of, read_document

_ABOUT_CALL = ("step", "seconds", "n_weights")
_SHUFFLED = " / shuffled"


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


def as_trajectory(document: Json) -> Json:
    """Return a Tracker's calls as the document of a trajectory, and any other result as it is."""
    if kind_of(document) != "tracker":
        return document
    with expecting("a line of a Tracker's file"):
        return _trajectory(document)


def _trajectory(document: Json) -> Json:
    calls = sorted(document["calls"], key=lambda call: call["step"])
    for key, value in (item for call in calls for item in call.items()):
        if value is not None and not isinstance(value, int | float):
            raise ResultError(f"a line of a Tracker's file: {key!r}: expected a number")
    keys = dict.fromkeys(key for call in calls for key in call if key not in _ABOUT_CALL)
    rest = {key: value for key, value in document.items() if key != "calls"}
    return rest | {
        "steps": [
            {"step": call["step"], "checkpoint": f"step {call['step']:g}", "status": "ok"}
            | {"reason": None, "info": None, "n_rows": len(call) - len(_ABOUT_CALL), "n_cached": 0}
            for call in calls
        ],
        "notes": [],
        "headline": [],
        "series": [_series(key, calls) for key in keys],
        "rows": [],
        "summary": [
            _total(key, call)
            for call in calls
            for key in keys
            if not key.endswith(_SHUFFLED) and call.get(key) is not None
        ],
    }


def _about(spec: str) -> dict[str, Any]:
    """Return what a spec is, in the fields of a row; of one that is not known here, nothing."""
    from kcomplexity.scoring.specs import parse_spec

    about = {"spec": spec, "tensor": None, "group": None, "dtype": None, "scope": "all"}
    try:
        own = parse_spec(spec).estimator
    except SpecError:  # tracked with a package that is not installed here
        return about | {"kind": "statistic", "unit": "", "direction": ""}
    return about | {"kind": own.kind, "unit": own.unit, "direction": own.direction}


def _total(spec: str, call: Json) -> dict[str, Any]:
    """Return the row of the whole at one step."""
    about, value, n_weights = _about(spec), call[spec], call["n_weights"]
    in_bits = about["kind"] != "statistic"
    return about | {
        "step": call["step"],
        "checkpoint": f"step {call['step']:g}",
        "status": "ok",
        "n_weights": n_weights,
        "value": value * n_weights if in_bits else value,
        "bits": value * n_weights if in_bits else None,
        "bits_per_weight": value if in_bits else None,
        "controls": [],
    }


def _series(key: str, calls: Sequence[Json]) -> dict[str, Any]:
    """Return one figure over the steps, and its trend."""
    about = _about(key.removesuffix(_SHUFFLED))
    quantity = "value" if about["kind"] == "statistic" else "bits_per_weight"
    known = [(call["step"], call[key]) for call in calls if call.get(key) is not None]
    first, last = (known[0][1], known[-1][1]) if known else (None, None)
    trend = kendall([step for step, _ in known], [value for _, value in known])
    return about | {
        "quantity": "of_shuffled" if key.endswith(_SHUFFLED) else quantity,
        "n_weights": calls[-1]["n_weights"],
        "steps": [call["step"] for call in calls],
        "values": [call.get(key) for call in calls],
        "first": first,
        "last": last,
        "change": last / first - 1 if first and last is not None and len(known) > 1 else None,
        "tau": trend.tau if trend else None,
        "p": trend.p if trend else None,
    }

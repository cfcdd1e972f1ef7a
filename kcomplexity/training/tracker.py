"""Complexity while a training runs: call a tracker with the weights, get a row, keep a file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, Unpack

from kcomplexity.errors import OutputError, ResultError
from kcomplexity.loaders.selecting import Reading, open_selected
from kcomplexity.parallel.running import part_of, pool_of, refuse_unknown
from kcomplexity.results.control_results import SHUFFLE
from kcomplexity.results.json_form import json_line, plain
from kcomplexity.results.reading import TRACKED, kind_of, read_document
from kcomplexity.scoring.cache import Cache, CachedRows
from kcomplexity.scoring.measuring import Measuring
from kcomplexity.scoring.plan import make_plan
from kcomplexity.scoring.score import measure_plan
from kcomplexity.scoring.specs import listed
from kcomplexity.scoring.summary import summarise


class Tracker:
    """Score the weights of a training at each call; a context manager.

    It works without ``with`` too, but keeps nothing from call to call: tensors that did not change
    are measured again.

    Parameters
    ----------
    path : path, optional
        A file of JSON lines to which each row is appended as it is made. Rows that it holds
        already are read first, so that a resumed training continues its file.
    **options : :class:`~kcomplexity.scoring.measuring.Measuring`
        What is measured by what, which tensors are read, and how the work is done. The panel is
        ``"fast"`` by default.

    Attributes
    ----------
    rows : list of dict
        One for each call: ``step``, ``seconds``, ``n_weights`` and, under each spec, the bits a
        weight over all tensors (a statistic's value); under ``SPEC / shuffled`` the bits over the
        mean bits of the shuffled weights. A line of the file is a row with ``"record": "tracked"``.
    seconds : float
        Time that all calls have taken.

    Raises
    ------
    ResultError
        If there is a file at `path` that is neither empty nor a tracker's.

    Notes
    -----
    A call costs what a score of the tensors that changed costs, and hashing all of them (2 GB/s):
    with the default panel ``fast`` some 20 ms for a million float32 weights on one core. Arrays
    are read during the call alone, so they may change afterwards.

    Examples
    --------
    >>> import numpy as np
    >>> with Tracker(specs=["entropy@q8"]) as track:
    ...     row = track({"w": np.linspace(-1, 1, 4096, dtype="f4")}, step=1)
    >>> row["step"], round(row["entropy@q8"], 1)
    (1, 8.0)
    """

    def __init__(self, path: str | Path | None = None, **options: Unpack[Measuring]) -> None:
        self.path = None if path is None else Path(path)
        self.rows: list[dict[str, Any]] = []
        self.seconds = 0.0
        refuse_unknown(options, Measuring)
        self._options: Measuring = {"panel": "fast", **options}
        self._options["specs"] = listed(options.get("specs"))  # read once for all calls
        self._options["controls"] = listed(options.get("controls"))
        self._cache = Cache()
        if self.path is not None and self.path.exists() and self.path.stat().st_size:
            self.rows = self.load(self.path)

    @staticmethod
    def load(path: str | Path) -> list[dict[str, Any]]:
        """Read the rows of a tracker's file; ResultError if it is not one."""
        document = read_document(path)
        if kind_of(document) != "tracker":
            raise ResultError(f"{path} is not a tracker's file: name another file")
        calls: list[dict[str, Any]] = document["calls"]
        return calls

    def __enter__(self) -> Self:
        self._cache.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._cache.__exit__(None, None, None)

    def __call__(self, state: Mapping[str, Any], step: float | None = None) -> dict[str, Any]:
        """Score the weights and return the row.

        Parameters
        ----------
        state : mapping of str to array
            For example ``model.state_dict()``; anything that :func:`kcomplexity.open_checkpoint`
            opens.
        step : number, optional
            By default one more than the last.

        Raises
        ------
        OutputError
            If the row cannot be written.
        """
        started = time.perf_counter()
        if step is None:
            step = self.rows[-1]["step"] + 1 if self.rows else 0
        (opened,) = open_selected([state], **part_of(self._options, Reading))
        with opened, pool_of(self._options) as pool:
            checkpoint = replace(opened, path=f"step {step:g}")
            plan = make_plan([checkpoint], **self._options)
            units = measure_plan(plan, pool, CachedRows(self._cache, plan))
            summary = summarise([row for of_unit in units for row in of_unit])
            n_weights = plan.checkpoints[0].n_weights
        row: dict[str, Any] = {"step": step, "seconds": 0.0, "n_weights": n_weights}
        for score in summary:
            row[score.spec] = score.value if score.bits is None else score.bits_per_weight
            control = score.control(SHUFFLE)
            if control is not None:
                row[f"{score.spec} / shuffled"] = control.ratio
        row = plain(row)
        row["seconds"] = round(time.perf_counter() - started, 6)
        self.seconds += row["seconds"]
        self.rows.append(row)
        if self.path is not None:
            try:
                with self.path.open("ab") as file:
                    file.write(json_line(TRACKED, row))
            except OSError as error:
                why = error.strerror or error
                raise OutputError(f"cannot write {self.path}: {why}") from error
        return row

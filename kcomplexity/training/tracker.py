"""Complexity as a training goes: call it with the weights, get a row, keep a file of rows."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kcomplexity.errors import OutputError
from kcomplexity.loaders import open_checkpoint
from kcomplexity.parallel.pool import DEFAULT_MAX_MEMORY, Pool
from kcomplexity.results.control_results import SHUFFLE
from kcomplexity.results.json_form import plain, read_lines
from kcomplexity.scoring.cache import Cache, run_cached
from kcomplexity.scoring.plan import make_plan
from kcomplexity.scoring.specs import listed
from kcomplexity.scoring.summary import summarise

__all__ = ["Tracker"]


class Tracker:
    """Score the weights of a training whenever it is called; a context manager.

    Without ``with`` it works too, but keeps nothing from call to call: tensors that did not change
    are measured again.

    Parameters
    ----------
    path : path, optional
        A file of JSON lines to which each row is appended as it is made; rows that it holds
        already are read first, so a training that goes on goes on here.
    panel, specs, controls
        As for :func:`kcomplexity.score`.
    seed, threads, max_memory
        As for :func:`kcomplexity.score`.

    Attributes
    ----------
    rows : list of dict
        One a call: ``step``, ``seconds``, ``n_weights`` and, under each spec, the bits a weight
        over all tensors (a statistic's value); under ``SPEC / shuffled`` the bits over those of
        the weights shuffled.
    seconds : float
        What all calls have cost.

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

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        panel: str = "fast",
        specs: str | Iterable[str] | None = None,
        controls: str | Iterable[str] | None = None,
        seed: int = 0,
        threads: int | None = None,
        max_memory: int = DEFAULT_MAX_MEMORY,
    ) -> None:
        self.path = None if path is None else Path(path)
        self.rows: list[dict[str, Any]] = [] if self.path is None else _known(self.path)
        self.seconds = 0.0
        self._options: dict[str, Any] = {
            "panel_name": panel,
            "specs": listed(specs),
            "controls": listed(controls),
            "seed": seed,
        }
        self._threads, self._max_memory = threads, max_memory
        self._cache = Cache()

    def __enter__(self) -> Self:
        self._cache.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cache.__exit__(kind, error, trace)

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
        with (
            open_checkpoint(state) as opened,
            Pool(self._threads, max_memory=self._max_memory) as pool,
        ):
            checkpoint = replace(opened, path=f"step {step:g}")
            plan = make_plan([checkpoint], **self._options)
            summary = summarise(run_cached(plan, pool, self._cache))
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
            _append(self.path, row)
        return row


def _known(path: Path) -> list[dict[str, Any]]:
    try:
        return read_lines(path.read_bytes()) if path.exists() else []
    except (OSError, ValueError) as error:
        raise OutputError(f"{path} holds no JSON lines ({error}): name another file") from error


def _append(path: Path, row: dict[str, Any]) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error

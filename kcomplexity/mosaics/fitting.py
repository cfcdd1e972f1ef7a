"""Fit a mosaic to a checkpoint that is already trained.

The stages: open the checkpoint and choose the tensors (:mod:`kcomplexity.mosaics.selection`), cut
them into blocks (:mod:`kcomplexity.mosaics.fit_plan`), divide scales out
(:mod:`kcomplexity.mosaics.scaled_blocks`), find motifs for each set of tensors that share them
(:mod:`kcomplexity.mosaics.run`, :mod:`kcomplexity.mosaics.fitters`), code the mosaic and measure
its distortion (:mod:`kcomplexity.mosaics.assembly`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Unpack

from kcomplexity.containers.mosaic import Mosaic
from kcomplexity.loaders.opening import Source
from kcomplexity.mosaics.fit_options import Fitting, parse_options
from kcomplexity.mosaics.fit_plan import FitPlan, plan_fit
from kcomplexity.mosaics.fit_report import FitReport, fit_report
from kcomplexity.mosaics.gain import gain_controls, motif_gain
from kcomplexity.mosaics.run import run_fit
from kcomplexity.mosaics.selection import open_selection, open_whole, select_fitted
from kcomplexity.parallel.progress import OnProgress
from kcomplexity.parallel.threads import available_processors
from kcomplexity.results.provenance import provenance


def fit_mosaic(
    source: Source,
    *,
    threads: int | None = None,
    progress: OnProgress | None = None,
    **options: Unpack[Fitting],
) -> Mosaic:
    """Re-express the weights of a checkpoint as a mosaic of motifs.

    Parameters
    ----------
    source : path, mapping of arrays, or Checkpoint
    threads : int, optional
        All processors by default. No figure depends on it.
    progress : callable, optional
        Called with a :class:`~kcomplexity.parallel.progress.Progress` about once per round.
    **options
        Of :class:`~kcomplexity.mosaics.fit_options.Fitting`: which tensors (``include``,
        ``exclude``, ``all_tensors``, ``skip_nonfinite``), how they are read (``dtypes``, ``root``,
        ``dequantize``), ``block_size`` (``4``, ``"2x4"``), ``method`` (``"sample"``, ``"kmeans"``,
        ``"ecvq"``), one target (``motifs``, ``capacity``, ``relative_mse``, ``bits_per_weight`` of
        motifs, indices and scales per fitted weight, ``size`` of the file in bytes), ``scope``
        (``"model"``, ``"group"``, ``"tensor"``), ``scale`` (``"none"``, ``"tensor"``, ``"row"``),
        ``motif_dtype`` (``"f32"``, ``"f16"``, ``"bf16"``, ``"grid"``), ``zero_motif``,
        ``train_points``, ``seed``.

    Returns
    -------
    Mosaic
        Its kept tensors are read from `source` when they are needed: keep that open.

    Raises
    ------
    CheckpointError
        If `source` cannot be read.
    SpecError
        If an option is invalid, or a target cannot be reached; the message says what can.
    UnmeasurableError
        If weights are NaN or infinite.

    Examples
    --------
    >>> import numpy as np
    >>> blocks = np.array([[10, 10, 11, 9], [20, 20, 19, 22]], np.float32)
    >>> mosaic = fit_mosaic({"w": blocks}, block_size=2, motifs=4, method="sample")
    >>> mosaic.distortion.sse, mosaic.n_blocks
    (0.0, 4)
    """
    fit_options, selecting = parse_options(options)
    selection = select_fitted(open_whole(source, selecting), **selecting)
    return run_fit(plan_fit(selection, fit_options), threads=threads, progress=progress)


def fit(
    source: Source,
    *,
    output: Path | None = None,
    controls: Iterable[str] = (),
    threads: int | None = None,
    progress: OnProgress | None = None,
    command: str = "",
    **options: Unpack[Fitting],
) -> FitReport:
    """Fit a mosaic to a checkpoint, write it if asked to, and report bits and distortion.

    `output` is the ``.safetensors`` file to write; `controls` are randomised controls to fit at the
    same error, e.g. ``["shuffle:3"]``, for the motif gain; `command` is what the user typed, for
    the provenance. The other parameters and errors are those of :func:`fit_mosaic`, and
    OutputError if `output` is the input or cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> report = fit({"w": np.eye(8, dtype="f4")}, method="sample", motifs=4)
    >>> report.n_blocks, report.bits["total_coded"] == report.bits["file"]
    (16, True)
    """
    with open_fit(source, output=output, controls=controls, **options) as plan:
        return fit_and_report(plan, threads=threads, progress=progress, command=command)


@contextmanager
def open_fit(
    source: Source,
    *,
    output: Path | None = None,
    controls: Iterable[str] = (),
    **options: Unpack[Fitting],
) -> Iterator[FitPlan]:
    """Open a checkpoint and plan a fit, with every check that needs no fit.

    Parameters and errors are those of :func:`fit`. The plan has notes to show, and
    :func:`~kcomplexity.mosaics.fit_budget.fit_budget` gives its nominal bits. The checkpoint is
    closed at the end, unless it was passed in open.
    """
    fit_options, selecting = parse_options(options)
    with open_selection(source, output=output, **selecting) as selection:
        plan = plan_fit(selection, fit_options)
        yield replace(plan, controls=gain_controls(plan, controls), output=output)


def fit_and_report(
    plan: FitPlan,
    *,
    threads: int | None = None,
    progress: OnProgress | None = None,
    command: str = "",
) -> FitReport:
    """Fit a plan and its controls, write the mosaic to the plan's output, and report the fit."""
    started = time.time()
    mosaic = run_fit(plan, threads=threads, progress=progress)
    gains = tuple(
        motif_gain(plan, mosaic, control, threads=threads, progress=progress)
        for control in plan.controls
    )
    if plan.output is not None:
        mosaic.save(plan.output)
    origin = provenance(command, plan.options.seed, threads or available_processors(), started)
    return fit_report(mosaic, plan.checkpoint, origin, plan.output, gains)

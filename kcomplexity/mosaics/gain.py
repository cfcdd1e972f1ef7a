"""Motif gain: what a control costs as a mosaic at the same relative error.

The ratio of coded bits is structure inside blocks that a decoder can use. It is near 1 on noise
(the fits scatter by about half a per cent), blind to the order of blocks, and mixes differences of
scale with patterns: fit with a scale per row to tell them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace

import numpy as np

from kcomplexity.containers.mosaic import Mosaic
from kcomplexity.controls import Control, parse_control
from kcomplexity.errors import SpecError
from kcomplexity.mosaics.fit_plan import FitPlan, plan_fit
from kcomplexity.mosaics.fit_report import Gain
from kcomplexity.mosaics.fitting import run_fit
from kcomplexity.mosaics.selection import Selection
from kcomplexity.parallel import spool
from kcomplexity.parallel.pool import Pool

__all__ = ["gain_controls", "motif_gain"]


def gain_controls(plan: FitPlan, texts: Iterable[str]) -> tuple[Control, ...]:
    """Parse controls and check, before anything is fitted, that they say something of a fit.

    Raises
    ------
    SpecError
        If a text names no control, the control leaves all fitted tensors as they are, or the
        method is ``sample``: its bits at an error are a matter of which blocks were drawn, and its
        gain on noise lies anywhere from .95 to 1.05.
    """
    return tuple(_ready(plan, parse_control(text)) for text in texts)


def _ready(plan: FitPlan, control: Control) -> Control:
    if plan.options.method == "sample":
        raise SpecError(
            "a control says nothing about method sample: its bits follow from which blocks were "
            "drawn, by some five per cent; take ecvq or kmeans"
        )
    found = control.for_checkpoints([plan.checkpoint])
    if not any(found.applies(tensor) for tensor in plan.selection.fitted.values()):
        raise SpecError(
            f"control {control} changes none of the fitted tensors: it would tell a gain of 1 of "
            "whatever they hold; take shuffle or signs"
        )
    return found


def motif_gain(
    plan: FitPlan,
    mosaic: Mosaic,
    control: Control,
    *,
    threads: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Gain:
    """Fit replicates of a control at the relative error of `mosaic` and compare the bits.

    Parameters
    ----------
    plan : FitPlan
        That `mosaic` was fitted by.
    mosaic : Mosaic
    control : Control
        ``shuffle:N`` or ``signs:N``, say.
    threads : int, optional
    progress : callable, optional

    Returns
    -------
    Gain
        `ratio` is below 1 where the weights are easier to tell than the control's.

    Raises
    ------
    SpecError
        As :func:`gain_controls`.
    """
    control = _ready(plan, control)
    error = mosaic.distortion.relative_mse
    options = replace(
        plan.options,
        motifs=None,
        capacity=None,
        bits_per_weight=None,
        size=None,
        relative_mse=error,
    )
    bits = []
    with Pool(threads) as pool, ExitStack() as stack:
        replicates = {
            name: control.replicates(spool(tensor, pool), plan.options.seed, pool)
            for name, tensor in plan.selection.fitted.items()
        }
        for made in replicates.values():
            stack.callback(made.close)
        for _ in range(control.n):
            tensors = {name: next(made) for name, made in replicates.items()}
            checkpoint = replace(plan.checkpoint, tensors=tensors, format="control")
            twin = plan_fit(checkpoint, Selection(tensors), options)
            found = run_fit(twin, threads=threads, progress=progress)
            bits.append(float(found.bits.fitted))
    ratio = mosaic.bits.fitted / float(np.mean(bits)) if np.mean(bits) else 1.0
    return Gain(control.kind, control.n, error, tuple(bits), ratio)

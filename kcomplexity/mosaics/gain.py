"""Motif gain: the bits of a fit over those of randomised controls at the same relative error.

The ratio measures structure inside blocks that a decoder can use. It is near 1 on noise (fits
scatter by about half a per cent) and blind to the order of blocks. It mixes patterns with
differences of scale; fitting with a scale per row separates them.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np

from kcomplexity.containers.mosaic import Mosaic
from kcomplexity.controls import Control, parse_control
from kcomplexity.errors import SpecError
from kcomplexity.mosaics.fit_options import TARGETS
from kcomplexity.mosaics.fit_plan import FitPlan, plan_fit
from kcomplexity.mosaics.fit_report import Gain
from kcomplexity.mosaics.run import run_fit
from kcomplexity.mosaics.selection import Selection
from kcomplexity.parallel import spool
from kcomplexity.parallel.pool import Pool
from kcomplexity.parallel.progress import OnProgress


def gain_controls(plan: FitPlan, texts: Iterable[str]) -> tuple[Control, ...]:
    """Parse controls and check, before anything is fitted, that each is informative.

    Method ``sample`` is refused: its bits at an error depend on which blocks were drawn, so that
    its gain on noise lies anywhere from .95 to 1.05.
    """
    controls = [parse_control(text).for_checkpoints([plan.checkpoint]) for text in texts]
    if controls and plan.options.method == "sample":
        raise SpecError(
            "a control says nothing about method sample: its bits vary by some five per cent with "
            "the blocks that are drawn; take ecvq or kmeans"
        )
    for control in controls:
        if not any(control.applies(tensor) for tensor in plan.selection.fitted.values()):
            raise SpecError(
                f"control {control} changes none of the fitted tensors: its gain would be 1 "
                "whatever they hold; take shuffle or signs"
            )
    return tuple(controls)


def motif_gain(
    plan: FitPlan,
    mosaic: Mosaic,
    control: Control,
    *,
    threads: int | None = None,
    progress: OnProgress | None = None,
) -> Gain:
    """Fit replicates of a control at the relative error of `mosaic` and compare the bits."""
    error = mosaic.distortion.relative_mse
    target: dict[str, Any] = {**dict.fromkeys(TARGETS), "relative_mse": error}
    options = replace(plan.options, **target)
    bits = []
    with Pool(threads) as pool, ExitStack() as stack:
        replicates = {
            name: control.replicates(spool(tensor, pool), plan.options.seed, pool)
            for name, tensor in plan.selection.fitted.items()
        }
        for of_tensor in replicates.values():
            stack.callback(of_tensor.close)
        for _ in range(control.n):
            tensors = {name: next(of_tensor) for name, of_tensor in replicates.items()}
            checkpoint = replace(plan.checkpoint, tensors=tensors, format="control")
            replicate_plan = plan_fit(Selection(checkpoint, tensors), options)
            replicate = run_fit(replicate_plan, threads=threads, progress=progress)
            bits.append(float(replicate.bits.fitted))
    ratio = mosaic.bits.fitted / float(np.mean(bits)) if np.mean(bits) else 1.0
    return Gain(control.kind, control.n, error, tuple(bits), ratio)

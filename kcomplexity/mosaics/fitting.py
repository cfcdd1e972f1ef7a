"""Fit a mosaic to a checkpoint that is already trained.

The stages: open, choose what is fitted (:mod:`kcomplexity.mosaics.selection`), cut it into blocks
(:mod:`kcomplexity.mosaics.fit_plan`), divide scales out (:mod:`kcomplexity.mosaics.preparing`),
find motifs for each set of tensors that share them (:mod:`kcomplexity.mosaics.fitters`,
:mod:`kcomplexity.mosaics.targets`), put the mosaic together and measure what it lost
(:func:`kcomplexity.mosaics.assembly.assemble`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kcomplexity.containers.mosaic import Mosaic
from kcomplexity.errors import SpecError
from kcomplexity.loaders import open_checkpoint
from kcomplexity.mosaics.fit_options import FitOptions
from kcomplexity.mosaics.fit_plan import FitPlan, plan_fit
from kcomplexity.mosaics.preparing import Run
from kcomplexity.mosaics.selection import select_fitted
from kcomplexity.mosaics.targets import fit_to_size
from kcomplexity.tensors.checkpoint import Checkpoint

__all__ = ["fit_mosaic", "run_fit"]


def fit_mosaic(
    source: str | os.PathLike[str] | Mapping[str, Any] | Checkpoint,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    all_tensors: bool = False,
    skip_nonfinite: bool = False,
    threads: int | None = None,
    progress: Callable[[str], None] | None = None,
    **options: Any,
) -> Mosaic:
    """Re-express the weights of a checkpoint as a mosaic of motifs.

    Parameters
    ----------
    source : path, mapping of arrays, or Checkpoint
    include, exclude : sequence of str
        Globs on tensor names; what they leave out is kept verbatim.
    all_tensors : bool
        Fit tensors of fewer than two dimensions as well.
    skip_nonfinite : bool
        Keep tensors with NaN or infinite weights verbatim.
    threads : int, optional
        No figure depends on it.
    progress : callable, optional
        Told a line per round.
    **options
        Of :class:`~kcomplexity.mosaics.fit_options.FitOptions`: ``block_size`` (``4``,
        ``"2x4"``), ``method`` (``"sample"``, ``"kmeans"``, ``"ecvq"``), one target
        (``motifs``, ``capacity``, ``relative_mse``,
        ``bits_per_weight`` of motifs, indices and scales a fitted weight, ``size`` of the file in
        bytes), ``scope`` (``"model"``, ``"group"``, ``"tensor"``), ``scale`` (``"none"``,
        ``"tensor"``, ``"row"``), ``motif_dtype`` (``"f32"``, ``"f16"``, ``"bf16"``, ``"grid"``),
        ``zero_motif``, ``train_points``, ``seed``.

    Returns
    -------
    Mosaic
        Its kept tensors are read from `source` when they are needed: keep that open.

    Raises
    ------
    CheckpointError
        If `source` cannot be read.
    SpecError
        If an option means nothing, or a target cannot be reached; the message says what can.
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
    known = FitOptions.__dataclass_fields__
    for name in options:
        if name not in known:
            raise SpecError(f"a fit has no option {name!r}: expected one of {', '.join(known)}")
    chosen = FitOptions(**options)
    checkpoint = open_checkpoint(source)
    selection = select_fitted(
        checkpoint,
        include,
        exclude,
        all_tensors=all_tensors,
        skip_nonfinite=skip_nonfinite,
    )
    return run_fit(plan_fit(checkpoint, selection, chosen), threads=threads, progress=progress)


def run_fit(
    plan: FitPlan, *, threads: int | None = None, progress: Callable[[str], None] | None = None
) -> Mosaic:
    """Fit what a plan says."""
    return fit_to_size(plan, Run(threads, progress))

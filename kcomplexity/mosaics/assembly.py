"""From what a fitter found to a mosaic: order, coding, and what was lost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.entropy_coding.ans import AnsEncoder
from kcomplexity.containers.index_coding import (
    MODES,
    MOST_IN_CONTEXT,
    Mode,
    canonical_order,
    encode_indices,
    encode_usage,
)
from kcomplexity.containers.mosaic import Distortion, Mosaic, MosaicTensor
from kcomplexity.containers.motifs import Motifs
from kcomplexity.mosaics.fitters import Fit
from kcomplexity.mosaics.source_layout import source_layout
from kcomplexity.parallel import LEAF, leaf_sums
from kcomplexity.tensors.checkpoint import Tensor

if TYPE_CHECKING:
    from kcomplexity.mosaics.fit_plan import FitPlan, MotifSet
    from kcomplexity.mosaics.preparing import Prepared

__all__ = ["assemble", "distortion_of", "total_distortion"]


@dataclass(frozen=True)
class _SetOfMotifs:
    """One set as it is stored."""

    motifs: Motifs
    usage: NDArray[np.int64]
    mode: Mode
    indices: tuple[NDArray[np.uint32], ...]
    words: NDArray[np.uint32]


def assemble(
    plan: FitPlan, fits: Sequence[tuple[MotifSet, Prepared, Fit]], asked: Sequence[int]
) -> Mosaic:
    """Put a mosaic together and measure its distortion.

    Parameters
    ----------
    plan : FitPlan
    fits : sequence of (MotifSet, Prepared, Fit)
        In the plan's order.
    asked : sequence of int
        Motifs asked for in each set.
    """
    options, checkpoint = plan.options, plan.checkpoint
    stored, made, set_of = [], {}, {}
    for number, (found, prepared, fit) in enumerate(fits):
        kept = _store(found, fit)
        stored.append(kept)
        members = zip(found.tensors, found.tilings, kept.indices, prepared.scales, strict=True)
        for tensor, tiling, indices, scales in members:
            set_of[tensor.name] = number
            made[tensor.name] = MosaicTensor(
                tensor.name,
                tensor.shape,
                tensor.dtype,
                layout=tensor.layout,
                motifs=kept.motifs.values,
                indices=indices,
                tiling=tiling,
                scales=scales,
            )
    tensors = {name: made.get(name, tensor) for name, tensor in checkpoint.items()}
    return Mosaic(
        path=checkpoint.path,
        tensors=tensors,
        set_of={name: set_of[name] for name in tensors if name in set_of},
        motifs=tuple(one.motifs for one in stored),
        usage=tuple(one.usage for one in stored),
        modes=tuple(one.mode for one in stored),
        words=tuple(one.words for one in stored),
        block=options.block,
        scale=options.scale,
        n_motifs_of_sets=tuple(asked),
        method=options.method,
        zero_motif=options.zero_motif,
        scope=options.scope,
        layout=source_layout(checkpoint),
        distortion=total_distortion([distortion_of(checkpoint[n], made[n]) for n in made]),
        metadata=dict(checkpoint.metadata),
        sources=checkpoint.sources,
    )


def _store(found: MotifSet, fit: Fit) -> _SetOfMotifs:
    counts = np.bincount(fit.indices, minlength=len(fit.motifs))
    order, usage = canonical_order(counts, fit.motifs.values)
    new = np.zeros(len(counts), np.uint32)
    new[order] = np.arange(order.size, dtype=np.uint32)
    motifs = Motifs(fit.motifs.values[order], fit.motifs.dtype, fit.motifs.step)
    ends = np.cumsum([tiling.n_blocks for tiling in found.tilings])
    indices = np.split(new[fit.indices], ends[:-1])
    modes = MODES if fit.indices.size <= MOST_IN_CONTEXT else MODES[:2]
    streams = {}
    for mode in modes:
        encoder = AnsEncoder()
        encode_usage(usage, encoder)
        encode_indices(indices, found.tilings, usage, motifs.values, mode, encoder)
        streams[mode] = encoder.words()
    best = min(streams, key=lambda mode: streams[mode].size)
    return _SetOfMotifs(motifs, usage, best, tuple(indices), streams[best])


def distortion_of(source: Tensor, made: Tensor) -> Distortion:
    """Measure how far `made` is from `source`, weight by weight, in float64.

    One pass; a float a leaf, so that the figure depends on no piece.
    """
    lost: list[float] = []
    squares: list[float] = []
    largest, n_changed = 0.0, 0
    for start in range(0, source.n_weights, LEAF):
        stop = min(start + LEAF, source.n_weights)
        before = _wide(source.read(start, stop))
        gap = _wide(made.read(start, stop)) - before
        n_changed += int(np.count_nonzero(gap))
        largest = max(largest, float(np.abs(gap).max()))
        lost += leaf_sums(np.square(gap))
        squares += leaf_sums(np.square(before))
    return Distortion(math.fsum(lost), math.fsum(squares), largest, source.n_weights, n_changed)


def total_distortion(parts: Sequence[Distortion]) -> Distortion:
    """Return the distortion of several tensors together."""
    return Distortion(
        math.fsum(part.sse for part in parts),
        math.fsum(part.squares for part in parts),
        max((part.max_abs for part in parts), default=0.0),
        sum(part.n_weights for part in parts),
        sum(part.n_changed for part in parts),
    )


def _wide(values: NDArray[Any]) -> NDArray[np.float64]:
    return values.astype(np.float64)

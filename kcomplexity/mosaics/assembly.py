"""From the fits of each motif set to a mosaic: order, coding, distortion and files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.entropy_coding.ans import AnsEncoder
from kcomplexity.containers.dense import INDEX_SUFFIX, FileLayout, SourceLayout
from kcomplexity.containers.index_coding import (
    MODES,
    MOST_IN_CONTEXT,
    Mode,
    canonical_order,
    encode_indices,
    encode_usage,
)
from kcomplexity.containers.mosaic import Mosaic
from kcomplexity.containers.mosaic_parts import Distortion, MosaicTensor
from kcomplexity.containers.motifs import Motifs
from kcomplexity.containers.safetensors import read_safetensors
from kcomplexity.loaders.shard_index import read_index
from kcomplexity.mosaics.fit_plan import FitPlan, MotifSet
from kcomplexity.mosaics.fitters import Fit
from kcomplexity.mosaics.scaled_blocks import ScaledBlocks
from kcomplexity.parallel import leaf_sums
from kcomplexity.tensors.checkpoint import Checkpoint, StoredTensor, Tensor
from kcomplexity.tensors.pieces import LEAF


@dataclass(frozen=True)
class FittedSet:
    """The fit of one motif set, and the number of motifs that were requested."""

    blocks: ScaledBlocks
    fit: Fit
    n_motifs: int


@dataclass(frozen=True)
class _CodedSet:
    """A motif set as it is stored."""

    motifs: Motifs
    usage: NDArray[np.int64]
    mode: Mode
    indices: tuple[NDArray[np.uint32], ...]
    words: NDArray[np.uint32]


#: What a mosaic records of the options of its fit.
_OF_OPTIONS = ("block", "scale", "method", "zero_motif", "scope")


def build_mosaic(plan: FitPlan, fits: Sequence[FittedSet]) -> Mosaic:
    """Code the motifs and indices of all sets, in the plan's order, and measure the distortion."""
    options, checkpoint = plan.options, plan.checkpoint
    coded, made, set_of = [], {}, {}
    for number, fitted in enumerate(fits):
        motif_set = fitted.blocks.motif_set
        stored = _code(motif_set, fitted.fit)
        coded.append(stored)
        parts = zip(motif_set.tilings, stored.indices, fitted.blocks.scales, strict=True)
        for tensor, (tiling, indices, scales) in zip(motif_set.tensors, parts, strict=True):
            set_of[tensor.name] = number
            made[tensor.name] = MosaicTensor(
                tensor.name,
                tensor.shape,
                tensor.dtype,
                layout=tensor.layout,
                motifs=stored.motifs.values,
                indices=indices,
                tiling=tiling,
                scales=scales,
            )
    tensors = {name: made.get(name, tensor) for name, tensor in checkpoint.items()}
    distortions = {name: distortion_of(checkpoint[name], tensor) for name, tensor in made.items()}
    return Mosaic(
        path=checkpoint.path,
        tensors=tensors,
        set_of={name: set_of[name] for name in tensors if name in set_of},
        motifs=tuple(stored.motifs for stored in coded),
        usage=tuple(stored.usage for stored in coded),
        modes=tuple(stored.mode for stored in coded),
        words=tuple(stored.words for stored in coded),
        n_motifs_of_sets=tuple(fitted.n_motifs for fitted in fits),
        **{name: getattr(options, name) for name in _OF_OPTIONS},
        layout=source_layout(checkpoint),
        distortion=Distortion.total(distortions.values()),
        distortions=distortions,
        metadata=dict(checkpoint.metadata),
        sources=checkpoint.sources,
    )


def _code(motif_set: MotifSet, fit: Fit) -> _CodedSet:
    """Order the used motifs and code the indices in the way that takes the fewest bits."""
    counts = np.bincount(fit.indices, minlength=len(fit.motifs))
    order, usage = canonical_order(counts, fit.motifs.values)
    new = np.zeros(len(counts), np.uint32)
    new[order] = np.arange(order.size, dtype=np.uint32)
    motifs = Motifs(fit.motifs.values[order], fit.motifs.dtype, fit.motifs.step)
    ends = np.cumsum([tiling.n_blocks for tiling in motif_set.tilings])
    indices = np.split(new[fit.indices], ends[:-1])
    modes = MODES if fit.indices.size <= MOST_IN_CONTEXT else MODES[:2]
    streams = {}
    for mode in modes:
        encoder = AnsEncoder()
        encode_usage(usage, encoder)
        encode_indices(indices, motif_set.tilings, usage, motifs.values, mode, encoder)
        streams[mode] = encoder.words()
    best = min(streams, key=lambda mode: streams[mode].size)
    return _CodedSet(motifs, usage, best, tuple(indices), streams[best])


def distortion_of(source: Tensor, made: Tensor) -> Distortion:
    """Measure how far `made` is from `source`, weight by weight, in float64.

    One pass. Sums have one term per leaf, so that they do not depend on how weights are read.
    """
    lost: list[float] = []
    squares: list[float] = []
    largest, n_changed = 0.0, 0
    for span in source.spans(LEAF):
        before = source.read(*span).astype(np.float64)
        gap = made.read(*span).astype(np.float64) - before
        n_changed += int(np.count_nonzero(gap))
        largest = max(largest, float(np.abs(gap).max()))
        lost += leaf_sums(np.square(gap))
        squares += leaf_sums(np.square(before))
    return Distortion(math.fsum(lost), math.fsum(squares), largest, source.n_weights, n_changed)


def source_layout(checkpoint: Checkpoint) -> SourceLayout:
    """Return the files of a sharded checkpoint with their metadata, one file for any other."""
    if checkpoint.format != "sharded":
        name = Path(checkpoint.path).with_suffix(".safetensors").name or "model.safetensors"
        return SourceLayout((FileLayout(name, tuple(checkpoint), dict(checkpoint.metadata)),))
    members: dict[Path, list[str]] = {source.path: [] for source in checkpoint.sources}
    for name, tensor in checkpoint.items():
        assert isinstance(tensor, StoredTensor)  # noqa: S101 - the loader makes no other
        members[tensor.source.path].append(name)
    files = []
    for path, names in members.items():
        with read_safetensors(path) as shard:
            files.append(FileLayout(path.name, tuple(names), dict(shard.metadata)))
    path = Path(checkpoint.path)
    indices = sorted(path.glob(f"*{INDEX_SUFFIX}")) if path.is_dir() else [path]
    indices = [path for path in indices if not path.name.startswith(".")]
    index = None
    if indices:
        index = {"name": indices[0].name, "metadata": read_index(indices[0]).metadata}
    return SourceLayout(tuple(files), index)

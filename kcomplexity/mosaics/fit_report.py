"""What ``kcomplexity fit`` tells: the record behind ``--json`` and the lines for people."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from kcomplexity.containers.mosaic import Mosaic
from kcomplexity.mosaics.assembly import distortion_of
from kcomplexity.results.json_form import SCHEMA_VERSION, versioned
from kcomplexity.results.records import CheckpointInfo, Provenance
from kcomplexity.tensors.checkpoint import Checkpoint
from kcomplexity.text import human_bytes, plural, shorten

__all__ = ["Dictionary", "FitReport", "Gain", "TensorFit", "Usage", "fit_report", "headline"]


@dataclass(frozen=True)
class Usage:
    """How the motifs are used.

    Attributes
    ----------
    n_used, n_dead : int
        Motifs that some block uses, and those asked for that none does.
    entropy_bits : float
        Of the motif indices, a block, order 0; over motif sets, the mean over blocks.
    share_of_top_half : float
        Share of the blocks that the more used half of the motifs stands for.
    """

    n_used: int
    n_dead: int
    entropy_bits: float
    share_of_top_half: float


@dataclass(frozen=True)
class Dictionary:
    """The motifs that are used most, to be looked at; of several sets, those of the largest.

    Attributes
    ----------
    n_sets : int
        Motif sets in the mosaic.
    n_motifs, n_used, n_blocks : int
        Of this set: motifs asked for, those that some block uses, and its blocks.
    values : tuple of tuple of float
        Weights of the most used motifs, at most 96, before any scale.
    counts : tuple of int
        Blocks that use each motif, most used first, at most 4,096.
    """

    n_sets: int
    n_motifs: int
    n_used: int
    n_blocks: int
    values: tuple[tuple[float, ...], ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class TensorFit:
    """One fitted tensor."""

    tensor: str
    shape: tuple[int, ...]
    n_blocks: int
    relative_mse: float
    max_abs: float


@dataclass(frozen=True)
class Gain:
    """What a control costs at the same relative error: the motif gain.

    Attributes
    ----------
    kind : str
    n : int
    relative_mse : float
        That both were fitted to.
    bits : tuple of float
        Motifs, indices and scales of each replicate.
    ratio : float
        Bits of the weights over the mean of the replicates; lower = more structure inside blocks.
    """

    kind: str
    n: int
    relative_mse: float
    bits: tuple[float, ...]
    ratio: float


@dataclass(frozen=True)
class FitReport:
    """A fit with all that is needed to read it and to repeat it."""

    provenance: Provenance
    source: CheckpointInfo
    output: str | None
    block_shape: str
    block_size: int
    n_motifs: int
    n_blocks: int
    capacity: float
    method: str
    scope: str
    zero_motif: bool
    scale: str
    motif_dtype: str
    index_coding: tuple[str, ...]
    n_weights: int
    n_fitted: int
    n_kept: int
    bits: dict[str, int]
    bits_per_weight: float
    rac_nominal: float
    rac_coded: float
    distortion: dict[str, float | None]
    n_changed: int
    usage: Usage
    motifs: Dictionary | None
    controls: tuple[Gain, ...] = ()
    tensors: tuple[TensorFit, ...] = ()
    schema_version: int = field(default=SCHEMA_VERSION, kw_only=True)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document that the schema ``fit`` describes."""
        return versioned(self)


def fit_report(
    mosaic: Mosaic,
    source: Checkpoint,
    info: CheckpointInfo,
    provenance: Provenance,
    output: str | None = None,
    controls: tuple[Gain, ...] = (),
) -> FitReport:
    """Describe a fit.

    Parameters
    ----------
    mosaic : Mosaic
    source : Checkpoint
        Still open: each tensor is compared with it.
    info : CheckpointInfo
        Of `source`.
    provenance : Provenance
    output : str, optional
        The file that was written.
    controls : tuple of Gain
    """
    budget, lost = mosaic.bits, mosaic.distortion
    tensors = []
    for name, tensor in mosaic.fitted.items():
        found = distortion_of(source[name], tensor)
        tensors.append(
            TensorFit(name, tensor.shape, tensor.indices.size, found.relative_mse, found.max_abs)
        )
    bits = asdict(budget) | {"total_coded": budget.total_coded, "file": budget.total_coded}
    return FitReport(
        provenance=provenance,
        source=info,
        output=output,
        block_shape=str(mosaic.block),
        block_size=mosaic.block.size,
        n_motifs=mosaic.n_motifs,
        n_blocks=mosaic.n_blocks,
        capacity=mosaic.n_motifs / mosaic.n_blocks,
        method=mosaic.method,
        scope=mosaic.scope,
        zero_motif=mosaic.zero_motif,
        scale=mosaic.scale,
        motif_dtype=mosaic.motifs[0].dtype,
        index_coding=mosaic.modes,
        n_weights=source.n_weights,
        n_fitted=mosaic.n_fitted,
        n_kept=source.n_weights - mosaic.n_fitted,
        bits=bits,
        bits_per_weight=mosaic.bits_per_weight,
        rac_nominal=mosaic.rac_nominal,
        rac_coded=mosaic.rac_coded,
        distortion={
            "sse": lost.sse,
            "mse": lost.mse,
            "relative_mse": lost.relative_mse,
            "max_abs": lost.max_abs,
            "snr_db": lost.snr_db,
        },
        n_changed=lost.n_changed,
        usage=usage_of(mosaic),
        motifs=_dictionary(mosaic),
        controls=controls,
        tensors=tuple(tensors),
    )


def usage_of(mosaic: Mosaic) -> Usage:
    """Return how the motifs of a mosaic are used."""
    n_used, bits, top = 0, 0.0, 0
    for number in range(len(mosaic.motifs)):
        counts = np.sort(mosaic.counts(number))[::-1]
        total = int(counts.sum())
        n_used += int(np.count_nonzero(counts))
        bits -= math.fsum((counts * np.log2(counts / total)).tolist())
        top += int(counts[: math.ceil(counts.size / 2)].sum())
    n_blocks = max(mosaic.n_blocks, 1)
    # An entropy of 0 comes out as -0.
    return Usage(n_used, mosaic.n_motifs - n_used, abs(bits) / n_blocks, top / n_blocks)


#: A tensor that loses more of its squares is told.
_MOST_LOST = 0.5
#: As many as a picture can show.
_MOST_VALUES, _MOST_COUNTS = 96, 4096


def _dictionary(mosaic: Mosaic) -> Dictionary | None:
    counts = [mosaic.counts(number) for number in range(len(mosaic.motifs))]
    if not counts:
        return None
    number = max(range(len(counts)), key=lambda at: int(counts[at].sum()))
    found, values = counts[number], mosaic.motifs[number].values
    order = np.argsort(-found, kind="stable")
    return Dictionary(
        len(counts),
        mosaic.n_motifs_of_sets[number],
        int(np.count_nonzero(found)),
        int(found.sum()),
        tuple(tuple(map(float, values[at])) for at in order[:_MOST_VALUES]),
        tuple(map(int, found[order[:_MOST_COUNTS]])),
    )


def headline(report: FitReport) -> list[str]:
    """Return the fit in sentences."""
    bits, lost = report.bits, report.distortion
    size, raw = bits["file"] / 8, report.source.n_bytes + report.source.n_container_bytes
    coded = "/".join(sorted(set(report.index_coding)))
    change = f"{raw / size:.2f}x smaller" if size <= raw else f"{size / raw:.2f}x larger"
    size_line = (
        f"{human_bytes(size)} of {human_bytes(raw)} ({change}): "
        f"{report.bits_per_weight:.3f} bits/weight at a relative squared error of "
        f"{lost['relative_mse']:.4g} on {report.n_fitted:,} fitted weights"
    )
    used = report.usage.n_used
    of = f"{used:,} of " if used < report.n_motifs else ""
    motif_line = (
        f"{of}{plural(report.n_motifs, 'motif')} of {plural(report.block_size, 'weight')} for "
        f"{plural(report.n_blocks, 'block')} ({report.method}, indices coded by {coded})"
    )
    rac_line = (
        f"stored over coded bits of the fitted weights: {report.rac_coded:.2f}; "
        f"nominal RAC {report.rac_nominal:.2f}, which is the same for noise"
    )
    if 4 * used > report.n_blocks > 4 and report.method == "ecvq":
        motif_line += "; smaller blocks (--block-size) take fewer bits at so small an error"
    lines = [
        size_line,
        *_uneven(report),
        motif_line,
        rac_line,
        "accuracy not checked: kcomplexity sweep --eval",
    ]
    for gain in report.controls:
        own = gain.ratio * math.fsum(gain.bits) / gain.n
        ratios = [own / bits if bits else 1.0 for bits in gain.bits]
        spread = f" ({min(ratios):.3f} to {max(ratios):.3f})" if gain.n > 1 else ""
        lines.append(
            f"motif gain against {gain.kind}: {gain.ratio:.3f} of its bits{spread} at the same "
            f"error of {gain.relative_mse:.4g}; lower = more structure inside blocks"
        )
    return lines


def _uneven(report: FitReport) -> list[str]:
    """Say so where the error of the whole hides tensors of which little is left."""
    lost = [tensor for tensor in report.tensors if tensor.relative_mse > _MOST_LOST]
    if not lost or (report.distortion["relative_mse"] or 0.0) > _MOST_LOST:
        return []
    worst = max(lost, key=lambda tensor: tensor.relative_mse)
    share = sum(math.prod(tensor.shape) for tensor in lost) / report.n_fitted
    told = (
        f"that error is of all fitted weights together: {plural(len(lost), 'tensor')} of "
        f"{len(report.tensors)}, {share:.0%} of the weights, lose more than half of their squares "
        f"({shorten(worst.tensor)}: {worst.relative_mse:.2f}); --scale tensor or --scope tensor "
        "treats tensors alike"
    )
    return [told]

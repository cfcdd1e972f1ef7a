"""The result of ``kcomplexity fit``: the record of its JSON document, and its headline."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from kcomplexity.containers.mosaic import Mosaic
from kcomplexity.results.documents import Document
from kcomplexity.results.json_form import SCHEMA_VERSION
from kcomplexity.results.provenance import describe
from kcomplexity.results.records import CheckpointInfo, Provenance
from kcomplexity.tensors.checkpoint import Checkpoint
from kcomplexity.text import human_bytes, plural, shorten


@dataclass(frozen=True)
class Usage:
    """How the motifs are used; the schema describes the fields."""

    n_used: int
    n_dead: int
    entropy_bits: float
    share_of_top_half: float


@dataclass(frozen=True)
class Dictionary:
    """The most used motifs, for a picture; those of the largest motif set if there are several."""

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
    """The bits of a control's replicates at the same relative error, and the motif gain."""

    kind: str
    n: int
    relative_mse: float
    bits: tuple[float, ...]
    ratio: float


@dataclass(frozen=True, kw_only=True)
class FitReport(Document):
    """The result of a fit, with all that is needed to repeat it.

    The rows are the fitted tensors. The schema ``fit`` describes every field.
    """

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
    schema_version: int = SCHEMA_VERSION

    kind: ClassVar[str] = "fit"
    rows_name: ClassVar[str] = "tensors"

    @property
    def rows(self) -> tuple[TensorFit, ...]:
        return self.tensors

    @property
    def headline(self) -> tuple[str, ...]:
        return tuple(_headline(self))


#: Fields that the report takes over from the mosaic and from its distortion.
_OF_MOSAIC = (
    *("n_motifs", "n_blocks", "n_fitted", "method", "scope", "zero_motif", "scale"),
    *("bits_per_weight", "rac_nominal", "rac_coded"),
)
_OF_DISTORTION = ("sse", "mse", "relative_mse", "max_abs", "snr_db")


def fit_report(
    mosaic: Mosaic,
    source: Checkpoint,
    provenance: Provenance,
    output: Path | None = None,
    controls: tuple[Gain, ...] = (),
) -> FitReport:
    """Return the report of a mosaic that was fitted to `source` in this process."""
    budget, distortion = mosaic.bits, mosaic.distortion
    tensors = [
        TensorFit(name, t.shape, t.indices.size, of_tensor.relative_mse, of_tensor.max_abs)
        for name, t in mosaic.fitted.items()
        for of_tensor in [mosaic.distortions[name]]
    ]
    bits = asdict(budget) | {"total_coded": budget.total_coded, "file": budget.total_coded}
    return FitReport(
        provenance=provenance,
        source=describe(source),
        output=None if output is None else str(output),
        block_shape=str(mosaic.block),
        block_size=mosaic.block.size,
        capacity=mosaic.n_motifs / mosaic.n_blocks,
        motif_dtype=mosaic.motifs[0].dtype,
        index_coding=mosaic.modes,
        n_weights=source.n_weights,
        n_kept=source.n_weights - mosaic.n_fitted,
        bits=bits,
        distortion={name: getattr(distortion, name) for name in _OF_DISTORTION},
        n_changed=distortion.n_changed,
        usage=usage_of(mosaic),
        motifs=_dictionary(mosaic),
        controls=controls,
        tensors=tuple(tensors),
        **{name: getattr(mosaic, name) for name in _OF_MOSAIC},
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
    # An entropy of 0 is computed as -0.
    return Usage(n_used, mosaic.n_motifs - n_used, abs(bits) / n_blocks, top / n_blocks)


#: Tensors that lose a larger share of their squares are reported in the headline.
_MOST_LOST = 0.5
#: As many as a picture can show.
_MOST_VALUES, _MOST_COUNTS = 96, 4096


def _dictionary(mosaic: Mosaic) -> Dictionary | None:
    counts = [mosaic.counts(number) for number in range(len(mosaic.motifs))]
    if not counts:
        return None
    number = max(range(len(counts)), key=lambda at: int(counts[at].sum()))
    uses, values = counts[number], mosaic.motifs[number].values
    order = np.argsort(-uses, kind="stable")
    return Dictionary(
        len(counts),
        mosaic.n_motifs_of_sets[number],
        int(np.count_nonzero(uses)),
        int(uses.sum()),
        tuple(tuple(map(float, values[at])) for at in order[:_MOST_VALUES]),
        tuple(map(int, uses[order[:_MOST_COUNTS]])),
    )


def _headline(report: FitReport) -> list[str]:
    bits = report.bits
    size, raw = bits["file"] / 8, report.source.n_bytes + report.source.n_container_bytes
    coded = "/".join(sorted(set(report.index_coding)))
    change = f"{raw / size:.2f}x smaller" if size <= raw else f"{size / raw:.2f}x larger"
    size_line = (
        f"{human_bytes(size)} of {human_bytes(raw)} ({change}): "
        f"{report.bits_per_weight:.3f} bits/weight at a relative squared error of "
        f"{report.distortion['relative_mse']:.4g} on {report.n_fitted:,} fitted weights"
    )
    used = report.usage.n_used
    of = f"{used:,} of " if used < report.n_motifs else ""
    motif_line = (
        f"{of}{plural(report.n_motifs, 'motif')} of {plural(report.block_size, 'weight')} for "
        f"{plural(report.n_blocks, 'block')} ({report.method}, indices coded by {coded})"
    )
    if 4 * used > report.n_blocks > 4 and report.method == "ecvq":
        motif_line += "; smaller blocks (--block-size) take fewer bits at so small an error"
    lines = [
        size_line,
        *_uneven(report),
        motif_line,
        (
            f"stored bits over coded bits of the fitted weights: {report.rac_coded:.2f}; "
            f"nominal ratio (RAC) {report.rac_nominal:.2f}, which noise gets too"
        ),
        "accuracy not checked; kcomplexity sweep --eval checks it",
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
    """Return a line if the error of the whole hides tensors that lost most of their squares."""
    lost = [tensor for tensor in report.tensors if tensor.relative_mse > _MOST_LOST]
    if not lost or (report.distortion["relative_mse"] or 0.0) > _MOST_LOST:
        return []
    worst = max(lost, key=lambda tensor: tensor.relative_mse)
    share = sum(math.prod(tensor.shape) for tensor in lost) / report.n_fitted
    line = (
        f"that error is of all fitted weights together: {plural(len(lost), 'tensor')} of "
        f"{len(report.tensors)}, {share:.0%} of the weights, lose more than half of their squares "
        f"({shorten(worst.tensor)}: {worst.relative_mse:.2f}); --scale tensor or --scope tensor "
        "treats tensors alike"
    )
    return [line]

"""What a fit would take nominally, known before any weight is looked at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from kcomplexity.containers.blocks import BlockShape
from kcomplexity.mosaics.fit_options import DEFAULT_CAPACITY, capacity_motifs
from kcomplexity.mosaics.fit_plan import FitPlan
from kcomplexity.results.json_form import SCHEMA_VERSION

__all__ = ["FitBudget", "MotifBudget", "fit_budget"]


@dataclass(frozen=True)
class MotifBudget:
    """What a given number of motifs takes, nothing coded.

    Attributes
    ----------
    n_motifs : int
        Of all sets that share motifs.
    motif_bits : int
        Of the motifs, in the widest dtype that is fitted.
    index_bits : int
        Of one motif index a block, each of the same length.
    """

    n_motifs: int
    motif_bits: int
    index_bits: int

    @property
    def bits(self) -> int:
        """Of motifs and indices together."""
        return self.motif_bits + self.index_bits


@dataclass(frozen=True)
class FitBudget:
    """What a fit would take nominally, in bits.

    Attributes
    ----------
    n_fitted, n_blocks : int
        Weights to be fitted, and blocks they lie in.
    block : BlockShape
    source_bits : int
        Of the weights to be fitted, as they are stored.
    kept_bits : int
        Of the tensors that stay as they are.
    motifs : MotifBudget or None
        None where the number of motifs follows from a target that only the fit can meet.
    target_bits : float or None
        What such a target leaves for motifs, indices and scales; of an error, what Gaussian weights
        of one variance need: 0.5 log2(1 / E) each.
    """

    n_fitted: int
    n_blocks: int
    block: BlockShape
    source_bits: int
    kept_bits: int
    motifs: MotifBudget | None
    target_bits: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document that the schema ``fit-plan`` describes."""
        motifs = self.motifs
        return {
            "schema_version": SCHEMA_VERSION,
            "n_fitted": self.n_fitted,
            "n_blocks": self.n_blocks,
            "n_motifs": motifs.n_motifs if motifs else None,
            "bits": {
                "source": self.source_bits,
                "motifs": motifs.motif_bits if motifs else None,
                "indices_fixed": motifs.index_bits if motifs else None,
                "kept": self.kept_bits,
                "target": self.target_bits,
                "total_nominal": motifs.bits + self.kept_bits if motifs else None,
            },
        }


def fit_budget(plan: FitPlan) -> FitBudget:
    """Return what a plan would take."""
    return FitBudget(
        n_fitted=plan.n_fitted,
        n_blocks=sum(found.m for found in plan.sets),
        block=plan.options.block,
        source_bits=8 * sum(tensor.n_bytes for tensor in plan.selection.fitted.values()),
        kept_bits=plan.kept_bits,
        motifs=_motifs(plan),
        target_bits=_target_bits(plan),
    )


def _target_bits(plan: FitPlan) -> float | None:
    options = plan.options
    if options.relative_mse is not None:
        return 0.5 * math.log2(1 / options.relative_mse) * plan.n_fitted
    if options.bits_per_weight is not None:
        return options.bits_per_weight * plan.n_fitted
    if options.size is not None:
        return max(8.0 * options.size - plan.kept_bits, 0.0)
    return None


def _motifs(plan: FitPlan) -> MotifBudget | None:
    options = plan.options
    counted = options.motifs is not None or options.capacity is not None or not options.has_target
    # Beside an error, a number of motifs is no more than a limit.
    if options.relative_mse is not None or not counted:
        return None
    width = max(tensor.dtype.bits for tensor in plan.selection.fitted.values())
    counts = [
        (found.m, options.k_of(found.m) or capacity_motifs(DEFAULT_CAPACITY, found.m))
        for found in plan.sets
    ]
    n_motifs = sum(k for _, k in counts)
    return MotifBudget(
        n_motifs=n_motifs,
        motif_bits=n_motifs * options.block.size * width,
        index_bits=sum(m * math.ceil(math.log2(k)) for m, k in counts),
    )

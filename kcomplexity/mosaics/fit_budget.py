"""The nominal bits of a fit, known before any weight is used."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from kcomplexity.inference import gaussian_bits
from kcomplexity.mosaics.fit_options import DEFAULT_CAPACITY, capacity_motifs
from kcomplexity.mosaics.fit_plan import FitPlan
from kcomplexity.results.documents import Document
from kcomplexity.results.json_form import SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True)
class NominalBits:
    """What a fit would take in bits, nothing coded; the schema describes the fields.

    What follows from a target that only the fit can meet is None. `target` are the bits that a
    target leaves for motifs, indices and scales; for an error, what Gaussian weights of one
    variance need: 0.5 log2(1 / E) each.
    """

    source: int
    motifs: int | None
    indices_fixed: int | None
    kept: int
    target: float | None
    total_nominal: int | None


@dataclass(frozen=True, kw_only=True)
class FitBudget(Document):
    """What a fit would take nominally: the document of the schema ``fit-plan``."""

    n_fitted: int
    n_blocks: int
    n_motifs: int | None
    bits: NominalBits
    schema_version: int = SCHEMA_VERSION

    kind: ClassVar[str] = "fit-plan"
    rows_name: ClassVar[str] = ""


def fit_budget(plan: FitPlan) -> FitBudget:
    """Return what a plan would take, in bits."""
    nominal = _motifs_and_indices(plan)
    n_motifs, motifs, indices = nominal or (None, None, None)
    return FitBudget(
        n_fitted=plan.n_fitted,
        n_blocks=sum(motif_set.m for motif_set in plan.sets),
        n_motifs=n_motifs,
        bits=NominalBits(
            source=plan.fitted_bits,
            motifs=motifs,
            indices_fixed=indices,
            kept=plan.kept_bits,
            target=_target_bits(plan),
            total_nominal=nominal and nominal[1] + nominal[2] + plan.kept_bits,
        ),
    )


def _target_bits(plan: FitPlan) -> float | None:
    options = plan.options
    if options.relative_mse is not None:
        return gaussian_bits(options.relative_mse) * plan.n_fitted
    if options.bits_per_weight is not None:
        return options.bits_per_weight * plan.n_fitted
    if options.size is not None:
        return max(8.0 * options.size - plan.kept_bits, 0.0)
    return None


def _motifs_and_indices(plan: FitPlan) -> tuple[int, int, int] | None:
    """Return the number of motifs, their bits and those of the indices, where they are known."""
    options = plan.options
    # With an error as target, a number of motifs is only a limit.
    if _target_bits(plan) is not None:
        return None
    width = max(tensor.dtype.bits for tensor in plan.selection.fitted.values())
    counts = [(s.m, options.k_of(s.m) or capacity_motifs(DEFAULT_CAPACITY, s.m)) for s in plan.sets]
    n_motifs = sum(k for _, k in counts)
    index_bits = sum(m * math.ceil(math.log2(k)) for m, k in counts)
    return n_motifs, n_motifs * options.block.size * width, index_bits

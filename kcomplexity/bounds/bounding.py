"""Bounds on the risk of a model, with what they were made from: the result of ``bound``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypedDict, Unpack

from kcomplexity.bounds.descriptions import Description
from kcomplexity.bounds.generalisation import ASSUMPTIONS, Bound, occam_bound
from kcomplexity.parallel.threads import available_processors
from kcomplexity.results.documents import Document
from kcomplexity.results.json_form import SCHEMA_VERSION
from kcomplexity.results.provenance import provenance
from kcomplexity.results.records import Provenance


class BoundOptions(TypedDict, total=False):
    """Options of :func:`~kcomplexity.bounds.generalisation.occam_bound`, which documents them."""

    delta: float
    prefix_free: bool
    grid_bits: float
    classes: int | None
    loss_range: tuple[float, float]
    chance: float | None


@dataclass(frozen=True, kw_only=True)
class BoundReport(Document):
    """Bounds on the true risk of one model: what describes it, in words, and one bound a method."""

    provenance: Provenance
    description: str
    assumptions: tuple[str, ...]
    bounds: tuple[Bound, ...]
    schema_version: int = SCHEMA_VERSION

    kind: ClassVar[str] = "bound"
    rows_name: ClassVar[str] = "bounds"

    def sentences(self, unit: str = "", guessing: str = "guessing") -> list[str]:
        """Return one sentence a bound: the risk in `unit`, and whose loss `guessing` names."""
        texts = []
        for b in self.bounds:
            value, chance = f"{b.bound:.6f}{unit}", f"{b.chance:.6g} ({guessing})"
            need = (
                f"{b.budget_bits:,.0f} bits would be needed, {b.bits:,.0f} are there"
                if b.budget_bits > 0
                else "no description is short enough at this training error and this many samples"
            )
            texts.append(
                f"vacuous ({b.method}): the bound of {value} is no better than {chance}; {need}"
                if b.vacuous
                else f"true risk <= {value} with probability {1 - b.delta:g} ({b.method}); "
                f"below {b.budget_bits:,.0f} bits a bound is better than {chance}"
            )
        return texts


def bound_by_methods(
    description: Description,
    train_error: float,
    n_samples: int,
    methods: Sequence[str],
    *,
    command: str = "",
    **options: Unpack[BoundOptions],
) -> BoundReport:
    """Bound the true risk of a model by several methods; `command` is what the user typed."""
    started = time.time()
    bounds = tuple(
        occam_bound(train_error, description.bits, n_samples, method=method, **options)
        for method in methods
    )
    return BoundReport(
        provenance=provenance(command, 0, available_processors(), started),
        description=description.what,
        assumptions=ASSUMPTIONS,
        bounds=bounds,
    )

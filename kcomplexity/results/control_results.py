"""A tensor's bits compared with those of its replicates, which :mod:`kcomplexity.controls` makes.

Apart from the controls themselves: reading a report needs nothing that makes one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from kcomplexity.results.json_form import rebuilt

#: The kind of the control that randomises the order of the weights and nothing else.
SHUFFLE = "shuffle"
#: The first word of the kinds that redraw the weights from an initialisation.
INIT = "init"
#: The kind of the control that reorders hidden units.
UNIT_PERMUTATION = "unit-permutation"
#: Fewest replicates with a z: a standard deviation of four has an error of some 40 %.
FEWEST_FOR_Z = 5


@dataclass(frozen=True, kw_only=True)
class ControlResult:
    """A tensor's bits compared with those of its replicates.

    Attributes
    ----------
    kind : str
        The control, e.g. ``"shuffle"``.
    n : int
        Replicates measured; 0 if they could not be.
    bits : tuple of float
        Of each replicate.
    mean_bits, sd_bits : float or None
        Of `bits`; the standard deviation has ddof 1 and needs two.
    ratio : float or None
        The tensor's bits over `mean_bits`: the effect size. Below 1, what the control takes away
        made the tensor simpler.
    z : float or None
        (bits - mean_bits) / sd_bits; None below 5 replicates or when all are alike. It grows with
        the size of the tensor and is no effect size.
    p : float or None
        (1 + replicates with at most the tensor's bits) / (n + 1): one-sided, exact, never below
        1 / (n + 1).
    n_lower : int
        How many of the replicates the tensor is strictly below.
    reason : str or None
        Why there are no replicates.
    """

    kind: str
    n: int
    bits: tuple[float, ...]
    mean_bits: float | None = None
    sd_bits: float | None = None
    ratio: float | None = None
    z: float | None = None
    p: float | None = None
    n_lower: int = 0
    reason: str | None = None

    @staticmethod
    def of(kind: str, bits: float, control_bits: Sequence[float]) -> ControlResult:
        """Compare `bits` with the bits of one or more replicates.

        Examples
        --------
        >>> result = ControlResult.of("shuffle", 8, [10, 12, 10, 8, 10])
        >>> result.ratio, result.n_lower, result.p
        (0.8, 4, 0.3333333333333333)
        """
        from statistics import stdev  # exact, and slow to import

        n = len(control_bits)
        mean = math.fsum(control_bits) / n
        sd = stdev(control_bits) if n > 1 else None
        return ControlResult(
            kind=kind,
            n=n,
            bits=tuple(control_bits),
            mean_bits=mean,
            sd_bits=sd,
            ratio=bits / mean if mean else None,
            z=(bits - mean) / sd if sd and n >= FEWEST_FOR_Z else None,
            p=(1 + sum(b <= bits for b in control_bits)) / (n + 1),
            n_lower=sum(bits < b for b in control_bits),
        )

    @staticmethod
    def from_dict(record: dict[str, Any]) -> ControlResult:
        """Rebuild a result from its JSON form; unknown keys of a later version are left out."""
        return rebuilt(SummedControl if "n_tensors" in record else ControlResult, record)


@dataclass(frozen=True, kw_only=True)
class SummedControl(ControlResult):
    """Bits and replicates, each summed over the `n_tensors` tensors that have the control."""

    n_tensors: int

    @classmethod
    def over(cls, n_tensors: int, result: ControlResult) -> Self:
        """Say over how many tensors a result is."""
        return cls(n_tensors=n_tensors, **vars(result))

"""What a tensor's bits are beside those of its replicates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from kcomplexity.controls.base import FEWEST_FOR_Z, Control

__all__ = ["ControlResult", "control_record", "control_statistics", "unmeasured_control"]


@dataclass(frozen=True)
class ControlResult:
    """A tensor's bits held against those of its replicates.

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

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self) | {"bits": list(self.bits)}

    @classmethod
    def of(cls, kind: str, bits: float, control_bits: Sequence[float]) -> Self:
        """Hold `bits` against the bits of one or more replicates."""
        from statistics import stdev  # exact, and slow to import

        n = len(control_bits)
        mean = math.fsum(control_bits) / n
        sd = stdev(control_bits) if n > 1 else None
        return cls(
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


def control_statistics(
    control: Control, bits: float, control_bits: Sequence[float]
) -> dict[str, Any]:
    """Return the JSON record of `bits` against one or more replicates of `control`."""
    return control_record(control.kind, bits, control_bits)


def control_record(kind: str, bits: float, control_bits: Sequence[float]) -> dict[str, Any]:
    """Return the JSON record of :meth:`ControlResult.of`: the same, when only the kind is known.

    Examples
    --------
    >>> record = control_record("shuffle", 8, [10, 12, 10, 8, 10])
    >>> record["ratio"], record["n_lower"], record["p"]
    (0.8, 4, 0.3333333333333333)
    """
    return ControlResult.of(kind, bits, control_bits).to_dict()


def unmeasured_control(control: Control, reason: str) -> dict[str, Any]:
    """Return the JSON record of a control that has no replicates for a tensor, and why."""
    return ControlResult(control.kind, 0, (), reason=reason).to_dict()

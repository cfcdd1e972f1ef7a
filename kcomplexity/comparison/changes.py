"""What changed between a reference and another checkpoint: frozen rows.

They are computed in :mod:`kcomplexity.comparison.effects`.
"""

from __future__ import annotations

from dataclasses import dataclass

from kcomplexity.results.records import Status
from kcomplexity.text import about_row

#: Runs below which no interval is read as a difference.
FEWEST_RUNS = 5


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One of the three changes, with its evidence.

    `bits_per_weight` is the change in bits a weight, negative = simpler. `seeds` has the relative
    change with each shuffle alone (empty over several runs), `runs` that of each pair of runs
    (empty for a single pair and without pairs); `n_agree` of them have the sign of the change.
    `interval` is the 95 % t-interval of the relative change over runs; `differs` says whether it
    excludes 0, and is None below five runs a side. `leave_one_out` is the range of the relative
    change when any one tensor is left out; for whole networks.
    """

    bits_per_weight: float | None = None
    seeds: tuple[float, ...] = ()
    runs: tuple[float, ...] = ()
    n_agree: int = 0
    interval: tuple[float, float] | None = None
    differs: bool | None = None
    leave_one_out: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Change:
    """The change between a reference and another checkpoint, as one spec measures it.

    What is not listed is as in a score; ``reference_X`` is `X` of the reference.

    Attributes
    ----------
    reference, other : str
        The checkpoints; "5 runs" for a mean over several.
    n_references, n_others : int
        Runs on each side.
    paired : bool or None
        Whether run i of one side belongs to run i of the other; None for a single pair.
    tensor : str or None
        The reference's name; None for rows over several tensors.
    reason : str or None
        Why there is no change.
    value, bits, bits_per_weight, relative_mse : float or None
        Means over runs; `value` in `unit`.
    shuffled : tuple of float
        Bits of each shuffle; for several runs the mean bits of each run's shuffles.
    n_lower : int or None
        How many of its own shuffles a side is below.
    total_change, values_change, structure_change : float or None
        Relative, e.g. -0.1 for a tenth less; over several runs the exponential of the mean
        logarithm of the ratio, less one. Their evidence is in `total`, `values`, `structure`.
    unchanged_share : float or None
        Share of the weights whose stored bits are the same on both sides.
    left_out : str or None
        Why this tensor is in no sum of histogram and arrangement: it was learned on no side, or it
        is a copy of another, or the same on all sides.
    """

    reference: str
    other: str
    n_references: int = 1
    n_others: int = 1
    paired: bool | None = None
    tensor: str | None
    scope: str
    group: str | None
    reference_dtype: str | None
    dtype: str | None
    shape: tuple[int, ...] | None
    n_weights: int
    spec: str
    kind: str
    decodes: str | None
    direction: str
    positional: bool
    unit: str
    target_mse: float | None = None
    status: Status
    reason: str | None = None
    reference_value: float | None = None
    value: float | None = None
    reference_bits: float | None = None
    bits: float | None = None
    reference_bits_per_weight: float | None = None
    bits_per_weight: float | None = None
    reference_relative_mse: float | None = None
    relative_mse: float | None = None
    reference_shuffled: tuple[float, ...] = ()
    shuffled: tuple[float, ...] = ()
    reference_n_lower: int | None = None
    n_lower: int | None = None
    total_change: float | None = None
    values_change: float | None = None
    structure_change: float | None = None
    total: Effect | None = None
    values: Effect | None = None
    structure: Effect | None = None
    unchanged_share: float | None = None
    sampled_fraction: float = 1.0
    left_out: str | None = None

    @property
    def label(self) -> str:
        """What the row is about, for a reader."""
        return about_row(self.tensor, self.group, self.dtype)

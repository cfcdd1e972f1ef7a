"""Structure S: what arrangement saves of the bits of the weights, by codes that can be decoded.

For each tensor, L0 is the order-0 length of its levels (the account of ``ctx`` has it) and L the
shorter of ``ctx`` and ``lowrank`` at the same view, one bit more for the choice; S = 1 - L / L0,
for all tensors together from the sums. Copies of a tensor and what does not look learned are left
out (:mod:`kcomplexity.scoring.not_learned`), and listed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kcomplexity.controls.unit_permutation import symmetry_bits
from kcomplexity.results.control_results import SHUFFLE
from kcomplexity.results.records import Score
from kcomplexity.scoring.not_learned import left_out
from kcomplexity.tensors.checkpoint import Checkpoint

__all__ = [
    "Structure",
    "TensorStructure",
    "mark_structure",
    "structure",
    "with_structure",
]

_VIEW = "rd0.1"
_CODES = ("ctx", "lowrank")


@dataclass(frozen=True)
class TensorStructure:
    """What arrangement saves of one tensor.

    Attributes
    ----------
    label : str
    n_weights : int
    order0_bits : float
    context_bits, low_rank_bits : float or None
        None where it was not measured.
    shuffled : tuple of float
        Bits of the shorter code on each shuffled replicate, and a bit for the choice.
    permuted : tuple of float
        The same with the hidden units in another order.
    variance, order0_variance, covariance : float
        Of the sampled bits, of the order-0 bits, and of the two, in squares of bits; 0 when all
        was measured.
    fully_shuffled : bool
        Whether every code was measured on the shuffled replicates, not ``ctx`` alone.
    """

    label: str
    n_weights: int
    order0_bits: float
    context_bits: float
    low_rank_bits: float | None
    shuffled: tuple[float, ...]
    permuted: tuple[float, ...]
    variance: float
    order0_variance: float
    covariance: float
    fully_shuffled: bool

    @property
    def bits(self) -> float:
        """Bits of the shorter code, and one for the choice of the two; order-0 where that is less.

        For that third choice no bit is charged: a saving below 0 is told as 0.
        """
        codes = [self.context_bits]
        if self.low_rank_bits is not None:
            codes.append(self.low_rank_bits + 1)
            codes[0] += 1
        return min(*codes, self.order0_bits)

    @property
    def saving(self) -> float:
        """S: the share of the order-0 bits that is saved."""
        return 1 - self.bits / self.order0_bits

    def variance_beside(self, ratio: float) -> float:
        """Of the bits less `ratio` times the order-0 bits: what a ratio of sums is uncertain by."""
        found = self.variance - 2 * ratio * self.covariance + ratio**2 * self.order0_variance
        return max(found, 0.0)


@dataclass(frozen=True)
class Structure:
    """What arrangement saves of a checkpoint.

    Attributes
    ----------
    view : str
        The view whose levels are coded.
    tensors : tuple of TensorStructure
        None of them where every tensor is left out: there is no S then.
    left_out : dict of str to str
        Why, by tensor.
    n_weights : int
        Of the checkpoint, whether measured or not.
    """

    view: str
    tensors: tuple[TensorStructure, ...]
    left_out: dict[str, str]
    n_weights: int

    @property
    def order0_bits(self) -> float:
        """Sum over the tensors."""
        return math.fsum(one.order0_bits for one in self.tensors)

    @property
    def bits(self) -> float:
        """Sum over the tensors."""
        return math.fsum(one.bits for one in self.tensors)

    @property
    def saving(self) -> float:
        """S of all tensors together."""
        return 1 - self.bits / self.order0_bits

    @property
    def context_saving(self) -> float:
        """S if every tensor were coded by ``ctx``."""
        return 1 - math.fsum(one.context_bits for one in self.tensors) / self.order0_bits

    @property
    def low_rank_saving(self) -> float | None:
        """S if every tensor were coded by ``lowrank``; None where one was not."""
        bits = [one.low_rank_bits for one in self.tensors]
        known = [b for b in bits if b is not None]
        return 1 - math.fsum(known) / self.order0_bits if len(known) == len(bits) else None

    @property
    def shuffled_savings(self) -> tuple[float, ...]:
        """S of each shuffled replicate."""
        return self._savings("shuffled")

    @property
    def permuted_savings(self) -> tuple[float, ...]:
        """S with the hidden units in other orders: what it falls by is owed to the layout."""
        return self._savings("permuted")

    def _savings(self, control: str) -> tuple[float, ...]:
        bits = [getattr(one, control) for one in self.tensors]
        n = max(map(len, bits))
        # A tensor without replicates is one that the control leaves as it is.
        whole = [own or (one.bits,) * n for own, one in zip(bits, self.tensors, strict=True)]
        replicates = zip(*whole, strict=True)
        return tuple(1 - math.fsum(one) / self.order0_bits for one in replicates)

    @property
    def standard_error(self) -> float:
        """Of S, from the sampled tiles; 0 when all was measured.

        That of a ratio of sums: what bits and order-0 bits have in common cancels out.
        """
        ratio = self.bits / self.order0_bits
        variance = math.fsum(one.variance_beside(ratio) for one in self.tensors)
        return math.sqrt(variance) / self.order0_bits

    @property
    def leave_one_out(self) -> tuple[float, float] | None:
        """The range of S when any one tensor is left out; None with fewer than two."""
        if len(self.tensors) < 2:
            return None
        found = [
            1 - (self.bits - one.bits) / (self.order0_bits - one.order0_bits)
            for one in self.tensors
        ]
        return min(found), max(found)

    @property
    def largest(self) -> TensorStructure:
        """The tensor with the most weights."""
        return max(self.tensors, key=lambda one: one.n_weights)


def structure(rows: Sequence[Score]) -> Structure | None:
    """Find the structure of one checkpoint from its rows; None where no ``ctx`` was measured.

    Parameters
    ----------
    rows : sequence of Score
        Of one checkpoint. Those at ``rd0.1`` are taken, or else those of the first view of ``ctx``.
    """
    every = [row for row in rows if row.estimator == "ctx" and not row.details.get("side_of")]
    coded = [row for row in every if row.status == "ok"]
    if not coded:
        return None
    views = [row.view for row in coded]
    view = _VIEW if _VIEW in views else views[0]
    low_rank = {
        (row.label, row.dtype): row
        for row in rows
        if row.spec == f"lowrank@{view}" and row.status == "ok"
    }
    # Both codes or none: the sample of the one need not be that of the other.
    unsampled = {
        (row.label, row.dtype)
        for row in rows
        if row.spec == f"lowrank@{view}" and not row.details.get("in_sample", True)
    }
    measured, without = [], {}
    for row in coded:
        if row.view != view or (row.label, row.dtype) in unsampled:
            continue
        if "left_out" in row.details:
            without[row.label] = row.details["left_out"]
        else:
            measured.append(_tensor(row, low_rank.get((row.label, row.dtype))))
    kept = tuple(one for one in measured if one.order0_bits > 0)
    n_weights = sum(row.n_weights for row in every if row.view == view)
    return Structure(str(view), kept, without, n_weights) if kept or without else None


def mark_structure(checkpoints: Sequence[Checkpoint], rows: Sequence[Score]) -> list[Score]:
    """Return the rows, with what is told of structure tensor by tensor in their details.

    ``ctx`` rows that S rests on get ``structure``, the tensor's own S. Rows of ``ctx`` and
    ``lowrank`` of copies, and of what does not look learned, get ``left_out`` with the reason.
    """
    marked = _mark_left_out(checkpoints, rows)
    savings: dict[tuple[str, str, str], float] = {}
    for path in {row.checkpoint for row in marked}:
        found = structure([row for row in marked if row.checkpoint == path])
        for one in found.tensors if found else ():
            savings[path, f"ctx@{found.view}" if found else "", one.label] = one.saving
    return [
        replace(row, details=row.details | {"structure": savings[key]})
        if (key := (row.checkpoint, row.spec, row.label)) in savings
        else row
        for row in marked
    ]


def _mark_left_out(checkpoints: Sequence[Checkpoint], rows: Sequence[Score]) -> list[Score]:
    coded = {row.checkpoint for row in rows if row.estimator in _CODES and row.tensor}
    why: dict[tuple[str, str], str] = {}
    for checkpoint in checkpoints:
        if checkpoint.path not in coded:
            continue
        for name, reason in left_out(checkpoint).items():
            why[checkpoint.path, name] = reason
    return [_marked(row, why.get((row.checkpoint, row.tensor or ""))) for row in rows]


def _marked(row: Score, reason: str | None) -> Score:
    if reason is None or row.estimator not in _CODES:
        return row
    return replace(row, details=row.details | {"left_out": reason})


def _tensor(row: Score, low_rank: Score | None) -> TensorStructure:
    own = row.bits or 0.0
    saved = math.fsum(row.details["saved_bits"].values()) * _scale(row)
    other = low_rank.bits if low_rank is not None else None

    def replicates(kind: str, otherwise: float) -> tuple[float, ...]:
        """Bits of the shorter code on each replicate, where `otherwise` is what lowrank takes."""
        bits = _control_bits(row, kind)
        if low_rank is not None:
            by_rank = _control_bits(low_rank, kind) or (otherwise,) * len(bits)
            bits = tuple(min(a, b) + 1 for a, b in zip(bits, by_rank, strict=False))
        return tuple(min(b, own + saved) for b in bits)

    order0 = own + saved
    sampling = row.details.get("order0_sampling", {"variance": 0.0, "covariance": 0.0})
    variance, together = (row.se_bits or 0.0) ** 2, sampling["covariance"]
    if low_rank is not None and other is not None and other < min(own, order0):
        # The sample of lowrank need not be that of ctx, where the order-0 bits are from.
        variance, together = (low_rank.se_bits or 0.0) ** 2, 0.0
    elif own >= order0:
        variance = together = sampling["variance"]
    return TensorStructure(
        label=row.label,
        n_weights=row.n_weights,
        order0_bits=order0,
        context_bits=own,
        low_rank_bits=other,
        # Shuffled weights have hardly any rank that pays; the order of rows and columns has no
        # part in rank at all.
        shuffled=replicates(SHUFFLE, math.inf),
        permuted=replicates("unit-permutation", math.inf if other is None else other),
        variance=variance,
        order0_variance=sampling["variance"],
        covariance=together,
        fully_shuffled=low_rank is None or bool(_control_bits(low_rank, SHUFFLE)),
    )


def _scale(row: Score) -> float:
    """Return what the account of a sample is to be multiplied by."""
    return 1 / row.sampled_fraction


def _control_bits(row: Score, kind: str) -> tuple[float, ...]:
    control = row.control(kind)
    return control.bits if control else ()


def with_structure(
    checkpoints: Sequence[Checkpoint], rows: Sequence[Score], summary: Sequence[Score]
) -> tuple[Score, ...]:
    """Return the summary with S in the details of its ``ctx`` rows, and all that stands beside it.

    The symmetry credit is what the orders of hidden units that give the same network are worth:
    shown, never subtracted.
    """
    found = list(summary)
    for checkpoint in checkpoints:
        one = structure([row for row in rows if row.checkpoint == checkpoint.path])
        for i, total in enumerate(found):
            if (
                one
                and one.tensors
                and (total.checkpoint, total.spec) == (checkpoint.path, f"ctx@{one.view}")
            ):
                record = {
                    "saving": one.saving,
                    "order0_bits": one.order0_bits,
                    "bits": one.bits,
                    "standard_error": one.standard_error,
                    "context_saving": one.context_saving,
                    "low_rank_saving": one.low_rank_saving,
                    "shuffled_savings": one.shuffled_savings,
                    "permuted_savings": one.permuted_savings,
                    "leave_one_out": one.leave_one_out,
                    "left_out": one.left_out,
                    "symmetry_bits": symmetry_bits(checkpoint.values()),
                }
                found[i] = replace(total, details=total.details | {"structure": record})
    return tuple(found)

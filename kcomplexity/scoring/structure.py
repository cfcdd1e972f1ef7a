"""Structure S: what arrangement saves of the bits of the weights, by codes that can be decoded.

For each tensor, L0 is the order-0 length of its levels (from the account of the context code) and
L the shorter of the context and the low-rank code at the same view, one bit more for the choice;
S = 1 - L / L0, for all tensors together from the sums. Copies of a tensor and what does not look
learned are left out (:mod:`kcomplexity.scoring.not_learned`) and listed.

A code takes part by its ``structure_part``, whatever package it comes from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

from kcomplexity.controls.unit_permutation import symmetry_bits
from kcomplexity.results.account import Account, StructureSummary
from kcomplexity.results.control_results import SHUFFLE, UNIT_PERMUTATION
from kcomplexity.results.records import Score
from kcomplexity.scoring.not_learned import left_out
from kcomplexity.tensors.checkpoint import Checkpoint

#: The error at which S is measured, where there is a choice of views.
_ERROR = 0.1
#: The fields of a summary that are a structure's own.
_SUMMED = tuple(f.name for f in fields(StructureSummary) if f.name != "symmetry_bits")


@dataclass(frozen=True)
class TensorStructure:
    """What arrangement saves of one tensor.

    `shuffled` and `permuted` are the bits of the shorter code, and a bit for the choice, on each
    replicate with shuffled weights, and with hidden units in another order. The variances are of
    the sampled bits and of the order-0 bits, `covariance` of the two, in squares of bits; 0 when
    everything was measured. `fully_shuffled` says whether every code was measured on the shuffled
    replicates, not ``ctx`` alone.
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

        For that third choice no bit is charged: a saving below 0 is reported as 0.
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


@dataclass(frozen=True)
class Structure:
    """What arrangement saves of a checkpoint, by codes (`specs`) of the levels of one view.

    `tensors` is empty where every tensor is left out: there is no S then. `left_out` says why, by
    tensor. `n_weights` are those of the checkpoint, whether measured or not.
    """

    view: str
    specs: tuple[str, ...]
    tensors: tuple[TensorStructure, ...]
    left_out: dict[str, str]
    n_weights: int

    @property
    def order0_bits(self) -> float:
        return math.fsum(tensor.order0_bits for tensor in self.tensors)

    @property
    def bits(self) -> float:
        return math.fsum(tensor.bits for tensor in self.tensors)

    @property
    def saving(self) -> float:
        """S of all tensors together."""
        return 1 - self.bits / self.order0_bits

    @property
    def context_saving(self) -> float:
        """S if every tensor were coded by ``ctx``."""
        return 1 - math.fsum(tensor.context_bits for tensor in self.tensors) / self.order0_bits

    @property
    def low_rank_saving(self) -> float | None:
        """S if every tensor were coded by ``lowrank``; None where one was not."""
        bits = [t.low_rank_bits for t in self.tensors if t.low_rank_bits is not None]
        return 1 - math.fsum(bits) / self.order0_bits if len(bits) == len(self.tensors) else None

    @property
    def shuffled_savings(self) -> tuple[float, ...]:
        """S of each shuffled replicate."""
        return self._savings([tensor.shuffled for tensor in self.tensors])

    @property
    def permuted_savings(self) -> tuple[float, ...]:
        """S with the hidden units in other orders: what it falls by is owed to the layout."""
        return self._savings([tensor.permuted for tensor in self.tensors])

    def _savings(self, bits: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
        n = max(map(len, bits))
        # A control leaves a tensor without replicates as it is.
        whole = [own or (t.bits,) * n for own, t in zip(bits, self.tensors, strict=True)]
        replicates = zip(*whole, strict=True)
        return tuple(1 - math.fsum(replicate) / self.order0_bits for replicate in replicates)

    @property
    def standard_error(self) -> float:
        """Of S, from the sampled tiles; 0 when all was measured.

        That of a ratio of sums: what bits and order-0 bits have in common cancels out.
        """
        ratio = self.bits / self.order0_bits
        variance = math.fsum(
            max(t.variance - 2 * ratio * t.covariance + ratio**2 * t.order0_variance, 0.0)
            for t in self.tensors
        )
        return math.sqrt(variance) / self.order0_bits

    @property
    def leave_one_out(self) -> tuple[float, float] | None:
        """The range of S when any one tensor is left out; None with fewer than two."""
        if len(self.tensors) < 2:
            return None
        bits, order0 = self.bits, self.order0_bits
        savings = [1 - (bits - t.bits) / (order0 - t.order0_bits) for t in self.tensors]
        return min(savings), max(savings)

    @property
    def largest(self) -> TensorStructure:
        """The tensor with the most weights."""
        return max(self.tensors, key=lambda tensor: tensor.n_weights)


def structure(rows: Sequence[Score]) -> Structure | None:
    """Return the structure of one checkpoint from its rows; None without a context code.

    The rows are marked by :func:`mark_left_out`. The view at 10 % error is taken, or else the first
    that a context code measured.
    """
    context = [row for row in rows if row.structure_part == "context" and not row.side_of]
    coded = [row for row in context if row.status == "ok" and row.account is not None]
    if not coded:
        return None
    first = next((row for row in coded if row.target_mse == _ERROR), coded[0])
    by_rank = {
        (row.label, row.dtype): row
        for row in rows
        if row.structure_part == "low rank" and row.view == first.view and not row.side_of
    }
    tensors: list[TensorStructure] = []
    without: dict[str, str] = {}
    for row in coded:
        low_rank = by_rank.get((row.label, row.dtype))
        # Both codes or none: the sample of the one need not be that of the other.
        if row.spec != first.spec or (low_rank is not None and not low_rank.in_sample):
            continue
        if row.left_out is not None:
            without[row.label] = row.left_out
        else:
            tensors.append(_tensor(row, low_rank))
    counted = tuple(tensor for tensor in tensors if tensor.order0_bits > 0)
    if not counted and not without:
        return None
    return Structure(
        view=str(first.view),
        specs=tuple(dict.fromkeys([first.spec, *(row.spec for row in by_rank.values())])),
        tensors=counted,
        left_out=without,
        n_weights=sum(row.n_weights for row in context if row.spec == first.spec),
    )


def _tensor(row: Score, low_rank: Score | None) -> TensorStructure:
    account = row.account or Account(order0_bits=0.0, saved_bits={})
    own = row.bits or 0.0
    # The account of a sample is of the weights that were measured.
    order0 = own + math.fsum(account.saved_bits.values()) * (1 / row.sampled_fraction)
    if low_rank and low_rank.status != "ok":
        low_rank = None
    other = low_rank.bits if low_rank else None

    def replicates(kind: str, otherwise: float) -> tuple[float, ...]:
        """Bits of the shorter code on each replicate, where `otherwise` is the low-rank code's."""
        bits = _control_bits(row, kind)
        if low_rank:
            low_rank_bits = _control_bits(low_rank, kind) or (otherwise,) * len(bits)
            bits = tuple(min(a, b) + 1 for a, b in zip(bits, low_rank_bits, strict=False))
        return tuple(min(b, order0) for b in bits)

    variance, covariance = (row.se_bits or 0.0) ** 2, account.covariance
    if low_rank and other is not None and other < min(own, order0):
        # The sample of the low-rank code need not be that of the order-0 bits.
        variance, covariance = (low_rank.se_bits or 0.0) ** 2, 0.0
    elif own >= order0:
        variance = covariance = account.order0_variance
    return TensorStructure(
        label=row.label,
        n_weights=row.n_weights,
        order0_bits=order0,
        context_bits=own,
        low_rank_bits=other,
        # Shuffled weights have hardly any rank that pays, and the order of rows and columns has no
        # part in rank at all.
        shuffled=replicates(SHUFFLE, math.inf),
        permuted=replicates(UNIT_PERMUTATION, math.inf if other is None else other),
        variance=variance,
        order0_variance=account.order0_variance,
        covariance=covariance,
        fully_shuffled=not low_rank or bool(_control_bits(low_rank, SHUFFLE)),
    )


def _control_bits(row: Score, kind: str) -> tuple[float, ...]:
    control = row.control(kind)
    return control.bits if control else ()


def mark_left_out(checkpoints: Sequence[Checkpoint], rows: Sequence[Score]) -> list[Score]:
    """Return the rows with the reason in those of tensors that structure leaves out.

    Only rows of codes that take part in S are marked: copies, and what does not look learned.
    """
    coded = {row.checkpoint for row in rows if row.structure_part and row.tensor}
    why = {
        (checkpoint.path, name): reason
        for checkpoint in checkpoints
        if checkpoint.path in coded
        for name, reason in left_out(checkpoint).items()
    }
    return [
        replace(row, left_out=why.get((row.checkpoint, row.tensor or "")))
        if row.structure_part
        else row
        for row in rows
    ]


def with_savings(rows: Sequence[Score], structures: Mapping[str, Structure]) -> list[Score]:
    """Return the rows with each tensor's own S in the rows of the context code it rests on.

    `structures` are by the path of the checkpoint.
    """
    savings = {
        (path, of.specs[0], tensor.label): tensor.saving
        for path, of in structures.items()
        for tensor in of.tensors
    }
    keys = [(row.checkpoint, row.spec, row.label) for row in rows]
    return [
        replace(row, saving=savings[key]) if key in savings else row
        for row, key in zip(rows, keys, strict=True)
    ]


def with_structure(
    checkpoints: Sequence[Checkpoint], summary: Sequence[Score], structures: Mapping[str, Structure]
) -> tuple[Score, ...]:
    """Return the summary with S in the sums of the context code it rests on.

    The symmetry credit is what the orders of hidden units that give the same network are worth:
    shown, never subtracted.
    """
    summaries = {
        (checkpoint.path, of.specs[0]): StructureSummary(
            **{name: getattr(of, name) for name in _SUMMED},
            symmetry_bits=symmetry_bits(checkpoint.values()),
        )
        for checkpoint in checkpoints
        if (of := structures.get(checkpoint.path)) is not None and of.tensors
    }
    return tuple(
        replace(row, structure=summaries.get((row.checkpoint, row.spec))) for row in summary
    )

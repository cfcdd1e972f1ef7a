"""Where the bits of a code that sees arrangement come from, and what arrangement saves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Account:
    """The bits of one tensor, taken apart; of a sample, those of the weights that were measured.

    Attributes
    ----------
    order0_bits : float
        Length of an order-0 code of the same symbols, with one histogram for the whole tensor.
    saved_bits : mapping of str to float
        What each further stage of the code saves of them.
    order0_variance : float
        Sampling variance of the order-0 bits scaled up to the whole tensor, in squares of bits; 0
        when everything was measured.
    covariance : float
        Sampling covariance of the scaled-up bits and order-0 bits.
    """

    order0_bits: float
    saved_bits: Mapping[str, float]
    order0_variance: float = 0.0
    covariance: float = 0.0


@dataclass(frozen=True, kw_only=True)
class StructureSummary:
    """Structure S of a checkpoint: what arrangement saves of the bits of its weights.

    Attributes
    ----------
    saving : float
        S, the share of the order-0 bits that the shorter of the two codes saves.
    order0_bits, bits : float
        Sums over the tensors, without and with arrangement.
    standard_error : float
        Of `saving`, from the sampled tiles; 0 when everything was measured.
    context_saving : float
        S with the context code alone.
    low_rank_saving : float or None
        S with the low-rank code alone; None where a tensor has no such code length.
    shuffled_savings, permuted_savings : tuple of float
        S of each replicate with shuffled weights, and with hidden units in another order.
    leave_one_out : tuple of float or None
        Smallest and largest S when any one tensor is left out; None with fewer than two tensors.
    left_out : mapping of str to str
        Tensors that are not counted, each with the reason.
    symmetry_bits : float
        log2 of the number of orders of hidden units that leave the function of the network alone;
        shown, never subtracted.
    """

    saving: float
    order0_bits: float
    bits: float
    standard_error: float
    context_saving: float
    low_rank_saving: float | None
    shuffled_savings: tuple[float, ...]
    permuted_savings: tuple[float, ...]
    leave_one_out: tuple[float, float] | None
    left_out: Mapping[str, str]
    symmetry_bits: float


@dataclass(frozen=True, kw_only=True)
class TileRatios:
    """A tile map as a report keeps it: the ratio of each tile to its own shuffles.

    Attributes
    ----------
    tile : int
        Side of a tile, in weights.
    n_shuffles : int
    ratios : tuple of tuple of float or None
        Rows of tiles; below 1 = simpler than shuffled. None where a tile is smaller than a block.
    """

    tile: int
    n_shuffles: int
    ratios: tuple[tuple[float | None, ...], ...]

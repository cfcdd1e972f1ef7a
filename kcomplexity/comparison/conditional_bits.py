"""Bits of tensors whose counterparts in a reference are known: rows, sums and sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kcomplexity.results.records import Status
from kcomplexity.text import human_bytes

#: Relative squared error of the lossy codes, of the other's weights.
ERROR = 0.01
#: Bits that add up over tensors.
_SUMMED = ("bits", "alone_bits", "error_bits", "alone_error_bits", "floor_bits", "floor_error_bits")


@dataclass(frozen=True, kw_only=True)
class ConditionalBits:
    """Bits of a tensor for a decoder that has its counterpart in the reference.

    Attributes
    ----------
    tensor : str or None
        None for the sum over all, of scope ``"all"``.
    unchanged_share : float or None
        Share of the weights whose stored bits are the same.
    bits, code : float or None, str or None
        K(other | reference) without loss, the choice of the code included; the shortest code.
    alone_bits : float or None
        K(other): the shortest code that does not use the reference.
    ratio : float or None
        bits / alone_bits: 0 = follows from the reference, 1 = the reference saves nothing.
    error_bits, error_code, alone_error_bits, error_ratio
        The same at a relative squared error of 1 % of the other's weights; lossless codes compete.
    relative_mse : float or None
        The error of the shortest of these.
    floor_bits, floor_error_bits : float or None
        The same when a rerun is known as well.
    ncd : float or None
        Normalised compression distance by a long-window compressor.
    codes : dict of str to float
        Bits of every code that was tried.
    """

    reference: str
    other: str
    tensor: str | None
    scope: str = "tensor"
    dtype: str | None
    shape: tuple[int, ...] | None
    n_weights: int
    raw_bits: int
    status: Status = "ok"
    reason: str | None = None
    unchanged_share: float | None = None
    bits: float | None = None
    code: str | None = None
    alone_bits: float | None = None
    ratio: float | None = None
    error_bits: float | None = None
    error_code: str | None = None
    alone_error_bits: float | None = None
    error_ratio: float | None = None
    relative_mse: float | None = None
    floor_bits: float | None = None
    floor_error_bits: float | None = None
    ncd: float | None = None
    codes: dict[str, float] = field(default_factory=dict)


def quotient(bits: float | None, alone: float | None) -> float | None:
    """Return bits / alone; None where one is missing or `alone` is 0."""
    return bits / alone if bits is not None and alone else None


def sum_conditional_bits(rows: Sequence[ConditionalBits]) -> ConditionalBits:
    """Add up the tensors that could be measured."""
    measured = [row for row in rows if row.status == "ok"]

    def total(name: str) -> float | None:
        values = [getattr(row, name) for row in measured]
        known = [value for value in values if value is not None]
        return math.fsum(known) if known and len(known) == len(values) else None

    n_weights = sum(row.n_weights for row in measured)
    shares = [(row.unchanged_share, row.n_weights) for row in measured]
    unchanged = math.fsum((share or 0.0) * n for share, n in shares)
    counted = all(share is not None for share, _ in shares)
    sums: dict[str, Any] = {name: total(name) for name in _SUMMED}
    names = dict.fromkeys(name for row in measured for name in row.codes)
    dtypes = {row.dtype for row in measured}
    return ConditionalBits(
        reference=rows[0].reference if rows else "",
        other=rows[0].other if rows else "",
        tensor=None,
        scope="all",
        dtype=dtypes.pop() if len(dtypes) == 1 else None,
        shape=None,
        n_weights=n_weights,
        raw_bits=sum(row.raw_bits for row in measured),
        status="ok" if measured else "skipped",
        reason=None if measured else "no tensor could be measured",
        unchanged_share=unchanged / n_weights if n_weights and counted else None,
        ratio=quotient(sums["bits"], sums["alone_bits"]),
        error_ratio=quotient(sums["error_bits"], sums["alone_error_bits"]),
        codes={
            name: math.fsum(row.codes[name] for row in measured)
            for name in names
            if all(name in row.codes for row in measured)
        },
        **sums,
    )


def conditional_sentences(whole: ConditionalBits) -> list[str]:
    """Return the sum over all tensors in sentences."""
    if whole.bits is None or whole.alone_bits is None:
        return []
    n = max(whole.n_weights, 1)

    def cost(bits: float, alone: float) -> str:
        return (
            f"{human_bytes(bits / 8)} ({bits / n:.2f} bits/weight), "
            f"{bits / alone if alone else 0:.1%} of the {human_bytes(alone / 8)} it needs alone"
        )

    sentences = [f"given the reference it needs {cost(whole.bits, whole.alone_bits)}, without loss"]
    if whole.error_bits is not None and whole.alone_error_bits:
        sentences.append(
            f"given the reference it needs {cost(whole.error_bits, whole.alone_error_bits)}, at "
            f"{ERROR:.0%} squared weight error: an upper bound on what a copy at that error took "
            "from the data, the noise of the optimiser included; finer changes count without loss "
            "alone"
        )
    if whole.floor_error_bits is not None and whole.error_bits is not None:
        above = max(whole.error_bits - whole.floor_error_bits, 0.0)
        sentences.append(
            f"given the rerun as well it needs {human_bytes(whole.floor_error_bits / 8)} at "
            f"{ERROR:.0%} squared weight error, the noise floor; above it: "
            f"{human_bytes(above / 8)} ({above / n:.2f} bits/weight)"
        )
    if whole.unchanged_share is not None:
        sentences.append(f"{whole.unchanged_share:.1%} of the weights are exactly unchanged")
    return sentences

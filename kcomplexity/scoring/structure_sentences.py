"""The structure of a checkpoint in sentences: effect first, then what it rests on."""

from __future__ import annotations

import math

from kcomplexity.scoring.structure import Structure
from kcomplexity.text import LEAST_SHARE, of_weights, plural, shorten


def structure_sentences(found: Structure, symmetry: float | None = None) -> list[str]:
    """Return the structure in sentences: effect first, then what it rests on.

    Parameters
    ----------
    found : Structure
    symmetry : float, optional
        Bits that the orders of hidden units are worth.
    """
    from statistics import stdev  # exact, and slow to import

    if not found.tensors:
        return [f"structure: every tensor measured at {found.view} is left out", *_left_out(found)]
    shuffled = found.shuffled_savings
    spread = 2 * stdev(shuffled) if len(shuffled) > 1 else 0.0
    threshold = max(spread, 2 * found.standard_error, LEAST_SHARE)
    n_weights = sum(one.n_weights for one in found.tensors)
    part = of_weights(n_weights, found.n_weights)
    if found.saving <= threshold:
        held = f" ({plural(len(shuffled), 'shuffle')})" if shuffled else ""
        said = f"structure: no structure found above {threshold:.1%} at {found.view}{held}{part}"
        return [said, *_left_out(found)]
    if shuffled and found.saving <= max(shuffled):
        said = (
            f"structure: no structure found: arrangement saves {found.saving:.1%} of the bits at "
            f"{found.view}, and as much in its shuffles (up to {max(shuffled):.1%}){part}"
        )
        return [said, *_left_out(found)]
    per_weight = (found.order0_bits - found.bits) / n_weights
    parts = f"context {found.context_saving:.1%}"
    if found.low_rank_saving is not None:
        parts += f", low rank {max(found.low_rank_saving, 0.0):.1%}"
    said = (
        f"structure: arrangement saves {found.saving:.1%} of the bits at {found.view} "
        f"({per_weight:.2f} bits/weight, decodable; {parts}{_evidence(found, shuffled)}){part}"
    )
    return [said, *_layout(found, symmetry), *_left_out(found)]


def _evidence(found: Structure, shuffled: tuple[float, ...]) -> str:
    text = ""
    if shuffled:
        n_lower = sum(found.saving > saving for saving in shuffled)
        by = "" if all(one.fully_shuffled for one in found.tensors) else " of the context code"
        text += f"; more than {n_lower} of {plural(len(shuffled), 'shuffle')}{by}"
    if found.standard_error:
        text += f"; sampled, standard error {found.standard_error:.2%}"
    out = found.leave_one_out
    if out is not None:
        share = found.largest.n_weights / sum(one.n_weights for one in found.tensors)
        text += (
            f"; {out[0]:.1%} to {out[1]:.1%} when any one tensor is left out; the largest, "
            f"{shorten(found.largest.label)}, holds {share:.0%} of the weights"
        )
    return text


def _layout(found: Structure, symmetry: float | None) -> list[str]:
    sentences = []
    savings = found.permuted_savings
    if savings:
        mean = math.fsum(savings) / len(savings)
        share = min(max(1 - mean / found.saving, 0.0), 1.0)
        sentences.append(
            f"layout: {mean:.1%} saved with hidden units in other orders "
            f"({plural(len(savings), 'order')}): {share:.0%} of the structure is layout"
        )
    if symmetry:
        sentences.append(
            "symmetry: if hidden units of one width may trade places, as shapes suggest, "
            f"2^{symmetry:,.0f} orders have equal function: {symmetry:,.0f} bits that are not "
            "subtracted"
        )
    return sentences


def _left_out(found: Structure) -> list[str]:
    if not found.left_out:
        return []
    listed = "; ".join(f"{shorten(name)}: {why}" for name, why in found.left_out.items())
    return [f"left out of structure: {plural(len(found.left_out), 'tensor')} ({listed})"]

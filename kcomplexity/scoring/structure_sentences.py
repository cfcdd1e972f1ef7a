"""The structure of a checkpoint in sentences: effect first, then what it rests on."""

from __future__ import annotations

import math

from kcomplexity.scoring.structure import Structure
from kcomplexity.text import LEAST_SHARE, of_weights, plural, shorten


def structure_sentences(structure: Structure, symmetry: float | None = None) -> list[str]:
    """Return the sentences; `symmetry` is what the orders of hidden units are worth, in bits."""
    arranged = _arranged(structure, symmetry) if structure.tensors else []
    sentences = arranged or [f"every tensor measured at {structure.view} is left out"]
    sentences[0] = f"structure: {sentences[0]}"
    if structure.left_out:
        listed = "; ".join(f"{shorten(name)}: {why}" for name, why in structure.left_out.items())
        n_left_out = plural(len(structure.left_out), "tensor")
        sentences.append(f"left out of structure: {n_left_out} ({listed})")
    return sentences


def _arranged(structure: Structure, symmetry: float | None) -> list[str]:
    from statistics import stdev  # exact, and slow to import

    view, saving, shuffled = structure.view, structure.saving, structure.shuffled_savings
    spread = 2 * stdev(shuffled) if len(shuffled) > 1 else 0.0
    threshold = max(spread, 2 * structure.standard_error, LEAST_SHARE)
    n_weights = sum(tensor.n_weights for tensor in structure.tensors)
    part = of_weights(n_weights, structure.n_weights)
    if saving <= threshold:
        shuffles = f" ({plural(len(shuffled), 'shuffle')})" if shuffled else ""
        return [f"no structure found above {threshold:.1%} at {view}{shuffles}{part}"]
    if shuffled and saving <= max(shuffled):
        said = f"no structure found: arrangement saves {saving:.1%} of the bits at {view}, and as "
        return [f"{said}much in its shuffles (up to {max(shuffled):.1%}){part}"]
    per_weight = (structure.order0_bits - structure.bits) / n_weights
    codes = f"context {structure.context_saving:.1%}"
    if structure.low_rank_saving is not None:
        codes += f", low rank {max(structure.low_rank_saving, 0.0):.1%}"
    said = (
        f"arrangement saves {saving:.1%} of the bits at {view} ({per_weight:.2f} bits/weight, "
        f"decodable; {codes}{_evidence(structure, n_weights)}){part}"
    )
    return [said, *_layout(structure, symmetry)]


def _evidence(structure: Structure, n_weights: int) -> str:
    text, shuffled = "", structure.shuffled_savings
    if shuffled:
        n_lower = sum(structure.saving > saving for saving in shuffled)
        every_code = all(tensor.fully_shuffled for tensor in structure.tensors)
        by = "" if every_code else " of the context code"
        text += f"; more than {n_lower} of {plural(len(shuffled), 'shuffle')}{by}"
    if structure.standard_error:
        text += f"; sampled, standard error {structure.standard_error:.2%}"
    if structure.leave_one_out is not None:
        low, high = structure.leave_one_out
        largest = structure.largest
        text += (
            f"; {low:.1%} to {high:.1%} when any one tensor is left out; the largest, "
            f"{shorten(largest.label)}, holds {largest.n_weights / n_weights:.0%} of the weights"
        )
    return text


def _layout(structure: Structure, symmetry: float | None) -> list[str]:
    sentences = []
    savings = structure.permuted_savings
    if savings:
        mean = math.fsum(savings) / len(savings)
        share = min(max(1 - mean / structure.saving, 0.0), 1.0)
        sentences.append(
            f"layout: {mean:.1%} saved with hidden units in other orders "
            f"({plural(len(savings), 'order')}): {share:.0%} of the structure is layout"
        )
    if symmetry:
        sentences.append(
            "symmetry: by their shapes, hidden units of one width can trade places in "
            f"2^{symmetry:,.0f} ways that leave the function as it is; these {symmetry:,.0f} bits "
            "are not subtracted"
        )
    return sentences

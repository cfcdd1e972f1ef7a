"""The figures in sentences.

For an engineer (:func:`needed`): everything a decoder needs is counted - for each tensor the
smallest *decodable* code among the specs that were run, which of them it was, the tensors that no
code could take as they are stored, and the container.

For a researcher (:func:`_order`): what the order of the weights contributes, effect size first,
then how many shuffles agree and what one tensor could change; against a re-initialisation,
arrangement and histogram apart. Never "significant".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kcomplexity.records import CheckpointInfo, Score
from kcomplexity.summary import leave_one_out
from kcomplexity.text import human_bytes, plural, shorten

__all__ = ["Needed", "headline", "needed"]

#: The error at which the engineer's sentence asks for bytes.
_TARGET = 0.01
#: Effects of order below this share of the bits are not told as such.
_LEAST_EFFECT = 0.001


@dataclass(frozen=True)
class Needed:
    """What a checkpoint needs to be stored, everything counted.

    Attributes
    ----------
    bits : float
        Codes, the choice among them, tensors kept as they are, and the container.
    bits_per_weight : float
        Of the coded tensors alone.
    stored_bits : int
        What it takes now.
    n_coded, n_kept : int
        Tensors that some code took, and those kept as they are stored.
    specs : tuple of str
        The codes used, the most used first.
    sampled : bool
        Whether some of it was scaled up from a sample.
    """

    bits: float
    bits_per_weight: float
    stored_bits: int
    n_coded: int
    n_kept: int
    specs: tuple[str, ...]
    sampled: bool


def needed(info: CheckpointInfo, rows: Sequence[Score], target: float | None) -> Needed | None:
    """Count what the smallest decodable codes need; None if no code was among the specs.

    Parameters
    ----------
    info : CheckpointInfo
    rows : sequence of Score
        Those of this checkpoint.
    target : float or None
        Largest relative squared error of a tensor; None for lossless codes only.
    """
    by_unit: dict[object, list[Score]] = {}
    for row in rows:
        if row.dtype is not None:  # tensors of mixed dtypes are measured by dtype as well
            by_unit.setdefault((row.tensor, row.group, row.dtype, row.scope), []).append(row)
    coded = [_competitors(unit, target) for unit in by_unit.values()]
    if not any(coded):
        return None
    bits = 8.0 * info.n_container_bytes
    coded_bits, n_weights, used = 0.0, 0, []
    for unit, codes in zip(by_unit.values(), coded, strict=True):
        # Its best code, and which of them that is; storing it as it is competes too.
        choice = math.ceil(math.log2(len(codes) + 1))
        best = min(codes, key=lambda row: row.bits or 0.0, default=None)
        if best is None or best.bits is None or best.bits >= best.raw_bits:
            bits += unit[0].raw_bits + choice
            continue
        used.append(best)
        coded_bits += best.bits + choice
        # Scales and zero points cost bits, but are no weights.
        n_weights += 0 if best.details.get("side_of") else best.n_weights
    weights: dict[str, int] = {}
    for row in used:
        weights[row.spec] = weights.get(row.spec, 0) + row.n_weights
    specs = sorted(weights, key=lambda spec: -weights[spec])
    return Needed(
        bits=bits + coded_bits,
        bits_per_weight=coded_bits / n_weights if n_weights else 0.0,
        stored_bits=sum(unit[0].raw_bits for unit in by_unit.values()) + 8 * info.n_container_bytes,
        n_coded=len(used),
        n_kept=len(by_unit) - len(used),
        specs=tuple(specs),
        sampled=any(row.sampled_fraction < 1 for row in used),
    )


def _competitors(rows: Sequence[Score], target: float | None) -> list[Score]:
    def admitted(row: Score) -> bool:
        if row.status != "ok" or row.kind != "code":
            return False
        if row.decodes == "weights":
            return True
        return target is not None and row.relative_mse is not None and row.relative_mse <= target

    return [row for row in rows if admitted(row)]


def headline(
    infos: Sequence[CheckpointInfo], rows: Sequence[Score], summary: Sequence[Score]
) -> tuple[str, ...]:
    """Return the sentences that open a report, some for each checkpoint."""
    sentences = []
    for info in infos:
        own = [row for row in rows if row.checkpoint == info.path]
        totals = [row for row in summary if row.checkpoint == info.path]
        found = [*_bytes_needed(info, own), *_order(own, totals), *_largest(own)]
        which = f"{shorten(info.path, 60)}: " if len(infos) > 1 else ""
        sentences += [which + text for text in found]
    return tuple(sentences)


def _bytes_needed(info: CheckpointInfo, rows: Sequence[Score]) -> list[str]:
    lossy, lossless = needed(info, rows, _TARGET), needed(info, rows, None)
    found = []
    if lossy and (lossless is None or lossy.bits < lossless.bits):
        found.append(
            f"{_amount(lossy)} needed at {_TARGET:.0%} weight error "
            f"({lossy.bits_per_weight:.2f} bits/weight, decodable, all side information"
            f"{_kept(lossy)}); accuracy not checked"
        )
    if lossless:
        found.append(
            f"{_amount(lossless)} needed without loss "
            f"({lossless.bits_per_weight:.2f} bits/weight, decodable{_kept(lossless)})"
        )
    return found


def _order(rows: Sequence[Score], totals: Sequence[Score]) -> list[str]:
    """Say what the order of the weights contributes, by each spec with shuffles."""
    found = []
    for total in totals:
        controls = {control["kind"]: control for control in total.controls}
        shuffled = controls.pop("shuffle", None)
        if shuffled is None or not shuffled["ratio"]:
            continue
        own = [row for row in rows if row.spec == total.spec]
        found.append(f"{total.spec}: {_effect(shuffled, own)}{_limits(total, own)}")
        for kind, control in controls.items():
            if kind.startswith("init:") and control["ratio"]:
                histogram = control["ratio"] / shuffled["ratio"]
                found.append(
                    f"{total.spec}: {control['ratio']:.3f} of {kind} = "
                    f"{shuffled['ratio']:.3f} arrangement x {histogram:.3f} histogram"
                )
    return found


def _effect(control: dict[str, float], rows: Sequence[Score]) -> str:
    ratio, n = control["ratio"], int(control["n"])
    spread = (control["sd_bits"] or 0.0) / control["mean_bits"]
    threshold = max(2 * spread, _LEAST_EFFECT)
    if abs(1 - ratio) <= threshold:
        return f"no structure found above {threshold:.1%} ({plural(n, 'shuffle')})"
    side = "below" if ratio < 1 else "above"
    text = f"{abs(1 - ratio):.1%} {side} its own shuffles (below {control['n_lower']} of {n}"
    out = leave_one_out(rows, "shuffle")
    if out:
        text += f"; ratio {out[0]:.3f} to {out[1]:.3f} when any one tensor is left out"
    return text + ")"


def _limits(total: Score, rows: Sequence[Score]) -> str:
    """Say of how much of the weights a figure tells, and whether it can tell anything."""
    share = total.n_weights / max(sum(row.n_weights for row in rows), 1)
    part = f"; on {100 * share:.2g}% of the weights" if share < 0.995 else ""
    return part + ("; saturated: measure tiles (tile=N)" if total.saturated else "")


def _largest(rows: Sequence[Score]) -> list[str]:
    tensors = {(row.label, row.dtype): row for row in rows if row.dtype is not None}
    n_weights = sum(row.n_weights for row in tensors.values())
    found = (row.largest for row in tensors.values())
    name, size = max(found, key=lambda largest: largest[1], default=("", 0))
    if size == n_weights:  # one tensor is all there is
        return []
    return [f"the largest tensor, {shorten(name)}, holds {size / n_weights:.0%} of the weights"]


def _amount(need: Needed) -> str:
    about = "about " if need.sampled else ""
    return f"{about}{human_bytes(need.bits / 8)} of {human_bytes(need.stored_bits / 8)}"


def _kept(need: Needed) -> str:
    return f", {plural(need.n_kept, 'tensor')} kept as stored" if need.n_kept else ""

"""The figures in sentences.

For an engineer (:func:`needed`): everything a decoder needs is counted - for each tensor the
smallest *decodable* code among the specs that were run, which of them it was, the tensors that no
code could take as they are stored, and the container.

For a researcher: structure, what arrangement saves in codes that can be decoded
(:mod:`kcomplexity.scoring.structure`); and by each spec with shuffles (:func:`_order`), what the
order of the weights contributes, effect size first, then how many shuffles agree and what one
tensor could change; against a re-initialisation, arrangement and histogram apart. Never
"significant".
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kcomplexity.results.control_results import INIT, SHUFFLE, ControlResult
from kcomplexity.results.records import CheckpointInfo, Score
from kcomplexity.scoring.structure import Structure
from kcomplexity.scoring.structure_sentences import structure_sentences
from kcomplexity.scoring.summary import counted, leave_one_out
from kcomplexity.text import LEAST_SHARE, human_bytes, of_weights, plural, shorten, without_numbers

#: The error at which the engineer's sentence asks for bytes.
_TARGET = 0.01
#: A larger share of the weights without a size at an error gets a sentence.
_MUCH = 0.1


@dataclass(frozen=True)
class Needed:
    """What a checkpoint needs to be stored, everything counted.

    `bits` are of codes, the choice among them, tensors kept as they are, and the container;
    `weights_bits` of all but the container; `stored_bits` what it takes now. `n_weights` leaves out
    scales and zero points, `coded_share` is of the weights in tensors that a code took. `n_exact`
    tensors are coded without loss, `n_kept` kept as stored. `specs` are the codes used, the most
    used first. `sampled` if some of it was scaled up from a sample, `by_tensor` if each tensor was
    measured as one. `error` is the largest relative squared error; 0 without loss.
    """

    bits: float
    weights_bits: float
    n_weights: int
    stored_bits: int
    coded_share: float
    n_exact: int
    n_kept: int
    specs: tuple[str, ...]
    sampled: bool
    error: float
    by_tensor: bool

    @property
    def bits_per_weight(self) -> float:
        return self.weights_bits / max(self.n_weights, 1)

    def at(self, target: float) -> str:
        """Say at which weight error this is: the target's, or what it is if far below."""
        whole = "" if self.by_tensor else " of the whole"
        if self.error <= target / 2:
            where = whole or " in the worst tensor"
            return f"at {100 * self.error:.2g}% squared weight error{where}"
        return f"at {target:.0%} squared weight error{whole}"


def needed(info: CheckpointInfo, rows: Sequence[Score], target: float | None) -> Needed | None:
    """Count what the smallest decodable codes need; None if no code was among the specs.

    `rows` are those of the checkpoint. `target` is the largest relative squared error of a tensor;
    None for lossless codes only.
    """
    by_unit: dict[object, list[Score]] = {}
    for row in rows:
        if row.dtype is not None:  # tensors of mixed dtypes are measured by dtype as well
            by_unit.setdefault((row.tensor, row.group, row.dtype, row.scope), []).append(row)
    coded = [_competitors(unit, target) for unit in by_unit.values()]
    if not any(coded):
        return None
    container = 8 * info.n_container_bytes
    bits, n_weights, used = 0.0, 0, []
    for unit, codes in zip(by_unit.values(), coded, strict=True):
        # Its best code, and which of them that is; storing it as it is competes too.
        choice = math.ceil(math.log2(len(codes) + 1))
        # Scales and zero points cost bits, but are no weights.
        n_weights += 0 if unit[0].side_of else unit[0].n_weights
        best = min(codes, key=lambda row: row.bits or 0.0, default=None)
        if best is None or best.bits is None or best.bits >= best.raw_bits:
            bits += unit[0].raw_bits + choice
        else:
            used.append(best)
            bits += best.bits + choice
    weights: Counter[str] = Counter()
    for row in used:
        weights[row.spec] += row.n_weights
    return Needed(
        bits=bits + container,
        weights_bits=bits,
        n_weights=n_weights,
        stored_bits=sum(unit[0].raw_bits for unit in by_unit.values()) + container,
        coded_share=weights.total() / max(n_weights, 1),
        n_exact=sum(row.decodes == "weights" for row in used),
        n_kept=len(by_unit) - len(used),
        specs=tuple(spec for spec, _ in weights.most_common()),
        sampled=any(row.sampled_fraction < 1 for row in used),
        error=max((row.relative_mse or 0.0 for row in used), default=0.0),
        by_tensor=all(row.scope == "tensor" for row in rows),
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
    infos: Sequence[CheckpointInfo],
    rows: Sequence[Score],
    summary: Sequence[Score],
    structures: Mapping[str, Structure],
) -> tuple[str, ...]:
    """Return the sentences that open a report, some for each checkpoint.

    `infos`, `rows` and `summary` are the report's; `structures` are by the path of the checkpoint.
    """
    sentences = []
    for info in infos:
        own = [row for row in rows if row.checkpoint == info.path]
        totals = [row for row in summary if row.checkpoint == info.path]
        structure = structures.get(info.path)
        symmetry = next((t.structure.symmetry_bits for t in totals if t.structure), None)
        # The sentence of the structure covers its specs: they get none of their own.
        covered = structure.specs if structure else ()
        about = [
            *_bytes_needed(info, own),
            *(structure_sentences(structure, symmetry) if structure else ()),
            *_order(own, [total for total in totals if total.spec not in covered]),
            *_largest(own),
        ]
        which = f"{shorten(info.path, 60)}: " if len(infos) > 1 else ""
        sentences += [which + text for text in about]
    return tuple(sentences)


def _bytes_needed(info: CheckpointInfo, rows: Sequence[Score]) -> list[str]:
    lossy, lossless = needed(info, rows, _TARGET), needed(info, rows, None)
    # A size that is mostly of tensors as stored says nothing of the codes that were asked for.
    share, refusals = without_error(rows)
    sentences = refusals
    if lossy and lossy.coded_share - share > 0.5 and (not lossless or lossy.bits < lossless.bits):
        # Tensors that no lossy code took, as those with NaN.
        exact = f", {plural(lossy.n_exact, 'tensor')} without loss" if lossy.n_exact else ""
        whole = "" if lossy.by_tensor else "; an error of the whole is that of its largest weights"
        said = _needed(lossy, f" {lossy.at(_TARGET)}", f", all side information{exact}")
        sentences = [f"{said}; accuracy not checked{whole}", *refusals]
    return [*sentences, _needed(lossless, " without loss")] if lossless else sentences


def _needed(need: Needed, at: str, further: str = "") -> str:
    about = "about " if need.sampled else ""
    kept = f", {plural(need.n_kept, 'tensor')} kept as stored" if need.n_kept else ""
    container = need.bits - need.weights_bits
    rest = kept + (f"; {human_bytes(container / 8)} for header and metadata" if container else "")
    return (
        f"{about}{human_bytes(need.bits / 8)} of {human_bytes(need.stored_bits / 8)} needed{at} "
        f"({human_bytes(need.weights_bits / 8)} at {need.bits_per_weight:.2f} bits/weight, "
        f"decodable{further}{rest})"
    )


def without_error(rows: Sequence[Score]) -> tuple[float, list[str]]:
    """Return the share of the weights that every code at an error refused, and sentences on it.

    Those are for much of a network at once, as when a training diverged.
    """
    by_unit: dict[object, list[Score]] = {}
    for row in rows:
        if row.dtype is not None and row.kind == "code":
            by_unit.setdefault((row.tensor, row.group, row.dtype), []).append(row)
    n_weights = sum(codes[0].n_weights for codes in by_unit.values())
    refused: dict[str, list[Score]] = {}
    for codes in by_unit.values():
        skipped = [row for row in codes if row.status == "skipped"]
        if skipped and all(row.decodes == "weights" for row in codes if row.status == "ok"):
            refused.setdefault(without_numbers(skipped[0].reason or ""), []).append(skipped[0])
    total, sentences = 0.0, []
    for units in refused.values():
        share = sum(row.n_weights for row in units) / n_weights
        total += share
        if share > _MUCH:
            why = (units[0].reason or "").partition(":")[0]
            where = f" in {shorten(units[0].label)}" if units[0].tensor else ""
            sentences.append(f"no size at an error for {share:.1%} of the weights: {why}{where}")
    return total, sentences


def _order(rows: Sequence[Score], totals: Sequence[Score]) -> list[str]:
    """Say what the order of the weights contributes, by each spec with shuffles."""
    sentences = []
    for total in totals:
        shuffled = total.control(SHUFFLE)
        if shuffled is None or not shuffled.ratio or not shuffled.mean_bits:
            continue
        own = [row for row in rows if row.spec == total.spec and row.status != "ok"]
        own += counted([row for row in rows if row.spec == total.spec and row.status == "ok"])
        spread = (shuffled.sd_bits or 0.0) / shuffled.mean_bits
        effect = _effect(shuffled, shuffled.ratio, spread, own)
        # Of how much of the weights the figure speaks, and whether it can say anything.
        part = of_weights(total.n_weights, sum(row.n_weights for row in own))
        limit = "; saturated: measure tiles (tile=N)" if total.saturated else ""
        sentences.append(f"{total.spec}: {effect}{part}{limit}")
        sentences += [
            f"{total.spec}: {_factors(control.kind, own)}"
            for control in total.controls
            if control.kind.partition(":")[0] == INIT and control.ratio
        ]
    return sentences


def _factors(kind: str, rows: Sequence[Score]) -> str:
    """Take a ratio to an initialisation apart, over the tensors that have both controls."""
    both = []
    for row in rows:
        order, init = row.control(SHUFFLE), row.control(kind)
        if order and init and order.mean_bits and init.mean_bits:
            both.append((row.bits or 0.0, order.mean_bits, init.mean_bits, row.n_weights))
    bits, shuffled, drawn, n_weights = (math.fsum(column) for column in zip(*both, strict=True))
    of = of_weights(int(n_weights), sum(row.n_weights for row in rows))
    return (
        f"{bits / drawn:.3f} of {kind} = {bits / shuffled:.3f} arrangement x "
        f"{shuffled / drawn:.3f} histogram{of}"
    )


def _effect(control: ControlResult, ratio: float, spread: float, rows: Sequence[Score]) -> str:
    threshold = max(2 * spread, LEAST_SHARE)
    if abs(1 - ratio) <= threshold:
        return f"no structure found above {threshold:.1%} ({plural(control.n, 'shuffle')})"
    side = "below" if ratio < 1 else "above"
    text = f"{abs(1 - ratio):.1%} {side} its own shuffles (below {control.n_lower} of {control.n}"
    out = leave_one_out(rows, SHUFFLE)
    if out:
        text += f"; ratio {out[0]:.3f} to {out[1]:.3f} when any one tensor is left out"
    return text + ")"


def _largest(rows: Sequence[Score]) -> list[str]:
    tensors = {
        (row.label, row.dtype): row for row in rows if row.dtype is not None and not row.side_of
    }
    n_weights = sum(row.n_weights for row in tensors.values())
    largest = (row.largest for row in tensors.values())
    name, size = max(largest, key=lambda named: named[1], default=("", 0))
    if size == n_weights:  # one tensor is all there is
        return []
    return [f"the largest tensor, {shorten(name)}, holds {size / n_weights:.0%} of the weights"]

"""A comparison in sentences: what changed, how certain that is, and what it does not show.

The effect comes first, in per cent and in bits a weight, for the histogram and the arrangement;
then how many shuffles agree and what one tensor could change. Several runs have intervals. No
sentence says "significant".
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace

from kcomplexity.comparison.changes import FEWEST_RUNS, Change, Effect
from kcomplexity.results.records import CheckpointInfo, Score
from kcomplexity.scoring.headline import Needed, needed, without_error
from kcomplexity.text import (
    LEAST_SHARE,
    human_bytes,
    of_weights,
    percent_change,
    plural,
    short_names,
    shorten,
)

#: Bits a weight below which a change of the error is not reported: 3 % of the error.
_LEAST_SHIFT = 0.02
#: Relative squared error of the weights at which sizes are compared.
_SIZE_ERROR = 0.01
#: Names listed for one reason.
_LISTED = 5


def verdict(
    infos: Sequence[CheckpointInfo],
    scores: Sequence[Score],
    rows: Sequence[Change],
    summary: Sequence[Change],
) -> tuple[str, ...]:
    """Return the sentences that open a comparison of these scores."""
    sentences: list[str] = []
    comparisons = list(dict.fromkeys((row.reference, row.other) for row in summary))
    short = short_names([name for pair in comparisons for name in pair])
    for reference, other in comparisons:
        own = [row for row in summary if (row.reference, row.other) == (reference, other)]
        shown = [row for row in own if row.structure or row.target_mse is not None] or own
        if own[0].paired is None:
            texts = _size_sentences(infos, scores, reference, other)
            for path in (reference, other):
                _, refusals = without_error([row for row in scores if row.checkpoint == path])
                texts += [f"{short[path]}: {text}" for text in refusals]
            n_weights = next(info.n_weights for info in infos if info.path == other)
            texts += [_sentence(row, n_weights, _error_shift(row, rows)) for row in shown]
            end = "describes these two files; training runs vary"
        else:
            texts = [_over_runs(row, _error_shift(row, rows)) for row in shown]
            end = "the unit is the run"
        texts += _left_out(rows, reference, other)
        texts.append(f"{_largest(rows, reference, other)}{end}")
        start = f"{short[other]} against {short[reference]}"
        if len(comparisons) > 1:
            sentences += [f"{start}: {text}" for text in texts]
        else:
            sentences += [f"{start}, lower = simpler:", *texts]
    return tuple(sentences)


def threshold(effect: Effect) -> float:
    """Return the size below which an effect of shuffles is not reported: max(2 sd, 0.1 %)."""
    spread = statistics.stdev(effect.seeds) if len(effect.seeds) > 1 else 0.0
    return max(2 * spread, LEAST_SHARE)


def _size_sentences(
    infos: Sequence[CheckpointInfo], scores: Sequence[Score], reference: str, other: str
) -> list[str]:
    """Compare the smallest codes of both sides, at 1 % error and without loss."""
    sentences: list[str] = []
    shown = None
    # A container belongs to a whole file, not to the tensors compared, and a drawn initialisation
    # has none.
    by_path = {info.path: replace(info, n_container_bytes=0) for info in infos}
    for target in (None, _SIZE_ERROR):
        alike = _coded_alike(scores, reference, other, lossless=target is None)
        before, after = (
            needed(by_path[path], [row for row in alike if row.checkpoint == path], target)
            for path in (reference, other)
        )
        if before and after and before.bits and (before.bits, after.bits) != shown:
            shown = before.bits, after.bits
            change = after.bits / before.bits - 1
            what = "without loss" if target is None else _at(before, after, target)
            part = of_weights(after.n_weights, by_path[other].n_weights)
            sentences.insert(
                0,
                f"{human_bytes(after.bits / 8)} against {human_bytes(before.bits / 8)} needed "
                f"{what} ({percent_change(change)}; decodable, all side information){part}",
            )
    return sentences


def _at(before: Needed, after: Needed, target: float) -> str:
    """Return the weight error of both sizes, or the error of each where they differ."""
    errors = before.error, after.error
    if not any(errors) or (all(errors) and 2 / 3 < errors[1] / errors[0] < 3 / 2):
        return after.at(target)
    return f"at squared weight errors of {100 * after.error:.2g}% against {100 * before.error:.2g}%"


def _coded_alike(
    scores: Sequence[Score], reference: str, other: str, *, lossless: bool
) -> list[Score]:
    """Keep the tensors that the same codes could take on both sides.

    A tensor with a code on one side only, because the other's weights are all zero or not all
    finite, would count at an error on one side and without loss on the other.
    """
    units: dict[tuple[str | None, ...], list[Score]] = {}
    for row in scores:
        if row.checkpoint in (reference, other) and row.kind == "code":
            units.setdefault((row.tensor, row.group, row.scope), []).append(row)
    kept: list[Score] = []
    for rows in units.values():
        coded = {
            (row.checkpoint, row.spec)
            for row in rows
            if row.status == "ok" and (row.decodes == "weights" or not lossless)
        }
        before, after = ({s for path, s in coded if path == side} for side in (reference, other))
        if before == after:
            kept += rows
    return kept


def _sentence(row: Change, n_weights: int, error_shift: float) -> str:
    """Return the change by one spec: total, of the histogram, of the arrangement."""
    # A share below 1 is never rounded to 1.
    share = min(row.n_weights / n_weights, 0.999) if row.n_weights != n_weights else 1
    where = "in all" if share == 1 else f"on {share:.1%} of the weights"
    sampled = f", {row.sampled_fraction:.0%} sampled" if row.sampled_fraction < 1 else ""
    change = f"{_both(row.total_change, row.total)} {where}{sampled}"
    text = f"{row.spec}: {change}{_unequal(error_shift)}"
    if row.structure is None or row.values is None:
        alone = "; it sees no order: the histogram alone" if row.bits is not None else ""
        return text + _range(row.total) + ("" if row.positional else alone)
    return (
        f"{text}; {_part('histogram', row.values_change, row.values)}; "
        f"{_part('arrangement', row.structure_change, row.structure)}"
    )


def _part(name: str, change: float | None, effect: Effect) -> str:
    limit = threshold(effect)
    if change is None or abs(change) <= limit:
        return f"no change of the {name} found above {limit:.1%}"
    verb = "saves" if change < 0 else "costs"
    agree = f"{effect.n_agree} of {plural(len(effect.seeds), 'shuffle')} agree"
    return f"{name} {verb} {abs(change):.1%} ({_bits(effect)}; {agree}{_range(effect)})"


def _error_shift(row: Change, rows: Sequence[Change]) -> float:
    """Return the change of the error in bits a weight; above 0 = a larger error.

    It is half the log of the ratio of each tensor's errors, weighted by its number of weights: in
    the error of the whole a few tensors of large weights hide all others.
    """
    pair = (row.spec, row.reference, row.other, row.paired)
    tensors = [r for r in rows if (r.spec, r.reference, r.other, r.paired) == pair]
    shifts = [
        (math.log2(each.relative_mse / each.reference_relative_mse) / 2, each.n_weights)
        for each in tensors or [row]
        if each.relative_mse and each.reference_relative_mse
    ]
    n_weights = sum(n for _, n in shifts)
    return math.fsum(shift * n for shift, n in shifts) / n_weights if n_weights else 0.0


def _unequal(error_shift: float) -> str:
    """Return that the errors of the sides differ, where that is worth some bits."""
    if abs(error_shift) < _LEAST_SHIFT:
        return ""
    return (
        f", at {4**error_shift:.2g} times the squared weight error, which is worth "
        f"{abs(error_shift):.2f} bits/weight"
    )


def _range(effect: Effect | None) -> str:
    if effect is None or effect.leave_one_out is None:
        return ""
    low, high = (percent_change(value) for value in effect.leave_one_out)
    return f"; {low} to {high} when any one tensor is left out"


def _over_runs(row: Change, error_shift: float) -> str:
    n = plural(row.n_others, "pair") if row.paired else f"{row.n_others} against {row.n_references}"
    text = f"{row.spec}: {_interval(row.total_change, row.total)}{_unequal(error_shift)}"
    if row.structure is not None and row.values is not None:
        text += (
            f"; histogram {_interval(row.values_change, row.values)}; arrangement "
            f"{_interval(row.structure_change, row.structure)}"
        )
    return f"{text}; n = {n}"


def _interval(change: float | None, effect: Effect | None) -> str:
    if effect is None or change is None:
        return "not measured"
    text = _both(change, effect)
    if effect.interval is None:
        return f"{text}, no interval from a single run"
    low, high = (percent_change(value) for value in effect.interval)
    shown = "differs" if effect.differs else "no difference shown"
    if effect.differs is None:
        shown = f"fewer than {FEWEST_RUNS} runs: no verdict"
    return f"{text} [95 % t-interval {low} to {high}: {shown}]"


def _both(change: float | None, effect: Effect | None) -> str:
    if change is None or effect is None:
        return "no ratio, for one side has no bits"
    bits = f" ({_bits(effect)})" if effect.bits_per_weight is not None else ""
    return f"{percent_change(change)}{bits}"


def _bits(effect: Effect) -> str:
    if effect.bits_per_weight is None:
        return ""
    return f"{effect.bits_per_weight:+.3f} bits/weight"


def _left_out(rows: Sequence[Change], reference: str, other: str) -> list[str]:
    """List the tensors that are in no sum of histogram and arrangement, by reason."""
    names: dict[str, dict[str, None]] = {}
    for row in rows:
        if (row.reference, row.other) == (reference, other) and row.left_out:
            names.setdefault(row.left_out, {})[shorten(row.label)] = None
    if not names:
        return []
    listed = "; ".join(
        f"{', '.join([*own][:_LISTED])}{', ...' if len(own) > _LISTED else ''}: {why}"
        for why, own in names.items()
    )
    count = plural(sum(map(len, names.values())), "tensor")
    return [f"left out of histogram and arrangement: {count} ({listed})"]


def _largest(rows: Sequence[Change], reference: str, other: str) -> str:
    sizes = {
        (row.label, row.dtype): row.n_weights
        for row in rows
        if (row.reference, row.other) == (reference, other) and row.dtype is not None
    }
    if len(sizes) < 2:
        return ""
    label, _ = largest = max(sizes, key=lambda key: sizes[key])
    share = sizes[largest] / max(sum(sizes.values()), 1)
    return f"the largest tensor, {shorten(label)}, holds {share:.0%} of the weights; "

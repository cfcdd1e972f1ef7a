"""A comparison in sentences: what changed, how certain that is, and what it does not show.

The effect comes first, in per cent and in bits a weight, for the histogram and the arrangement;
then how many shuffles agree and what one tensor could change. Several runs have intervals. No
sentence says "significant".
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from kcomplexity.comparison.changes import FEWEST_RUNS, Change, Effect
from kcomplexity.comparison.size_sentences import size_sentences
from kcomplexity.results.records import CheckpointInfo, Score
from kcomplexity.scoring.headline import without_error
from kcomplexity.text import LEAST_SHARE, percent_change, plural, short_names, shorten

#: Bits a weight below which a change of the error is not reported: 3 % of the error.
_LEAST_SHIFT = 0.02
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
            texts = size_sentences(infos, scores, reference, other)
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

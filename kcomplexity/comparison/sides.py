"""The scores of several checkpoints, matched tensor by tensor, and the changes between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from kcomplexity.comparison.changes import Change
from kcomplexity.comparison.differences import unchanged
from kcomplexity.comparison.effects import change_between, ranges_without_one
from kcomplexity.comparison.run_effects import change_over_runs
from kcomplexity.parallel.pool import Pool
from kcomplexity.results.control_results import SHUFFLE
from kcomplexity.results.records import Score
from kcomplexity.scoring.not_learned import left_out
from kcomplexity.scoring.plan import Plan
from kcomplexity.scoring.summary import summarise

#: Spec, scope, name of the tensor or group, and the dtype where units share a name.
_Key = tuple[str, str, str | None, str | None]
#: The weights of each unit that are stored alike on two sides.
_Counts = dict[tuple[str | None, ...], int]
#: One tensor and spec: a row of each side.
_Rows = tuple[Score, ...]


class ScoredSides:
    """Scores of all checkpoints of a plan, from which changes are computed.

    The plan's checkpoints are aligned, the references first; `rows` are all that it measured.
    """

    def __init__(self, plan: Plan, rows: Sequence[Score], n_references: int, pool: Pool) -> None:
        self._checkpoints = plan.checkpoints
        self._paths = [checkpoint.path for checkpoint in plan.checkpoints]
        self._tensors = [
            {(unit.scope, unit.name, unit.group, unit.dtype): unit.tensor for unit in units}
            for units in plan.units
        ]
        self._n_references = n_references
        self._pool = pool
        self._reasons: dict[int, dict[str, str]] = {}
        # Scope "model" measures each dtype alone: then the dtype is part of a unit's key.
        times = Counter((row.checkpoint, _name(row)) for row in rows)
        shared = {name for (_, name), count in times.items() if count > 1}
        self._rows: dict[str, dict[_Key, Score]] = {path: {} for path in self._paths}
        for row in rows:
            dtype = row.dtype if _name(row) in shared else None
            self._rows[row.checkpoint][*_name(row), dtype] = row

    def one_by_one(self) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
        """Return rows and summary of the changes from the reference to each of the others."""
        rows: list[Change] = []
        summary: list[Change] = []
        for i, path in enumerate(self._paths[1:], start=1):
            pairs = list(self._matched([self._paths[0], path]))
            counts = self._unchanged(0, i)
            reasons = self._left_out(pairs, [0, i], [counts])
            rows += [
                replace(
                    change_between(before, after),
                    unchanged_share=_unchanged_share(counts, [(before, after)]),
                    left_out=reasons.get((before.spec, before.tensor)),
                )
                for before, after in pairs
            ]
            counted = [pair for pair in pairs if (pair[0].spec, pair[0].tensor) not in reasons]
            for before, after in _sums(counted):
                members = [(a, b) for a, b in counted if a.spec == before.spec and _all_ok((a, b))]
                whole = ranges_without_one(change_between(before, after), members)
                share = _unchanged_share(counts, members)
                summary.append(replace(whole, unchanged_share=share))
        return tuple(rows), tuple(summary)

    def over_runs(self, *, paired: bool) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
        """Return rows and summary of the mean changes from runs of one side to the other's."""
        matched = list(self._matched(self._paths))
        n = self._n_references
        reasons = self._left_out(matched, range(len(self._paths)))
        rows = [
            replace(
                change_over_runs(runs[:n], runs[n:], paired=paired),
                left_out=reasons.get((runs[0].spec, runs[0].tensor)),
            )
            for runs in matched
        ]
        counted = [runs for runs in matched if (runs[0].spec, runs[0].tensor) not in reasons]
        summary = [change_over_runs(runs[:n], runs[n:], paired=paired) for runs in _sums(counted)]
        return tuple(rows), tuple(summary)

    def _matched(self, paths: Sequence[str]) -> Iterator[_Rows]:
        """Yield the rows of one tensor and spec in each checkpoint, where all have it."""
        for key in self._rows[paths[0]]:
            rows = tuple(row for path in paths if (row := self._rows[path].get(key)) is not None)
            if len(rows) == len(paths):
                yield rows

    def _left_out(
        self,
        matched: Sequence[_Rows],
        sides: Sequence[int],
        unchanged_counts: Sequence[_Counts] | None = None,
    ) -> dict[tuple[str, str | None], str]:
        """Return by spec and tensor why a tensor is in no sum of histogram and arrangement.

        On every side it is a copy or was not learned, or it holds floats that are the same on all
        sides. A spec that measured no other tensors keeps them.
        """
        shuffled = [
            rows
            for rows in matched
            if rows[0].tensor and _all_ok(rows) and all(map(_has_shuffles, rows))
        ]
        if not shuffled:
            return {}
        if unchanged_counts is None:
            unchanged_counts = [self._unchanged(sides[0], i) for i in sides[1:]]
        for i in sides:
            if i not in self._reasons:  # its weights are looked at once
                self._reasons[i] = left_out(self._checkpoints[i])
        first, *others = (self._reasons[i] for i in sides)
        reasons: dict[str | None, str] = {
            name: reason for name, reason in first.items() if all(name in other for other in others)
        }
        for row, *_ in shuffled:
            key = row.scope, row.tensor, row.group, row.dtype
            is_float = self._checkpoints[sides[0]][row.tensor or ""].dtype.is_float
            if is_float and all(counts.get(key) == row.n_weights for counts in unchanged_counts):
                reasons.setdefault(row.tensor, "the same on both sides")
        specs_with_others = {rows[0].spec for rows in shuffled if rows[0].tensor not in reasons}
        return {
            (rows[0].spec, rows[0].tensor): reasons[rows[0].tensor]
            for rows in shuffled
            if rows[0].tensor in reasons and rows[0].spec in specs_with_others
        }

    def _unchanged(self, i: int, j: int) -> _Counts:
        counts: _Counts = {}
        for key, tensor in self._tensors[j].items():
            before = self._tensors[i].get(key)
            count = unchanged(before, tensor, self._pool) if before else None
            if count is not None:
                counts[key] = count
        return counts


def _sums(matched: Iterable[_Rows]) -> Iterator[_Rows]:
    """Yield the sum of each spec on each side, over the tensors that all sides could measure."""
    sides = zip(*(rows for rows in matched if _all_ok(rows)), strict=True)
    yield from zip(*(summarise(side) for side in sides), strict=True)


def _name(row: Score) -> tuple[str, str, str | None]:
    return row.spec, row.scope, row.tensor or row.group


def _all_ok(rows: Sequence[Score]) -> bool:
    return all(row.status == "ok" for row in rows)


def _has_shuffles(row: Score) -> bool:
    return row.positional and row.control(SHUFFLE) is not None


def _unchanged_share(counts: _Counts, pairs: Sequence[_Rows]) -> float | None:
    """Return the share of weights that are stored alike; None where a unit has no count."""
    keys = [(after.scope, after.tensor, after.group, after.dtype) for _, after in pairs]
    if not keys or not all(key in counts for key in keys):
        return None
    n_weights = sum(after.n_weights for _, after in pairs)
    return sum(counts[key] for key in keys) / n_weights if n_weights else None

"""Checkpoints side by side: told apart, readable by range, and their scores matched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from kcomplexity.comparison.align import Unmatched
from kcomplexity.comparison.changes import Change
from kcomplexity.comparison.differences import unchanged
from kcomplexity.comparison.effects import change_between, change_over_runs, ranges_without_one
from kcomplexity.controls import Init, parse_control
from kcomplexity.errors import SpecError
from kcomplexity.parallel import spool
from kcomplexity.parallel.pool import Pool
from kcomplexity.results.control_results import SHUFFLE
from kcomplexity.results.records import Score
from kcomplexity.scoring.not_learned import left_out
from kcomplexity.scoring.plan import Plan
from kcomplexity.scoring.summary import summarise
from kcomplexity.tensors.checkpoint import Checkpoint

__all__ = ["Sides", "drawn", "spooled"]

#: Where a tensor is found among the rows of a checkpoint.
_Key = tuple[str, str, str | None, str | None]
#: How many weights of each unit are stored alike.
_Counts = dict[tuple[str | None, ...], int]


def drawn(
    text: str, like: Checkpoint, seed: int, pool: Pool
) -> tuple[Checkpoint, tuple[Unmatched, ...]]:
    """Return an initialisation with the shapes of `like`; what it does not draw is left out."""
    control = parse_control(text if text.count(":") > 1 else f"{text}:1")
    if not isinstance(control, Init) or control.n != 1:
        raise SpecError(f"reference {text!r}: expected one draw of an initialisation: init:torch")
    tensors, kept = {}, []
    for name, tensor in like.items():
        if control.applies(tensor):
            tensors[name] = next(control.replicates(spool(tensor, pool), seed, pool))
        else:
            reason = f"{control.kind} does not say how it starts"
            kept.append(
                Unmatched(checkpoint=like.path, tensor=name, n_bytes=tensor.n_bytes, reason=reason)
            )
    if not tensors:
        raise SpecError(
            f"reference {text!r}: {like.path} has no tensor that it draws: expected matrices of "
            "signed floating-point numbers"
        )
    return Checkpoint(control.kind, "drawn", tensors), tuple(kept)


def spooled(checkpoint: Checkpoint, pool: Pool) -> Checkpoint:
    """Read once what cannot be read by range: scores and counts of what is unchanged share it."""
    tensors = {name: spool(tensor, pool) for name, tensor in checkpoint.items()}
    return replace(checkpoint, tensors=tensors)


class Sides:
    """The scores of all checkpoints, and the changes between them."""

    def __init__(self, plan: Plan, rows: Sequence[Score], n_references: int, pool: Pool) -> None:
        self._checkpoints = plan.checkpoints
        self._paths = [checkpoint.path for checkpoint in plan.checkpoints]
        self._units = [
            {(u.scope, u.name, u.group, u.dtype): u.tensor for u in found} for found in plan.units
        ]
        self._n_references = n_references
        self._pool = pool
        # By dtype only where several units share a name: "model" measures each dtype alone.
        alike = Counter((row.checkpoint, _name(row)) for row in rows)
        several = {name for (_, name), count in alike.items() if count > 1}
        self._rows: dict[str, dict[_Key, Score]] = {path: {} for path in self._paths}
        for row in rows:
            dtype = row.dtype if _name(row) in several else None
            self._rows[row.checkpoint][*_name(row), dtype] = row

    def one_by_one(self) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
        """Return the changes from the reference to each of the others."""
        rows: list[Change] = []
        summary: list[Change] = []
        for i, path in enumerate(self._paths[1:], start=1):
            pairs = list(self._matched([self._paths[0], path]))
            same = self._unchanged(0, i)
            without = self._left_out(pairs, [0, i], [same])
            rows += [
                replace(
                    change_between(a, b),
                    unchanged_share=_share(same, [(a, b)]),
                    left_out=without.get((a.spec, a.tensor)),
                )
                for a, b in pairs
            ]
            summed = [pair for pair in pairs if (pair[0].spec, pair[0].tensor) not in without]
            for a, b in self._wholes(summed):
                members = [(c, d) for c, d in summed if c.spec == a.spec and _ok((c, d))]
                whole = ranges_without_one(change_between(a, b), members)
                summary.append(replace(whole, unchanged_share=_share(same, members)))
        return tuple(rows), tuple(summary)

    def over_runs(self, *, paired: bool) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
        """Return the mean changes from the runs of one side to those of the other."""
        matched = list(self._matched(self._paths))
        n = self._n_references
        without = self._left_out(matched, range(len(self._paths)))
        rows = [
            replace(
                change_over_runs(m[:n], m[n:], paired=paired),
                left_out=without.get((m[0].spec, m[0].tensor)),
            )
            for m in matched
        ]
        summed = [m for m in matched if (m[0].spec, m[0].tensor) not in without]
        summary = [change_over_runs(m[:n], m[n:], paired=paired) for m in self._wholes(summed)]
        return tuple(rows), tuple(summary)

    def _matched(self, paths: Sequence[str]) -> Iterator[tuple[Score, ...]]:
        """Yield the rows of one tensor and spec in each checkpoint, where all have it."""
        for key in self._rows[paths[0]]:
            found = [self._rows[path].get(key) for path in paths]
            if all(found):
                yield tuple(row for row in found if row)

    def _wholes(self, matched: Iterable[tuple[Score, ...]]) -> Iterator[tuple[Score, ...]]:
        """Yield the sums of each spec over the tensors that all sides could measure."""
        sides = list(zip(*(rows for rows in matched if _ok(rows)), strict=True))
        yield from zip(*(summarise(side) for side in sides), strict=True)

    def _left_out(
        self,
        matched: Sequence[tuple[Score, ...]],
        places: Sequence[int],
        same: Sequence[_Counts] | None = None,
    ) -> dict[tuple[str, str | None], str]:
        """Return by spec and tensor what is in no sum of specs that tell of arrangement, and why.

        What of all sides is not learned or a copy, and float tensors that are the same on all of
        them; nothing where that would be all that a spec measured.
        """
        arranged = [m for m in matched if m[0].tensor and _ok(m) and all(map(_shuffled, m))]
        if not arranged:
            return {}
        if same is None:
            same = [self._unchanged(places[0], i) for i in places[1:]]
        sides = [left_out(self._checkpoints[i]) for i in places]
        why: dict[str | None, str] = {
            name: reason
            for name, reason in sides[0].items()
            if all(name in side for side in sides[1:])
        }
        for row, *_ in arranged:
            key = row.scope, row.tensor, row.group, row.dtype
            is_float = self._checkpoints[places[0]][row.tensor or ""].dtype.is_float
            if is_float and all(counts.get(key) == row.n_weights for counts in same):
                why.setdefault(row.tensor, "the same on both sides")
        learned = {m[0].spec for m in arranged if m[0].tensor not in why}
        return {
            (m[0].spec, m[0].tensor): why[m[0].tensor]
            for m in arranged
            if m[0].tensor in why and m[0].spec in learned
        }

    def _unchanged(self, i: int, j: int) -> _Counts:
        found: _Counts = {}
        for key, tensor in self._units[j].items():
            before = self._units[i].get(key)
            count = unchanged(before, tensor, self._pool) if before else None
            if count is not None:
                found[key] = count
        return found


def _name(row: Score) -> tuple[str, str, str | None]:
    return row.spec, row.scope, row.tensor or row.group


def _ok(rows: Sequence[Score]) -> bool:
    return all(row.status == "ok" for row in rows)


def _shuffled(row: Score) -> bool:
    """Whether its order is told from its histogram."""
    return row.positional and row.control(SHUFFLE) is not None


def _share(same: _Counts, pairs: Sequence[tuple[Score, ...]]) -> float | None:
    """Return the share of weights that are stored alike, where that can be told for all."""
    keys = [(after.scope, after.tensor, after.group, after.dtype) for _, after in pairs]
    if not keys or not all(key in same for key in keys):
        return None
    n_weights = sum(after.n_weights for _, after in pairs)
    return sum(same[key] for key in keys) / n_weights if n_weights else None

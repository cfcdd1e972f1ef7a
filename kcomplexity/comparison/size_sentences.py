"""What two checkpoints need on disk: the smallest decodable codes of both, in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kcomplexity.results.records import CheckpointInfo, Score
from kcomplexity.scoring.headline import Needed, needed
from kcomplexity.text import human_bytes, of_weights, percent_change

_TARGET = 0.01


def size_sentences(
    infos: Sequence[CheckpointInfo], scores: Sequence[Score], reference: str, other: str
) -> list[str]:
    """Compare the smallest codes of both sides, at 1 % error and without loss."""
    sentences: list[str] = []
    shown = None
    # A container belongs to a whole file, not to the tensors compared, and a drawn initialisation
    # has none.
    by_path = {info.path: replace(info, n_container_bytes=0) for info in infos}
    for target in (None, _TARGET):
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

"""The records of a result: one measure, a report of many, and where the figures came from.

All are frozen dataclasses. What every result can do is in :mod:`kcomplexity.results.documents`.
Each has a JSON form that a JSON Schema in the package describes (``kcomplexity schema score``).
JSON has no NaN: null instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from kcomplexity.results.account import Account, StructureSummary, TileRatios
from kcomplexity.results.control_results import ControlResult
from kcomplexity.results.documents import Document
from kcomplexity.results.json_form import SCHEMA_VERSION, plain, rebuilt
from kcomplexity.text import about_row

Status = Literal["ok", "skipped", "failed"]


@dataclass(frozen=True, kw_only=True)
class Score:
    """One measured number with all that is needed to read it and to repeat it.

    Attributes
    ----------
    checkpoint : str
        The path as it was given.
    tensor : str or None
        Name; None for rows over several tensors.
    scope : {"tensor", "group", "model", "all"}
        What was measured as one; ``"all"`` sums rows (the summary).
    group : str or None
        The name with layer numbers as ``#``.
    dtype : str or None
        Stored dtype code; None when several are mixed.
    shape : tuple of int or None
    n_weights, n_bytes : int
    spec, estimator, view : str
        Canonical text; `view` is None for estimators that see the weights themselves.
    kind : {"code", "estimate", "statistic"}
    decodes : {"weights", "view"} or None
        What a decoder gets back; None if nothing can decode it.
    direction : str
        ``"lower = simpler"`` and the like.
    positional : bool
        Whether the value can change when values trade places.
    structure_part : str or None
        Which part of structure S the bits count, ``"context"`` or ``"low rank"``; None for others.
    target_mse : float or None
        The relative squared error that the spec asks for; None where it asks for none.
    status : {"ok", "skipped", "failed"}
    reason : str or None
        Why there is no value.
    value : float or None
        In `unit`.
    unit : str
    bits : float or None
        Of a code with its side information; None for statistics.
    bits_per_weight : float or None
    raw_bits : int
        Stored bits: the numerator of `ratio_raw_over_comp`.
    ratio_raw_over_comp : float or None
        Higher = smaller than stored.
    relative_mse : float or None
        Squared error over sum of squares, of lossy views.
    squared_error, sum_of_squares : float or None
        Its two parts, in squared weights.
    level_step : float or None
        Distance of two levels, in weights, of views with uniform levels.
    sampled_fraction : float
        1 when all weights were measured.
    in_sample : bool
        False if a sample of the checkpoint leaves this tensor out.
    se_bits : float or None
        Standard error of `bits` over the sampled cuts; None when nothing was sampled.
    n_ignored : int
        Weights that the definition leaves out.
    n_blocks, n_codes_seen : int or None
    saturated : bool or None
        Whether blocks so outnumber codes that the value is blind.
    n_tensors : int or None
        How many tensors a sum is over; None for single rows.
    largest_tensor : str or None
        Name of the largest tensor, where several are measured as one.
    largest_tensor_weights : int or None
        Its number of weights.
    side_of : str or None
        Of scales and zero points, the tensor of codes that they belong to: their bits count, but
        they are no weights.
    left_out : str or None
        Why structure S leaves this tensor out; None where it counts.
    saving : float or None
        The tensor's own S, in rows of the context code that S rests on.
    structure : StructureSummary or None
        S of the checkpoint, in the sum of that code.
    account : Account or None
        Where the bits come from, for codes that take them apart.
    stream_bits : dict of str to float or None
        Bits of each named stream of the view.
    tiles : TileRatios or None
        Ratios tile by tile, where a map was asked for.
    details : dict
        What else the estimator and the view report; nothing else depends on it.
    controls : tuple of ControlResult
        At most one of a kind: see :meth:`control`.
    cached : bool
    seconds : float
        This row's share of the time its tensor took.
    """

    checkpoint: str
    tensor: str | None
    scope: str
    group: str | None
    dtype: str | None
    shape: tuple[int, ...] | None
    n_weights: int
    n_bytes: int
    spec: str
    estimator: str
    view: str | None
    kind: str
    decodes: str | None
    direction: str
    positional: bool
    status: Status
    structure_part: str | None = None
    target_mse: float | None = None
    reason: str | None = None
    value: float | None = None
    unit: str = "bits"
    bits: float | None = None
    bits_per_weight: float | None = None
    raw_bits: int = 0
    ratio_raw_over_comp: float | None = None
    relative_mse: float | None = None
    squared_error: float | None = None
    sum_of_squares: float | None = None
    level_step: float | None = None
    sampled_fraction: float = 1.0
    in_sample: bool = True
    se_bits: float | None = None
    n_ignored: int = 0
    n_blocks: int | None = None
    n_codes_seen: int | None = None
    saturated: bool | None = None
    n_tensors: int | None = None
    largest_tensor: str | None = None
    largest_tensor_weights: int | None = None
    side_of: str | None = None
    left_out: str | None = None
    saving: float | None = None
    structure: StructureSummary | None = None
    account: Account | None = None
    stream_bits: dict[str, float] | None = None
    tiles: TileRatios | None = None
    details: dict[str, Any] = field(default_factory=dict)
    controls: tuple[ControlResult, ...] = ()
    cached: bool = False
    seconds: float = 0.0

    @property
    def label(self) -> str:
        """What the row is about, for a reader: the tensor, the group, or all of them."""
        return about_row(self.tensor, self.group, self.dtype)

    @property
    def largest(self) -> tuple[str, int]:
        """The largest tensor of the row, which may be over several: name and weights."""
        if self.largest_tensor is None or self.largest_tensor_weights is None:
            return self.label, self.n_weights
        return self.largest_tensor, self.largest_tensor_weights

    def control(self, kind: str) -> ControlResult | None:
        """Return the comparison with a control, e.g. ``"shuffle"``; None if it has none."""
        return next((control for control in self.controls if control.kind == kind), None)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        record: dict[str, Any] = plain(self)
        return record

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Score:
        """Rebuild a score from its JSON form; unknown keys of a later version are left out."""
        return rebuilt(cls, record)


@dataclass(frozen=True, kw_only=True)
class CheckpointInfo:
    """What was read: enough to find the same file again.

    Attributes
    ----------
    n_tensors, n_weights, n_bytes : int
        Of the selected tensors; stored bytes, without the container.
    n_container_bytes : int
        Bytes of the files that hold no tensor.
    notes : tuple of str
        Odd things a reader should know.
    """

    path: str
    format: str
    fingerprint: str
    n_tensors: int
    n_weights: int
    n_bytes: int
    n_container_bytes: int
    metadata: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """How the figures were made.

    ``started``, ``seconds`` and ``threads`` alone may differ between two runs of the same figures.
    """

    version: str
    command: str
    python: str
    platform: str
    libraries: dict[str, str]
    seed: int
    threads: int
    started: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Report(Document):
    """Scores of one or more checkpoints, their sums, and where they came from.

    Attributes
    ----------
    provenance : Provenance
    checkpoints : tuple of CheckpointInfo
    headline : tuple of str
        The figures in sentences, one checkpoint after the other.
    rows : tuple of Score
        In the order of tensors, then specs. A tensor that could not be measured has rows too.
    summary : tuple of Score
        One row per checkpoint and spec over the measured tensors; bits are sums.
    """

    provenance: Provenance
    checkpoints: tuple[CheckpointInfo, ...]
    headline: tuple[str, ...] = ()
    rows: tuple[Score, ...]
    summary: tuple[Score, ...]
    schema_version: int = SCHEMA_VERSION

    kind: ClassVar[str] = "score"

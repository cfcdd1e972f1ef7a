"""The records of a result: one measure, a report of many, and where the figures came from.

All are frozen dataclasses. :class:`Document` is the base of every result that has rows - a report
of scores here, a comparison and a series in their own packages - and knows how one is saved, shown
and drawn. Each has a JSON form that a JSON Schema in the package describes (``kcomplexity schema
score``). JSON has no NaN: null instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from kcomplexity.errors import ResultError, SpecError
from kcomplexity.files.atomic import write_atomically
from kcomplexity.results.account import Account, StructureSummary, TileRatios
from kcomplexity.results.control_results import ControlResult
from kcomplexity.results.rebuilding import record_of
from kcomplexity.text import about_row, json_text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from kcomplexity.report.tables import Table

__all__ = [
    "SCHEMA_VERSION",
    "CheckpointInfo",
    "Document",
    "JsonRecord",
    "Provenance",
    "Report",
    "Score",
    "Status",
    "plain",
    "versioned",
]

#: Rises only on a breaking change; readers accept older ones.
SCHEMA_VERSION = 1

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
        """Return what the bits are beside a control, e.g. ``"shuffle"``; None if it has none."""
        return next((control for control in self.controls if control.kind == kind), None)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        record: dict[str, Any] = plain(self)
        return record

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Score:
        """Rebuild a score from its JSON form; unknown keys of a later version are left out."""
        known = {f.name for f in fields(cls)}
        values = {key: value for key, value in record.items() if key in known}
        values["shape"] = None if values.get("shape") is None else tuple(values["shape"])
        values["controls"] = tuple(map(ControlResult.from_dict, values.get("controls", ())))
        for key, kind in (
            ("account", Account),
            ("structure", StructureSummary),
            ("tiles", TileRatios),
        ):
            if values.get(key) is not None:
                values[key] = kind(**values[key])
        return cls(**values)


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


class JsonRecord:
    """Base of the frozen dataclasses that are a JSON document of their own."""

    schema_version: int

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, which ``kcomplexity schema`` describes."""
        return versioned(self)

    def save(self, path: str | Path) -> None:
        """Write the JSON document whole, or not at all.

        Raises
        ------
        SpecError
            If `path` does not end in .json.
        OutputError
            If it cannot be written; an older file is left as it was.
        """
        if Path(path).suffix.lower() != ".json":
            raise SpecError(f"{path}: expected a name that ends in .json")
        write_atomically(Path(path), f"{json_text(self.to_dict())}\n".encode())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a result of this kind that was saved as JSON.

        Raises
        ------
        ResultError
            If the file cannot be read, or holds a result of another kind.
        """
        from kcomplexity.report.reading import read_result

        try:
            return record_of(cls, read_result(path))
        except (TypeError, ValueError, LookupError) as error:
            raise ResultError(
                f"{path} is not the JSON of a {cls.__name__}: {error}; check which command wrote it"
            ) from error


class Document(JsonRecord):
    """Base of the results that have rows: saved in several formats, shown and drawn.

    A result is a frozen dataclass with this base, `provenance`, `headline` and `rows`.

    Attributes
    ----------
    parts : tuple of str
        Its fields in the order of its JSON form; empty if that is their own order.
    row_type : type
        The record that its rows are: the columns of a table.
    """

    parts: ClassVar[tuple[str, ...]] = ()
    row_type: ClassVar[type[Any]]
    provenance: Provenance

    if TYPE_CHECKING:

        @property
        def rows(self) -> Sequence[Any]:
            """One measure a row, of type `row_type`."""

        @property
        def headline(self) -> tuple[str, ...]:
            """The figures in sentences."""

    def tables(self) -> list[Table]:
        """Return what a page shows, the most important table first."""
        from kcomplexity.report.page_tables import text_tables

        return text_tables(self.to_dict())

    def whole_tables(self) -> list[Table]:
        """Return what a notebook shows."""
        return self.tables()[:1]

    def remarks(self) -> list[str]:
        """Return what a reader has to know beside the tables, one line each."""
        return []

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, which ``kcomplexity schema`` describes."""
        if not self.parts:
            return versioned(self)
        parts = {name: plain(getattr(self, name)) for name in self.parts}
        return {"schema_version": self.schema_version} | parts

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a long-form data frame, one measure a row.

        Raises
        ------
        SpecError
            Without pandas, which is the extra ``kcomplexity[pandas]``.
        """
        try:
            import pandas as pd
        except ImportError:
            raise SpecError(
                "a data frame needs pandas: pip install 'kcomplexity[pandas]', or use to_dict()"
            ) from None
        return pd.DataFrame([plain(row) for row in self.rows])

    def save(self, path: str | Path, *, kind: str | None = None) -> None:
        """Write the result whole, or not at all; the ending of `path` chooses the format.

        Parameters
        ----------
        path : str or path
        kind : str, optional
            json, jsonl, csv, md or parquet, where the ending does not say.

        Raises
        ------
        OutputError
            If it cannot be written; an older file is left as it was.
        """
        from kcomplexity.report import save

        save(self, Path(path), kind)

    def plot(self, kind: str, ax: Axes | None = None) -> Axes:
        """Draw one figure of the report.

        Parameters
        ----------
        kind : str
            A name that ``kcomplexity plot RESULT --list`` tells, e.g. ``"bits"``.
        ax : matplotlib Axes, optional
            Where to draw; a new figure unless given.

        Returns
        -------
        matplotlib Axes
            The first picture of that kind, to change or to save.

        Raises
        ------
        SpecError
            If there is no such figure.
        ResultError
            If the report has nothing for it; the message says what it needs.
        """
        from kcomplexity.report.figures.canvas import draw_on

        return draw_on(self.to_dict(), kind, ax)

    def _repr_html_(self) -> str:
        from kcomplexity.report.notebook import summary_html

        return summary_html(self)


@dataclass(frozen=True, kw_only=True)
class Report(Document):
    """Scores of one or more checkpoints, their sums, and where they came from.

    Attributes
    ----------
    provenance : Provenance
    checkpoints : tuple of CheckpointInfo
    rows : tuple of Score
        In the order of tensors, then specs. A tensor that could not be measured has rows too.
    summary : tuple of Score
        One row per checkpoint and spec over the measured tensors; bits are sums.
    headline : tuple of str
        The figures in sentences, one checkpoint after the other.
    """

    provenance: Provenance
    checkpoints: tuple[CheckpointInfo, ...]
    rows: tuple[Score, ...]
    summary: tuple[Score, ...]
    headline: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION

    parts: ClassVar[tuple[str, ...]] = ("provenance", "checkpoints", "headline", "rows", "summary")
    row_type: ClassVar[type[Any]] = Score

    def tables(self) -> list[Table]:
        """Return the whole, the simplest and most complex tensors, and every row."""
        from kcomplexity.report.tables import extremes, full_table

        several = len(self.checkpoints) > 1
        most = [] if several else extremes(self.rows)
        return [*self.whole_tables(), *most, full_table(self)]

    def whole_tables(self) -> list[Table]:
        """Return the whole, in bits and in statistics."""
        from kcomplexity.report.tables import summary_tables

        return summary_tables(self)

    def remarks(self) -> list[str]:
        """Return why rows were skipped or failed."""
        from kcomplexity.report.tables import problems

        return problems(self.rows)


def plain(value: Any) -> Any:
    """Return a record as JSON values: dicts, lists, strings, numbers, no NaN."""
    if hasattr(value, "__dataclass_fields__"):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    item: Callable[[], Any] | None = getattr(value, "item", None)
    return plain(item()) if item is not None else value  # a NumPy scalar


def versioned(record: Any) -> dict[str, Any]:
    """Return a whole result as its JSON document, which opens with the version of its schema."""
    found: dict[str, Any] = plain(record)
    return {"schema_version": found.pop("schema_version")} | found

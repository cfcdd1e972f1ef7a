"""``kcomplexity sweep``: rate against distortion for every lossy coding."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from kcomplexity_cli.ending import end_by_rows
from kcomplexity_cli.lossy_options import lossy_options
from kcomplexity_cli.plot import draw_into
from kcomplexity_cli.repeatable import Repeatable, command_text
from kcomplexity_cli.types import Commas, OutputFile, completed_from

if TYPE_CHECKING:
    from kcomplexity.mosaics.selection import Selecting
    from kcomplexity.report.tables import Table
    from kcomplexity.sweeps.sweep import SweepReport

__all__ = ["sweep"]

_NUMBERS = Commas(float, "numbers with commas, e.g. 0.1,0.2")
_NAMES = Commas(str, "names with commas between them")


def _codings() -> Iterable[str]:
    from kcomplexity.codings import CODINGS

    return CODINGS


@click.command(
    cls=Repeatable,
    epilog="""\b
Examples:
  kcomplexity sweep model.safetensors
  kcomplexity sweep model.safetensors --codings ecvq,scalar --errors 0.05,0.1,0.2
  kcomplexity sweep model.safetensors --eval 'python evaluate.py {checkpoint}' -o sweep.json
  kcomplexity sweep model.safetensors --eval 'python loss.py {checkpoint}' --eval-direction lower
""",
)
@click.argument("checkpoint")
@click.option(
    "--codings",
    type=_NAMES,
    default=None,
    metavar="NAME,...",
    shell_complete=completed_from(_codings),
    help="Which codings compete.  [default: ecvq,kmeans,sample,scalar,prune,low-rank, and those of "
    "plug-ins]",
)
@click.option(
    "--errors",
    type=_NUMBERS,
    default="0.01,0.03,0.1,0.2,0.3,0.5",
    show_default=True,
    metavar="E,...",
    help="Relative squared errors that ecvq and scalar aim at.",
)
@click.option(
    "--capacities",
    type=_NUMBERS,
    default="0.0003,0.001,0.003,0.01,0.03",
    show_default=True,
    metavar="C,...",
    help="Motifs of sample and kmeans, as a share of the blocks.",
)
@click.option(
    "-s",
    "--block-size",
    "block_sizes",
    type=Commas(str, "block sizes with commas, e.g. 4,2x2"),
    default="4",
    show_default=True,
    metavar="S,...",
    help="Of the mosaics.",
)
@click.option(
    "--eval",
    "eval_command",
    default=None,
    metavar="CMD",
    help="Run on each expanded checkpoint ({checkpoint}); its last printed number is kept.",
)
@click.option(
    "--eval-direction",
    type=click.Choice(["higher", "lower"]),
    default="higher",
    show_default=True,
    help="Which end of that number is better: lower for a loss.",
)
@click.option(
    "--eval-timeout", default=600.0, show_default=True, help="Seconds an evaluation may take."
)
@click.option(
    "-o",
    "--output",
    type=OutputFile(".json", ".csv"),
    default=None,
    metavar="FILE",
    help="Write the JSON document, or the points as CSV.",
)
@lossy_options
def sweep(
    checkpoint: str,
    *,
    codings: tuple[str, ...] | None,
    errors: tuple[float, ...],
    capacities: tuple[float, ...],
    block_sizes: tuple[str, ...],
    eval_command: str | None,
    eval_direction: Literal["higher", "lower"],
    eval_timeout: float,
    output: Path | None,
    selecting: Selecting,
    seed: int,
    threads: int | None,
    quiet: bool,
    as_json: bool,
    plots: Path | None,
) -> None:
    """Draw bits against error: mosaics, scalar quantisers, pruning and low rank on one footing.

    Every point is a stream that was really written, side information included. The Pareto front is
    marked; the bits that weights of one Gaussian variance need are printed for reference. With
    --eval, your own measure of each decoded checkpoint is printed too.
    """
    from kcomplexity.sweeps.sweep import open_sweep, run_sweep
    from kcomplexity_cli.terminal import note, print_json, print_table, progress_display

    with open_sweep(
        checkpoint,
        output=output,
        codings=codings,
        errors=errors,
        capacities=capacities,
        block_sizes=block_sizes,
        eval_command=eval_command,
        eval_direction=eval_direction,
        timeout=eval_timeout,
        seed=seed,
        **selecting,
    ) as plan:
        for text in () if quiet else plan.notes:
            note(text)
        with progress_display(quiet) as progress:
            report = run_sweep(plan, threads=threads, progress=progress, command=command_text())
    if output:
        report.save(output)
    if as_json:
        print_json(report.to_dict())
    else:
        print_table(_table(report), everything=True)
    if plots:
        draw_into(plots, report.to_dict(), quiet=as_json)
    end_by_rows(
        len(report.points),
        n_measured=sum(point.bits is not None for point in report.points),
        n_failed=sum(point.status == "failed" for point in report.points),
    )


def _table(report: SweepReport) -> Table:
    from kcomplexity.report.tables import Table
    from kcomplexity.sweeps.sweep import gaussian_bits
    from kcomplexity.text import printable, shorten

    evaluated = report.eval_command is not None
    measured = sorted(report.points, key=lambda p: (p.bits is None, p.bits or 0.0))
    rows = []
    for point in measured:
        setting = " ".join(
            f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"
            for key, value in point.setting.items()
        )
        if point.bits_per_weight is None or point.relative_mse is None:
            cells = ("", "", "", "")
        else:
            bound = gaussian_bits(point.relative_mse) if point.relative_mse else None
            cells = (
                f"{point.bits_per_weight:.4f}",
                f"{point.relative_mse:.4g}",
                f"{bound:.3f}" if bound is not None else "",
                "front" if point.on_front else "",
            )
        metric = f"{point.metric:g}" if point.metric is not None else ""
        tail = (metric,) if evaluated else ()
        reason = shorten(printable(point.reason), 60) if point.reason else ""
        rows.append((point.coding, setting, *cells, *tail, reason))
    columns: tuple[str, ...] = ("coding", "setting", "bits/weight", "error", "Gaussian", "")
    columns += ("metric",) if evaluated else ()
    return Table(
        "bits against error: lower = better in both; Gaussian: what weights of one Gaussian "
        "variance need at that error",
        (*columns, ""),
        tuple(rows),
        frozenset({2, 3, 4}),
    )

"""``kcomplexity demo``: figures from nothing, of a small network before and after training."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kcomplexity_cli.options import json_option
from kcomplexity_cli.repeatable import Repeatable, command_text

if TYPE_CHECKING:
    from kcomplexity.report.table import Table
    from kcomplexity.results.records import CheckpointInfo, Report, Score

_KINDS = ("lossless", "lossy", "estimate", "statistic")
#: In addition to the default panel: size at an equal, larger error, and where order shows.
_EXTRA = ("entropy:two-part@rd0.1", "zstd:9@rd0.1", "zstd:9@sign")
_CONTROL = "shuffle:19"
_WIDTH = 100
_NEXT = """
What to type next:
  kcomplexity score MODEL.safetensors   the same for a file of yours
  kcomplexity demo --calibrate          what each measure sees, where the answer is known
  kcomplexity estimators                every measure there is
These two files lie in """


@click.command(
    cls=Repeatable,
    epilog="""\b
Examples:
  kcomplexity demo
  kcomplexity demo --calibrate
  kcomplexity demo --json > demo.json
""",
)
@click.option(
    "--calibrate",
    "calibrating",
    is_flag=True,
    help="Score made tensors with known answers instead: what each measure sees.",
)
@json_option
@click.option("-q", "--quiet", is_flag=True, help="Only the figures, no explanations.")
def demo(calibrating: bool, as_json: bool, quiet: bool) -> None:
    """Score a small network before and after training; both files come with the package."""
    if calibrating:
        from kcomplexity_cli.known_answers import show_known_answers

        show_known_answers(as_json=as_json, quiet=quiet)
    else:
        _score_pair(as_json=as_json, quiet=quiet)


def _score_pair(*, as_json: bool, quiet: bool) -> None:
    from kcomplexity.samples import sample_paths
    from kcomplexity.scoring.panels import panel
    from kcomplexity.scoring.score import score
    from kcomplexity.text import printable
    from kcomplexity_cli.terminal import print_json, print_table

    report = score(
        list(sample_paths()),
        specs=(*panel("default").specs, *_EXTRA),
        controls=[_CONTROL],
        command=command_text(),
    )
    if as_json:
        print_json(report.to_dict())
        return
    if not quiet:
        _show_network(report.checkpoints)
    for info in report.checkpoints:
        _show_headline(report, info)
    click.echo()
    for table in _side_by_side(report):
        print_table(table)
    if not quiet:
        for text in _reading(report):
            _echo("* ", text)
        click.echo(_NEXT + printable(Path(report.checkpoints[-1].path).parent))


def _show_network(infos: Sequence[CheckpointInfo]) -> None:
    from kcomplexity.text import human_bytes, plural

    before, after = (float(info.metadata["held_out_accuracy"]) for info in infos)
    trained = infos[-1]
    facts = trained.metadata
    weights = plural(trained.n_weights, "weight")
    tensors = plural(trained.n_tensors, "tensor")
    size = f"{weights} in {tensors}, {human_bytes(trained.n_bytes)}"
    click.echo("One small network, as it was initialised and as it was trained:")
    _echo("  network   ", f"{facts['architecture']}; {size}")
    _echo("  data set  ", facts["data_set"])
    _echo("  training  ", f"{facts['epochs']} epochs, {facts['optimiser']}")
    _echo("  accuracy  ", f"{before:.1%} before, {after:.1%} after, on held-out images")
    click.echo()


def _show_headline(report: Report, info: CheckpointInfo) -> None:
    """Print the sentences about one file, which name it once and without its folder.

    Those about order are left out: they are a column of the table.
    """
    from kcomplexity.text import shorten

    click.echo(f"{Path(info.path).name}:")
    specs = {row.spec for row in report.summary}
    start = f"{shorten(info.path, 60)}: "
    for sentence in report.headline:
        text = sentence.removeprefix(start)
        if text != sentence and text.partition(": ")[0] not in specs:
            _echo("  ", text)


def _pairs(report: Report) -> list[tuple[Score, Score]]:
    """Return the sums of each spec, before and after."""
    before, after = (
        {row.spec: row for row in report.summary if row.checkpoint == info.path}
        for info in report.checkpoints
    )
    return [(row, after[spec]) for spec, row in before.items() if spec in after]


def _side_by_side(report: Report) -> tuple[Table, Table]:
    """Return bits, then statistics: each spec in one line, before and after."""
    from kcomplexity.report.table import Table, columns

    bit_rows, statistic_rows = [], []
    for a, b in sorted(_pairs(report), key=lambda pair: _KINDS.index(_kind(pair[0]))):
        change = _change(a.value, b.value)
        if a.bits is None:
            statistic_rows.append((a.spec, f"{a.value:.4g}", f"{b.value:.4g}", change, a.direction))
            continue
        figures = (f"{row.bits_per_weight:.3f}" for row in (a, b))
        error = _both(a.relative_mse, b.relative_mse, "{:.2%}").replace("%", "")
        order = _both(_of_control(a), _of_control(b), "{:.3f}")
        bit_rows.append((a.spec, _kind(a), *figures, change, error, order))
    names = ("spec", "what", "init", "trained", "change", "error %", "of shuffled")
    return (
        Table(
            "bits/weight, side information included: lower = simpler",
            columns(*names, numeric=range(2, 7)),
            tuple(bit_rows),
        ),
        Table(
            "statistics",
            columns("spec", "init", "trained", "change", "direction", numeric={1, 2, 3}),
            tuple(statistic_rows),
        ),
    )


def _kind(row: Score) -> str:
    if row.kind != "code":
        return row.kind
    return "lossless" if row.decodes == "weights" else "lossy"


def _change(before: float | None, after: float | None) -> str:
    from kcomplexity.text import percent_change

    return percent_change(after / before - 1) if before and after is not None else ""


def _both(before: float | None, after: float | None, form: str) -> str:
    if before is None or after is None:
        return ""
    return f"{form.format(before)}->{form.format(after)}"


def _of_control(row: Score) -> float | None:
    """Return bits over those of the same weights shuffled; None for measures that see no order."""
    from kcomplexity.results.control_results import SHUFFLE

    control = row.control(SHUFFLE)
    return control.ratio if control else None


def _reading(report: Report) -> list[str]:
    """Return what the figures say, and no more than that, in paragraphs."""
    pairs = {a.spec: (a, b) for a, b in _pairs(report)}
    levels = pairs["zstd:9@q4"]
    before, after = (_of_control(row) for row in pairs["zstd:9@rd0.1"])
    control = pairs["zstd:9@rd0.1"][1].controls[0]
    share = pairs["bdm2d@sign"][1].n_weights / report.checkpoints[-1].n_weights
    return f"""\
Stored bytes: without loss the trained weights need {_words(pairs["zstd@bytes/planes"])}
(zstd@bytes/planes). Most of the stored bits are noise that no code here can shorten, before
training and after.

Equal error: compared with the initial weights the trained ones need
{_words(pairs["entropy:two-part@rd0.01"])} at a squared weight error of 1%,
{_words(pairs["entropy:two-part@rd0.1"])} at 10% (entropy:two-part). zstd:9@q4 says
{_change(levels[0].value, levels[1].value)}, but at {_times(levels)} times the error: compare bits
where the error is the same.

Order: the initial weights need {before:.3f} of the bits of the same weights shuffled, the trained
ones {after:.3f} (zstd:9@rd0.1, below {control.n_lower} of {control.n} shuffles). Training arranged
the weights; on images that is in part the layout of the pixels.

Estimates are not sizes: nothing decodes them. BDM and QuBD see matrices alone, {share:.0%} of the
weights here.

This describes these two files; training runs vary.""".split("\n\n")


def _words(pair: tuple[Score, Score]) -> str:
    """Say how bits changed; a difference below half a percent counts as none."""
    a, b = pair
    change = b.bits / a.bits - 1 if a.bits and b.bits else 0.0
    if abs(change) < 0.005:
        return "as many bits"
    return f"{abs(change):.1%} {'more' if change > 0 else 'fewer'} bits"


def _times(pair: tuple[Score, Score]) -> str:
    a, b = pair
    return f"{b.relative_mse / a.relative_mse:.0f}" if a.relative_mse and b.relative_mse else "?"


def _echo(start: str, text: str) -> None:
    """Print a text in lines that begin under each other, after `start` on the first."""
    indent = " " * len(start)
    click.echo(textwrap.fill(text, _WIDTH, initial_indent=start, subsequent_indent=indent))

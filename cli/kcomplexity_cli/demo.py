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

#: In addition to the default panel: size at an equal, larger error, and where order shows.
_EXTRA = ("entropy:two-part@rd0.1", "zstd:9@rd0.1", "zstd:9@sign")
_CONTROL = "shuffle:19"
_WIDTH = 100


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
        click.echo("\n".join(_what_they_are(report.checkpoints)) + "\n")
    for info in report.checkpoints:
        click.echo("\n".join(_headline(report, info)))
    click.echo()
    for table in _side_by_side(report):
        print_table(table)
    if not quiet:
        click.echo("\n".join(_reading(report)) + "\n")
        click.echo("\n".join(_what_next(report.checkpoints[-1].path)))


def _what_they_are(infos: Sequence[CheckpointInfo]) -> list[str]:
    from kcomplexity.text import human_bytes, plural

    before, after = (float(info.metadata["held_out_accuracy"]) for info in infos)
    trained = infos[-1]
    facts = trained.metadata
    size = (
        f"{plural(trained.n_weights, 'weight')} in {plural(trained.n_tensors, 'tensor')}, "
        f"{human_bytes(trained.n_bytes)}"
    )
    lines = {
        "network": f"{facts['architecture']}; {size}",
        "data set": facts["data_set"],
        "training": f"{facts['epochs']} epochs, {facts['optimiser']}",
        "accuracy": f"{before:.1%} before, {after:.1%} after, on held-out images",
    }
    return [
        "One small network, as it was initialised and as it was trained:",
        *(line for name, text in lines.items() for line in _wrapped(f"  {name:<10}", text)),
    ]


def _headline(report: Report, info: CheckpointInfo) -> list[str]:
    """Return the sentences about one file, which name it once and without its folder.

    Those about order are left out: they are a column of the table.
    """
    from kcomplexity.text import shorten

    start = f"{shorten(info.path, 60)}: "
    own = [s.removeprefix(start) for s in report.headline if s.startswith(start)]
    specs = {row.spec for row in report.summary}
    sentences = [sentence for sentence in own if sentence.partition(": ")[0] not in specs]
    return [
        f"{Path(info.path).name}:",
        *(line for sentence in sentences for line in _wrapped("  ", sentence)),
    ]


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

    pairs = _pairs(report)
    order = ("lossless", "lossy", "estimate")
    bits = sorted(
        (p for p in pairs if p[0].bits is not None), key=lambda p: order.index(_kind(p[0]))
    )
    bit_rows = tuple(
        (
            a.spec,
            _kind(a),
            f"{a.bits_per_weight:.3f}",
            f"{b.bits_per_weight:.3f}",
            _change(a.value, b.value),
            _both(a.relative_mse, b.relative_mse, "{:.2f}", 100),
            _both(_of_control(a), _of_control(b), "{:.3f}"),
        )
        for a, b in bits
    )
    statistic_rows = tuple(
        (a.spec, f"{a.value:.4g}", f"{b.value:.4g}", _change(a.value, b.value), a.direction)
        for a, b in pairs
        if a.bits is None
    )
    names = ("spec", "what", "init", "trained", "change", "error %", "of shuffled")
    return (
        Table(
            "bits/weight, side information included: lower = simpler",
            columns(*names, numeric=range(2, 7)),
            bit_rows,
        ),
        Table(
            "statistics",
            columns("spec", "init", "trained", "change", "direction", numeric={1, 2, 3}),
            statistic_rows,
        ),
    )


def _kind(row: Score) -> str:
    if row.kind != "code":
        return row.kind
    return "lossless" if row.decodes == "weights" else "lossy"


def _change(before: float | None, after: float | None) -> str:
    if not before or after is None:
        return ""
    change = round(after / before - 1, 3)
    return f"{change:+.1%}" if change else "0.0%"


def _both(before: float | None, after: float | None, form: str, scale: float = 1) -> str:
    if before is None or after is None:
        return ""
    return f"{form.format(before * scale)}->{form.format(after * scale)}"


def _of_control(row: Score) -> float | None:
    """Return bits over those of the same weights shuffled; None for measures that see no order."""
    from kcomplexity.results.control_results import SHUFFLE

    control = row.control(SHUFFLE)
    return control.ratio if control else None


def _reading(report: Report) -> list[str]:
    """Return what the figures say, and no more than that."""
    pairs = {a.spec: (a, b) for a, b in _pairs(report)}
    levels, ordered = pairs["zstd:9@q4"], pairs["zstd:9@rd0.1"]
    bdm = pairs["bdm2d@sign"]
    control = ordered[1].controls[0]
    share = bdm[1].n_weights / report.checkpoints[-1].n_weights
    stored = (
        f"Stored bytes: without loss the trained weights need {_words(pairs['zstd@bytes/planes'])} "
        "(zstd@bytes/planes). Most of the stored bits are noise that no code here can shorten, "
        "before training and after."
    )
    equal_error = (
        "Equal error: compared with the initial weights the trained ones need "
        f"{_words(pairs['entropy:two-part@rd0.01'])} at a squared weight error of 1%, "
        f"{_words(pairs['entropy:two-part@rd0.1'])} at 10% (entropy:two-part). "
        f"zstd:9@q4 says {_change(levels[0].value, levels[1].value)}, but at {_times(levels)} "
        "times the error: compare bits where the error is the same."
    )
    order = (
        f"Order: the initial weights need {_of_control(ordered[0]):.3f} of the bits of the same "
        f"weights shuffled, the trained ones {_of_control(ordered[1]):.3f} (zstd:9@rd0.1, below "
        f"{control.n_lower} of {control.n} shuffles). Training arranged the weights; on "
        "images that is in part the layout of the pixels."
    )
    estimates = (
        "Estimates are not sizes: nothing decodes them. BDM and QuBD see matrices alone, "
        f"{share:.0%} of the weights here."
    )
    runs = "This describes these two files; training runs vary."
    return [
        line
        for text in (stored, equal_error, order, estimates, runs)
        for line in _wrapped("* ", text)
    ]


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


def _what_next(path: str) -> list[str]:
    from kcomplexity.text import printable

    return [
        "What to type next:",
        "  kcomplexity score MODEL.safetensors   the same for a file of yours",
        "  kcomplexity demo --calibrate          what each measure sees, where the answer is known",
        "  kcomplexity estimators                every measure there is",
        f"These two files lie in {printable(Path(path).parent)}",
    ]


def _wrapped(start: str, text: str) -> list[str]:
    """Wrap a text to lines that begin under each other, after `start` on the first."""
    return textwrap.wrap(text, _WIDTH, initial_indent=start, subsequent_indent=" " * len(start))

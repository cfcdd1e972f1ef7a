"""What the lossy codings share, ``fit`` and ``sweep``: their options, and what they are given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kcomplexity_cli.options import json_option, quiet_option, threads_option

if TYPE_CHECKING:
    from kcomplexity.mosaics.selection import Selection
    from kcomplexity.tensors.checkpoint import Checkpoint

__all__ = ["coding_options", "opened_to_code"]

F = TypeVar("F", bound=Callable[..., Any])


def coding_options(command: F) -> F:
    """Which tensors are coded, and how that runs."""
    for option in (
        json_option,
        quiet_option,
        threads_option,
        click.option("--seed", default=0, show_default=True, help="Of what is drawn at random."),
        click.option(
            "--skip-nonfinite", is_flag=True, help="Keep tensors with NaN or Inf as they are."
        ),
        click.option("--all-tensors", is_flag=True, help="Code vectors too, not only matrices."),
    ):
        command = option(command)
    return command


@contextmanager
def opened_to_code(
    checkpoint: str, options: Mapping[str, Any]
) -> Iterator[tuple[Checkpoint, Selection]]:
    """Open a checkpoint and choose the tensors to code, once the output is known to be possible.

    Parameters
    ----------
    checkpoint : str
    options : mapping
        Those of :func:`coding_options` and of the selection, and ``output``.
    """
    from kcomplexity.containers.dense import refuse_input
    from kcomplexity.files.atomic import check_writable
    from kcomplexity.loaders import open_checkpoint
    from kcomplexity.mosaics.selection import select_fitted
    from kcomplexity_cli.terminal import note

    with open_checkpoint(
        checkpoint,
        dtypes=dict(options["dtypes"]),
        root=options["root"],
        dequantize=options["dequantize"],
    ) as source:
        if options["output"]:
            refuse_input(options["output"], source)
            check_writable(options["output"])
        selection = select_fitted(
            source,
            options["include"],
            options["exclude"],
            all_tensors=options["all_tensors"],
            skip_nonfinite=options["skip_nonfinite"],
        )
        if not options["quiet"]:
            for text in (*source.notes, *selection.notes):
                note(text)
        yield source, selection

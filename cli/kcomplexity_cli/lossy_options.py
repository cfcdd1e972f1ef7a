"""Options of the commands that code tensors with loss, ``fit`` and ``sweep``."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, cast

import click

from kcomplexity_cli.options import (
    json_option,
    plot_option,
    quiet_option,
    selection_options,
    threads_option,
)

if TYPE_CHECKING:
    from kcomplexity.mosaics.selection import Selecting


def lossy_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that select tensors and say how the work is done.

    The command takes ``selecting``, a :class:`~kcomplexity.mosaics.selection.Selecting` to unpack
    into the library's function, and ``seed``, ``threads``, ``quiet``, ``as_json`` and ``plots``.
    """

    @wraps(command)
    def with_selecting(**values: Any) -> None:
        own = {name: values.pop(name) for name in ("all_tensors", "skip_nonfinite")}
        selecting = cast("Selecting", values.pop("reading") | own)
        command(**values, selecting=selecting)

    decorated: Callable[..., None] = with_selecting
    for option in (
        selection_options,
        plot_option,
        json_option,
        quiet_option,
        threads_option,
        click.option("--seed", default=0, show_default=True, help="Of random numbers."),
        click.option(
            "--skip-nonfinite", is_flag=True, help="Keep tensors with NaN or Inf as they are."
        ),
        click.option("--all-tensors", is_flag=True, help="Code vectors too, not only matrices."),
    ):
        decorated = option(decorated)
    return decorated

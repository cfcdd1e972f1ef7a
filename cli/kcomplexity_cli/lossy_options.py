"""Options of the commands that code tensors with loss, ``fit`` and ``sweep``."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from kcomplexity_cli.options import (
    json_option,
    plot_option,
    quiet_option,
    selection_options,
    threads_option,
)

if TYPE_CHECKING:
    from kcomplexity.loaders.selecting import Reading


def lossy_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that select tensors and say how the work is done.

    Those that select tensors reach the command one by one, as in
    :class:`~kcomplexity.mosaics.selection.Selecting`; the others are ``seed``, ``threads``,
    ``quiet``, ``as_json`` and ``plots``.
    """

    @wraps(command)
    def with_reading(*, reading: Reading, **values: Any) -> None:
        command(**reading, **values)

    decorated: Callable[..., None] = with_reading
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

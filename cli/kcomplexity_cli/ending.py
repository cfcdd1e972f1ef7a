"""How a command ends: the exit codes, and which of them measured rows lead to."""

from __future__ import annotations

from enum import IntEnum

import click

__all__ = ["ExitCode", "end_by_rows"]


class ExitCode(IntEnum):
    """What the exit code of a command says."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    SOME_FAILED = 3
    NOTHING_MEASURED = 4
    INTERRUPTED = 130


def end_by_rows(n_rows: int, *, n_measured: int, n_failed: int) -> None:
    """End the command by its rows: go on where some were measured and none failed."""
    from kcomplexity_cli.terminal import note

    context = click.get_current_context()
    if not n_measured:
        why = "each row tells why" if n_rows else "there is no tensor"
        note(f"nothing was measured: {why}")
        context.exit(ExitCode.NOTHING_MEASURED)
    if n_failed:
        context.exit(ExitCode.SOME_FAILED)

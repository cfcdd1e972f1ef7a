"""Help that names the file formats, as they are registered."""

from __future__ import annotations

import click

__all__ = ["ReadsCheckpoints"]


class ReadsCheckpoints(click.Command):
    """A command whose help has the names of all formats in place of ``FORMATS``."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help."""
        from kcomplexity.loaders import LOADERS

        self.help = (self.help or "").replace("FORMATS", ", ".join(LOADERS))
        super().format_help_text(ctx, formatter)

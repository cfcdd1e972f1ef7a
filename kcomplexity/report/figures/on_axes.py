"""Pictures on axes of the user's own, as ``result.plot(kind, ax)`` draws them."""

from __future__ import annotations

import textwrap

from kcomplexity.errors import ResultError
from kcomplexity.report.figures import pictures, unmet
from kcomplexity.report.figures.base import Axes
from kcomplexity.report.figures.canvas import styled
from kcomplexity.report.figures.themes import theme
from kcomplexity.report.rows import Json
from kcomplexity.text import printable


def draw_on(document: Json, kind: str, ax: Axes | None) -> Axes:
    """Draw the first picture of a kind on the axes of the user, or of a new figure."""
    picture = next(pictures(document, [kind]), None)
    if picture is None:
        raise ResultError(f"nothing to draw: {'; '.join(unmet(document, [kind]))}")
    look = theme("light")
    with styled(look):
        if ax is None:
            from matplotlib import pyplot

            _, ax = pyplot.subplots(layout="constrained")
        width = ax.get_window_extent().width / ax.figure.dpi * 72
        title = textwrap.wrap(printable(picture.chart.title), int(width / (0.6 * look.type_size)))
        ax.set_title(
            "\n".join(title),
            loc="left",
            pad=1.8 * look.type_size,  # above the names of lines across
            fontsize=look.type_size,
            parse_math=False,
        )
        picture.kind.draw(ax, picture.chart, look)
    return ax

"""From a chart to a file: the same bytes for the same chart, theme and version of matplotlib.

Nothing of the machine gets in: matplotlib's own defaults instead of the user's settings, its own
typeface, no dates, ids from a fixed salt. In an SVG, text stays text, every mark has a title to
point at, and the picture has one for those who cannot see it.
"""

from __future__ import annotations

import csv
import io
import re
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

from kcomplexity.report.figures.base import Chart, FigureKind
from kcomplexity.report.figures.marks import TIP
from kcomplexity.report.figures.themes import PAGE, PAGE_COLOURS, Theme
from kcomplexity.text import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FORMATS", "alternative", "csv_bytes", "image_bytes", "page_svg", "styled"]

#: What a picture can be saved as.
FORMATS = ("png", "svg", "pdf")
_DPI = 200
#: Inches of a picture beside what its rows ask for, and for each row.
_LEAST, _ROW, _MOST = 2.5, 0.215, 8.0


@contextmanager
def styled(theme: Theme) -> Iterator[None]:
    """Draw in a theme, whatever the user's own settings are, and leave those as they were."""
    import matplotlib as mpl

    small = 0.92 * theme.type_size
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(
            {
                "axes.edgecolor": theme.muted,
                "axes.facecolor": theme.ground,
                "axes.axisbelow": True,
                "axes.labelcolor": theme.ink,
                "axes.labelsize": theme.type_size,
                "axes.linewidth": 0.6,
                "axes.spines.right": False,
                "axes.spines.top": False,
                "figure.facecolor": theme.ground,
                "font.size": theme.type_size,
                "grid.color": theme.grid,
                "grid.linewidth": 0.6,
                "legend.borderaxespad": 0,
                "legend.borderpad": 0,
                "legend.columnspacing": 1.2,
                "legend.fontsize": small,
                "legend.frameon": False,
                "legend.handletextpad": 0.5,
                "legend.labelcolor": theme.ink,
                "path.simplify": False,
                "savefig.facecolor": theme.ground,
                "svg.fonttype": "none",
                "svg.hashsalt": "kcomplexity",
                "text.color": theme.ink,
                "text.parse_math": False,
                "xtick.color": theme.muted,
                "xtick.labelcolor": theme.ink,
                "xtick.labelsize": small,
                "ytick.color": theme.muted,
                "ytick.labelcolor": theme.ink,
                "ytick.labelsize": small,
            }
        )
        with warnings.catch_warnings():
            # A name may hold any character; matplotlib's typeface lacks some, and shows a box.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            yield


def csv_bytes(chart: Chart) -> bytes:
    """Return the numbers of a chart as CSV with a header line; None is an empty field."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(chart.columns)
    writer.writerows(chart.rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


def image_bytes(kind: FigureKind, chart: Chart, theme: Theme, form: str) -> bytes:
    """Return a picture as a file of the format `form`, one of `FORMATS`."""
    with styled(theme):
        figure = _compose(kind, chart, theme)
        data = _saved(figure, form)
    if form != "svg":
        return data
    return _accessible(data.decode(), chart).encode()


def page_svg(kind: FigureKind, chart: Chart, key: str) -> str:
    """Return a picture as an SVG element to stand in the page, in the page's own colours.

    Parameters
    ----------
    kind : FigureKind
    chart : Chart
    key : str
        Tells its ids from those of other pictures of the page.
    """
    import matplotlib as mpl

    with styled(PAGE):
        mpl.rcParams["svg.hashsalt"] = key
        text = _accessible(_saved(_compose(kind, chart, PAGE), "svg").decode(), chart)
    text = text[text.index("<svg") :]
    text = re.sub(r'<svg ([^>]*?)height="[^"]*"([^>]*?)width="[^"]*"', r"<svg \1\2", text, count=1)
    text = re.sub(r'font: ([\d.]+)px [^;"]*', r"font-size: \1px", text)
    for colour, name in PAGE_COLOURS.items():
        text = text.replace(colour, f"var({name})")
    return text


def alternative(chart: Chart) -> str:
    """Return what a picture says, for those who do not see it."""
    axes = f"Across: {chart.x}. Up: {chart.y}." if chart.x and chart.y else ""
    levels = "".join(f" {name}: {value:.4g}." for name, value in chart.levels)
    return printable(f"{chart.title}. {chart.subtitle}. {axes}{levels} {len(chart.rows):,} values.")


def _compose(kind: FigureKind, chart: Chart, theme: Theme) -> Figure:
    """Set the title over the axes and draw."""
    from matplotlib.figure import Figure

    # A character of matplotlib's typeface is some 0.58 of its size wide, bold 0.66.
    chars = theme.width * 72 / theme.type_size
    title = textwrap.wrap(printable(chart.title), int(chars / 0.66))
    subtitle = textwrap.wrap(printable(chart.subtitle), int(chars / 0.54))
    big, small = 1.08 * theme.type_size, 0.92 * theme.type_size
    head = (1.32 * big * len(title) + 1.35 * small * len(subtitle) + 9) / 72
    scale = theme.width / 5.4
    body = min(max(_LEAST * max(scale, 0.8), _ROW * chart.size * max(scale, 0.8) + 1.1), _MOST)
    height = body + head
    figure = Figure((theme.width, height), layout="constrained")
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(rect=(0, 0, 1, body / height))  # type: ignore[call-arg]
    at = 1 - 4 / 72 / height
    figure.text(0.012, at, "\n".join(title), weight="bold", fontsize=big, va="top", linespacing=1.2)
    at -= 1.32 * big * len(title) / 72 / height
    figure.text(
        0.012,
        at,
        "\n".join(subtitle),
        fontsize=small,
        color=theme.muted,
        va="top",
        linespacing=1.25,
    )
    kind.draw(figure.add_subplot(), chart, theme)
    return figure


def _saved(figure: Figure, form: str) -> bytes:
    from matplotlib.collections import Collection

    if form == "pdf":
        # Links are what carries titles into an SVG; here they would be links.
        for drawn in figure.findobj(Collection):
            drawn.set_urls([])
    nothing: dict[str, dict[str, Any]] = {
        "png": {"Software": None},
        "svg": {"Date": None, "Creator": None},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    }
    file = io.BytesIO()
    figure.savefig(file, format=form, dpi=_DPI, metadata=nothing[form])
    return file.getvalue()


_LINK = re.compile(r'<a xlink:href="' + TIP + r'([^"]*)"(?: target="[^"]*")?>(.*?)</a>', re.DOTALL)
_LONG = re.compile(r"-?\d+\.\d{3,}")


def _accessible(svg: str, chart: Chart) -> str:
    """Give marks their titles and the picture its text, and drop what only takes room."""
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = _LINK.sub(r"<g><title>\1</title>\2</g>", svg)
    # Hundredths of a point are finer than any eye.
    svg = re.sub(
        r' (?:d|x|y|width|height|transform|points)="[^"]*"',
        lambda found: _LONG.sub(lambda n: f"{float(n[0]):.2f}".rstrip("0").rstrip("."), found[0]),
        svg,
    )
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", svg)
    svg = re.sub(r">\s+<", "><", svg)
    words = escape(alternative(chart))
    return re.sub(
        r"<svg ([^>]*)>",
        lambda found: f'<svg {found[1]} role="img" aria-label="{words}">',
        svg,
        count=1,
    )

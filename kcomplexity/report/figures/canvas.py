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
from dataclasses import replace
from html import escape
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from kcomplexity.report.figures.base import Chart, FigureKind
from kcomplexity.report.figures.marks import TIP
from kcomplexity.report.figures.themes import PAGE, PAGE_COLOURS, Theme
from kcomplexity.text import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What a picture can be saved as.
PICTURE_FORMATS = ("png", "svg", "pdf")
_DPI = 200
#: Inches of a picture without its rows, for each row, and at most.
_LEAST, _ROW, _MOST = 2.5, 0.215, 8.0
#: What all themes have in common.
_RC: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "grid.linewidth": 0.6,
    "legend.borderaxespad": 0,
    "legend.borderpad": 0,
    "legend.columnspacing": 1.2,
    "legend.frameon": False,
    "legend.handletextpad": 0.5,
    "path.simplify": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "kcomplexity",
    "text.parse_math": False,
}


@contextmanager
def styled(theme: Theme) -> Iterator[None]:
    """Draw in a theme, whatever the user's own settings are, and leave those as they were."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        for value, names in (
            (theme.ground, "axes.facecolor figure.facecolor savefig.facecolor"),
            (theme.ink, "axes.labelcolor legend.labelcolor text.color"),
            (theme.ink, "xtick.labelcolor ytick.labelcolor"),
            (theme.muted, "axes.edgecolor xtick.color ytick.color"),
            (theme.grid, "grid.color"),
            (theme.type_size, "axes.labelsize font.size"),
            (0.92 * theme.type_size, "legend.fontsize xtick.labelsize ytick.labelsize"),
        ):
            own: dict[Any, Any] = dict.fromkeys(names.split(), value)
            mpl.rcParams.update(own)
        with warnings.catch_warnings():
            # A name may hold any character; matplotlib's typeface lacks some, and shows a box.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            yield


def numbers_csv(chart: Chart) -> bytes:
    """Return the numbers of a chart as CSV with a header line; None is an empty field."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(chart.columns)
    writer.writerows(chart.rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


def image_bytes(kind: FigureKind, chart: Chart, theme: Theme, form: str) -> bytes:
    """Return a picture as a file of the format `form`, one of `PICTURE_FORMATS`."""
    with styled(theme):
        # In an SVG text stays text, for which the reader's machine has a typeface.
        if form == "svg":
            return _accessible(_saved(_compose(kind, chart, theme), form).decode(), chart).encode()
        return _saved(_compose(kind, _in_typeface(chart), theme), form)


def page_svg(kind: FigureKind, chart: Chart, key: str, names: dict[str, int]) -> str:
    """Return a picture as an SVG element to stand in the page, in the page's own colours.

    The page says the title itself. `key` begins the ids, which are those of the whole page. `names`
    are the names that the page says once, with their places; those of the picture are added where
    its marks have none.
    """
    import matplotlib as mpl

    with styled(PAGE):
        mpl.rcParams["svg.hashsalt"] = key
        drawn = _saved(_compose(kind, chart, PAGE, head=False), "svg").decode()
    # Tenths of a point are finer than a pixel, and a page has thousands of them.
    text = _accessible(drawn, chart, digits=1).replace("xlink:href=", "href=")
    text = text[text.index("<svg") :]
    if " data-tips=" in text:
        places = [names.setdefault(printable(name), len(names)) for name in chart["tensor"]]
        text = text.replace(" data-tips=", f' data-at="{" ".join(map(str, places))}" data-tips=', 1)
    text = re.sub(r'<svg ([^>]*?)height="[^"]*"([^>]*?)width="[^"]*"', r"<svg \1\2", text, count=1)
    text = re.sub(r'font: ([\d.]+)px [^;"]*', r"font-size: \1px", text)
    # Short ids, since every mark names one.
    used = dict.fromkeys(re.findall(r' id="([^"]*)"', text))
    ids = {old: f"{key}-{n}" for n, old in enumerate(used)}
    text = re.sub(r'( id="|url\(#|href="#)([^")]+)', lambda match: match[1] + ids[match[2]], text)
    for colour, name in PAGE_COLOURS.items():
        text = text.replace(colour, f"var({name})")
    return text


def _in_typeface(chart: Chart) -> Chart:
    """Return a chart whose text has no character that would be drawn as an empty box."""
    from matplotlib.font_manager import findfont, get_font

    known = get_font(findfont("DejaVu Sans")).get_charmap()

    def shown(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(shown, value))
        if not isinstance(value, str):
            return value
        return "".join(
            c if ord(c) in known or c == "\n" else c.encode("unicode_escape").decode("ascii")
            for c in value
        )

    drawn = ("title", "subtitle", "x", "y", "columns", "rows", "levels")
    return replace(chart, **{name: shown(getattr(chart, name)) for name in drawn})


def alternative(chart: Chart) -> str:
    """Return what a picture says, for those who do not see it."""
    axes = f"Across: {chart.x}. Up: {chart.y}." if chart.x and chart.y else ""
    levels = "".join(f" {name}: {value:.4g}." for name, value in chart.levels)
    return printable(f"{chart.title}. {chart.subtitle}. {axes}{levels} {len(chart.rows):,} values.")


def _compose(kind: FigureKind, chart: Chart, theme: Theme, *, head: bool = True) -> Figure:
    """Draw, below the title if there is to be one."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    # A character of matplotlib's typeface is some 0.58 of its size wide, bold 0.66.
    chars = theme.width * 72 / theme.type_size
    title = textwrap.wrap(printable(chart.title), int(chars / 0.66)) if head else []
    subtitle = textwrap.wrap(printable(chart.subtitle), int(chars / 0.54)) if head else []
    big, small = 1.08 * theme.type_size, 0.92 * theme.type_size
    above = 1.32 * big * len(title) / 72
    top = above + (1.35 * small * len(subtitle) + 9 * head) / 72
    scale = max(theme.width / 5.4, 0.8)
    body = min(max(_LEAST * scale, _ROW * chart.size * scale + 1.1), _MOST)
    height = body + top
    layout = ConstrainedLayoutEngine(rect=(0, 0, 1, body / height))
    figure = Figure((theme.width, height), layout=layout)
    for at, lines, how in (
        (4 / 72, title, {"weight": "bold", "fontsize": big}),
        (4 / 72 + above, subtitle, {"color": theme.muted, "fontsize": small}),
    ):
        y = 1 - at / height
        figure.text(0.012, y, "\n".join(lines), va="top", linespacing=1.2, **how)  # type: ignore[arg-type]
    kind.draw(figure.add_subplot(), chart, theme)
    return figure


def _saved(figure: Figure, form: str) -> bytes:
    from matplotlib.collections import Collection

    if form == "pdf":
        # Links are what carries titles into an SVG; here they would be links.
        for drawn in figure.findobj(Collection):
            drawn.set_urls([])
    dated = {"png": "Software", "svg": "Date Creator", "pdf": "CreationDate Creator Producer"}
    file = io.BytesIO()
    nothing: dict[str, Any] = dict.fromkeys(dated[form].split())
    figure.savefig(file, format=form, dpi=_DPI, metadata=nothing)
    return file.getvalue()


_LINK = re.compile(r'<a xlink:href="' + TIP + r'([^"]*)"(?: target="[^"]*")?>(.*?)</a>', re.DOTALL)
_LINKS = re.compile(
    r"(?:<a xlink:href=\"" + TIP + r"[^\"]*\"[^>]*>(?:(?!</a>).)*</a>\s*)+", re.DOTALL
)
_LINE = re.compile(r"M-?[\d.]+ -?[\d.]+(?:L-?[\d.]+ -?[\d.]+)+z?")
_UNTITLED = re.compile(r'"></path><path d="')
_LONG = re.compile(r"-?\d+\.\d{2,}")


def _accessible(svg: str, chart: Chart, digits: int = 2) -> str:
    """Give marks their titles and the picture its text, and drop what only takes room."""

    def rounded(match: re.Match[str]) -> str:
        return f"{round(float(match[0]), digits):g}"

    def straightened(match: re.Match[str]) -> str:
        return _LINE.sub(_upright, re.sub(r"\s*([MLCQz])\s*", r"\1", match[0]))

    svg = re.sub(r"(?:<metadata>.*?</metadata>|<!--.*?-->)\s*", "", svg, flags=re.DOTALL)
    svg = _LINKS.sub(_titled, svg)
    places = r' (?:d|x|y|width|height|transform|points)="[^"]*"'
    svg = re.sub(places, lambda match: _LONG.sub(rounded, match[0]), svg)
    svg = re.sub(r' d="[^"]*"', straightened, svg)
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda match: match[0] if match[1] in used else "", svg)
    svg = re.sub(r">\s+<", "><", svg)
    about = f' role="img" aria-label="{escape(alternative(chart))}">'
    return re.sub(r"(<svg [^>]*)>", lambda match: match[1] + about, svg, count=1)


def _upright(line: re.Match[str]) -> str:
    """Return a line in half the room if it goes up and across, as bars do, of which many are.

    Examples
    --------
    >>> _LINE.sub(_upright, "M1 2L1 5L1 5L3 5L4 6L4 2L1 2z")
    'M1 2V5H3L4 6V2z'
    """
    first, *others = [tuple(point.split()) for point in re.split("[ML]", line[0].rstrip("z"))[1:]]
    closed = line[0].endswith("z")
    text, last = f"M{first[0]} {first[1]}", first
    for at, (x, y) in enumerate(others):
        # A closed line returns to its start without a point there.
        if (x, y) == last or (closed and at == len(others) - 1 and (x, y) == first):
            continue
        text += f"V{y}" if x == last[0] else f"H{x}" if y == last[1] else f"L{x} {y}"
        last = (x, y)
    return text + "z" * closed


def _titled(links: re.Match[str]) -> str:
    """Return marks with their titles inside, and what all have in common said once.

    Marks that have no title are one path where they can be.
    """
    marks = []
    for tip, drawn in _LINK.findall(links[0]):
        said = "".join(sorted(re.findall(r' (?:clip-path|style)="[^"]*"', drawn)))
        shape = re.search(r"<(path|use) [^>]*", drawn)
        if shape is None:
            continue
        if "fill: none" in said:
            said += ' pointer-events="all"'  # else the outline alone could be pointed at
        plain = re.sub(r' (?:clip-path|style)="[^"]*"|/$', "", shape[0])
        if "\n" in tip:
            plain, title = f'{plain} data-tips="{tip}"', ""
        else:
            title = tip and f"<title>{tip}</title>"
        marks.append((said, f"{plain}>{title}</{shape[1]}>"))
    return "".join(
        _UNTITLED.sub(" ", f"<g{said}>{''.join(mark for _, mark in same)}</g>")
        for said, same in groupby(marks, key=itemgetter(0))
    )

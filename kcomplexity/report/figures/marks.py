"""The marks that figures share: tensors along an axis, bars, points, lines across, a legend.

Up to `MANY` tensors stand under each other, each with its name; more go from left to right in depth
order, and the axis names their blocks. :class:`Along` hides which: figures speak of `at` (the
tensor) and `value`.

Each mark carries a line of text that an SVG shows when it is pointed at. It travels as the mark's
link, since matplotlib has nothing else that reaches the file; the canvas turns it into a title.
In the page, where hundreds of names in each of a dozen figures would be most of the file, the marks
of more than `CROWD` tensors have none: one area has a line of text for each place along the axis.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from kcomplexity.report.figures.base import Axes, Chart
from kcomplexity.report.figures.themes import PAGE, Theme
from kcomplexity.report.layers import KINDS, block_of
from kcomplexity.report.numbers import three_figures
from kcomplexity.text import printable, shorten

if TYPE_CHECKING:
    from matplotlib.collections import PolyCollection

#: More tensors than this are not named one by one.
MANY = 32
#: In the page, the names of more tensors than this are said once for all figures.
CROWD = 200
TIP = "tip:"
DASHES = (0, (4, 2))
_MOST_TICKS = 9
_MARKERS = "osD^vPX*"

Entry: TypeAlias = tuple[str, str, str]
"""An entry of a legend: label, colour, and the mark: ``"bar"`` (``"bar:0.5"`` with its opacity),
``"line"``, ``"dashed"``, ``"band"``, ``"hollow"``, ``"beyond"`` or the number of a mark."""


class Along:
    """Tensors along one axis, values along the other."""

    def __init__(self, ax: Axes, names: Sequence[str], theme: Theme) -> None:
        self.ax = ax
        self.theme = theme
        self.names = names
        self.few = len(names) <= MANY
        self.crowd = len(names) > CROWD and theme.name == PAGE.name
        self.said: list[dict[str, None]] = [{} for _ in names]
        if self.few:
            self._name_each()
        else:
            self._name_blocks()

    def bars(
        self,
        low: Sequence[float],
        high: Sequence[float],
        colour: str,
        tips: Sequence[str],
        *,
        width: float = 0.72,
        alpha: float = 1.0,
    ) -> None:
        """Draw a bar from `low` to `high` for each tensor, all of them.

        Many bars touch and are drawn as one; :meth:`hints` has their lines of text.
        """
        if self.few:
            self._boxes(low, high, width, tips).set(facecolor=colour, alpha=alpha)
            return
        edges = [at - 0.5 for at in range(len(self.names) + 1)]
        self.ax.stairs(high, edges, baseline=low, fill=True, color=colour, alpha=alpha, linewidth=0)

    def hints(self, low: Sequence[float], high: Sequence[float], tips: Sequence[str]) -> None:
        """Let many bars, of which no mark is left to point at, show a line of text each."""
        if self.crowd:
            self._links(range(len(tips)), tips)
        elif not self.few:
            self._boxes(low, high, 1, tips).set(facecolor=self.theme.ink, alpha=0)

    def _links(self, at: Sequence[float], tips: Sequence[str]) -> list[str]:
        """Return the links of the marks of tensors `at`, or keep what they say for the area."""
        if not self.crowd:
            return tip_links(tips)
        for place, tip in zip(at, tips, strict=True):
            self.said[int(place)][tip.removeprefix(f"{self.names[int(place)]}: ")] = None
        return [TIP] * len(tips)

    def _boxes(
        self, low: Sequence[float], high: Sequence[float], width: float, tips: Sequence[str]
    ) -> PolyCollection:
        from matplotlib.collections import PolyCollection

        corners = []
        for at, (start, stop) in enumerate(zip(low, high, strict=True)):
            a, b = at - width / 2, at + width / 2
            box = [(start, a), (stop, a), (stop, b), (start, b)]
            corners.append(box if self.few else [(y, x) for x, y in box])
        drawn = PolyCollection(corners, linewidths=0)
        drawn.set_urls(self._links(range(len(tips)), tips))
        self.ax.add_collection(drawn)
        self.ax.autoscale_view()
        return drawn

    def points(
        self,
        at: Sequence[int],
        values: Sequence[float],
        colour: str,
        tips: Sequence[str],
        *,
        mark: int = 0,
        areas: Sequence[float] | float = 16,
        hollow: bool = False,
    ) -> None:
        """Draw a mark for each of the tensors `at`; the other sequences are those of all."""
        own = [values[i] for i in at]
        drawn = self.ax.scatter(
            x=own if self.few else at,
            y=at if self.few else own,
            s=areas if isinstance(areas, int | float) else [areas[i] for i in at],
            marker=marker(mark),
            facecolors="none" if hollow else colour,
            edgecolors=colour if hollow else self.theme.ground,
            linewidths=0.9 if hollow else 0.4,
            zorder=3,
        )
        drawn.set_urls(self._links(at, [tips[i] for i in at]))

    def from_zero(self) -> None:
        """Let the values begin at zero."""
        (self.ax.set_xlim if self.few else self.ax.set_ylim)(0, None)

    def limit(self, values: Sequence[float], n_weights: Sequence[int]) -> list[Entry]:
        """End the axis at the largest value of a tensor that weighs; mark what is beyond.

        A counter of one weight takes hundreds of bits, and would leave no room for the network.
        Returns what the legend has to say of it.
        """
        heavy = weighty(n_weights)
        end = 1.05 * max((values[at] for at in heavy), default=0)
        beyond = [at for at, value in enumerate(values) if value > end > 0]
        if not beyond:
            return []
        (self.ax.set_xlim if self.few else self.ax.set_ylim)(None, end)
        ends = [end] * len(beyond)
        drawn = self.ax.scatter(
            x=ends if self.few else beyond,
            y=beyond if self.few else ends,
            s=18 if self.few else 10,
            marker=">" if self.few else "^",
            color=self.theme.ink,
            linewidths=0,
            clip_on=False,
            zorder=4,
        )
        tips = [f"{self.names[at]}: {values[at]:.4g}, beyond the axis" for at in beyond]
        drawn.set_urls(self._links(beyond, tips))
        return [("small tensors beyond", self.theme.ink, "beyond")]

    def rule(self, value: float) -> None:
        """Draw a thin line at a value that needs no name."""
        draw = self.ax.axvline if self.few else self.ax.axhline
        draw(value, color=self.theme.muted, linewidth=0.8, zorder=1)

    def label(self, of_values: str, *, log: bool = False) -> None:
        """Label both axes; `of_values` says what the values are, with unit and direction."""
        ax = self.ax
        if log:
            log_scale(ax, "x" if self.few else "y")
        if self.few:
            wide = len(of_values) > _room(ax, self.theme)
            ax.set_xlabel(of_values.replace(" (", "\n(") if wide else of_values)
        else:
            # What is turned has the height of the axes alone: the direction goes below.
            ax.set_ylabel(of_values.replace(" (", "\n("))
        ax.grid(visible=True, axis="x" if self.few else "y")
        if self.crowd:
            lines = [printable("; ".join(said)) for said in self.said]
            area = ax.axvspan(-0.5, len(lines) - 0.5, facecolor="none", linewidth=0, zorder=5)
            area.set_url(TIP + "\n".join(lines))

    def across(self, value: float, text: str) -> None:
        """Draw a line at a value of the whole."""
        line_across(self.ax, value, text, self.theme, vertical=self.few)

    def _name_each(self) -> None:
        ax = self.ax
        shown = [shorten(name, self.theme.name_width) for name in self.names]
        ax.set_yticks(range(len(shown)), shown, parse_math=False)
        ax.set_ylim(len(shown) - 0.4, -0.6)
        known = any(map(block_of, self.names))
        ax.set_ylabel(f"tensor, in {'depth' if known else 'file'} order")
        ax.tick_params(axis="y", length=0)

    def _name_blocks(self) -> None:
        ax = self.ax
        ax.set_xlim(-1, len(self.names))
        starts: dict[tuple[str, int], int] = {}
        for at, name in enumerate(self.names):
            if block := block_of(name):
                starts.setdefault(block, at)
        families = {family for family, _ in starts}
        what = f"tensor in {'depth' if starts else 'file'} order"
        if len(families) == 1:
            shown = [(at, str(number)) for (_, number), at in starts.items()]
            what += f", by {shorten(families.pop(), 24)}.#"
        else:
            shown = [(at, shorten(f"{family}.{n}", 9)) for (family, n), at in starts.items()]
            what += ", by block" if starts else ""
        if kept := self._spread(shown):
            ax.set_xticks([at for at, _ in kept], [name for _, name in kept], parse_math=False)
        label = f"{what}; {len(self.names):,} tensors"
        # Words of the axis values and the margins take some eight characters.
        ax.set_xlabel("\n".join(textwrap.wrap(label, int(characters(self.theme)) - 8)))

    def _spread(self, blocks: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
        """Return the blocks, each with its first tensor, whose names have room, evenly spaced."""
        room = 0.85 * characters(self.theme)
        wide = max((len(name) for _, name in blocks), default=1) + 2.5
        step = -(-len(blocks) // max(1, int(min(_MOST_TICKS, room // wide)))) or 1
        kept: list[tuple[int, str]] = []
        for at, name in blocks[::step]:
            if not kept or at - kept[-1][0] >= len(self.names) * wide / room:
                kept.append((at, name))
        return kept


def weighty(n_weights: Sequence[int]) -> list[int]:
    """Return the places of the tensors that have a thousandth of the weights or more.

    Examples
    --------
    >>> weighty([5000, 1, 800])
    [0, 2]
    """
    total = sum(n_weights)
    return [at for at, n in enumerate(n_weights) if 1000 * n >= total]


def areas_of(n_weights: Sequence[int]) -> list[float]:
    """Return the area of each tensor's mark, in square points: its weights, or the least seen.

    The more marks there are the smaller they get, so that few hide another.
    """
    largest = max(n_weights, default=1)
    crowd = min(1.0, 100 / max(len(n_weights), 1))
    least = 18.0 if len(n_weights) <= MANY else 9.0 * crowd**0.5
    return [max(least, 90 * crowd * n / largest) for n in n_weights]


def characters(theme: Theme) -> float:
    """Return about how many characters are as wide as a figure."""
    return theme.width * 72 / (0.56 * theme.type_size)


def _room(ax: Axes, theme: Theme) -> float:
    """Return about how many characters fit below the axes, next to the names on the left."""
    names = max((len(text.get_text()) for text in ax.get_yticklabels()), default=0)
    return characters(theme) - names - 4


def tip_links(tips: Sequence[str]) -> list[str]:
    """Return the links that carry lines of text into an SVG."""
    return [TIP + printable(tip) for tip in tips]


def layer_kinds(chart: Chart) -> Iterator[tuple[int, str, list[int]]]:
    """Yield each kind of layer in a chart: its index among `KINDS`, its name, its tensors."""
    for index, kind in enumerate(KINDS):
        if chosen := [at for at, own in enumerate(chart["layer_kind"]) if own == kind]:
            yield index, kind, chosen


def dots(ax: Axes, x: Sequence[float], y: Sequence[float], tips: Sequence[str], **how: Any) -> None:
    """Draw a mark for each point, with its line of text; `how` goes to ``scatter``."""
    ax.scatter(x, y, **how).set_urls(tip_links(tips))


def mark_of(index: int, theme: Theme) -> dict[str, Any]:
    """Return how ``scatter`` draws the marks of series `index`."""
    colours = {"facecolors": theme.series[index % len(theme.series)], "edgecolors": theme.ground}
    return {"marker": marker(index), "linewidths": 0.4, "zorder": 3} | colours


def finish(
    ax: Axes,
    chart: Chart,
    theme: Theme,
    entries: Sequence[Entry] = (),
    grid: Literal["both", "x", "y"] = "both",
) -> None:
    """Label both axes, the direction of what is turned below it; draw the grid and a legend."""
    ax.set_xlabel(chart.x, parse_math=False)
    ax.set_ylabel(chart.y.replace(" (", "\n("), parse_math=False)
    ax.grid(visible=True, axis=grid)
    if entries:
        legend(ax, entries, theme)


def line_across(ax: Axes, value: float, text: str, theme: Theme, *, vertical: bool = False) -> None:
    """Draw a dashed line at a value, with its name at the end of it."""
    draw = ax.axvline if vertical else ax.axhline
    draw(value, color=theme.ink, linewidth=0.8, linestyle=DASHES, zorder=2)
    ax.annotate(
        text,
        (value, 1.0) if vertical else (1.0, value),
        xycoords=ax.get_xaxis_transform() if vertical else ax.get_yaxis_transform(),
        xytext=(0, 2) if vertical else (-2, 2),
        ha="center" if vertical else "right",
        textcoords="offset points",
        va="bottom",
        color=theme.ink,
        fontsize=0.92 * theme.type_size,
        parse_math=False,
        zorder=4,
        bbox={"facecolor": theme.ground, "edgecolor": "none", "alpha": 0.8, "pad": 0.8},
    )


def log_scale(ax: Axes, *names: str) -> None:
    """Make axes logarithmic, with plain numbers: 0.01 rather than a power, 2 and 5 between."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    for name in names:
        (ax.set_xscale if name == "x" else ax.set_yscale)("log")
        axis = ax.xaxis if name == "x" else ax.yaxis
        low, high = sorted(axis.get_view_interval())
        wide = high > 300 * max(low, 1e-300)
        axis.set_major_locator(LogLocator(10, (1.0,) if wide else (1.0, 2.0, 5.0), numticks=12))
        axis.set_major_formatter(FuncFormatter(lambda value, _: three_figures(value)))
        axis.set_minor_formatter(NullFormatter())
        if not wide:
            axis.set_minor_locator(NullLocator())


def legend(ax: Axes, entries: Sequence[Entry], theme: Theme) -> None:
    """Put a legend below the axes."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.transforms import ScaledTranslation

    handles: list[Line2D | Patch] = []
    for _, colour, how in entries:
        if how.startswith("ba"):
            opacity = 0.3 if how == "band" else float(how.partition(":")[2] or 1)
            handles.append(Patch(facecolor=colour, alpha=opacity))
        elif how in ("line", "dashed"):
            style: dict[str, Any] = {"linestyle": DASHES} if how == "dashed" else {}
            handles.append(Line2D([], [], color=colour, linewidth=1.4, **style))
        else:
            mark = {"hollow": "o", "beyond": ">"}.get(how) or marker(int(how))
            dot = Line2D([], [], color=colour, marker=mark, linestyle="", markersize=4.5)
            dot.set_markerfacecolor("none" if how == "hollow" else colour)
            handles.append(dot)
    labels = [shorten(label, 40) for label, _, _ in entries]
    # As many columns as fit side by side, filled line by line.
    n_columns = max(1, min(len(labels), int(_room(ax, theme) // (max(map(len, labels)) + 7))))
    order = [at for column in range(n_columns) for at in range(column, len(labels), n_columns)]
    lines = 3.9 + 1.25 * ax.get_xlabel().count("\n")
    below = ScaledTranslation(0, -lines * theme.type_size / 72, ax.figure.dpi_scale_trans)
    box = ax.legend(
        [handles[at] for at in order],
        [labels[at] for at in order],
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=ax.transAxes + below,
        ncols=n_columns,
    )
    for text in box.get_texts():
        text.set_parse_math(False)


def marker(index: int) -> str:
    """Return the mark of series `index`."""
    return _MARKERS[index % len(_MARKERS)]

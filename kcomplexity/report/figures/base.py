"""What a figure is: the contract that every kind keeps.

A kind of figure is a :class:`FigureKind`: a name, what it shows, the fields that a result must have
(`needs`), and two functions.

* ``charts(document)`` turns the JSON form of a result into :class:`Chart` objects, one a picture:
  titles, axis labels and the numbers as a table. It draws nothing and imports no matplotlib; what
  it returns is saved as CSV next to the picture.
* ``draw(axes, chart, theme)`` puts a chart on matplotlib axes and reads nothing but the chart, so
  that the CSV is the whole truth of the picture.

A title says what is seen, in words and figures; axis labels have units, and the direction wherever
there is a better end. Names come from files: they are shown through
:func:`~kcomplexity.text.shorten` and never read as markup.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from kcomplexity.report.rows import Json
from kcomplexity.text import printable

if TYPE_CHECKING:
    import matplotlib.axes

    from kcomplexity.report.figures.themes import Theme

Axes: TypeAlias = "matplotlib.axes.Axes"
Cell: TypeAlias = str | float | int | None


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One picture before it is drawn.

    Attributes
    ----------
    variant : str
        Distinguishes it from other pictures of its kind: a spec, a checkpoint; empty for the only
        one.
    title : str
        What is seen.
    subtitle : str
        What was measured, and how to read the marks.
    x, y : str
        What the two axes are, with unit and direction.
    columns : tuple of str
    rows : tuple of tuple
        The numbers that are drawn.
    levels : tuple of (str, float)
        Values of the whole, drawn as lines across.
    size : float
        How much room it asks for: the number of things listed one below the other.
    """

    variant: str = ""
    title: str
    subtitle: str
    x: str
    y: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    levels: tuple[tuple[str, float], ...] = ()
    size: float = 0
    numbers: dict[str, list[Any]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Turn the table on its side, and make the words safe to show."""
        for name in ("title", "subtitle", "x", "y"):
            object.__setattr__(self, name, printable(getattr(self, name)))
        sides = {name: [row[i] for row in self.rows] for i, name in enumerate(self.columns)}
        object.__setattr__(self, "numbers", sides)

    def __getitem__(self, column: str) -> list[Any]:
        return self.numbers[column]


@dataclass(frozen=True, kw_only=True)
class FigureKind:
    """A kind of figure.

    Attributes
    ----------
    name : str
    shows : str
        One line, for listings.
    needs : tuple of str
        Fields of the JSON form, e.g. ``rows[].controls[].ratio``; ``a|b`` is one of the two.
    made_by : str
        What gives a result those fields.
    charts : callable
    draw : callable
    over_steps : bool
        Whether it shows all steps of a trajectory; the others show the last.
    """

    name: str
    shows: str
    needs: tuple[str, ...]
    made_by: str
    charts: Callable[[Json], list[Chart]]
    draw: Callable[[Axes, Chart, Theme], None]
    over_steps: bool = False


def check_figure(name: str, thing: object) -> str | None:
    """Return why `thing` cannot be registered as a kind of figure, or None."""
    if not isinstance(thing, FigureKind):
        return f"expected a FigureKind, got {printable(repr(thing))}"
    if thing.name != name:
        return f"the figure calls itself {thing.name!r}; the two names must be equal"
    return None


def missing(document: Json, needs: tuple[str, ...]) -> list[str]:
    """Return which of the needed fields a result does not have, or has only as null.

    Examples
    --------
    >>> missing({"rows": [{"bits": None}, {"bits": 3}]}, ("rows[].bits", "rows[].step|steps"))
    ['rows[].step|steps']
    """
    return [
        need
        for need in needs
        if not any(
            value is not None and value not in ([], {})
            for path in need.split("|")
            for value in values_at(document, path)
        )
    ]


def values_at(document: Any, path: str) -> Iterator[Any]:
    """Yield the values at a path such as ``rows[].controls[].bits``, element by element."""
    step, _, rest = path.partition(".")
    name, each, _ = step.partition("[]")
    if not isinstance(document, Mapping) or name not in document:
        return
    values = document[name]
    for value in (values if isinstance(values, list | tuple) else []) if each else [values]:
        yield from values_at(value, rest) if rest else [value]

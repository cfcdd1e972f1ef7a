"""How figures look: colours that the colour-blind can distinguish, sizes, type.

The series are those of Okabe and Ito (2008), in the order in which neighbours differ most, darkened
or lightened to stand out from the ground. Wherever colour distinguishes things, so does the mark or
the order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType

from kcomplexity.errors import SpecError


@dataclass(frozen=True, kw_only=True)
class Theme:
    """The look of a figure: its colours, and its sizes."""

    name: str
    ground: str
    ink: str  # of text, and of marks without a series
    muted: str  # of side remarks
    grid: str
    series: tuple[str, ...]  # what distinguishes things
    width: float = 5.4  # inches
    type_size: float = 8.5  # points
    name_width: int = 30  # characters of a name on an axis


_LIGHT = Theme(
    name="light",
    ground="#ffffff",
    ink="#1b1f24",
    muted="#5a636d",
    grid="#dfe3e8",
    series=("#0072b2", "#d55e00", "#00875f", "#b8429a", "#3d9fdd", "#c98500", "#6b6f76", "#8a7300"),
)
_DARK = Theme(
    name="dark",
    ground="#14181d",
    ink="#e9edf1",
    muted="#a3adb8",
    grid="#333b44",
    series=("#5ab4f0", "#ff8a4c", "#33c79a", "#e58bcb", "#9ad4ff", "#f2b84b", "#b6bcc4", "#d8c65a"),
)
# One column of a two-column paper, in the type size of its captions.
_PAPER = replace(
    _LIGHT,
    name="paper",
    ink="#000000",
    muted="#444444",
    grid="#dddddd",
    width=3.4,
    type_size=7,
    name_width=22,
)

THEMES = MappingProxyType({look.name: look for look in (_LIGHT, _DARK, _PAPER)})
"""The themes to choose from."""

# Colours that no theme has: the page replaces them by its own, which follow the reader's choice.
PAGE = Theme(
    name="page",
    ground="#fe0100",
    ink="#fe0101",
    muted="#fe0102",
    grid="#fe0103",
    series=tuple(f"#fe02{i:02x}" for i in range(len(_LIGHT.series))),
)
"""Figures inside the page, whose colours are the page's."""

PAGE_COLOURS = MappingProxyType(
    {PAGE.ground: "--ground", PAGE.ink: "--ink", PAGE.muted: "--muted", PAGE.grid: "--grid"}
    | {colour: f"--series-{i}" for i, colour in enumerate(PAGE.series)}
)
"""The custom property of the page for each of those colours."""


def theme(name: str) -> Theme:
    """Return the theme called `name`, or raise a SpecError that lists them."""
    if name not in THEMES:
        raise SpecError(f"unknown theme {name!r}: expected one of {', '.join(THEMES)}")
    return THEMES[name]

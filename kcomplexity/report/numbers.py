"""Numbers as text, wherever a result is shown: one function for each number of digits."""

from __future__ import annotations

from typing import Any

from kcomplexity.text import printable


def four_decimals(value: float | None) -> str:
    """Return a measured value: four decimals, or four figures where it is very small or large.

    Examples
    --------
    >>> four_decimals(3.45678), four_decimals(0.00012345), four_decimals(None)
    ('3.4568', '0.0001234', '')
    """
    if value is None:
        return ""
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e5 or value == 0 else f"{value:.4g}"


def four_figures(value: float | None) -> str:
    """Return a value with four figures, as columns of values of any size need.

    Examples
    --------
    >>> four_figures(3.45678), four_figures(127), four_figures(None)
    ('3.457', '127', '')
    """
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.4g}"


def three_figures(value: float) -> str:
    """Return a value with about three figures, as a title or an axis has room for.

    Examples
    --------
    >>> three_figures(3.4412), three_figures(27.05), three_figures(0.00123), three_figures(128000.0)
    ('3.44', '27.1', '0.00123', '128,000')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def any_value(value: Any) -> str:
    """Return a value of any type as a cell: counts with separators, text made safe to print.

    Examples
    --------
    >>> any_value(12345), any_value(0.25), any_value(12345.678), any_value(True), any_value(None)
    ('12,345', '0.2500', '12,346', 'yes', '')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return printable(value)
    return f"{value:,.0f}" if abs(value) >= 1e3 else four_decimals(value)

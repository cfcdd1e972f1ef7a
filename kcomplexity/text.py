"""Text for people: names from files made safe to print, sizes, counts, shortened names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePath

#: An effect or a change below this share of the bits is not reported as one.
LEAST_SHARE = 0.001


def printable(name: object) -> str:
    r"""Return `name` with everything a terminal could act on escaped.

    Control characters, newlines, terminal codes, direction marks and lone surrogates become
    ``\n``, ``\x1b`` or ``\u202e``; what can be seen stays as it is.

    Parameters
    ----------
    name : str or path
        A tensor name, a file name or a message that holds one.

    Examples
    --------
    >>> print(printable("layer\n\x1b[31m.weight"))
    layer\n\x1b[31m.weight
    >>> print(printable("größe"))
    größe
    """
    text = str(name)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def of_weights(n: int, total: int) -> str:
    """Say which share of the weights a sentence is about; nothing where it is all of them.

    Examples
    --------
    >>> of_weights(25, 1000)
    '; on 2.5% of the weights'
    """
    share = n / max(total, 1)
    return f"; on {100 * share:.2g}% of the weights" if share < 0.995 else ""


def shorten(name: object, width: int = 48) -> str:
    """Return a printable name of at most `width` characters, cut in the middle.

    Both ends of a tensor's name distinguish it from its neighbours.

    Examples
    --------
    >>> shorten("model.layers.11.self_attn.q_proj.weight", 21)
    'model.laye…roj.weight'
    """
    text = str(name)
    # What is escaped only grows: nothing else of a name of many megabytes can be seen.
    text = printable(text if len(text) <= 2 * width else text[:width] + text[-width:])
    if len(text) <= width:
        return text
    head = width // 2
    return f"{text[:head]}…{text[len(text) - (width - head - 1) :]}"


def short_names(paths: Iterable[str], width: int = 60) -> dict[str, str]:
    """Return the last part of each path, or all of it where several paths end alike.

    Examples
    --------
    >>> short_names(["run/a.npz", "run/1/b.npz", "run/2/b.npz"])["run/a.npz"]
    'a.npz'
    """
    names = {path: PurePath(path).name or path for path in paths}
    alike = Counter(names.values())
    return {
        path: shorten(name if alike[name] == 1 else path, width) for path, name in names.items()
    }


def about_row(tensor: str | None, group: str | None, dtype: str | None) -> str:
    """Say what a row of a result is about: the tensor, the group, or all of them.

    Examples
    --------
    >>> about_row("embed", None, "F32"), about_row(None, None, "F32")
    ('embed', 'all F32')
    """
    return tensor or group or (f"all {dtype}" if dtype else "all tensors")


def shape_text(shape: Iterable[int]) -> str:
    """Write a shape.

    Examples
    --------
    >>> shape_text((768, 3)), shape_text(())
    ('768x3', 'scalar')
    """
    return "x".join(map(str, shape)) or "scalar"


def percent_change(change: float) -> str:
    """Write a relative change with its sign; what would round to zero has none.

    Examples
    --------
    >>> percent_change(-0.043), percent_change(-1e-5)
    ('-4.3%', '0.0%')
    """
    return f"{change:+.1%}" if abs(change) >= 5e-4 else "0.0%"


def without_numbers(reason: str) -> str:
    """Return a reason with its numbers masked: those that differ in nothing else are one kind.

    Examples
    --------
    >>> without_numbers("3 of 40 weights are NaN")
    '# of # weights are NaN'
    """
    return re.sub(r"\d+", "#", reason)


def distinguished(names: Iterable[str]) -> list[str]:
    """Return names with a number after each that occurs several times.

    Examples
    --------
    >>> distinguished(["<mapping>", "a.npz", "<mapping>"])
    ['<mapping> (1)', 'a.npz', '<mapping> (2)']
    """
    listed = list(names)
    times, seen = Counter(listed), Counter[str]()
    numbered = []
    for name in listed:
        seen[name] += 1
        numbered.append(f"{name} ({seen[name]})" if times[name] > 1 else name)
    return numbered


def human_bytes(n_bytes: float) -> str:
    """Return a size in decimal units with three significant digits.

    Examples
    --------
    >>> human_bytes(999), human_bytes(9_997), human_bytes(1_080_000)
    ('999 B', '10.0 kB', '1.08 MB')
    """
    if n_bytes < 999.5:
        return f"{n_bytes:.0f} B"
    for unit in ("kB", "MB", "GB", "TB"):
        n_bytes /= 1000
        # 999.5 would round to four digits: it belongs to the next unit.
        if n_bytes < 999.5 or unit == "TB":
            break
    decimals = 2 if n_bytes < 9.995 else 1 if n_bytes < 99.95 else 0
    return f"{n_bytes:.{decimals}f} {unit}"


def plural(count: int, noun: str) -> str:
    """Return the count with its noun.

    Examples
    --------
    >>> plural(1, "tensor"), plural(2000, "tensor")
    ('1 tensor', '2,000 tensors')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"

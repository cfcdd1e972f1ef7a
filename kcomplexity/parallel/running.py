"""How work is done: the options that every long call shares and no figure depends on."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any, Literal, TypedDict, TypeVar, cast

from kcomplexity.parallel.pool import DEFAULT_MAX_MEMORY, Pool
from kcomplexity.parallel.progress import OnProgress

T = TypeVar("T")


class Running(TypedDict, total=False):
    """Keyword arguments that say how figures are computed, never which.

    Attributes
    ----------
    threads : int or None
        Workers; all processors by default.
    workers : {"thread", "process"}
        What the workers are; threads by default.
    executor : concurrent.futures.Executor or None
        One of your own instead.
    max_memory : int
        Bytes that the work in flight may take; 768 MiB by default.
    piece : int
        Cuts handled at once; more take more memory.
    progress : callable or None
        Called with a :class:`~kcomplexity.parallel.progress.Progress` as work is done.
    command : str
        What the user typed, for the provenance.
    """

    threads: int | None
    workers: Literal["thread", "process"]
    executor: Executor | None
    max_memory: int
    piece: int
    progress: OnProgress | None
    command: str


def pool_of(options: Running) -> Pool:
    """Return the pool that `options` ask for; other options among them are ignored."""
    return Pool(
        options.get("threads"),
        kind=options.get("workers", "thread"),
        executor=options.get("executor"),
        max_memory=options.get("max_memory", DEFAULT_MAX_MEMORY),
        piece=options.get("piece", 1),
        on_progress=options.get("progress"),
    )


def refuse_unknown(options: Mapping[str, Any], known: type) -> None:
    """Refuse a keyword that `known`, a TypedDict, does not have; Python itself checks none.

    Raises
    ------
    TypeError
        With the name and what may have been meant.
    """
    names = frozenset(known.__annotations__)
    for name in options:
        if name not in names:
            from difflib import get_close_matches

            near = get_close_matches(name, names, n=2)
            hint = f"did you mean {' or '.join(near)}?" if near else ", ".join(sorted(names))
            raise TypeError(f"unknown option {name!r}: {hint}")


def part_of(options: Mapping[str, Any], kind: type[T]) -> T:
    """Return the options that `kind`, a TypedDict, has: ``part_of(options, Reading)``."""
    return cast(T, {name: options[name] for name in kind.__annotations__ if name in options})

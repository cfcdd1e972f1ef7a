"""Loaders, views, estimators, controls, fitters, formats and figures by name.

A :class:`Registry` is a read-only mapping of name to thing. The things of this package are
registered in one block at the end of the sub-package's ``__init__``; those of other packages come
through the entry-point group of the registry. Scanning entry points takes some 30 ms, so it happens
only for a listing or for an unknown name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Generic, TypeVar

from kcomplexity.errors import SpecError
from kcomplexity.text import printable

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """A read-only mapping from a name to a registered thing.

    Parameters
    ----------
    group : str
        Entry-point group in which other packages register theirs, e.g. ``kcomplexity.views``.
    noun : str
        What one entry is called in messages.
    check : callable, optional
        Takes a name and a thing, returns what the contract requires and the thing lacks, or None.

    Notes
    -----
    An entry point that fails to import or lacks something stays out of the mapping, and
    :meth:`lookup` of its name says why: a broken plug-in must neither stop the tool nor vanish
    silently.
    """

    def __init__(
        self, group: str, noun: str, check: Callable[[str, T], str | None] | None = None
    ) -> None:
        self.group = group
        self.noun = noun
        self._check = check
        self._entries: dict[str, T] = {}
        self._broken: dict[str, str] = {}
        self._scanned = False

    def register(self, name: str, thing: T) -> None:
        """Add `thing` under `name`.

        Raises
        ------
        SpecError
            If the name is taken, or `thing` lacks what the contract requires.
        """
        if name in self._entries:
            raise SpecError(f"{self.noun} {name!r} is registered already: choose another name")
        if problem := self._problem(name, thing):
            raise SpecError(f"{self.noun} {name!r} cannot be registered: {problem}")
        self._entries[name] = thing

    def lookup(self, name: str) -> T:
        """Return the entry called `name`.

        Raises
        ------
        SpecError
            If the name is unknown, with the nearest names, or if its package is broken.
        """
        if name not in self._entries:
            self._scan()
        if name in self._entries:
            return self._entries[name]
        if name in self._broken:
            raise SpecError(f"{self.noun} {name!r} cannot be used: {self._broken[name]}")
        from difflib import get_close_matches

        near = get_close_matches(name, self._entries, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(self)}"
        raise SpecError(f"unknown {self.noun} {name!r}: {hint}")

    def name_of(self, thing: T) -> str:
        """Return the name `thing` is registered under."""
        return next(name for name, entry in self._entries.items() if entry is thing)

    def known(self, name: str) -> bool:
        """Whether `name` is registered already; entry points are not scanned for it."""
        return name in self._entries

    @property
    def broken(self) -> Mapping[str, str]:
        """Entry points that cannot be used: the reason by name."""
        self._scan()
        return MappingProxyType(self._broken)

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            self._scan()
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        # Entry points come last, and are scanned only when the caller iterates that far.
        own = list(self._entries)
        yield from own
        self._scan()
        yield from [name for name in self._entries if name not in own]

    def __len__(self) -> int:
        self._scan()
        return len(self._entries)

    def _scan(self) -> None:
        if self._scanned:
            return
        self._scanned = True
        from importlib.metadata import entry_points

        for entry in entry_points(group=self.group):
            if entry.name in self._entries:
                self._broken[entry.name] = f"{entry.value} takes a name that is in use"
                continue
            try:
                thing = entry.load()
                problem = self._problem(entry.name, thing)
            except Exception as error:  # noqa: BLE001 - reported when the name is used
                problem = f"{type(error).__name__}: {error}"
            if problem:
                self._broken[entry.name] = f"{entry.value}: {problem}"
            else:
                self._entries[entry.name] = thing

    def _problem(self, name: str, thing: T) -> str | None:
        return self._check(name, thing) if self._check else None


def class_problem(thing: object, base: type, required: Iterable[str]) -> str | None:
    """Return what is missing from a class that should derive from `base`, or None.

    It must define the abstract methods of `base`, and set the class attributes `required`.
    """
    if not (isinstance(thing, type) and issubclass(thing, base)):
        return f"expected a subclass of {base.__name__}, got {printable(repr(thing))}"
    missing = [name for name in required if not hasattr(thing, name)]
    missing += sorted(getattr(thing, "__abstractmethods__", ()))
    return f"{thing.__name__} does not define {', '.join(missing)}" if missing else None

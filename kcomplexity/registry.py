"""Named things that can be added from outside: loaders, views, estimators, controls, formats.

A :class:`Registry` is a read-only mapping of name to thing. What the package brings is registered
once, in one block at the end of the sub-package's ``__init__``; what other packages bring is found
through the entry-point group of the same name. Scanning entry points costs some 30 ms, so it
happens only on a listing or when a name is not known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Generic, TypeVar

from kcomplexity.errors import SpecError

__all__ = ["Registry"]

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """A read-only mapping from a name to a registered thing.

    Parameters
    ----------
    group : str
        Entry-point group in which other packages register theirs, e.g. ``kcomplexity.views``.
    noun : str
        What one entry is called in messages.

    Notes
    -----
    An entry point that fails to import stays out of the mapping, and :meth:`lookup` of its name
    says why: one broken plug-in must not take the tool down, nor vanish without a word.
    """

    def __init__(self, group: str, noun: str) -> None:
        self.group = group
        self.noun = noun
        self._entries: dict[str, T] = {}
        self._broken: dict[str, str] = {}
        self._scanned = False

    def register(self, name: str, thing: T) -> None:
        """Add `thing` under `name`; a name means one thing for ever, so twice is an error."""
        if name in self._entries:
            raise SpecError(f"{self.noun} {name!r} is registered already: choose another name")
        self._entries[name] = thing

    def lookup(self, name: str) -> T:
        """Return the entry called `name`.

        Raises
        ------
        SpecError
            If there is none, with the nearest names, or if its package failed to import.
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
        """Whether `name` is registered already; other packages are not asked."""
        return name in self._entries

    @property
    def broken(self) -> Mapping[str, str]:
        """What other packages offer but cannot be used, by name, each with the reason."""
        self._scan()
        return MappingProxyType(self._broken)

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            self._scan()
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        # Other packages come last, and are asked only when somebody has looked that far.
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
                self._entries[entry.name] = entry.load()
            except Exception as error:  # noqa: BLE001 - of any kind; told when it is used
                self._broken[entry.name] = f"{entry.value}: {type(error).__name__}: {error}"

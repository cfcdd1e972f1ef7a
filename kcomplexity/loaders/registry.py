"""Every file format by its name; the formats are registered in ``kcomplexity/loaders/__init__.py``.

It stands apart from the registrations, so that loaders can look other formats up.
"""

from __future__ import annotations

from kcomplexity.loaders.base import Loader, check_loader
from kcomplexity.registry import Registry

#: Every file format by the name that ``Checkpoint.format`` shows, in the order they are asked.
LOADERS: Registry[Loader] = Registry("kcomplexity.loaders", "file format", check_loader)


def known_endings() -> set[str]:
    """Return the endings of checkpoint files in all formats, in lower case.

    That of an index of shards is not among them: most JSON files are something else.
    """
    formats = (loader for name, loader in LOADERS.items() if name != "sharded")
    return {ending for loader in formats for ending in loader.extensions}


def without_ending(name: str) -> str:
    """Return a file name without the longest ending of a known format.

    Examples
    --------
    >>> without_ending("digits.mosaic.safetensors"), without_ending("step-1.5")
    ('digits', 'step-1.5')
    """
    ending = max((e for e in known_endings() if name.lower().endswith(e)), key=len, default="")
    return name[: len(name) - len(ending)]

"""Sentences that loaders share: what is left out of a checkpoint, and why."""

from __future__ import annotations

from kcomplexity.text import plural, shorten

_TRAINING = "which training keeps in addition to the weights"


def left_out(name: str, reason: str) -> str:
    """Say that a tensor is left out."""
    return f"{shorten(name)} is left out: {reason}"


def second_name(name: str, first: str) -> str:
    """Say that a tensor is known under another name already."""
    return f"{shorten(name)} is {shorten(first)} under a second name: counted once"


def read_under(path: str) -> str:
    """Say which part of a nested file is read."""
    return f"read are the tensors under {path!r}; --root KEY reads others"


def training_left_out(n: int, keys: str = "", root: str = "KEY", reason: str = _TRAINING) -> str:
    """Say that `n` tensors under `keys` are left out, and which `root` reads them."""
    of = f" of {keys}" if keys else ""
    verb = "is" if n == 1 else "are"
    return f"{plural(n, 'tensor')}{of} {verb} left out, {reason}: --root {root} reads them"

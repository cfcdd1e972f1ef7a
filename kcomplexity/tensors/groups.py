"""Tensors that belong together: by the pattern of their names, or all of a checkpoint."""

from __future__ import annotations

import re
from typing import Literal

Scope = Literal["tensor", "group", "model"]
#: What can be measured or fitted as one: a tensor, tensors of one name pattern, the checkpoint.
SCOPES: tuple[Scope, ...] = ("tensor", "group", "model")


def group_name(name: str) -> str:
    """Return a tensor's name with its layer numbers as ``#``.

    Examples
    --------
    >>> group_name("model.layers.11.mlp.conv1.weight")
    'model.layers.#.mlp.conv1.weight'
    """
    return re.sub(r"(?<![^./_-])\d+(?![^./_-])", "#", name)

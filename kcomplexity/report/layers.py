"""Where a tensor stands in its network and what it does there, as far as its name shows.

No figure depends on this: it orders and colours marks, so a guess is enough.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

#: In the order of their colours. The first whose pattern matches gives the kind.
_PATTERNS = {
    "norm": r"norm|(^|[._])(ln|bn|gn)(\d|[._]|$)|layer_?norm|running_",
    "embedding": r"embed|(^|\.)(wte|wpe|tok|pos)[._]|vocab|lm_head",
    "attention": r"attn|attention|(^|[._])([qkvo]|qkv|query|key|value)(_?proj|_?lin)?[._]",
    "feed-forward": r"mlp|ffn|feed_?forward|(^|[._])(fc|up|down|gate|dense|linear)\d*(_proj)?[._]",
    "convolution": r"conv|downsample|stem|patch",
}

#: Every kind that :func:`kind_of_layer` returns, in the order of their colours.
KINDS = ("attention", "feed-forward", "embedding", "norm", "convolution", "matrix", "bias", "other")

_FIRST = re.compile(r"embed|wte|wpe|stem|patch|conv_?(1|in)\b|(^|\.)input", re.IGNORECASE)


def kind_of_layer(name: str, shape: Sequence[int] | None) -> str:
    """Return what a tensor seems to be, one of `KINDS`.

    Examples
    --------
    >>> kind_of_layer("blocks.3.attention.weight", (96, 32))
    'attention'
    >>> kind_of_layer("blocks.3.attention.bias", (96,)), kind_of_layer("layers.0.weight", (3, 2))
    ('bias', 'matrix')
    """
    n_dim = len(shape or ())
    lower = name.lower()
    if re.search(_PATTERNS["norm"], lower):
        return "norm"
    if re.search(r"bias$", lower) and n_dim <= 1:
        return "bias"
    for kind, pattern in _PATTERNS.items():
        if re.search(pattern, lower):
            return kind
    return "convolution" if n_dim >= 4 else "matrix" if n_dim >= 2 else "other"


def block_of(name: str) -> tuple[str, int] | None:
    """Return the repeated block that a tensor belongs to: what precedes its first number, and it.

    Examples
    --------
    >>> block_of("model.layers.11.mlp.up_proj.weight")
    ('model.layers', 11)
    >>> block_of("lm_head.weight") is None
    True
    """
    match = re.match(r"(.*?)[._](\d+)(?=\.|$)", name)
    return (match[1], int(match[2])) if match else None


def in_depth_order(names: Sequence[str]) -> list[int]:
    """Return the positions of names in the order in which data passes through them.

    What reads the input comes first, then the numbered blocks by number (files often hold 10 before
    2), then the rest. Names without numbers keep the order of the file.

    Examples
    --------
    >>> names = ["h.0.w", "h.10.w", "h.2.w", "ln_f.w", "wte.w"]
    >>> [names[i] for i in in_depth_order(names)]
    ['wte.w', 'h.0.w', 'h.2.w', 'h.10.w', 'ln_f.w']
    """
    if not any(map(block_of, names)):
        return list(range(len(names)))
    families: dict[str, int] = {}
    keys = []
    for at, name in enumerate(names):
        block = block_of(name)
        if block:
            family = families.setdefault(re.sub(r"\d+$", "", block[0]), len(families))
            stage = int((re.search(r"\d+$", block[0]) or [0])[0])
            keys.append((1, family, stage, block[1], at))
        else:
            keys.append((0 if _FIRST.search(name) else 2, 0, 0, 0, at))
    return sorted(range(len(names)), key=keys.__getitem__)

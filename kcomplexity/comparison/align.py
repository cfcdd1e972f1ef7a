"""Match the tensors of several checkpoints by name.

Names match after prefixes are stripped and names are changed as the user asks. A tensor without a
counterpart in every checkpoint is not compared, and listed with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from kcomplexity.errors import SpecError
from kcomplexity.tensors.checkpoint import Checkpoint, Tensor
from kcomplexity.text import plural, printable, shape_text


@dataclass(frozen=True, kw_only=True)
class Unmatched:
    """A tensor that is not compared, under its own name in its checkpoint's path."""

    checkpoint: str
    tensor: str
    n_bytes: int
    reason: str


@dataclass(frozen=True)
class Alignment:
    """Checkpoints with the same tensors, under the names and in the order of the first.

    `warnings` say what a reader must know before any figure: stored dtypes that differ.
    """

    checkpoints: tuple[Checkpoint, ...]
    unmatched: tuple[Unmatched, ...]
    warnings: tuple[str, ...]


def align(
    checkpoints: Sequence[Checkpoint],
    *,
    strip_prefix: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
) -> Alignment:
    r"""Keep the tensors that all checkpoints have in the same shape.

    Parameters
    ----------
    checkpoints : sequence of Checkpoint
        Two or more, each under a path of its own; the first gives names and order.
    strip_prefix : sequence of str
        Taken off the names that start with one of them, in all checkpoints.
    rename : mapping of str to str, optional
        Regular expressions and what their matches become (``\1`` is the first group), in the
        names of all checkpoints but the first.

    Raises
    ------
    SpecError
        If nothing is in common, two tensors end up under one name, or a pattern is not a regular
        expression.
    """
    named = [
        _renamed(checkpoint, strip_prefix, {} if i == 0 else rename or {})
        for i, checkpoint in enumerate(checkpoints)
    ]
    reasons = {name: _difference(name, named) for tensors in named for name in tensors}
    common = [name for name, reason in reasons.items() if reason is None]
    if not common:
        raise SpecError(_nothing_in_common(checkpoints, named))
    aligned = tuple(
        replace(checkpoint, tensors={name: _called(name, tensors[name]) for name in common})
        for checkpoint, tensors in zip(checkpoints, named, strict=True)
    )
    unmatched = tuple(
        Unmatched(
            checkpoint=checkpoint.path, tensor=tensor.name, n_bytes=tensor.n_bytes, reason=reason
        )
        for checkpoint, tensors in zip(checkpoints, named, strict=True)
        for name, tensor in tensors.items()
        if (reason := reasons[name]) is not None
    )
    return Alignment(aligned, unmatched, tuple(_dtype_warnings(aligned)))


def _called(name: str, tensor: Tensor) -> Tensor:
    return tensor if tensor.name == name else replace(tensor, name=name)


def _renamed(
    checkpoint: Checkpoint, prefixes: Iterable[str], rename: Mapping[str, str]
) -> dict[str, Tensor]:
    renamed: dict[str, Tensor] = {}
    for name, tensor in checkpoint.items():
        new = name
        for prefix in prefixes:
            if new.startswith(prefix):
                new = new.removeprefix(prefix)
                break
        for pattern, replacement in rename.items():
            try:
                new = re.sub(pattern, replacement, new)
            except (re.error, IndexError) as error:
                raise SpecError(
                    f"rename {pattern!r}={replacement!r}: {error}; expected a regular expression "
                    r"and its replacement, e.g. '^encoder\.(\d+)=layers.\1'"
                ) from None
        if new in renamed:
            raise SpecError(
                f"{printable(checkpoint.path)}: {printable(renamed[new].name)} and "
                f"{printable(name)} would both be {printable(new)}; change strip-prefix or rename"
            )
        renamed[new] = tensor
    return renamed


def _difference(name: str, named: Sequence[Mapping[str, Tensor]]) -> str | None:
    """Return why a tensor lacks a counterpart in some checkpoint; None if it has all."""
    there = [tensors[name] for tensors in named if name in tensors]
    if len(there) < len(named):
        if name not in named[0]:
            return "not in the reference"
        missing = sum(name not in tensors for tensors in named)
        return f"missing in {missing} of {plural(len(named) - 1, 'other')}"
    shapes = list(dict.fromkeys(shape_text(tensor.shape) for tensor in there))
    return f"shapes differ: {' against '.join(shapes)}" if len(shapes) > 1 else None


def _nothing_in_common(
    checkpoints: Sequence[Checkpoint], named: Sequence[Mapping[str, Tensor]]
) -> str:
    first, second = named[0], next((t for t in named[1:] if not t.keys() & named[0].keys()), None)
    if second is None:
        return (
            f"nothing in {printable(checkpoints[0].path)} has the same shape in all the others: "
            "expected checkpoints of one architecture"
        )
    prefix = _prefix(first, second) or _prefix(second, first)
    hint = f"try --strip-prefix {printable(prefix)}" if prefix else "map them with --rename OLD=NEW"
    examples = [", ".join(printable(name) for name in list(t)[:2]) for t in (first, second)]
    return (
        f"nothing in common: names look like {examples[0] or 'nothing'} in "
        f"{printable(checkpoints[0].path)} and {examples[1] or 'nothing'} in the other; {hint}"
    )


def _prefix(short: Mapping[str, Tensor], long: Mapping[str, Tensor]) -> str | None:
    """Return what the names of `long` have before those of `short`, if anything."""
    for name in long:
        for other in short:
            if name.endswith(f".{other}"):
                return name.removesuffix(other)
    return None


def _dtype_warnings(aligned: Sequence[Checkpoint]) -> Iterable[str]:
    kinds: dict[str, list[str]] = {}
    for name in aligned[0]:
        codes = list(dict.fromkeys(checkpoint[name].dtype.code for checkpoint in aligned))
        if len(codes) > 1:
            kinds.setdefault(" against ".join(codes), []).append(name)
    for against, names in kinds.items():
        yield (
            f"{plural(len(names), 'tensor')} ({', '.join(printable(n) for n in names[:2])}"
            f"{', ...' if len(names) > 2 else ''}) stored as {against}: what the type can hold is "
            "part of any difference in the bits of @bytes and @words; compare @f32 or @sign"
        )

"""What is measured as one: each tensor, each group of tensors, or the whole checkpoint.

Several tensors are laid end to end in file order and measured like a single one. They are joined
only where they are stored alike; views that read any dtype as the same numbers (``@f32``,
``@sign``) join them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kcomplexity.scoring.specs import Spec
from kcomplexity.tensors.checkpoint import Checkpoint, Tensor
from kcomplexity.tensors.derived import Cast, concat
from kcomplexity.tensors.groups import Scope, group_name


@dataclass(frozen=True)
class Unit:
    """Something measured as one: a stored tensor, or several laid end to end; and its specs.

    `group` is the name, or the names' pattern, with layer numbers as ``#``. `n_bytes` are stored,
    before any cast; `dtype` is the stored dtype's code, None where several were joined.
    """

    tensor: Tensor
    specs: tuple[Spec, ...]
    scope: Scope
    group: str | None
    n_bytes: int
    dtype: str | None

    @property
    def name(self) -> str | None:
        """The tensor's name; None for several."""
        return self.tensor.name if self.scope == "tensor" else None


def units(checkpoint: Checkpoint, specs: Sequence[Spec], scope: Scope) -> list[Unit]:
    """Return what is measured as one in `checkpoint`, in file order."""
    tensors = list(checkpoint.values())
    if scope == "tensor":
        return [
            Unit(t, tuple(specs), scope, group_name(t.name), t.n_bytes, t.dtype.code)
            for t in tensors
        ]
    groups: dict[str | None, list[Tensor]] = {}
    for tensor in tensors:
        groups.setdefault(group_name(tensor.name) if scope == "group" else None, []).append(tensor)
    return [
        unit for group, members in groups.items() for unit in _joined(members, specs, scope, group)
    ]


def _joined(
    members: Sequence[Tensor], specs: Sequence[Spec], scope: Scope, group: str | None
) -> list[Unit]:
    name = group or "model"
    joined: list[Unit] = []
    by_dtype: dict[str, list[Tensor]] = {}
    for tensor in members:
        by_dtype.setdefault(tensor.dtype.code, []).append(tensor)
    by_common: dict[str | None, list[Spec]] = {None: []}
    for spec in specs:
        by_common.setdefault(spec.view.common_dtype if spec.view else None, []).append(spec)
    for common, together in by_common.items():
        # What is no number keeps its dtype, and gets its row with the reason.
        for code, alike in by_dtype.items():
            if together and (common is None or not alike[0].dtype.holds_weights):
                whole = concat(f"{name}:{code}", alike)
                joined.append(Unit(whole, tuple(together), scope, group, whole.n_bytes, code))
        numbers = [tensor for tensor in members if tensor.dtype.holds_weights]
        if common and numbers:
            cast = [t if t.dtype.code == common else Cast.of(t, common) for t in numbers]
            stored = sum(tensor.n_bytes for tensor in numbers)
            codes = {tensor.dtype.code for tensor in numbers}
            dtype = codes.pop() if len(codes) == 1 else None
            whole = concat(f"{name}:{common}", cast)
            joined.append(Unit(whole, tuple(together), scope, group, stored, dtype))
    return joined

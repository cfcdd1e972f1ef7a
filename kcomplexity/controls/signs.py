"""Random signs: the magnitudes stay in their places."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import ClassVar

from kcomplexity.controls.base import Control, is_signed
from kcomplexity.parallel.pool import Pool
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.tensors.derived import rebuilt
from kcomplexity.tensors.random import SignFlipped


@dataclass(frozen=True)
class Signs(Control):
    """Each weight's sign is drawn anew, its magnitude stays; see :class:`SignFlipped`.

    Types without a sign bit are not changed.
    """

    summary: ClassVar[str] = "random signs, magnitudes kept: is there a sign pattern?"
    keeps_values: ClassVar[bool] = False
    lazy: ClassVar[bool] = True

    def changes(self, tensor: Tensor) -> bool:
        return is_signed(tensor)

    def replicates(self, tensor: Tensor, seed: int, pool: Pool) -> Generator[Tensor, None, None]:
        for i in range(self.n):

            def flipped(origin: Tensor, i: int = i) -> Tensor:
                if not self.changes(origin):
                    return origin
                return SignFlipped.of(origin, self.key(origin, seed, i))

            yield rebuilt(tensor, flipped)

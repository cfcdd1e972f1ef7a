"""Shuffles: the values stay, their order goes.

``shuffle``
    Inside the whole tensor.
``shuffle-rows``, ``shuffle-cols``
    Inside each row, or each column, of the matrix form.

How the words trade places is in :mod:`~kcomplexity.controls.shuffling`, where they then live in
:mod:`~kcomplexity.controls.stores`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from kcomplexity.controls import shuffling
from kcomplexity.controls.base import Control
from kcomplexity.controls.stores import Sink, Store
from kcomplexity.errors import UnmeasurableError
from kcomplexity.parallel.pool import Pool
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.tensors.derived import rebuilt

#: Replicates up to this many bytes stay in memory: their pickle may travel to another process.
_LARGEST_IN_MEMORY = 64 << 20


class _Permutation(Control):
    """Base of the shuffles: the stored words of each tensor trade places; any dtype has words.

    Replicates are made once and read by all that measures them: in memory up to 64 MiB, else in a
    temporary file. Time O(n), some 20 to 65 ns a weight; memory at most about 2**26 words.
    """

    keeps_values: ClassVar[bool] = True
    lazy: ClassVar[bool] = False

    @abstractmethod
    def permute(self, tensor: Tensor, key: int, sink: Sink) -> None:
        """Write the words of `tensor` to `sink` in another order."""

    def changes(self, tensor: Tensor) -> bool:
        """Whether stored values can be permuted: not in packings that nobody has defined."""
        if tensor.n_weights < 2:
            return False
        with suppress(UnmeasurableError):
            return bool(tensor.dtype.word)
        return False

    def replicates(self, tensor: Tensor, seed: int, pool: Pool) -> Generator[Tensor, None, None]:
        in_memory = tensor.n_bytes <= _LARGEST_IN_MEMORY
        for i in range(self.n):
            with Store(pool, in_memory=in_memory) as store:

                def shuffled(origin: Tensor, i: int = i, store: Store = store) -> Tensor:
                    if not self.changes(origin):
                        return origin
                    permute = partial(self.permute, origin, self.key(origin, seed, i))
                    with pool.reserve(shuffling.working_bytes(origin)):
                        return store.keep(origin, permute, whole=shuffling.fits_in_memory(origin))

                replicate = rebuilt(tensor, shuffled, whole=False)
                with pool.reserve(tensor.n_bytes if in_memory else 0):
                    yield replicate


@dataclass(frozen=True)
class Shuffle(_Permutation):
    """Weights permuted inside each tensor, every order equally likely."""

    summary: ClassVar[str] = "weights permuted inside each tensor: is there any order at all?"

    def permute(self, tensor: Tensor, key: int, sink: Sink) -> None:
        shuffling.permute_rows(tensor, 1, tensor.n_weights, key, sink)


@dataclass(frozen=True)
class ShuffleRows(_Permutation):
    """Weights permuted inside each row of the matrix form; a vector is one row."""

    summary: ClassVar[str] = "weights permuted inside each row of the matrix form"
    samples: ClassVar[bool] = False  # of rows, and a sample may be made of frames

    def changes(self, tensor: Tensor) -> bool:
        return super().changes(tensor) and tensor.matrix_shape[1] > 1

    def permute(self, tensor: Tensor, key: int, sink: Sink) -> None:
        shuffling.permute_rows(tensor, *tensor.matrix_shape, key, sink)


@dataclass(frozen=True)
class ShuffleCols(_Permutation):
    """Weights permuted inside each column of the matrix form; a vector, one row, stays."""

    summary: ClassVar[str] = "weights permuted inside each column of the matrix form"
    samples: ClassVar[bool] = False  # of columns, which no sample holds

    def changes(self, tensor: Tensor) -> bool:
        return super().changes(tensor) and tensor.matrix_shape[0] > 1

    def permute(self, tensor: Tensor, key: int, sink: Sink) -> None:
        shuffling.permute_columns(tensor, *tensor.matrix_shape, key, sink)

"""Words in another order, drawn at random."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcomplexity.kernels.checks import WORDS, own
from kcomplexity.kernels.choice import compiled

#: Rows as long as this draw numbers of more than 32 bits.
_LONG = (1 << 32) - 1


def shuffle_rows(words: NDArray[Any], rng: np.random.Generator) -> None:
    """Permute each row in place, every order as likely, with the draws of ``rng.permuted``.

    Parameters
    ----------
    words : ndarray of uint8, uint16, uint32 or uint64, shape (n,) or (n_rows, n)
        Rows are permuted one after the other.
    rng : Generator
        Afterwards as ``rng.permuted(words, axis=-1)`` leaves it.
    """
    words = own(words, "words", *WORDS)
    if words.ndim not in (1, 2):
        raise ValueError(f"words: {words.ndim} axes: expected 1 or 2")
    n = words.shape[-1]
    if compiled is None or n >= _LONG:
        shuffle_rows_numpy(words, rng)
    elif n > 1:
        with rng.bit_generator.lock:
            compiled.shuffle(words, rng.bit_generator.capsule, n)


def shuffle_rows_numpy(words: NDArray[Any], rng: np.random.Generator) -> None:
    """Define :func:`shuffle_rows`."""
    rng.permuted(words, axis=-1, out=words)

"""The made tensors, each drawn from a generator of its case."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from kcomplexity.calibration.records import Arrays

__all__ = [
    "constant",
    "eight_levels",
    "four_bit",
    "low_rank",
    "noise",
    "permuted",
    "repeated",
    "signs",
    "tied",
    "upcast",
]


def _normal(rng: Generator) -> NDArray[Any]:
    # A power of two as the scale moves the exponents and changes nothing else.
    return (rng.normal(size=(512, 512)) / 32).astype(np.float32)


def noise(rng: Generator) -> Arrays:
    """Return independent normal weights."""
    return {"noise": _normal(rng)}


def eight_levels(rng: Generator) -> Arrays:
    """Return eight values, each equally often, in random order."""
    levels = rng.permutation(np.arange(1 << 16) % 8)
    return {"levels": (levels.reshape(256, 256) / 7 - 0.5).astype(np.float32)}


def four_bit(rng: Generator) -> Arrays:
    """Return normal weights rounded to 15 levels."""
    levels = np.clip(np.rint(rng.normal(size=(256, 256)) * 2), -7, 7)
    # Adding zero makes +0.0 of -0.0, which is another word.
    return {"four-bit": (levels / 64 + 0.0).astype(np.float32)}


def constant(_: Generator) -> Arrays:
    """Return one value, over and over."""
    return {"constant": np.full((512, 512), 0.5, np.float32)}


def _random_bytes(rng: Generator, shape: tuple[int, ...]) -> NDArray[np.int8]:
    return rng.integers(-128, 128, shape, np.int8)


def repeated(rng: Generator) -> Arrays:
    """Return 64 KiB of random weights, 16 times over."""
    return {"repeated": np.tile(_random_bytes(rng, (64, 1024)), (16, 1))}


def tied(rng: Generator) -> Arrays:
    """Return two equal tensors of random weights."""
    first = _random_bytes(rng, (512, 512))
    return {"tied 1": first, "tied 2": first.copy()}


def low_rank(rng: Generator) -> Arrays:
    """Return products of two thin matrices, of rank 1 and 8."""

    def product(rank: int) -> NDArray[Any]:
        factors = rng.normal(size=(512, rank)), rng.normal(size=(rank, 512))
        return (factors[0] @ factors[1]).astype(np.float32)

    return {"rank 1": product(1), "rank 8": product(8)}


def upcast(rng: Generator) -> Arrays:
    """Return the same bfloat16 weights as they are and as float32."""
    native = _normal(rng).astype(ml_dtypes.bfloat16)
    return {"bf16": native, "float32": native.astype(np.float32)}


def permuted(rng: Generator) -> Arrays:
    """Return signs in blocks on the diagonal, and the same with rows and columns renumbered."""
    blocks = 2 * np.kron(np.eye(16), np.ones((16, 16))).astype(np.float32) - 1
    rows, columns = rng.permutation(256), rng.permutation(256)
    return {"blocks": blocks, "renumbered": blocks[np.ix_(rows, columns)]}


def signs(rng: Generator) -> Arrays:
    """Return the same random signs as one byte and as one float32 each."""
    ones = rng.integers(0, 2, (512, 512), np.uint8)
    return {"one byte": ones, "float32": 2 * ones.astype(np.float32) - 1}

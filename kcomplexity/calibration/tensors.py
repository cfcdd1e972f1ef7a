"""The made tensors, each drawn from a generator of its case."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from kcomplexity.calibration.records import Arrays


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


def row_scales(rng: Generator) -> Arrays:
    """Return normal weights whose rows are of two scales, half of them each, in random order."""
    scales = rng.permutation(np.repeat([1.0, 4.0], 128))
    return {"rows": (rng.normal(size=(256, 512)) * scales[:, None]).astype(np.float32)}


def chain(rng: Generator) -> Arrays:
    """Return normal magnitudes whose signs change along a row one time in five."""
    signs = 2 * (np.cumsum(rng.random((512, 512)) < 0.2, axis=1) % 2) - 1
    return {"chain": (signs * np.abs(rng.normal(size=signs.shape))).astype(np.float32)}


def low_rank_and_noise(rng: Generator) -> Arrays:
    """Return a product of rank 8 and variance 1 with noise of variance 1/4."""
    product = rng.normal(size=(256, 8)) @ rng.normal(size=(8, 512)) / math.sqrt(8)
    return {"product": (product + rng.normal(size=product.shape) / 2).astype(np.float32)}


def kernels(rng: Generator) -> Arrays:
    """Return a convolution whose 3x3 kernels are 16 different ones, in random order."""
    drawn = rng.normal(size=(16, 9))[rng.integers(0, 16, (64, 64))]
    return {"kernels": drawn.reshape(64, 64, 3, 3).astype(np.float32)}


def motifs(rng: Generator) -> Arrays:
    """Return a matrix laid of 64 different runs of eight weights, in random order."""
    drawn = rng.normal(size=(64, 8))[rng.integers(0, 64, (256, 32))]
    return {"motifs": drawn.reshape(256, 256).astype(np.float32)}


def laplace(rng: Generator) -> Arrays:
    """Return independent Laplace weights."""
    return {"Laplace": rng.laplace(size=(256, 256)).astype(np.float32)}


def student_t(rng: Generator) -> Arrays:
    """Return independent Student-t weights of three degrees of freedom: the heaviest tails."""
    return {"Student-t": rng.standard_t(3, (256, 256)).astype(np.float32)}

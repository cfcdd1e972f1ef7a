"""Where the bits of a code went: the account that a code sensitive to arrangement keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Account"]


@dataclass(frozen=True)
class Account:
    """The order-0 bits of a code's symbols, and what each stage of it saves of them.

    Attributes
    ----------
    order0_bits : float
        Bits of an order-0 code of the same symbols.
    saved_bits : mapping of str to float
        By stage, in the order in which the stages build on each other. What is left of
        `order0_bits` is the bits of the code, without side information of the view.
    order0_variance, covariance : float
        Of a sample: the variance of the order-0 bits when they are scaled up to the whole tensor,
        and their covariance with the bits of the code, in squares of bits. 0 when all was measured.
    """

    order0_bits: float
    saved_bits: Mapping[str, float]
    order0_variance: float = 0.0
    covariance: float = 0.0

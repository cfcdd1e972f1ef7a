"""How values are stored: safetensors' dtype codes, their NumPy types and their bit fields.

One :class:`StoredDtype` per code is the only place that knows how many bits a value takes, how its
sign, exponent and mantissa are laid out, and how stored bytes become numbers. The codes are
safetensors' own; every loader speaks them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from kcomplexity.errors import UnmeasurableError
from kcomplexity.files.sources import Bytes

Kind = Literal["float", "int", "uint", "bool", "complex", "opaque"]
Array = NDArray[Any]
_WORD_BITS = (1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64)


@dataclass(frozen=True, slots=True)
class StoredDtype:
    """One way a value is stored in a checkpoint.

    Attributes
    ----------
    code : str
        safetensors' name, e.g. ``"BF16"``.
    bits : int
        Stored bits per value; below 8 the values are packed.
    kind : {"float", "int", "uint", "bool", "complex", "opaque"}
        ``"opaque"`` says nothing about the values: only their bytes can be measured.
    numpy : numpy.dtype or None
        What :meth:`decode` returns; None when the values cannot be decoded.
    sign_bits, exponent_bits, mantissa_bits : int
        Widths of the fields from the top bit down; they add up to `bits` for floats.
    refusal : str
        Why the values cannot be decoded; empty when they can.
    """

    code: str
    bits: int
    kind: Kind
    numpy: np.dtype[Any] | None
    sign_bits: int = 0
    exponent_bits: int = 0
    mantissa_bits: int = 0
    refusal: str = field(default="", compare=False)

    @property
    def is_float(self) -> bool:
        """Whether the values are real floating-point numbers, even if they cannot be decoded."""
        return self.kind == "float"

    @property
    def holds_weights(self) -> bool:
        """Whether the values can be decoded to real floating-point numbers, as weights are."""
        return self.is_float and self.numpy is not None

    @property
    def is_signed(self) -> bool:
        """Whether weights of this type have a sign: F8_E8M0 holds scales, which have none."""
        return self.holds_weights and self.sign_bits > 0

    @property
    def largest(self) -> float:
        """The largest number of a floating type. Past it some types of eight bits have only NaN."""
        return float(ml_dtypes.finfo(self.numpy).max)  # type: ignore[no-untyped-call]

    @property
    def word(self) -> np.dtype[Any]:
        """The unsigned little-endian integer that holds one stored value (one byte if packed).

        Raises
        ------
        UnmeasurableError
            If no integer is as wide: the six-bit floats and some opaque types.
        """
        if self.bits not in _WORD_BITS or (self.bits < 8 and self.numpy is None):
            raise UnmeasurableError(f"{self.code}: {self.refusal}")
        return np.dtype(f"<u{max(self.bits // 8, 1)}")

    def n_bytes(self, n_values: int) -> int:
        """Bytes that hold `n_values` packed values, rounded up."""
        return -(-n_values * self.bits // 8)

    def words(self, raw: Bytes, n_values: int) -> Array:
        """View stored bytes as `n_values` unsigned integers; packed types are unpacked (copied)."""
        if self.bits >= 8:
            return raw.view(self.word)
        if self.bits != 4:  # the first value lies in the lowest bits
            planes = np.unpackbits(raw, count=n_values * self.bits, bitorder="little")
            values = np.packbits(planes.reshape(n_values, self.bits), axis=1, bitorder="little")
            return values[:, 0].view(self.word)
        nibbles = np.empty((raw.size, 2), self.word)
        np.bitwise_and(raw, 0x0F, out=nibbles[:, 0])
        np.right_shift(raw, 4, out=nibbles[:, 1])
        return nibbles.reshape(-1)[:n_values]

    def decode(self, raw: Bytes, n_values: int) -> Array:
        """View stored little-endian bytes as values of type `numpy` (copied only if packed).

        Raises
        ------
        UnmeasurableError
            If nobody has defined how the values are packed (the six-bit floats).
        """
        if self.numpy is None:
            raise UnmeasurableError(f"{self.code}: {self.refusal}")
        return self.words(raw, n_values).view(self.numpy)

    def encode(self, values: Array) -> Bytes:
        """Cast values to this type and return their stored bytes, one-dimensional.

        They are copied only where that is needed: to cast, to put in order, to pack.
        """
        if self.numpy is None:
            raise UnmeasurableError(f"{self.code}: {self.refusal}")
        cast = values.astype(self.numpy, copy=False)
        stored: Bytes = np.ascontiguousarray(cast).reshape(-1).view(np.uint8)
        if self.bits >= 8:
            return stored
        if self.bits != 4:
            bits = np.unpackbits(stored[:, None], axis=1, count=self.bits, bitorder="little")
            return np.packbits(bits, bitorder="little")
        padded = np.zeros(stored.size + stored.size % 2, np.uint8)
        padded[: stored.size] = stored
        packed = (padded[0::2] & 0x0F) | (padded[1::2] << 4)
        return packed.astype(np.uint8, copy=False)


def _little(kind: str) -> np.dtype[Any]:
    return np.dtype(kind).newbyteorder("<")


_PACKING = "safetensors does not define how six-bit values are packed; only the bytes are measured"

_F4 = np.dtype(ml_dtypes.float4_e2m1fn)
_E5M2 = np.dtype(ml_dtypes.float8_e5m2)
_E4M3 = np.dtype(ml_dtypes.float8_e4m3fn)
_E8M0 = np.dtype(ml_dtypes.float8_e8m0fnu)
_E4M3FNUZ = np.dtype(ml_dtypes.float8_e4m3fnuz)
_E5M2FNUZ = np.dtype(ml_dtypes.float8_e5m2fnuz)

#: Every code that safetensors 0.8 knows.
DTYPES: dict[str, StoredDtype] = {
    dtype.code: dtype
    for dtype in (
        StoredDtype("BOOL", 8, "bool", np.dtype(np.bool_)),
        StoredDtype("F4", 4, "float", _F4, 1, 2, 1),
        StoredDtype("F6_E2M3", 6, "float", None, 1, 2, 3, _PACKING),
        StoredDtype("F6_E3M2", 6, "float", None, 1, 3, 2, _PACKING),
        StoredDtype("F8_E5M2", 8, "float", _E5M2, 1, 5, 2),
        StoredDtype("F8_E4M3", 8, "float", _E4M3, 1, 4, 3),
        StoredDtype("F8_E8M0", 8, "float", _E8M0, 0, 8, 0),
        StoredDtype("F8_E4M3FNUZ", 8, "float", _E4M3FNUZ, 1, 4, 3),
        StoredDtype("F8_E5M2FNUZ", 8, "float", _E5M2FNUZ, 1, 5, 2),
        StoredDtype("F16", 16, "float", _little("f2"), 1, 5, 10),
        StoredDtype("BF16", 16, "float", np.dtype(ml_dtypes.bfloat16), 1, 8, 7),
        StoredDtype("F32", 32, "float", _little("f4"), 1, 8, 23),
        StoredDtype("F64", 64, "float", _little("f8"), 1, 11, 52),
        StoredDtype("C64", 64, "complex", _little("c8")),
        StoredDtype("U8", 8, "uint", np.dtype(np.uint8)),
        StoredDtype("I8", 8, "int", np.dtype(np.int8)),
        StoredDtype("U16", 16, "uint", _little("u2")),
        StoredDtype("I16", 16, "int", _little("i2")),
        StoredDtype("U32", 32, "uint", _little("u4")),
        StoredDtype("I32", 32, "int", _little("i4")),
        StoredDtype("U64", 64, "uint", _little("u8")),
        StoredDtype("I64", 64, "int", _little("i8")),
    )
}

#: Codes of quantised weights, packed without gaps, the first value in the lowest bits.
#: safetensors has no name for them, and no file of its format can hold one.
CODES: dict[str, StoredDtype] = {
    dtype.code: dtype
    for dtype in (
        *(StoredDtype(f"U{bits}", bits, "uint", np.dtype(np.uint8)) for bits in range(1, 8)),
        StoredDtype("I4", 4, "int", np.dtype(ml_dtypes.int4)),
        StoredDtype("I2", 2, "int", np.dtype(ml_dtypes.int2)),
    )
}

_BY_NUMPY = {dtype.numpy: dtype for dtype in DTYPES.values() if dtype.numpy is not None}


def from_numpy(dtype: np.dtype[Any]) -> StoredDtype | None:
    """Return the stored dtype that holds values of a NumPy type in any byte order, or None."""
    little = dtype.newbyteorder("<") if dtype.byteorder == ">" else dtype
    return _BY_NUMPY.get(little)


def opaque(dtype: np.dtype[Any], refusal: str) -> StoredDtype:
    """Return a stored dtype for a NumPy type that has no code: its bytes can be measured.

    Parameters
    ----------
    dtype : numpy.dtype
        Of a fixed size, holding no Python objects; its name becomes the code.
    refusal : str
        Why the values cannot be decoded, and what to do about it.
    """
    code = dtype.str[1:] if dtype.kind == "V" and dtype.name.startswith("void") else dtype.name
    return StoredDtype(code, 8 * dtype.itemsize, "opaque", None, refusal=refusal)

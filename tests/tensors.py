"""Small tensors of any type to make others from, and whether any range of those is a slice."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kcomplexity.tensors.checkpoint import ArrayTensor, Tensor
from kcomplexity.tensors.derived import packed, stored_words
from kcomplexity.tensors.dtypes import CODES, DTYPES, from_numpy


def array_tensor(values: np.ndarray) -> ArrayTensor:
    """An array as a tensor stored the way its type says."""
    dtype = from_numpy(values.dtype)
    assert dtype is not None
    return ArrayTensor("w", values.shape, dtype, data=dtype.encode(values.reshape(-1)))


def _dtype(code):
    return CODES[code] if code in CODES else DTYPES[code]


def tensor_of_words(words, code="F32", shape=None, name="w", layout="out-in"):
    dtype = _dtype(code)
    words = np.asarray(words).astype(dtype.word)
    data = packed(dtype, words)
    return ArrayTensor(name, shape or (words.size,), dtype, data=data, layout=layout)


def tensor_of(values, code="F32", shape=None, name="w", layout="out-in"):
    values = np.asarray(values, np.float64)
    dtype = DTYPES[code]
    data = dtype.encode(values.reshape(-1))
    return ArrayTensor(name, shape or values.shape, dtype, data=data, layout=layout)


def random_tensor(n, code="F32", seed=0, name="w"):
    """A tensor of any stored words: NaN, infinities and zeros of either sign among them."""
    dtype = _dtype(code)
    top = 2 if code == "BOOL" else 1 << dtype.bits
    words = np.random.default_rng(seed).integers(0, top, n, dtype=np.uint64)
    return tensor_of_words(words, code, name=name)


def words_of(tensor):
    return stored_words(tensor, 0, tensor.n_weights)


def numbers(tensor):
    """The weights in float64; signalling NaN stay NaN without a word."""
    with np.errstate(invalid="ignore"):
        return tensor.read().astype(np.float64)


def same(tensor: Tensor, start, stop):
    """Whether a range read alone, with a buffer and without, is the slice of the whole."""
    whole = words_of(tensor)[start:stop]
    buffer = np.zeros(tensor.dtype.n_bytes(tensor.n_weights) + 8, np.uint8)
    dtype, aligned = tensor.dtype, start - start % 8
    raw = tensor.raw(aligned, stop, buffer)
    assert raw.size == dtype.n_bytes(stop - aligned)
    buffered = dtype.words(raw, stop - aligned)[start - aligned :]
    return np.array_equal(buffered, whole) and np.array_equal(
        stored_words(tensor, start, stop), whole
    )


class Slow(ArrayTensor):
    addressable = False


@dataclass(frozen=True)
class Counting(ArrayTensor):
    """A tensor that counts how often each weight is read."""

    reads: np.ndarray = field(kw_only=True, compare=False)

    def raw(self, start: int, stop: int, out: Any = None) -> Any:
        self.reads[start:stop] += 1
        return super().raw(start, stop, out)

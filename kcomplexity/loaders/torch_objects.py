"""What PyTorch's pickles mean: storages, and tensors as strided windows on them.

:data:`HANDLERS` is the whole list of what a PyTorch file may refer to. Each entry turns the
arguments of a call into a description and touches no data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kcomplexity.files.pickles import Global, Handler, Record, as_key
from kcomplexity.tensors.dtypes import DTYPES, StoredDtype, opaque
from kcomplexity.text import shorten

_NO_CODE = "safetensors has no code for it; only the bytes are measured"

#: PyTorch's names of dtypes, with our codes. The last three are those of the codes of a quantised
#: tensor, whose scale is among the tensor's arguments.
_CODES = """
    float64:F64 float32:F32 float16:F16 bfloat16:BF16 float8_e4m3fn:F8_E4M3 float8_e5m2:F8_E5M2
    float8_e4m3fnuz:F8_E4M3FNUZ float8_e5m2fnuz:F8_E5M2FNUZ float8_e8m0fnu:F8_E8M0 bool:BOOL
    uint8:U8 int8:I8 uint16:U16 int16:I16 uint32:U32 int32:I32 uint64:U64 int64:I64 complex64:C64
    quint8:U8 qint8:I8 qint32:I32
"""
#: The kinds of typed storages, with PyTorch's names of their dtypes.
_KINDS = """
    Double:float64 Float:float32 Half:float16 BFloat16:bfloat16 Bool:bool Byte:uint8 Char:int8
    Short:int16 Int:int32 Long:int64 ComplexFloat:complex64 ComplexDouble:complex128
    QUInt8:quint8 QInt8:qint8 QInt32:qint32
"""


def _table(text: str) -> Iterator[list[str]]:
    return (pair.split(":") for pair in text.split())


#: PyTorch's names of dtypes -> how their values are stored.
TORCH_DTYPES: dict[str, StoredDtype] = {
    **{name: DTYPES[code] for name, code in _table(_CODES)},
    "complex32": opaque(np.dtype("V4"), f"complex of two float16: {_NO_CODE}"),
    "complex128": opaque(np.dtype(np.complex128), f"complex128: {_NO_CODE}"),
}
_STORAGES = {f"{kind}Storage": name for kind, name in _table(_KINDS)}
_UNTYPED = "UntypedStorage"
#: PyTorch's own limit is 64.
_MOST_AXES = 64


@dataclass(frozen=True, slots=True)
class Storage:
    """A run of bytes that tensors are windows on."""

    #: Its name in the file.
    key: str
    #: What the pickle says it takes.
    n_bytes: int
    #: None if only the tensor states it.
    dtype: StoredDtype | None


@dataclass(frozen=True, slots=True)
class TensorRef:
    """A strided window on a storage; shape, strides and offset in values, none negative."""

    storage: Storage
    dtype: StoredDtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def identity(self) -> str:
        """A text that tensors share if they show the same values; its hash cannot be foreseen."""
        window = f"{self.dtype.code} {self.dtype.kind} {self.offset} {self.shape} {self.strides}"
        return f"{window} {self.storage.n_bytes} {self.storage.key}"

    @property
    def n_values(self) -> int:
        return math.prod(self.shape)

    @property
    def span(self) -> int:
        """Values of the storage from the first to the last that the window shows."""
        if not self.n_values:
            return 0
        return 1 + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))

    @property
    def contiguous(self) -> bool:
        """Whether the values follow each other, row-major; strides of single steps do not count."""
        expected = 1
        for n, step in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if n != 1 and step != expected:
                return not self.n_values
            expected *= n
        return True


def storage_of(pid: tuple[Any, ...]) -> Storage:
    """Return the storage that a persistent id ``("storage", type, key, location, n)`` means."""
    kind, which, key, _location, n = pid[:5]
    if kind != "storage" or not isinstance(which, Global) or not isinstance(key, str | int):
        shown = shorten(kind) if isinstance(kind, str) else f"a {type(kind).__name__}"
        raise ValueError(f"a persistent id of kind {shown} means nothing here")
    if which.name == _UNTYPED:
        return Storage(str(key), _natural(n), None)
    dtype = TORCH_DTYPES[_STORAGES[which.name]]
    return Storage(str(key), dtype.n_bytes(_natural(n)), dtype)


def _natural(n: Any) -> int:
    if type(n) is not int or not 0 <= n < 1 << 62:
        shown = n if isinstance(n, int | float) else f"a {type(n).__name__}"
        raise ValueError(f"{shown} is not a size")
    return n


def _naturals(numbers: Any) -> tuple[int, ...]:
    if not isinstance(numbers, tuple | list) or len(numbers) > _MOST_AXES:
        raise ValueError(f"a {type(numbers).__name__} is used as a shape")
    sizes = tuple(_natural(n) for n in numbers)
    # A shape that a pickle uses again and again is kept once.
    return numbers if isinstance(numbers, tuple) else sizes


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, dtype: Any = None) -> TensorRef:
    if not isinstance(storage, Storage):
        raise TypeError(f"a tensor lies in a {type(storage).__name__}")
    named = TORCH_DTYPES[dtype.name] if isinstance(dtype, Global) else storage.dtype
    if named is None:
        raise ValueError("nothing states the dtype of a tensor")
    sizes, steps = _naturals(shape), _naturals(strides)
    if len(sizes) != len(steps):
        raise ValueError(f"a tensor has {len(sizes)} axes and {len(steps)} strides")
    return TensorRef(storage, named, _natural(offset), sizes, steps)


def _rebuild(args: tuple[Any, ...]) -> TensorRef:
    storage, offset, shape, strides = args[:4]
    return _tensor(storage, offset, shape, strides)


def _rebuild_v3(args: tuple[Any, ...]) -> TensorRef:
    storage, offset, shape, strides, _requires_grad, _hooks, dtype = args[:7]
    return _tensor(storage, offset, shape, strides, dtype)


def _first(args: tuple[Any, ...]) -> Any:
    return args[0]


def _rebuild_from_type(args: tuple[Any, ...]) -> Any:
    """Make what ``Tensor.__reduce_ex__`` of a subclass or with attributes asks for."""
    function, _type, inner = args[:3]
    if not isinstance(function, Global) or str(function) not in _REBUILDERS:
        shown = shorten(function) if isinstance(function, Global) else type(function).__name__
        raise TypeError(f"a tensor is to be made by {shown}")
    return _REBUILDERS[str(function)](inner)


def _sparse(args: tuple[Any, ...]) -> dict[str, Any]:
    """Make a nest of what a sparse tensor stores: its indices and its values."""
    parts = [part for part in args[1] if isinstance(part, TensorRef)]
    names = ("indices", "values") if len(parts) == 2 else ("compressed", "plain", "values")
    return dict(zip(names, parts, strict=True))


def _mapping(args: tuple[Any, ...]) -> dict[Any, Any]:
    # defaultdict has a factory before what it holds; Python 2 wrote OrderedDict as its pairs.
    content = args[-1] if args else None
    if isinstance(content, dict):
        return dict(content)
    pairs = content if isinstance(content, list) else []
    return {as_key(key): value for key, value in pairs if isinstance(key, str | int)}


def _record(_args: tuple[Any, ...]) -> Record:
    return Record()


def _as_tuple(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(args[0]) if args and isinstance(args[0], tuple | list) else args


def _set(_args: tuple[Any, ...]) -> set[Any]:
    # Its members are not tensors, and nothing else of it is used.
    return set()


def _nothing(_args: tuple[Any, ...]) -> None:
    return None


def _not_called(_args: tuple[Any, ...]) -> Any:
    raise TypeError("a type is called that only names how values are stored")


#: Functions that make a tensor from its parts; they do not call each other.
_REBUILDERS: dict[str, Handler] = {
    "torch._utils._rebuild_tensor": _rebuild,
    "torch._utils._rebuild_tensor_v2": _rebuild,
    "torch._utils._rebuild_tensor_v3": _rebuild_v3,
    "torch._utils._rebuild_qtensor": _rebuild,
    "torch._utils._rebuild_sparse_tensor": _sparse,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
}


HANDLERS: Mapping[str, Handler] = {
    **_REBUILDERS,
    "torch._tensor._rebuild_from_type_v2": _rebuild_from_type,
    "torch.Tensor": _first,
    "torch.nn.parameter.Parameter": _first,
    "torch.nn.parameter.Buffer": _first,
    "torch.Size": _as_tuple,
    "torch.device": _as_tuple,
    "torch.storage.UntypedStorage": _not_called,
    "torch.per_tensor_affine": _not_called,
    "torch.per_channel_affine": _not_called,
    **{f"torch.{name}": _not_called for name in (*_STORAGES, *TORCH_DTYPES)},
    # Layouts and memory formats that say nothing of the values.
    "torch.serialization._get_layout": _nothing,
    # Containers.
    "collections.OrderedDict": _mapping,
    "collections.defaultdict": _mapping,
    "collections.Counter": _mapping,
    "builtins.dict": _mapping,
    "builtins.list": _as_tuple,
    "builtins.tuple": _as_tuple,
    "builtins.set": _set,
    "builtins.frozenset": _set,
    "__builtin__.set": _set,
    "__builtin__.dict": _mapping,
    "__builtin__.list": _as_tuple,
    "argparse.Namespace": _record,
    # Classes of a TorchScript archive: each object is its attributes.
    "__torch__*": _record,
}

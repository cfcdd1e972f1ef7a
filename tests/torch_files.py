"""PyTorch files made by hand, opcode by opcode: no PyTorch needed, and any lie can be told."""

import pickle
import struct
import zipfile
from collections.abc import Mapping, Sequence

STORAGES = {"F32": "FloatStorage", "BF16": "BFloat16Storage", "I64": "LongStorage"}


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def integer(value):
    if 0 <= value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def named(name):
    module, _, attribute = name.rpartition(".")
    return f"c{module}\n{attribute}\n".encode()


def row(*items):
    """A tuple of any length."""
    return b"(" + b"".join(items) + b"t"


def call(name, *args):
    return named(name) + row(*args) + b"R"


def mapping(items: Mapping[str, bytes]) -> bytes:
    pairs = b"".join(text(key) + value for key, value in items.items())
    return b"}(" + pairs + b"u"


def storage(key, n, kind="FloatStorage"):
    pid = row(text("storage"), named(f"torch.{kind}"), text(key), text("cpu"), integer(n))
    return pid + b"Q"


def window(
    key: str,
    n: int,
    shape: Sequence[int],
    strides: Sequence[int],
    offset: int = 0,
    kind: str = "FloatStorage",
) -> bytes:
    """What torch writes for a tensor that shows a part of a storage of `n` values."""
    return call(
        "torch._utils._rebuild_tensor_v2",
        storage(key, n, kind),
        integer(offset),
        row(*map(integer, shape)),
        row(*map(integer, strides)),
        b"\x89",
        call("collections.OrderedDict"),
    )


def whole(key, array, kind="FloatStorage"):
    strides = [1]
    for n in reversed(array.shape[1:]):
        strides.insert(0, strides[0] * n)
    return window(key, array.size, array.shape, strides[: array.ndim], kind=kind)


def program(value: bytes) -> bytes:
    return b"\x80\x02" + value + b"."


def save_zip(path, value, storages, compression=zipfile.ZIP_STORED, **members):
    """Write a zip archive as torch.save does: `value` are opcodes, `storages` arrays by key."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", program(value))
        for name, content in members.items():
            archive.writestr(f"archive/{name}", content)
        for key, array in storages.items():
            archive.writestr(f"archive/data/{key}", getattr(array, "tobytes", lambda a=array: a)())
        archive.writestr("archive/version", b"3\n")
    return path


def save_legacy(path, value, storages, facts=None):
    """Write what torch.save wrote before 1.6."""
    facts = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}} | (facts or {})
    parts = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, facts)]
    parts += [program(value), pickle.dumps(list(storages), 2)]
    for array in storages.values():
        parts += [struct.pack("<q", array.size), array.tobytes()]
    path.write_bytes(b"".join(parts))
    return path

"""PyTorch's format before 1.6: five pickles, then the storages, in one file without a directory.

The pickles are a magic number, a protocol version, facts about the writer, the object, and the
keys of the storages in the order in which these follow: each a count of values and the values.
"""

from __future__ import annotations

from typing import Any

from kcomplexity.errors import CorruptCheckpointError
from kcomplexity.files.pickle_reader import PickleReader
from kcomplexity.files.pickles import read_pickle
from kcomplexity.files.sources import FileSource
from kcomplexity.files.streams import ByteStream, StoredBytes, whole_file
from kcomplexity.loaders.torch_objects import HANDLERS, Storage, storage_of
from kcomplexity.text import shorten

#: How the pickle of the magic number, 0x1950a86a20f9469cfc6c, starts.
MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_PROTOCOL = 1001


def read_legacy(source: FileSource, shown: str) -> tuple[Any, dict[str, ByteStream]]:
    """Return what the pickle describes, and the bytes of each storage by its key."""
    stored: dict[str, Storage] = {}

    def persistent(pid: tuple[Any, ...]) -> Storage:
        storage = storage_of(pid)
        if len(pid) > 5 and pid[5] is not None:
            raise ValueError(f"storage {shorten(storage.key)} is a view of another")
        return stored.setdefault(storage.key, storage)

    reader = PickleReader(whole_file(source), len(MAGIC))
    protocol = read_pickle(reader, f"{shown}: the protocol", {})
    if protocol != _PROTOCOL:
        what = protocol if isinstance(protocol, int) else f"a {type(protocol).__name__}"
        raise CorruptCheckpointError(f"{shown}: protocol {what}; expected {_PROTOCOL}")
    facts = read_pickle(reader, f"{shown}: the facts about the writer", {})
    if not isinstance(facts, dict) or facts.get("little_endian") is not True:
        raise CorruptCheckpointError(f"{shown}: not written as little-endian; save it again")
    tree = read_pickle(reader, f"{shown}: the pickle", HANDLERS, persistent)
    keys = read_pickle(reader, f"{shown}: the list of storages", {})
    return tree, _storages(source, keys, stored, reader.tell(), shown)


def _storages(
    source: FileSource, keys: Any, stored: dict[str, Storage], at: int, shown: str
) -> dict[str, ByteStream]:
    known = isinstance(keys, list) and all(isinstance(key, str | int) for key in keys)
    if not known or {str(key) for key in keys} != stored.keys():
        raise CorruptCheckpointError(
            f"{shown}: the list of storages and the tensors do not agree; the file is damaged"
        )
    streams: dict[str, ByteStream] = {}
    size = source.size()
    for key in keys:
        storage = stored[str(key)]
        if at + 8 > size:
            raise CorruptCheckpointError(
                f"{shown}: it ends before storage {shorten(key)}; the file is cut: copy it again"
            )
        count = int.from_bytes(source.read(at, 8).tobytes(), "little", signed=True)
        # An untyped storage is counted in bytes.
        n_bytes = storage.dtype.n_bytes(count) if storage.dtype else count
        if n_bytes != storage.n_bytes or at + 8 + n_bytes > size:
            raise CorruptCheckpointError(
                f"{shown}: storage {shorten(key)} of {storage.n_bytes} bytes says {count} values "
                f"and {size - at - 8} bytes follow; the file is cut or damaged"
            )
        streams[str(key)] = StoredBytes(source, at + 8, n_bytes)
        at += 8 + n_bytes
    return streams

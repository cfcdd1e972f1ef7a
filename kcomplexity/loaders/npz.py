"""``.npz``: a zip archive of ``.npy`` members, stored or deflated.

Stored members are read by range where they lie; deflated ones are streamed. Object arrays are
never unpickled.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kcomplexity.errors import CorruptCheckpointError, UnknownFormatError
from kcomplexity.files.opening import open_for_loading
from kcomplexity.files.sources import FileSource
from kcomplexity.files.zips import LOCAL_HEADER, Member, member_names, read_directory
from kcomplexity.loaders.base import Options
from kcomplexity.loaders.npy import Parsed, parse
from kcomplexity.tensors.checkpoint import Checkpoint, Tensor
from kcomplexity.text import printable


@dataclass(frozen=True)
class NpzLoader:
    """One archive; its tensors are in file-offset order."""

    extensions: tuple[str, ...] = (".npz",)

    def sniff(self, path: Path, head: bytes) -> bool:
        if not head.startswith(LOCAL_HEADER):
            return False
        first_name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
        if first_name.endswith(b".npy"):
            return True
        # A damaged archive has no names: if it is called .npz, load() says what is wrong with it.
        return any(name.endswith(".npy") for name in member_names(path, head))

    def load(self, path: Path, options: Options) -> Checkpoint:
        tensors: dict[str, Tensor] = {}
        notes: list[str] = []
        payload = 0
        with open_for_loading(path) as source:
            members = read_directory(source)
            if members and not any(member.name.endswith(".npy") for member in members):
                raise UnknownFormatError(
                    f"{printable(path)}: a zip archive without .npy arrays; its first member is "
                    f"{printable(members[0].name)}"
                )
            for member in members:
                if not member.name.endswith(".npy"):
                    shown = printable(member.name) or "a member without a name"
                    notes.append(f"{shown} is left out: it is not a .npy array")
                    continue
                parsed = _parse(source, member, options)
                notes += parsed.notes
                if parsed.tensor is not None:
                    tensors[parsed.tensor.name] = parsed.tensor
                    # What a deflated header takes is not known apart from its array.
                    payload += member.compressed_size
                    payload -= 0 if member.deflated else parsed.header_bytes
            rest = source.size() - payload
        return Checkpoint(str(path), "npz", tensors, {}, (source,), rest, tuple(notes))


def _parse(source: FileSource, member: Member, options: Options) -> Parsed:
    where = f"{printable(source.path)}: member {printable(member.name)}"
    name = member.name.removesuffix(".npy")
    if not name:
        raise CorruptCheckpointError(f"{where} has no name before its .npy; rename it")
    return parse(name, member.stream(source), options, where)

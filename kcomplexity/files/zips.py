"""The directory of a zip archive, checked before any member is trusted."""

from __future__ import annotations

import zipfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from kcomplexity.errors import CorruptCheckpointError
from kcomplexity.files.opening import open_source
from kcomplexity.files.sources import FileSource
from kcomplexity.files.streams import ByteStream, DeflatedBytes, StoredBytes, StreamFile, whole_file
from kcomplexity.text import printable

#: Deflate cannot shrink more than this (258 bytes cost two bits at least), so a member that
#: claims more is lying about its size.
MAX_DEFLATE_RATIO = 1032
#: Bytes of a directory. An entry of 47 bytes costs ten times as much memory; a hundred thousand
#: members with names of a hundred letters take this much.
MAX_DIRECTORY = 16 << 20

#: How the header before a member starts, and so a whole archive.
LOCAL_HEADER = b"PK\x03\x04"
_LOCAL_HEADER_SIZE = 30
_ENCRYPTED = 0x1


@dataclass(frozen=True)
class Member:
    """One file in a zip archive."""

    name: str
    #: Of its first stored byte in the archive.
    offset: int
    #: Bytes in the archive, and once inflated.
    compressed_size: int
    size: int
    #: CRC-32 of the inflated bytes.
    crc: int
    deflated: bool

    def stream(self, source: FileSource) -> ByteStream:
        if not self.deflated:
            return StoredBytes(source, self.offset, self.size)
        return DeflatedBytes(
            source, self.name, self.offset, self.compressed_size, self.size, self.crc
        )


class _Ends(StreamFile):
    """The archive as zipfile reads it: its end, then the whole directory at once."""

    def read(self, n: int | None = -1) -> bytes:
        if n is not None and n > MAX_DIRECTORY:
            raise ValueError(f"its directory takes {n} bytes; at most {MAX_DIRECTORY} are read")
        return super().read(n)


def member_names(path: Path, head: bytes) -> list[str]:
    """Return the names in a zip archive; none if it is damaged or not an archive."""
    if not head.startswith(LOCAL_HEADER):
        return []
    try:
        with closing(open_source(path)) as source:
            return zipfile.ZipFile(_Ends(whole_file(source))).namelist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return []


def read_directory(source: FileSource) -> list[Member]:
    """Return the members of a zip archive in file-offset order; folders are left out.

    An archive is refused if it is cut or damaged, or if a member is encrypted, compressed otherwise
    than by deflate, larger than its bytes can hold, overlaps another or shares its name.
    """
    shown = printable(source.path)
    try:
        with zipfile.ZipFile(_Ends(whole_file(source))) as archive:
            infos = [info for info in archive.infolist() if not info.filename.endswith("/")]
    # zipfile lets what a damaged directory does to struct and codecs through.
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, OverflowError) as error:
        raise CorruptCheckpointError(
            f"{shown}: not a whole zip archive: {printable(error)}; copy it again"
        ) from None
    members = [_member(source, info, shown) for info in infos]
    members.sort(key=lambda member: member.offset)
    _check_apart(members, shown)
    return members


def _member(source: FileSource, info: zipfile.ZipInfo, shown: str) -> Member:
    where = f"{shown}: member {printable(info.filename)}"
    if info.flag_bits & _ENCRYPTED:
        raise CorruptCheckpointError(f"{where} is encrypted; unpack it first")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise CorruptCheckpointError(
            f"{where} is compressed by method {info.compress_type}; expected stored or deflated: "
            "save it again"
        )
    deflated = info.compress_type == zipfile.ZIP_DEFLATED
    most = info.compress_size * MAX_DEFLATE_RATIO if deflated else info.compress_size
    if info.file_size > most or (not deflated and info.file_size != most):
        raise CorruptCheckpointError(
            f"{where} claims {info.file_size} bytes, but its {info.compress_size} stored ones "
            f"cannot hold {'them' if deflated else 'that'}; the file is damaged or malicious"
        )
    offset = _data_offset(source, info, where)
    if offset + info.compress_size > source.size():
        raise CorruptCheckpointError(f"{where} leaves the file; the file is cut: copy it again")
    return Member(info.filename, offset, info.compress_size, info.file_size, info.CRC, deflated)


def _data_offset(source: FileSource, info: zipfile.ZipInfo, where: str) -> int:
    """Return where the member's bytes start: after its local header, whose length only it knows."""
    if not 0 <= info.header_offset <= source.size() - _LOCAL_HEADER_SIZE:
        raise CorruptCheckpointError(f"{where} starts outside the file; the file is cut")
    head = source.read(info.header_offset, _LOCAL_HEADER_SIZE).tobytes()
    if head[:4] != LOCAL_HEADER:
        raise CorruptCheckpointError(f"{where} has no local header; the file is damaged")
    name = int.from_bytes(head[26:28], "little")
    extra = int.from_bytes(head[28:30], "little")
    return info.header_offset + _LOCAL_HEADER_SIZE + name + extra


def _check_apart(members: list[Member], shown: str) -> None:
    names: set[str] = set()
    at, before = 0, ""
    for member in members:
        name = printable(member.name)
        if member.name in names:
            raise CorruptCheckpointError(f"{shown}: two members are called {name}; rename one")
        if member.offset < at:
            # Overlapping members are how a small archive unpacks to petabytes.
            raise CorruptCheckpointError(f"{shown}: members {before} and {name} overlap")
        names.add(member.name)
        at, before = member.offset + member.compressed_size, name

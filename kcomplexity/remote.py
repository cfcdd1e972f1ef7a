"""Files on servers, read by range: http and https (:mod:`kcomplexity.http_source`), and fsspec's.

A server is not believed: it must answer a range with that range, of a file whose length does not
change. One that sends the whole file instead is refused before its answer is read, one that stalls
or sends less is asked again a few times and then given up. No request asks for more than
:data:`PIECE` bytes, so memory stays bounded whatever is sent.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from abc import abstractmethod
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import numpy as np

from kcomplexity.checkpoint import Bytes, FileSource
from kcomplexity.errors import CheckpointNotFoundError, MissingExtraError, RemoteError
from kcomplexity.text import printable

__all__ = ["PAUSE", "TRIES", "AgainError", "RemoteSource", "UrlPath", "is_url"]

#: The most that one request asks for.
PIECE = 16 << 20
#: Small reads are of headers, one after the other: each block of the file is asked for once.
BLOCK, _KEPT_BLOCKS = 1 << 16, 32
TRIES = 3
#: Half the seconds before the second try; each pause is twice the one before.
PAUSE = 0.2
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")

if TYPE_CHECKING:
    _Base = Path
else:
    # Path itself cannot be subclassed before Python 3.12.
    _Base = type(Path())


@dataclass
class _Seen:
    """What is known of a file on a server: its length, its tag, and the blocks read last."""

    size: int | None = None
    tag: str | None = None
    blocks: OrderedDict[int, bytes] = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)


def is_url(text: str) -> bool:
    """Whether a source is an URL, or a chain of them as fsspec writes it."""
    return _URL.match(text) is not None


class UrlPath(_Base):
    """An URL that has the name, the suffix and the text of a path, so that loaders can take it."""

    url: str
    seen: _Seen

    def __new__(cls, url: str) -> Self:
        path = super().__new__(cls, _path_of(url))
        path.url = url
        path.seen = _Seen()
        return path

    def __init__(self, url: str) -> None:
        if sys.version_info >= (3, 12):
            super().__init__(_path_of(url))

    def __reduce__(self) -> tuple[type[UrlPath], tuple[str]]:
        return UrlPath, (self.url,)

    def __str__(self) -> str:
        return getattr(self, "url", None) or super().__str__()

    def is_dir(self, **_: Any) -> bool:
        """Whether it is a folder: files alone are read from servers."""
        return False

    def absolute(self) -> UrlPath:
        """Return itself."""
        return self

    def resolve(self, strict: bool = False) -> UrlPath:
        """Return itself."""
        return self

    def source(self) -> RemoteSource:
        """Return a source that reads it."""
        http = urlsplit(self.url).scheme.lower() in ("http", "https") and "::" not in self.url
        if not http:
            return FsspecSource(self)
        # Imported where it is used: http and ssl cost what half of NumPy does.
        from kcomplexity.http_source import HttpSource

        return HttpSource(self)


def _path_of(url: str) -> str:
    return urlsplit(url.partition("::")[0]).path or "/"


class RemoteSource(FileSource):
    """A file on a server; safe to share between threads, cheap to pickle."""

    local = False

    def __init__(self, path: UrlPath) -> None:
        super().__init__(path)
        self.shown = printable(path)
        self.url = path.url
        # What is looked at first and then opened is asked for once.
        self.seen = path.seen

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return type(self), (self.path,)

    def size(self) -> int:
        """Size of the file in bytes, as it was when it was first asked for."""
        if self.seen.size is None:
            self.seen.size = self._ask_size()
        return self.seen.size

    def read(self, offset: int, n_bytes: int, out: Bytes | None = None) -> Bytes:
        """Read exactly `n_bytes` from `offset`, into `out` when it is given.

        Raises
        ------
        RemoteError
            If the server does not send them.
        """
        self._check_open()
        buffer = np.empty(n_bytes, np.uint8) if out is None else out[:n_bytes]
        if offset + n_bytes > self.size():
            raise RemoteError(
                f"{self.shown}: bytes {offset} to {offset + n_bytes} of a file of {self.size()}"
            )
        view = buffer.data
        if n_bytes < BLOCK:
            done = 0
            while done < n_bytes:
                number, skip = divmod(offset + done, BLOCK)
                part = self._block(number)[skip : skip + n_bytes - done]
                view[done : done + len(part)] = part
                done += len(part)
            return buffer
        for at in range(0, n_bytes, PIECE):
            piece = view[at : at + PIECE]
            piece[:] = self._ask(offset + at, len(piece))
        return buffer

    def _block(self, number: int) -> bytes:
        seen = self.seen
        with seen.lock:
            if number not in seen.blocks:
                start = number * BLOCK
                seen.blocks[number] = self._ask(start, min(BLOCK, self.size() - start))
                if len(seen.blocks) > _KEPT_BLOCKS:
                    seen.blocks.popitem(last=False)
            return seen.blocks[number]

    def _ask(self, start: int, n_bytes: int) -> bytes:
        """Ask for a range, a few times if need be."""
        for tried in range(1, TRIES + 1):
            try:
                return self._ask_once(start, n_bytes)
            except AgainError as error:
                if tried == TRIES:
                    raise RemoteError(
                        f"{self.shown}: bytes {start} to {start + n_bytes} did not come in "
                        f"{TRIES} tries: {printable(error)[:160]}; try again, or download it"
                    ) from None
                time.sleep(PAUSE * 2**tried)
        raise AssertionError("the last try returns or raises")

    @abstractmethod
    def _ask_size(self) -> int:
        """Return the length of the file."""

    @abstractmethod
    def _ask_once(self, start: int, n_bytes: int) -> bytes:
        """Return a range; raise AgainError for what may pass."""


class AgainError(Exception):
    """What may pass: asked again, a few times."""


class FsspecSource(RemoteSource):
    """A file in any place that fsspec knows: ``s3://``, ``hf://``, ``memory://``, ``zip://``."""

    _place: tuple[Any, str] | None = None

    def _open(self) -> tuple[Any, str]:
        if self._place is None:
            try:
                from fsspec.core import url_to_fs

                self._place = url_to_fs(self.url)
            except ImportError as error:
                raise MissingExtraError(
                    f"{self.shown}: a package for this kind of URL is missing "
                    f"({printable(error)}): pip install 'kcomplexity[remote]', and what it names"
                ) from None
            except ValueError as error:
                raise RemoteError(f"{self.shown}: {printable(error)[:160]}") from None
        return self._place

    def _ask_size(self) -> int:
        fs, path = self._open()
        try:
            size = fs.size(path)
        except FileNotFoundError:
            raise CheckpointNotFoundError(f"{self.shown}: no such file; check the URL") from None
        except Exception as error:  # noqa: BLE001 - each place has errors of its own
            raise RemoteError(f"{self.shown}: {printable(error)[:160]}") from None
        if not isinstance(size, int):
            raise RemoteError(f"{self.shown}: its size is not told; download it first")
        return size

    def _ask_once(self, start: int, n_bytes: int) -> bytes:
        fs, path = self._open()
        try:
            found: bytes = fs.cat_file(path, start=start, end=start + n_bytes)
        except Exception as error:  # noqa: BLE001 - each place has errors of its own
            raise AgainError(str(error) or type(error).__name__) from None
        if len(found) != n_bytes:
            raise AgainError(f"{len(found)} bytes came")
        return found

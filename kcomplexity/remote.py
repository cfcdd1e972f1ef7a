"""Files on servers, read by range: http and https with nothing else installed, the rest by fsspec.

A server is not believed: it must answer a range with that range, of a file whose length does not
change. One that sends the whole file instead is refused before its answer is read, one that stalls
or sends less is asked again a few times and then given up. No request asks for more than
:data:`PIECE` bytes, so memory stays bounded whatever is sent.
"""

from __future__ import annotations

import http.client
import re
import sys
import threading
import time
import urllib.error
import urllib.request
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

__all__ = ["PIECE", "RemoteSource", "UrlPath", "is_url"]

#: The most that one request asks for.
PIECE = 16 << 20
#: Small reads are of headers, one after the other: each block of the file is asked for once.
_BLOCK, _KEPT_BLOCKS = 1 << 16, 32
_TRIES = 3
#: Half the seconds before the second try; each pause is twice the one before.
PAUSE = 0.2
#: Seconds without a byte, and seconds for a whole answer at the slowest line worth waiting for.
TIMEOUT = 30.0
_SLOWEST = 20_000.0
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")

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
        return HttpSource(self) if http else FsspecSource(self)


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
        self._seen = path.seen

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return type(self), (self.path,)

    def size(self) -> int:
        """Size of the file in bytes, as it was when it was first asked for."""
        if self._seen.size is None:
            self._seen.size = self._ask_size()
        return self._seen.size

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
        if n_bytes < _BLOCK:
            done = 0
            while done < n_bytes:
                number, skip = divmod(offset + done, _BLOCK)
                part = self._block(number)[skip : skip + n_bytes - done]
                view[done : done + len(part)] = part
                done += len(part)
            return buffer
        for at in range(0, n_bytes, PIECE):
            piece = view[at : at + PIECE]
            piece[:] = self._ask(offset + at, len(piece))
        return buffer

    def _block(self, number: int) -> bytes:
        seen = self._seen
        with seen.lock:
            if number not in seen.blocks:
                start = number * _BLOCK
                seen.blocks[number] = self._ask(start, min(_BLOCK, self.size() - start))
                if len(seen.blocks) > _KEPT_BLOCKS:
                    seen.blocks.popitem(last=False)
            return seen.blocks[number]

    def _ask(self, start: int, n_bytes: int) -> bytes:
        """Ask for a range, a few times if need be."""
        for tried in range(1, _TRIES + 1):
            try:
                return self._ask_once(start, n_bytes)
            except _AgainError as error:
                if tried == _TRIES:
                    raise RemoteError(
                        f"{self.shown}: bytes {start} to {start + n_bytes} did not come in "
                        f"{_TRIES} tries: {printable(error)[:160]}; try again, or download it"
                    ) from None
                time.sleep(PAUSE * 2**tried)
        raise AssertionError("the last try returns or raises")

    @abstractmethod
    def _ask_size(self) -> int:
        """Return the length of the file."""

    @abstractmethod
    def _ask_once(self, start: int, n_bytes: int) -> bytes:
        """Return a range; raise _AgainError for what may pass."""


class _AgainError(Exception):
    """What may pass: asked again, a few times."""


class HttpSource(RemoteSource):
    """A file behind http or https."""

    def _ask_size(self) -> int:
        for tried in range(1, _TRIES + 1):
            try:
                with self._request(0, 1) as answer:
                    return self._checked(answer, 0, 1, None)
            except (OSError, http.client.HTTPException, _AgainError) as error:
                if isinstance(error, RemoteError | CheckpointNotFoundError) or tried == _TRIES:
                    raise self._failed(error) from None
                time.sleep(PAUSE * 2**tried)
        raise AssertionError("the last try returns or raises")

    def _ask_once(self, start: int, n_bytes: int) -> bytes:
        deadline = time.monotonic() + TIMEOUT + n_bytes / _SLOWEST
        try:
            with self._request(start, n_bytes) as answer:
                self._checked(answer, start, n_bytes, self.size())
                parts: list[bytes] = []
                left = n_bytes
                while left:
                    part = answer.read(min(left, _BLOCK))
                    if not part:
                        raise _AgainError(f"the answer ends {left} bytes early")
                    if time.monotonic() > deadline:
                        raise _AgainError(f"the server is slower than {_SLOWEST / 1000:g} kB/s")
                    parts.append(part)
                    left -= len(part)
                return b"".join(parts)
        except (RemoteError, CheckpointNotFoundError):
            raise
        except (OSError, http.client.HTTPException) as error:
            raise _AgainError(str(error) or type(error).__name__) from None

    def _request(self, start: int, n_bytes: int) -> Any:
        headers = {
            "Range": f"bytes={start}-{start + n_bytes - 1}",
            # A compressed answer would have another length.
            "Accept-Encoding": "identity",
            "User-Agent": "kcomplexity",
        }
        request = urllib.request.Request(self.url, headers=headers)  # noqa: S310 - http(s) alone
        try:
            return _opener().open(request, timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in (408, 425, 429) or error.code >= 500:
                raise _AgainError(f"the server answers {error.code}") from None
            if error.code in (404, 410):
                raise CheckpointNotFoundError(
                    f"{self.shown}: the server has no such file ({error.code}); check the URL"
                ) from None
            why = "the file is empty or shorter" if error.code == 416 else "it refuses"
            raise RemoteError(f"{self.shown}: the server answers {error.code}: {why}") from None

    def _checked(self, answer: Any, start: int, n_bytes: int, size: int | None) -> int:
        """Check that an answer is the range that was asked for; return the file's size."""
        if answer.status != 206:
            raise RemoteError(
                f"{self.shown}: the server ignores ranges (it answers {answer.status}, with the "
                "whole file); download it first"
            )
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise RemoteError(f"{self.shown}: the server compresses ranges; download it first")
        found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if not found or (int(found[1]), int(found[2])) != (start, start + n_bytes - 1):
            raise RemoteError(
                f"{self.shown}: asked for bytes {start} to {start + n_bytes}, the server sends "
                f"{printable(answer.headers.get('Content-Range'))[:60]}; download it first"
            )
        tag = answer.headers.get("ETag")
        if size not in (None, int(found[3])) or (size is not None and tag != self._seen.tag):
            raise RemoteError(f"{self.shown}: the file has changed on the server; start again")
        self._seen.tag = tag
        return int(found[3])

    def _failed(self, error: Exception) -> Exception:
        if isinstance(error, RemoteError | CheckpointNotFoundError):
            return error
        reason = printable(getattr(error, "reason", None) or error)[:160]
        return RemoteError(f"{self.shown}: the server cannot be reached: {reason}")


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener that knows http and https only: a redirect must not lead to a file."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


class FsspecSource(RemoteSource):
    """A file in any place that fsspec knows: ``s3://``, ``hf://``, ``memory://``, ``zip://``."""

    _place: tuple[Any, str] | None = None

    def _open(self) -> tuple[Any, str]:
        if self._place is None:
            try:
                from fsspec.core import url_to_fs

                self._place = url_to_fs(self.url)
            except ImportError as error:
                needs = "fsspec" if error.name == "fsspec" else printable(error)
                raise MissingExtraError(
                    f"{self.shown}: reading it needs {needs}: pip install 'kcomplexity[remote]' "
                    "and what fsspec says for this kind of URL"
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
            raise _AgainError(str(error) or type(error).__name__) from None
        if len(found) != n_bytes:
            raise _AgainError(f"{len(found)} bytes came")
        return found

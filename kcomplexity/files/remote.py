"""Files on servers, read by range: http and https (:mod:`kcomplexity.files.http`), and fsspec's.

A server is not trusted: it must answer a range with that range, of a file whose length does not
change. A server that sends the whole file instead is refused before its answer is read; one that
stalls or sends less is asked again a few times. No request asks for more than :data:`PIECE` bytes,
so memory stays bounded whatever is sent.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

from kcomplexity.errors import RemoteError
from kcomplexity.files.sources import Bytes, FileSource, buffer_for
from kcomplexity.files.urls import UrlPath
from kcomplexity.text import printable

_T = TypeVar("_T")

#: The most that one request asks for.
PIECE = 16 << 20
#: Small reads are of headers, one after the other: each block of the file is requested once.
BLOCK, _KEPT_BLOCKS = 1 << 16, 32
TRIES = 3
#: Half the seconds before the second try; each pause is twice the one before.
PAUSE = 0.2


class RemoteSource(FileSource):
    """A file on a server; safe to share between threads, cheap to pickle."""

    local = False

    def __init__(self, path: UrlPath) -> None:
        super().__init__(path)
        self.shown = printable(path)
        self.url = path.url
        # Blocks read to recognise the format are not requested again to open the file.
        self.seen = path.seen

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return type(self), (self.path,)

    def size(self) -> int:
        # As it was when it was first asked for.
        if self.seen.size is None:
            self.seen.size = self._ask_size()
        return self.seen.size

    def read(self, offset: int, n_bytes: int, out: Bytes | None = None) -> Bytes:
        self._check_open()
        buffer = buffer_for(n_bytes, out)
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
        what = f"bytes {start} to {start + n_bytes} did not come in {TRIES} tries"
        return self._retried(lambda: self._ask_once(start, n_bytes), what)

    def _retried(self, request: Callable[[], _T], failure: str) -> _T:
        """Make a request, several times if necessary."""
        for tried in range(1, TRIES + 1):
            try:
                return request()
            except TransientError as error:
                if tried == TRIES:
                    raise RemoteError(
                        f"{self.shown}: {failure}: {printable(error)[:160]}; "
                        "try again, or download it"
                    ) from None
                time.sleep(PAUSE * 2**tried)
        raise AssertionError("the last try returns or raises")

    @abstractmethod
    def _ask_size(self) -> int:
        """Return the length of the file."""

    @abstractmethod
    def _ask_once(self, start: int, n_bytes: int) -> bytes:
        """Return a range; raise TransientError for a failure that may pass."""


class TransientError(Exception):
    """A failure that may pass, so the request is repeated a few times."""

"""A file behind http or https, read by range with the standard library."""

from __future__ import annotations

import http.client
import re
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

from kcomplexity.errors import CheckpointNotFoundError, RemoteError
from kcomplexity.files.remote import BLOCK, RemoteSource, TransientError
from kcomplexity.text import printable

#: Seconds without a byte after which a request fails. A request may take twice as long, and the
#: time that its bytes need at `_SLOWEST` bytes per second.
TIMEOUT = 30.0
_SLOWEST = 20_000.0
_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,18})", re.ASCII)


class HttpSource(RemoteSource):
    """A file behind http or https."""

    def _ask_size(self) -> int:
        def ask() -> int:
            with self._answer(0, 1) as answer:
                return self._checked(answer, 0, 1, None)

        return self._retried(ask, "the server cannot be reached")

    def _ask_once(self, start: int, n_bytes: int) -> bytes:
        with self._answer(start, n_bytes) as answer:
            self._checked(answer, start, n_bytes, self.size())
            parts: list[bytes] = []
            left = n_bytes
            while left:
                part = answer.read(min(left, BLOCK))
                if not part:
                    raise TransientError(f"the answer ends {left} bytes early")
                parts.append(part)
                left -= len(part)
            return b"".join(parts)

    @contextmanager
    def _answer(self, start: int, n_bytes: int) -> Iterator[Any]:
        """Request a range; a broken connection and a slow server are failures that may pass."""
        with _Deadline(n_bytes) as deadline:
            try:
                with self._request(start, n_bytes, deadline) as answer:
                    yield answer
            # A cut connection shows as damage to what was being read: a header, or the bytes.
            except (RemoteError, CheckpointNotFoundError, TransientError):
                deadline.check()
                raise
            except (OSError, http.client.HTTPException) as error:
                deadline.check()
                reason = getattr(error, "reason", None) or error
                raise TransientError(str(reason) or type(error).__name__) from None

    def _request(self, start: int, n_bytes: int, deadline: _Deadline) -> Any:
        headers = {
            "Range": f"bytes={start}-{start + n_bytes - 1}",
            # A compressed answer would have another length.
            "Accept-Encoding": "identity",
            "User-Agent": "kcomplexity",
        }
        request = urllib.request.Request(self.url, headers=headers)  # noqa: S310 - http(s) alone
        try:
            return _opener(deadline).open(request, timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in (408, 425, 429) or error.code >= 500:
                raise TransientError(f"the server answers {error.code}") from None
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
        span = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if not span or (int(span[1]), int(span[2])) != (start, start + n_bytes - 1):
            raise RemoteError(
                f"{self.shown}: asked for bytes {start} to {start + n_bytes}, the server sends "
                f"{printable(answer.headers.get('Content-Range'))[:60]}; download it first"
            )
        tag = answer.headers.get("ETag")
        if size not in (None, int(span[3])) or (size is not None and tag != self.seen.tag):
            raise RemoteError(f"{self.shown}: the file has changed on the server; start again")
        self.seen.tag = tag
        return int(span[3])


class _Deadline:
    """Cuts the connections of one request when its time is up.

    The time limit of a socket starts again with each byte: a server that sends a byte now and then
    could hold a reader for ever, even in its headers.
    """

    def __init__(self, n_bytes: int) -> None:
        self._timer = threading.Timer(2 * TIMEOUT + n_bytes / _SLOWEST, self._cut)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._connections: list[socket.socket] = []
        self._over = False

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()

    def watch(self, connection: socket.socket) -> None:
        """Cut this connection too if the time is up before the request has ended."""
        with self._lock:
            # A handle of its own: urllib closes the one it has before the answer is read.
            self._connections.append(connection.dup())
        self.check()

    def check(self) -> None:
        """Raise TransientError if the time is over."""
        if self._over:
            raise TransientError(f"the server is slower than {_SLOWEST / 1000:g} kB/s")

    def _cut(self) -> None:
        self._over = True
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):  # the other side has closed it
                    connection.shutdown(socket.SHUT_RDWR)


def _opener(deadline: _Deadline) -> urllib.request.OpenerDirector:
    """Return an opener that knows http and https only: a redirect must not lead to a file."""

    class Plain(http.client.HTTPConnection):
        def connect(self) -> None:
            super().connect()
            deadline.watch(self.sock)

    # Between the two: the connection is watched before the handshake of https.
    class Secure(http.client.HTTPSConnection, Plain):
        pass

    class PlainHandler(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(Plain, req)

    class SecureHandler(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(Secure, req)

    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        PlainHandler,
        SecureHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener

"""URLs in the form of paths, which loaders take like any other."""

from __future__ import annotations

import re
import sys
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")

if TYPE_CHECKING:
    _Base = Path
else:
    # Path itself cannot be subclassed before Python 3.12.
    _Base = type(Path())


@dataclass
class Seen:
    """What is known about a file on a server: length, tag, and the blocks read last."""

    size: int | None = None
    tag: str | None = None
    blocks: OrderedDict[int, bytes] = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)


def is_url(text: str) -> bool:
    """Whether a source is a URL, or a chain of URLs as fsspec writes it."""
    return _URL.match(text) is not None


class UrlPath(_Base):
    """A URL with the name, the suffix and the text of a path, so that loaders can take it."""

    url: str
    seen: Seen

    def __new__(cls, url: str) -> Self:
        path = super().__new__(cls, _path_of(url))
        path.url = url
        path.seen = Seen()
        return path

    def __init__(self, url: str) -> None:
        if sys.version_info >= (3, 12):
            super().__init__(_path_of(url))

    def __reduce__(self) -> tuple[type[UrlPath], tuple[str]]:
        return UrlPath, (self.url,)

    def __str__(self) -> str:
        return getattr(self, "url", None) or super().__str__()

    def is_dir(self, **_: Any) -> bool:
        # Only files are read from servers.
        return False

    def absolute(self) -> UrlPath:
        return self

    def resolve(self, strict: bool = False) -> UrlPath:
        return self


def _path_of(url: str) -> str:
    return urlsplit(url.partition("::")[0]).path or "/"

"""Open what a path or a URL names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from kcomplexity.files.sources import FileSource
from kcomplexity.files.urls import UrlPath

__all__ = ["open_source", "opened"]


def open_source(path: Path) -> FileSource:
    """Return a source that reads `path`, a file here or on a server, by range."""
    if not isinstance(path, UrlPath):
        return FileSource(path)
    if urlsplit(path.url).scheme.lower() in ("http", "https") and "::" not in path.url:
        # Imported where it is used: http and ssl cost what half of NumPy does.
        from kcomplexity.files.http import HttpSource

        return HttpSource(path)
    from kcomplexity.files.fsspec_source import FsspecSource

    return FsspecSource(path)


@contextmanager
def opened(path: Path) -> Iterator[FileSource]:
    """Open a file for a loader, and close it again if loading fails."""
    source = open_source(path)
    try:
        yield source
    except BaseException:
        source.close()
        raise

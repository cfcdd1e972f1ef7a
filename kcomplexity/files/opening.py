"""Open a file by its path or URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from kcomplexity.files.sources import FileSource
from kcomplexity.files.urls import UrlPath


def open_source(path: Path) -> FileSource:
    """Return a source that reads `path`, a local file or one on a server, by range."""
    if not isinstance(path, UrlPath):
        return FileSource(path)
    if urlsplit(path.url).scheme.lower() in ("http", "https") and "::" not in path.url:
        # Imported where it is used: http and ssl cost what half of NumPy does.
        from kcomplexity.files.http import HttpSource

        return HttpSource(path)
    from kcomplexity.files.fsspec_source import FsspecSource

    return FsspecSource(path)


@contextmanager
def open_for_loading(path: Path) -> Iterator[FileSource]:
    """Open a file that stays open for the checkpoint, and close it if loading fails."""
    source = open_source(path)
    try:
        yield source
    except BaseException:
        source.close()
        raise

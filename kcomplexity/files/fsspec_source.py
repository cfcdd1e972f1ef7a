"""A file in any place that fsspec knows: object stores, archives, memory."""

from __future__ import annotations

from typing import Any

from kcomplexity.errors import CheckpointNotFoundError, MissingExtraError, RemoteError
from kcomplexity.files.remote import RemoteSource, TransientError
from kcomplexity.text import printable


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
            raise RemoteError(f"{self.shown}: its size is unknown; download it first")
        return size

    def _ask_once(self, start: int, n_bytes: int) -> bytes:
        fs, path = self._open()
        try:
            data: bytes = fs.cat_file(path, start=start, end=start + n_bytes)
        except Exception as error:  # noqa: BLE001 - each place has errors of its own
            raise TransientError(str(error) or type(error).__name__) from None
        if len(data) != n_bytes:
            raise TransientError(f"{len(data)} bytes came")
        return data

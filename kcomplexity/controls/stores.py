"""Where shuffled words go while they are written, and where a replicate lives until the next.

A small replicate stays in memory and is pickled with its words; what is bigger is kept in
temporary files that other processes read, and that go when the replicate does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from io import BufferedRandom
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from kcomplexity.files.sources import FileSource
from kcomplexity.parallel.pool import Pool
from kcomplexity.tensors.checkpoint import ArrayTensor, StoredTensor, Tensor
from kcomplexity.tensors.derived import packed
from kcomplexity.tensors.pieces import FRAME

Words = NDArray[Any]


class Sink(Protocol):
    """Where permuted words go, by position."""

    def put(self, at: int, words: Words) -> None: ...

    def get(self, at: int, n: int) -> Words: ...


class _Memory:
    """Words in memory."""

    def __init__(self, n: int, word: np.dtype[Any]) -> None:
        self._n, self._word = n, word
        self.words = np.empty(0, word)

    def put(self, at: int, words: Words) -> None:
        if words.size == self._n:
            self.words = words  # all at once: a second copy would double the peak
            return
        if not self.words.size:
            self.words = np.empty(self._n, self._word)
        self.words[at : at + words.size] = words

    def get(self, at: int, n: int) -> Words:
        return self.words[at : at + n]


class _File:
    """Words in a file."""

    def __init__(self, file: BufferedRandom, word: np.dtype[Any]) -> None:
        self._file, self._word = file, word

    def put(self, at: int, words: Words) -> None:
        self._file.seek(at * self._word.itemsize)
        self._file.write(words.data)

    def get(self, at: int, n: int) -> Words:
        words = np.empty(n, self._word)
        self._file.seek(at * self._word.itemsize)
        self._file.readinto(words.data)
        return words


class Store:
    """Where the tensors of one replicate live: in memory, or in files that go with it."""

    def __init__(self, pool: Pool, *, in_memory: bool) -> None:
        self._pool, self._in_memory = pool, in_memory
        self._sources: list[FileSource] = []
        self._shared: FileSource | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for source in self._sources:
            source.close()
            # Windows keeps a file that another process has open; it goes with the pool.
            with suppress(PermissionError):
                source.path.unlink(missing_ok=True)

    def keep(self, tensor: Tensor, permute: Callable[[Sink], None], *, whole: bool) -> Tensor:
        """Return the tensor that holds the permuted words of `tensor`.

        `permute` writes all of its words to the sink that it gets: in memory if `whole`, wherever
        the words are kept afterwards, else a file.
        """
        n, dtype = tensor.n_weights, tensor.dtype
        if whole:
            memory = _Memory(n, dtype.word)
            permute(memory)
            raw = packed(dtype, memory.words)
            if not self._in_memory:
                return self._appended(tensor, [raw])
            return ArrayTensor(tensor.name, tensor.shape, dtype, layout=tensor.layout, data=raw)
        source = self._new_file()
        with source.path.open("r+b") as file:
            words = _File(file, dtype.word)
            permute(words)
            if dtype.bits < 8:
                frames = (words.get(start, stop - start) for start, stop in tensor.spans(FRAME))
                return self._appended(tensor, (packed(dtype, frame) for frame in frames))
        return _stored(tensor, source, 0)

    def _appended(self, tensor: Tensor, chunks: Iterable[NDArray[np.uint8]]) -> Tensor:
        """Write to the one file of all smaller tensors: a model has more of them than handles."""
        if self._shared is None:
            self._shared = self._new_file()
        offset = self._shared.path.stat().st_size
        with self._shared.path.open("ab") as file:
            for chunk in chunks:
                file.write(chunk.data)
        return _stored(tensor, self._shared, offset)

    def _new_file(self) -> FileSource:
        self._sources.append(FileSource(self._pool.temporary_file()))
        return self._sources[-1]


def _stored(tensor: Tensor, source: FileSource, offset: int) -> StoredTensor:
    return StoredTensor(
        tensor.name, tensor.shape, tensor.dtype, layout=tensor.layout, source=source, offset=offset
    )

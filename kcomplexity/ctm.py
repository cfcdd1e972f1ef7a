"""CTM tables: how complex each small block of symbols is, in bits.

The Coding Theorem Method (CTM) runs millions of small Turing machines and takes the complexity of
a block to be ``-log2`` of the share of halting machines that print it [1]_ [2]_. The tables were
published with pybdm 0.1.0 (MIT), whose package they are read from. pybdm itself is never imported:
that fails wherever ``pkg_resources`` is missing, which is every fresh virtual environment.

A table goes through three stages:

1. :func:`_source_bytes` finds the file and checks that it is the very file of pybdm 0.1.0;
2. :func:`_read_pickle` unpickles it, admitting nothing but dictionaries, and :func:`_flatten`
   turns its text keys into sorted integer codes;
3. for the large alphabets :func:`_store` keeps the result in the user's cache folder, from which
   :func:`_load_stored` maps it.

References
----------
.. [1] Soler-Toscano, Zenil, Delahaye, Gauvrit: Calculating Kolmogorov complexity from the output
       frequency distributions of small Turing machines. PLoS ONE 9(5):e96223 (2014).
.. [2] Zenil, Hernandez-Orozco, Kiani, Soler-Toscano, Rueda-Toicen, Tegner: A decomposition method
       for global evaluation of Shannon entropy and local estimations of algorithmic complexity.
       Entropy 20(8):605 (2018).
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import math
import os
import pickle
import struct
import tempfile
import zlib
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kcomplexity.errors import CtmTableError, SpecError

__all__ = ["CTM_SOURCES", "CtmSource", "CtmTable", "ctm_cache_folder", "ctm_table"]

Codes = NDArray[np.int64]
Bits = NDArray[np.float64]

_LARGEST_SIZE: Final = 16  # symbols in the largest block of any table: 4x4


@dataclass(frozen=True)
class CtmSource:
    """Where a table lies in pybdm 0.1.0, and what identifies it.

    Attributes
    ----------
    name : str
        pybdm's name: ``b<symbols>-d<largest block>``.
    sha256 : str
        Of the gzip'd file. A name of ours means one definition for ever, so a table that differs
        in a single bit must be refused, not measured with.
    cached : bool
        Whether reading it takes long enough (seconds) to be worth a file in the cache folder.
    """

    name: str
    sha256: str
    cached: bool

    @property
    def file_name(self) -> str:
        """The file's name in pybdm's ``ctmdata`` folder."""
        return f"ctm-{self.name}.pkl.gz"


#: (number of symbols, number of dimensions) -> the table for them.
CTM_SOURCES: Final[Mapping[tuple[int, int], CtmSource]] = MappingProxyType(
    {
        (2, 1): CtmSource(
            "b2-d12",
            "d97c1c3f59876353d3ef4d8b38087fd0ff447f4ac473dbe9b35b7ef7058a7eb1",
            cached=False,
        ),
        (2, 2): CtmSource(
            "b2-d4x4",
            "d6e8ad059099c313fe4e1867721b7bf125883d8b783ceff5abb36e870537241a",
            cached=False,
        ),
        (4, 1): CtmSource(
            "b4-d12",
            "fb5daac9a78e4839a2b96de6614cc7dc78a2ec3b9c978cbf354ce0e39c50b684",
            cached=True,
        ),
        (5, 1): CtmSource(
            "b5-d12",
            "aae3c982a19450a3432bc9d33b32d99c49e33e3823e87697ef8214935f562014",
            cached=True,
        ),
        (6, 1): CtmSource(
            "b6-d12",
            "02fa3559ab80e80ed3ce876d8970d13c93957663fc18f0a3ccdd2b794539e53d",
            cached=True,
        ),
        (9, 1): CtmSource(
            "b9-d12",
            "2ffc80f22bbfffac3a31c4cf0afb1fba0f7ba49e350190c4d5b7910c4c3579a2",
            cached=True,
        ),
    }
)


@dataclass(frozen=True, eq=False)
class CtmTable:
    """CTM values of blocks, by integer code.

    A block of `size` symbols, read in row-major order, has the code
    ``sum(symbol[i] * n_symbols ** (size - 1 - i))``. Renaming symbols does not change a CTM value,
    so a table holds *normalised* blocks only: symbols numbered in order of first appearance.

    Attributes
    ----------
    name : str
        pybdm's name of the table.
    n_symbols, ndim : int
        Size of the alphabet; 1 for strings, 2 for square blocks.
    keys : ndarray of shape (n_entries,), int64
        ``n_symbols ** size + code`` of every normalised block, ascending. The leading one keeps
        blocks of different sizes apart, and sorts them by size.
    values : ndarray of shape (n_entries,), float64
        CTM value of each key, in bits.
    """

    name: str
    n_symbols: int
    ndim: int
    keys: Codes = field(repr=False)
    values: Bits = field(repr=False)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Sizes, in symbols, of the blocks that the table knows, ascending."""
        return tuple(size for size in range(1, _LARGEST_SIZE + 1) if self._values(size).size)

    def lookup(self, codes: NDArray[np.integer[Any]], size: int) -> tuple[Bits, NDArray[np.bool_]]:
        """CTM values of blocks, missing ones imputed.

        Parameters
        ----------
        codes : ndarray of shape (n,), integer
            Codes of blocks, not normalised.
        size : int
            Symbols a block, one of `sizes`.

        Returns
        -------
        values : ndarray of shape (n,), float64
            In bits; :meth:`imputed` where the table has no entry, as pybdm does.
        known : ndarray of shape (n,), bool
            Whether the table has an entry.

        Notes
        -----
        O(n) for two symbols, O(n * (size + log n_entries)) else.
        """
        if self.n_symbols == 2:
            return self._dense[size][codes], np.ones(codes.shape, dtype=np.bool_)
        wanted = self.n_symbols**size + normalised_codes(codes, self.n_symbols, size)
        at = np.minimum(np.searchsorted(self.keys, wanted), self.keys.size - 1)
        known = self.keys[at] == wanted
        values = self.values[at]
        if not known.all():
            values[~known] = self.imputed(size)
        return values, known

    def largest(self, size: int) -> float:
        """The largest CTM value of blocks of `size` symbols, in bits."""
        return float(self._values(size).max())

    def smallest(self, size: int) -> float:
        """The smallest CTM value of blocks of `size` symbols, in bits."""
        return float(self._values(size).min())

    def imputed(self, size: int) -> float:
        """What a block costs that no machine was seen to print: one bit above the largest."""
        return self.largest(size) + 1.0

    def ranked(self, size: int) -> tuple[Bits, NDArray[np.int64]]:
        """The blocks of `size` symbols from the most to the least complex.

        Returns
        -------
        values : ndarray, float64
            CTM values of the normalised blocks, descending, in bits.
        n_renamings : ndarray, int64
            How many blocks become that normalised block: ``n_symbols! / (n_symbols - used)!``.
        """
        if size not in self._ranked:
            span = self._span(size)
            digits = _digits(self.keys[span] - self.n_symbols**size, self.n_symbols, size)
            n_used = 1 + np.maximum.reduce(digits)
            renamings = np.array([math.perm(self.n_symbols, u) for u in range(self.n_symbols + 1)])
            order = np.argsort(-self.values[span], kind="stable")
            self._ranked[size] = self.values[span][order], renamings[n_used[order]]
        return self._ranked[size]

    @cached_property
    def _ranked(self) -> dict[int, tuple[Bits, NDArray[np.int64]]]:
        """What :meth:`ranked` found so far: half a second for three million blocks."""
        return {}

    @cached_property
    def _dense(self) -> dict[int, Bits]:
        """Two symbols: the values of all ``2 ** size`` codes, for each size."""
        # A normalised block starts with 0, and pybdm's binary tables hold all of those: they are
        # the first half of the codes. The other half are the complements, in reversed order.
        halves = {size: self._values(size) for size in self.sizes}
        return {size: np.concatenate([half, half[::-1]]) for size, half in halves.items()}

    def _values(self, size: int) -> Bits:
        return self.values[self._span(size)]

    def _span(self, size: int) -> slice:
        ends = np.array([self.n_symbols**size, self.n_symbols ** (size + 1)], dtype=np.int64)
        start, stop = np.searchsorted(self.keys, ends)
        return slice(int(start), int(stop))


def ctm_table(n_symbols: int = 2, ndim: int = 1) -> CtmTable:
    """The CTM table for an alphabet.

    Parameters
    ----------
    n_symbols : {2, 4, 5, 6, 9}
        Size of the alphabet.
    ndim : {1, 2}
        1 for strings of up to 12 symbols; 2 for square blocks of side 1 to 4 (two symbols only).

    Returns
    -------
    CtmTable
        Kept for the life of the process.

    Raises
    ------
    SpecError
        There is no such table.
    CtmTableError
        pybdm is not installed, or its tables are not those of version 0.1.0.

    Notes
    -----
    The two-symbol tables take milliseconds. A larger one takes seconds and some hundred megabytes
    once; it is then mapped from a file in :func:`ctm_cache_folder`. A damaged file is rebuilt;
    where none can be written the table is converted anew in each process.

    Examples
    --------
    >>> values, known = ctm_table().lookup(np.array([0b0, 0b111111111111]), 12)
    >>> values
    array([25.6104..., 25.6104...])
    """
    if (n_symbols, ndim) not in CTM_SOURCES:
        there_are = ", ".join(str(n) for n, d in CTM_SOURCES if d == ndim)
        raise SpecError(
            f"no CTM table for n_symbols={n_symbols} in {ndim} dimension(s); there are tables for "
            f"{there_are or 'one and two dimensions only'}. Map the weights to one of those "
            "alphabets, for instance with the views sign (2 symbols) or l9 (9 symbols)"
        )
    return _load(n_symbols, ndim)


def ctm_cache_folder() -> Path:
    """Folder of the converted tables: in ``$KCOMPLEXITY_CACHE`` or in the user's cache folder."""
    from platformdirs import user_cache_path

    chosen = os.environ.get("KCOMPLEXITY_CACHE")
    return (Path(chosen) if chosen else user_cache_path("kcomplexity", appauthor=False)) / "ctm"


@lru_cache
def _load(n_symbols: int, ndim: int) -> CtmTable:
    source = CTM_SOURCES[n_symbols, ndim]
    path = _stored_path(source) if source.cached else None
    entries = _load_stored(path) if path else None
    if entries is None:
        entries = _flatten(_read_pickle(_source_bytes(source)), n_symbols)
        if path:
            _store(path, *entries)
    return CtmTable(source.name, n_symbols, ndim, *entries)


def normalised_codes(codes: NDArray[np.integer[Any]], n_symbols: int, size: int) -> Codes:
    """Codes of the same blocks with symbols numbered in order of first appearance.

    Parameters
    ----------
    codes : ndarray of shape (n,), integer
        Codes of blocks of `size` symbols.
    n_symbols, size : int
        Size of the alphabet and of a block.

    Returns
    -------
    ndarray of shape (n,), int64

    Examples
    --------
    >>> normalised_codes(np.array([0b1100, 0b0011]), 2, 4)
    array([3, 3])
    """
    number = np.full((codes.size, n_symbols), -1, dtype=np.int8)
    n_used = np.zeros(codes.size, dtype=np.int8)
    rows = np.arange(codes.size)
    result = np.zeros(codes.size, dtype=np.int64)
    for digit in _digits(codes, n_symbols, size):
        new = number[rows, digit] < 0
        number[rows[new], digit[new]] = n_used[new]
        n_used += new
        result *= n_symbols
        result += number[rows, digit]
    return result


def _digits(codes: NDArray[np.integer[Any]], n_symbols: int, size: int) -> list[Codes]:
    """The symbols of each block, first symbol first."""
    rest = codes.astype(np.int64)
    digits: list[Codes] = []
    for _ in range(size):
        rest, digit = np.divmod(rest, n_symbols)
        digits.append(digit)
    return digits[::-1]


# --- the installed package ------------------------------------------------------------------------


def _source_bytes(source: CtmSource) -> bytes:
    """The gzip'd table of the installed pybdm, checked to be the one we know."""
    # A top-level name: find_spec looks for it without running its code.
    spec = importlib.util.find_spec("pybdm")
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        raise CtmTableError(
            "BDM needs the CTM tables of pybdm, and pybdm is not installed; "
            "run: pip install 'pybdm==0.1.0'"
        )
    path = Path(folders[0]) / "ctmdata" / source.file_name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CtmTableError(
            f"cannot read the CTM table {path} ({error.strerror}); expected the files of "
            "pybdm 0.1.0. Reinstall it: pip install --force-reinstall 'pybdm==0.1.0'"
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != source.sha256:
        raise CtmTableError(
            f"the CTM table {path} is not the one of pybdm 0.1.0 (SHA-256 {digest[:16]}..., "
            f"expected {source.sha256[:16]}...), so its figures would not be comparable. "
            "Reinstall it: pip install --force-reinstall 'pybdm==0.1.0'"
        )
    return content


class _DictUnpickler(pickle.Unpickler):
    """An unpickler that builds dictionaries of numbers and text, and calls nothing else."""

    _ADMITTED: Final = MappingProxyType(
        {
            ("collections", "defaultdict"): defaultdict,
            ("collections", "OrderedDict"): OrderedDict,
            ("builtins", "dict"): dict,
        }
    )

    def find_class(self, module_name: str, global_name: str) -> type:
        try:
            return self._ADMITTED[module_name, global_name]
        except KeyError:
            raise CtmTableError(
                f"refused to unpickle a CTM table that names {module_name}.{global_name}: "
                "tables are made of dictionaries only. The file has been tampered with"
            ) from None


def _read_pickle(content: bytes) -> dict[tuple[int, ...], dict[str, float]]:
    """Block shape -> text of the normalised block -> CTM value."""
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
        table: dict[tuple[int, ...], dict[str, float]] = _DictUnpickler(stream).load()
        return table


def _flatten(table: dict[tuple[int, ...], dict[str, float]], n_symbols: int) -> tuple[Codes, Bits]:
    """Keys and values as in :class:`CtmTable`; empties `table`, whose text takes much memory."""
    keys: list[Codes] = []
    values: list[Bits] = []
    while table:
        shape, entries = table.popitem()
        size = math.prod(shape)
        text = np.frombuffer("".join(entries).encode("ascii"), dtype=np.uint8)
        code = np.ones(len(entries), dtype=np.int64)
        for column in text.reshape(len(entries), size).T:
            code *= n_symbols
            code += column - ord("0")
        keys.append(code)
        values.append(np.fromiter(entries.values(), dtype=np.float64, count=len(entries)))
    all_keys = np.concatenate(keys)
    order = np.argsort(all_keys)
    return all_keys[order], np.concatenate(values)[order]


# --- the cache folder -----------------------------------------------------------------------------

# File: this header, then the keys (little-endian int64), then the values (little-endian float64).
# The magic ends in the version of the layout; the last field is the CRC-32 of all that follows.
_MAGIC: Final = b"kc-ctm\x00\x01"
_HEADER: Final = struct.Struct("<8sQQ")


def _stored_path(source: CtmSource) -> Path:
    return ctm_cache_folder() / f"ctm-{source.name}-v{_MAGIC[-1]}-{source.sha256[:16]}.bin"


def _load_stored(path: Path) -> tuple[Codes, Bits] | None:
    """Map a stored table; ``None`` where there is none, or where it is damaged."""
    try:
        content = np.memmap(path, dtype=np.uint8, mode="r")
    except (OSError, ValueError):  # ValueError: an empty file cannot be mapped
        return None
    if content.size < _HEADER.size:
        return None
    magic, n_entries, checksum = _HEADER.unpack(content[: _HEADER.size].tobytes())
    body = np.asarray(content)[_HEADER.size :]
    if magic != _MAGIC or body.size != 16 * n_entries or zlib.crc32(body.data) != checksum:
        return None
    return body[: 8 * n_entries].view("<i8"), body[8 * n_entries :].view("<f8")


def _store(path: Path, keys: Codes, values: Bits) -> None:
    """Keep a table for the next process, if the folder can be written.

    Whoever loses a race replaces the winner's file by an equal one. Readers only ever see a whole
    file, since a rename within a folder is atomic.
    """
    body = keys.astype("<i8").tobytes() + values.astype("<f8").tobytes()
    header = _HEADER.pack(_MAGIC, keys.size, zlib.crc32(body))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.stem, delete=False) as file:
            temporary = Path(file.name)
            try:
                file.write(header + body)
                file.close()  # Windows renames closed files only
                temporary.replace(path)
            except BaseException:
                file.close()
                temporary.unlink(missing_ok=True)
                raise
    except OSError:
        # A read-only or full cache costs time in the next process, never a figure in this one.
        return

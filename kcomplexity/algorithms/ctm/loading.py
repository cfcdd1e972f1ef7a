"""A table by its alphabet: from the cache folder if it is there, else from pybdm's package."""

from __future__ import annotations

from functools import lru_cache

from kcomplexity.algorithms.ctm.cache import load_stored, store, stored_path
from kcomplexity.algorithms.ctm.source import CTM_SOURCES, flatten, read_pickle, source_bytes
from kcomplexity.algorithms.ctm.table import CtmTable
from kcomplexity.errors import SpecError


def ctm_table(n_symbols: int = 2, ndim: int = 1) -> CtmTable:
    """Return the CTM table for an alphabet.

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
    >>> import numpy as np
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


@lru_cache
def _load(n_symbols: int, ndim: int) -> CtmTable:
    source = CTM_SOURCES[n_symbols, ndim]
    path = stored_path(source) if source.cached else None
    entries = load_stored(path) if path else None
    if entries is None:
        entries = flatten(read_pickle(source_bytes(source)), n_symbols)
        if path:
            store(path, *entries)
    return CtmTable(source.name, n_symbols, ndim, *entries)

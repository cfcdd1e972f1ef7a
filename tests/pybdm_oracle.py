"""pybdm 0.1.0 itself, as the reference implementation that figures are compared with.

pybdm finds its tables through ``pkg_resources``, which setuptools dropped: a stand-in with the one
function that it uses takes its place while pybdm is imported.
"""

from __future__ import annotations

import importlib
import importlib.resources
import sys
import types
import warnings
from functools import lru_cache
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike

_PARTITIONS = {
    "ignore": "PartitionIgnore",
    "correlated": "PartitionCorrelated",
    "recursive": "PartitionRecursive",
}


def _import_pybdm() -> types.ModuleType:
    stand_in = types.ModuleType("pkg_resources")
    vars(stand_in)["resource_stream"] = _resource_stream
    displaced = sys.modules.get("pkg_resources")
    sys.modules["pkg_resources"] = stand_in
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own: invalid escapes in docstrings
            return importlib.import_module("pybdm")
    finally:
        del sys.modules["pkg_resources"]
        if displaced:
            sys.modules["pkg_resources"] = displaced


def _resource_stream(package: str, name: str) -> IO[bytes]:
    return importlib.resources.files(package).joinpath(name).open("rb")


pybdm = _import_pybdm()


@lru_cache
def oracle(
    ndim: int,
    n_symbols: int = 2,
    block: int | None = None,
    partition: str = "ignore",
    shift: int = 1,
    min_length: int = 2,
) -> Any:
    """A configured ``pybdm.BDM``, silent about blocks that its table lacks."""
    options = {"correlated": {"shift": shift}, "recursive": {"min_length": min_length}}
    return pybdm.BDM(
        ndim,
        nsymbols=n_symbols,
        shape=None if block is None else (block,) * ndim,
        partition=getattr(pybdm, _PARTITIONS[partition]),
        warn_if_missing_ctm=False,
        **options.get(partition, {}),
    )


def pybdm_bdm(array: ArrayLike, *, normalized: bool = False, **how: Any) -> float:
    """BDM as pybdm has it, in bits."""
    symbols = np.asarray(array, dtype=np.int64)
    return float(oracle(symbols.ndim, **how).bdm(symbols, normalized=normalized))


def pybdm_entropy(array: ArrayLike, *, normalized: bool = False, **how: Any) -> float:
    """Block entropy as pybdm has it, in bits a block."""
    symbols = np.asarray(array, dtype=np.int64)
    return float(oracle(symbols.ndim, **how).ent(symbols, normalized=normalized))


def forget_tables() -> None:
    """Free pybdm's tables: the large ones take some hundred megabytes each."""
    oracle.cache_clear()
    pybdm.utils.get_ctm_dataset.cache_clear()

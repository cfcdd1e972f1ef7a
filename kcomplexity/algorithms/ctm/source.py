"""The tables as they lie in the installed package of pybdm, which is never imported.

Its files are pickles: an unpickler that admits nothing but dictionaries reads them.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import pickle
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from kcomplexity.algorithms.ctm.table import Bits, Codes
from kcomplexity.errors import CtmTableError


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
    """

    name: str
    sha256: str

    @property
    def file_name(self) -> str:
        """The file's name in pybdm's ``ctmdata`` folder."""
        return f"ctm-{self.name}.pkl.gz"


#: (number of symbols, number of dimensions) -> the table for them.
CTM_SOURCES: Final[Mapping[tuple[int, int], CtmSource]] = {
    (2, 1): CtmSource("b2-d12", "d97c1c3f59876353d3ef4d8b38087fd0ff447f4ac473dbe9b35b7ef7058a7eb1"),
    (2, 2): CtmSource(
        "b2-d4x4", "d6e8ad059099c313fe4e1867721b7bf125883d8b783ceff5abb36e870537241a"
    ),
    (4, 1): CtmSource("b4-d12", "fb5daac9a78e4839a2b96de6614cc7dc78a2ec3b9c978cbf354ce0e39c50b684"),
    (5, 1): CtmSource("b5-d12", "aae3c982a19450a3432bc9d33b32d99c49e33e3823e87697ef8214935f562014"),
    (6, 1): CtmSource("b6-d12", "02fa3559ab80e80ed3ce876d8970d13c93957663fc18f0a3ccdd2b794539e53d"),
    (9, 1): CtmSource("b9-d12", "2ffc80f22bbfffac3a31c4cf0afb1fba0f7ba49e350190c4d5b7910c4c3579a2"),
}


def source_bytes(source: CtmSource) -> bytes:
    """Return the gzip'd table of the installed pybdm, checked by its SHA-256."""
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


def read_pickle(content: bytes) -> dict[tuple[int, ...], dict[str, float]]:
    """Return block shape -> text of the normalised block -> CTM value."""
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
        table: dict[tuple[int, ...], dict[str, float]] = _DictUnpickler(stream).load()
        return table


def flatten(table: dict[tuple[int, ...], dict[str, float]], n_symbols: int) -> tuple[Codes, Bits]:
    """Return keys and values as in :class:`CtmTable`; empties `table`, whose text is large."""
    keys: list[Codes] = []
    values: list[Bits] = []
    while table:
        _, entries = table.popitem()
        text = np.frombuffer("".join(entries).encode("ascii"), dtype=np.uint8)
        code = np.ones(len(entries), dtype=np.int64)
        for column in text.reshape(len(entries), -1).T:
            code *= n_symbols
            code += column - ord("0")
        keys.append(code)
        values.append(np.fromiter(entries.values(), dtype=np.float64, count=len(entries)))
    all_keys = np.concatenate(keys)
    order = np.argsort(all_keys)
    return all_keys[order], np.concatenate(values)[order]


class _DictUnpickler(pickle.Unpickler):
    """An unpickler that builds dictionaries of numbers and text, and calls nothing else."""

    def find_class(self, module_name: str, global_name: str) -> type:
        for admitted in (dict, OrderedDict, defaultdict):
            if (admitted.__module__, admitted.__name__) == (module_name, global_name):
                return admitted
        raise CtmTableError(
            f"refused to unpickle a CTM table that names {module_name}.{global_name}: "
            "tables are made of dictionaries only. The file has been tampered with"
        )

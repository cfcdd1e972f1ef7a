"""Which kernels run: the compiled ones if they were built, else their NumPy twins."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Final, Literal


def _chosen() -> ModuleType | None:
    """Return the extension module, or None where the twins are to run."""
    wanted = os.environ.get("KCOMPLEXITY_KERNELS", "")
    if wanted not in ("", "numpy", "compiled"):
        raise ImportError(
            f"KCOMPLEXITY_KERNELS={wanted}: expected numpy or compiled, or leave it unset"
        )
    if wanted == "numpy":
        return None
    try:
        from kcomplexity.kernels import _compiled
    except ImportError:
        if wanted == "compiled":
            raise
        return None
    return _compiled


#: The extension module, or None.
compiled: Final[ModuleType | None] = _chosen()
#: Which of the two ran, for the provenance of a result. Both give the same figures.
NAME: Final[Literal["compiled", "numpy"]] = "numpy" if compiled is None else "compiled"

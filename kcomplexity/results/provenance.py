"""Where figures come from: versions, machine, command; and what identifies a checkpoint."""

from __future__ import annotations

import platform
import time
from datetime import UTC, datetime
from functools import cache

from kcomplexity import kernels
from kcomplexity._version import __version__
from kcomplexity.results.records import CheckpointInfo, Provenance
from kcomplexity.tensors.checkpoint import Checkpoint

#: Libraries whose version can change a figure.
_LIBRARIES = (
    "numpy",
    "ml_dtypes",
    "safetensors",
    "zstandard",
    "brotli",
    "isal",
    "pybdm",
    "scipy",
    "faiss-cpu",
    "constriction",
)


def provenance(command: str, seed: int, threads: int, started: float) -> Provenance:
    """Describe a run that began at `started`, in seconds since the epoch, and ends now."""
    return Provenance(
        version=__version__,
        command=command,
        python=platform.python_version(),
        platform=platform.platform(),
        libraries=libraries() | {"kernels": kernels.NAME},
        seed=seed,
        threads=threads,
        started=datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        seconds=round(time.time() - started, 3),
    )


def libraries() -> dict[str, str]:
    """Return the version of each library that can change a figure."""
    import zlib

    return {name: _version(name) for name in _LIBRARIES} | {"zlib": zlib.ZLIB_RUNTIME_VERSION}


def describe(checkpoint: Checkpoint) -> CheckpointInfo:
    """Describe a checkpoint so that the same one can be found again."""
    return CheckpointInfo(
        path=checkpoint.path,
        format=checkpoint.format,
        fingerprint=checkpoint.fingerprint(),
        n_tensors=len(checkpoint),
        n_weights=checkpoint.n_weights,
        n_bytes=checkpoint.n_bytes,
        n_container_bytes=checkpoint.n_container_bytes,
        metadata=dict(checkpoint.metadata),
        notes=checkpoint.notes,
    )


@cache
def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"

"""Time what a user waits for before any weight is read: import, help, inspect.

    python benchmarks/startup.py

Every run is a fresh process, Python's own start included. Imports of the package alternate with
imports of NumPy, and the figure is the median of the differences. Files are in the page cache, and
modules are compiled already, as an installer leaves them: the first run of each job, which is not
counted, writes the bytecode to a temporary folder.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from measuring import Row, heavy_tailed, paired, seconds, table, warn_if_busy, write_safetensors

N_TENSORS = 2_000
CLI = "from kcomplexity_cli.main import cli; cli()"  # what the console script does


def main(argv: Sequence[str] | None = None) -> None:
    """Time all jobs and print the table."""
    options = _parse(argv)
    warn_if_busy()
    print(table("startup: fresh processes", rows(options.repeats)))


def rows(repeats: int) -> Iterator[Row]:
    """Time each job `repeats` times."""
    with tempfile.TemporaryDirectory(prefix="kcomplexity-bench-") as folder:
        fresh = partial(_python, Path(folder) / "bytecode")
        # The module of a name is imported on first use: the second is what a score needs.
        for code in ("import kcomplexity", "from kcomplexity import score"):
            times = paired(partial(fresh, code), partial(fresh, "import numpy"), repeats)
            yield Row(
                f"`{code}`",
                f"`import numpy`: {1000 * statistics.median(times.peer):.0f} ms",
                "<= +60 ms",
                f"{1000 * times.difference:+.0f} ms",
            )
        measured = _median(partial(fresh, CLI, "--help"), repeats)
        yield Row("`kcomplexity --help`", "-", "< 0.3 s", measured)
        path = Path(folder) / "model.safetensors"
        layers = [(f"blocks.{i // 4}.part_{i % 4}.weight", (16, 16)) for i in range(N_TENSORS)]
        block = heavy_tailed(1 << 16, np.random.default_rng(0)).view(np.uint8)
        write_safetensors(path, layers, "F32", iter([block] * N_TENSORS))
        measured = _median(partial(fresh, CLI, "inspect", str(path)), repeats)
        yield Row(f"`kcomplexity inspect`, {N_TENSORS:,} tensors", "-", "< 0.5 s", measured)


def _median(run: Callable[[], None], repeats: int) -> str:
    """Time a process: the median, and the slowest."""
    run()
    times = [seconds(run) for _ in range(repeats)]
    return f"{1000 * statistics.median(times):.0f} ms (slowest {1000 * max(times):.0f})"


def _python(bytecode: Path, code: str, *arguments: str) -> None:
    environment = os.environ | {"PYTHONPYCACHEPREFIX": str(bytecode)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", code, *arguments]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=21, help="processes of each kind (21)")
    parser.add_argument("--quick", action="store_true", help="one process of each kind")
    options = parser.parse_args(argv)
    if options.quick:
        options.repeats = 1
    return options


if __name__ == "__main__":
    main()

"""The tests: one module a module of the package, and the plain definitions they compare with."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from kcomplexity_cli.main import cli

ROOT = Path(__file__).parents[1]  # the checkout: tests run from there
KCOMPLEXITY = [sys.executable, "-m", "kcomplexity_cli"]


def environment() -> dict[str, str]:
    """Return the variables with which a process of its own finds the checkout, installed or not."""
    return os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'cli'}"}


def run(*arguments: object, **options: Any) -> Result:
    """Give the command its arguments, in this process."""
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], **options)


@contextmanager
def running(*arguments: object, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Start the command in a process of its own, which does not outlive the test."""
    words = [*KCOMPLEXITY, *map(str, arguments)]
    with subprocess.Popen(words, env=environment(), text=True, **options) as started:
        try:
            yield started
        finally:
            started.kill()


def wait_until(condition: Callable[[], Any], seconds: float = 30) -> None:
    """Return when the condition holds, and fail where it does not within so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds:g} s in vain"
        time.sleep(0.005)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read the rows of a result back, by means that are not ours."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return found
    with path.open(newline="") as file:
        if path.suffix == ".csv":
            return list(csv.DictReader(file))
        if path.suffix == ".json":
            return [*json.load(file)["rows"]]
        return [line for line in map(json.loads, file) if line["record"] == "row"]


def read_tables(path: Path) -> list[list[dict[str, str]]]:
    """Read the tables of a page of Markdown back, each row by its heads."""
    tables = []
    for block in path.read_text().split("\n\n"):
        if block.startswith("|"):
            heads, _, *rows = (
                [cell.strip() for cell in line.split("|")[1:-1]] for line in block.splitlines()
            )
            tables.append([dict(zip(heads, row, strict=True)) for row in rows])
    return tables

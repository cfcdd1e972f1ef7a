"""The journal of a score keeps every row that it was given, whenever it is interrupted."""

from __future__ import annotations

import json

import numpy as np
import pytest

import kcomplexity as kc
from kcomplexity.plan import make_plan
from kcomplexity.pool import Pool
from kcomplexity.scoring import run_plan
from kcomplexity_cli import resume
from kcomplexity_cli.resume import Journal


@pytest.fixture
def plan():
    arrays = {name: np.arange(9, dtype="f4") + i for i, name in enumerate("abc")}
    return make_plan([kc.open_checkpoint(arrays)], specs=["l2"])


@pytest.fixture
def rows(plan):
    with Pool(1) as pool:
        return [row for found in run_plan(plan, pool) for row in found]


class Interrupted(bytes):
    """Lines that are written whole, and an interruption before anything else is done."""

    def __len__(self) -> int:
        raise KeyboardInterrupt


def test_rows_that_were_written_when_the_interruption_came_stay(plan, rows, tmp_path, monkeypatch):
    path = tmp_path / "s.jsonl"
    lines = resume._lines

    def interrupt(journal):
        journal.write(rows[:1])
        # Two rows in one write, and half of the next.
        whole = lines(rows[1:])
        monkeypatch.setattr(resume, "_lines", lambda _: Interrupted(whole + whole[:20]))
        journal.write(rows[1:])

    with (
        pytest.raises(KeyboardInterrupt),
        Journal(path, plan, "", resume=False, quiet=True) as journal,
    ):
        interrupt(journal)
    monkeypatch.undo()
    _, *kept = map(json.loads, (tmp_path / "s.jsonl.part").read_text().splitlines())
    assert [row["tensor"] for row in kept] == ["a", "b", "c"]
    with Journal(path, plan, "", resume=True) as journal:
        assert [
            journal.known(row.checkpoint, unit) for row, unit in zip(rows, *plan.units, strict=True)
        ] == [[row] for row in rows]

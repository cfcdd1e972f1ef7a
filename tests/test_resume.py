"""The journal of a score keeps every row that it was given, whenever it is interrupted."""

from __future__ import annotations

import json

import numpy as np
import pytest

import kcomplexity as kc
from kcomplexity.parallel.pool import Pool
from kcomplexity.scoring import journal as journal_module
from kcomplexity.scoring.journal import Journal
from kcomplexity.scoring.plan import make_plan
from kcomplexity.scoring.score import measure_plan


@pytest.fixture
def plan():
    arrays = {name: np.arange(9, dtype="f4") + i for i, name in enumerate("abc")}
    return make_plan([kc.open_checkpoint(arrays)], specs=["l2"])


@pytest.fixture
def rows(plan):
    with Pool(1) as pool:
        return [row for found in measure_plan(plan, pool) for row in found]


def keep(journal, plan, rows):
    """Hand rows to the journal, each with its unit."""
    units = dict(zip("abc", *plan.units, strict=True))
    for row in rows:
        unit = units[row.tensor]
        journal.keep(row.checkpoint, unit, {unit.specs[0]: row})


class Interrupted:
    """A file to which all is written, and an interruption before anything else is done."""

    def __init__(self, file):
        self._file = file

    def __getattr__(self, name):
        return getattr(self._file, name)

    def write(self, data):
        self._file.write(data)
        raise KeyboardInterrupt


def test_rows_that_were_written_when_the_interruption_came_stay(plan, rows, tmp_path, monkeypatch):
    path = tmp_path / "s.jsonl"
    lines = journal_module._lines

    def interrupt(journal):
        keep(journal, plan, rows[:1])
        # Two rows in one write, and half of the next.
        whole = lines(rows[1:])
        monkeypatch.setattr(journal_module, "_lines", lambda _: whole + whole[:20])
        monkeypatch.setattr(journal, "_file", Interrupted(journal._file))
        keep(journal, plan, rows[1:])

    with (
        pytest.raises(KeyboardInterrupt) as interruption,
        Journal(path, plan, "", resume=False) as journal,
    ):
        interrupt(journal)
    monkeypatch.undo()
    assert "add --resume to go on with it" in interruption.value.__notes__[0]
    _, *kept = map(json.loads, (tmp_path / "s.jsonl.part").read_text().splitlines())
    assert [row["tensor"] for row in kept] == ["a", "b", "c"]
    with Journal(path, plan, "", resume=True) as journal:
        assert [
            [*journal.find(row.checkpoint, unit).values()]
            for row, unit in zip(rows, *plan.units, strict=True)
        ] == [[row] for row in rows]


def test_a_journal_without_rows_is_removed(plan, tmp_path):
    with Journal(tmp_path / "s.jsonl", plan, "", resume=False):
        assert (tmp_path / "s.jsonl.part").exists()
    assert not list(tmp_path.iterdir())


def test_a_journal_that_was_taken_away_costs_no_result(plan, rows, tmp_path):
    with Journal(tmp_path / "s.jsonl", plan, "", resume=False) as journal:
        keep(journal, plan, rows)
        (tmp_path / "s.jsonl.part").unlink()
        journal.discard()
    assert not list(tmp_path.iterdir())

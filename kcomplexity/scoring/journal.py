"""The journal of a long score: every row as it comes, so that an interruption loses nothing.

Rows go to ``FILE.part``, one JSON object a line, after a first line that says what is measured.
When the report is written the journal is removed. After Ctrl-C or on a full disk it is a valid
JSON-lines file, and a run that resumes takes its rows instead of measuring them again.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from kcomplexity._version import __version__
from kcomplexity.errors import JournalWarning, OutputError, SpecError
from kcomplexity.files.atomic import write_atomically
from kcomplexity.results.json_form import json_line, read_lines
from kcomplexity.results.provenance import libraries
from kcomplexity.results.records import Score
from kcomplexity.scoring.plan import Plan
from kcomplexity.scoring.specs import Spec
from kcomplexity.scoring.units import Unit

Key = tuple[str, str | None, str | None, str | None, str]


class Journal:
    """Rows on disk as they are measured; a context manager.

    Nothing is kept unless the report to come, `output`, is a ``.jsonl`` file. `resume` takes the
    rows of an interrupted run of the same plan and command.

    Raises
    ------
    SpecError
        When entered, if there is nothing to resume, or it was measured from something else.
    OutputError
        If another run is writing the journal, or it cannot be written.
    """

    def __init__(self, output: Path | None, plan: Plan, command: str, *, resume: bool) -> None:
        kept = output is not None and output.suffix.lower() == ".jsonl"
        if resume and not kept:
            raise SpecError("only the rows of a .jsonl file can be resumed: name it as the output")
        self.path = output.with_name(output.name + ".part") if output and kept else None
        self._plan = _identity(plan) | {"command": command}
        self._output = output
        self._rows: dict[Key, Score] = {}
        self._resume = resume

    def __enter__(self) -> Self:
        if self.path is None:
            return self
        kept: list[Score] = []
        if self.path.exists():
            with self.path.open("rb") as file:
                _claim(file, self.path)
            if self._resume:
                kept = self._read(self.path)
            else:
                said = f"starting anew: {self.path} of an earlier run is replaced"
                warnings.warn(said, JournalWarning, stacklevel=2)
        elif self._resume and self._output and self._output.exists():
            raise SpecError(
                f"{self._output} is there and {self.path} is not: nothing was interrupted; leave "
                "out --resume to start anew"
            )
        self._rows = {(r.checkpoint, r.tensor, r.group, r.dtype, r.spec): r for r in kept}
        # Whole or not at all: a full disk must not cost what an earlier run has measured.
        head = json_line("plan", self._plan)
        write_atomically(self.path, head + _lines(kept))
        self._empty = len(head)
        # Read as well: the file may be gone from its folder when the score ends.
        self._file = self.path.open("a+b", buffering=0)
        _claim(self._file, self.path)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.path is None:
            return
        # What was written when an interruption came stays, but for a line that was cut: no JSON.
        self._file.seek(self._empty)
        whole = self._empty + self._file.read().rfind(b"\n") + 1
        self._file.truncate(whole)
        self._file.close()
        if whole == self._empty:
            self.path.unlink(missing_ok=True)
        elif isinstance(error, KeyboardInterrupt):
            error.add_note(f"{self.path} keeps what was measured: add --resume to go on with it")

    def find(self, path: str, unit: Unit) -> dict[Spec, Score]:
        """Return the rows of a unit that an interrupted run has measured."""
        keys = {spec: (path, unit.name, unit.group, unit.dtype, str(spec)) for spec in unit.specs}
        return {spec: self._rows[key] for spec, key in keys.items() if key in self._rows}

    def keep(self, path: str, unit: Unit, rows: Mapping[Spec, Score]) -> None:
        """Append rows; they are in the file when this returns."""
        if self.path is None:
            return
        left = memoryview(_lines(list(rows.values())))
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise OutputError(
                f"cannot write {self.path}: {error.strerror}; it keeps what was measured: "
                "make room and add --resume"
            ) from error

    def discard(self) -> None:
        """Remove the journal: the result is complete."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _read(self, path: Path) -> list[Score]:
        try:
            lines = read_lines(path.read_bytes())
            plan = {key: value for key, value in lines[0].items() if key != "record"}
            rows = [Score.from_dict(line) for line in lines[1:]]
        except (OSError, ValueError, TypeError, AttributeError, LookupError) as error:
            raise SpecError(
                f"{path} is not the journal of an interrupted score ({error}): remove it, or leave "
                "out --resume to start anew"
            ) from error
        if plan != self._plan:
            raise SpecError(
                f"{path} was measured from other files, with other options or other library "
                "versions: repeat those, or leave out --resume to start anew"
            )
        # What failed is worth another try.
        return [row for row in rows if row.status != "failed"]


def _identity(plan: Plan) -> dict[str, object]:
    """Return what has to be the same for rows of an earlier run to be those of this one."""
    files = [[s.status() for s in c.sources if s.local] for c in plan.checkpoints]
    return {
        # Another version of a codec may give other bytes: one file is of one.
        "version": __version__,
        "libraries": libraries(),
        "checkpoints": [c.fingerprint() for c in plan.checkpoints],
        # A fingerprint is of a sample: these change when a file was written since.
        "files": [[[s.st_size, s.st_mtime_ns] for s in states] for states in files],
        "tasks": [
            [str(t.spec), [str(c) for c in t.controls], t.fraction, t.every_tensor]
            for t in plan.tasks
        ],
        "seed": plan.seed,
    }


def _claim(file: BinaryIO, path: Path) -> None:
    """Keep other runs from writing the journal while this one does, where the system can."""
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise OutputError(f"{path}: another run is writing it; give this one another -o") from error


def _lines(rows: Sequence[Score]) -> bytes:
    return b"".join(json_line("row", row.to_dict()) for row in rows)

"""Rows that were measured before, so that what has not changed is not measured again.

A row is found by everything that its figures depend on (:func:`row_keys`): the content of its
tensors, the spec, controls, seed and sample, the code of this package and the versions of the
libraries under it. It does not matter where the checkpoint lies.

Contents are hashed with SHA-256, at 2 GB/s; the hash of a tensor that lies in one piece in a file
is remembered by that place and the file's path, size, modification time and inode, so that a second
look reads headers alone. What has to be unpacked or is on a server is hashed each time.

Both live in one SQLite file in the user's cache folder, safe for several processes at once and
bounded in size: what was not used for longest goes first. A cache that cannot be used is no error:
figures are then measured, with a warning.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import platform
import sqlite3
import sys
import time
import warnings
import zlib
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kcomplexity._version import __version__
from kcomplexity.algorithms.ctm import ctm_cache_folder
from kcomplexity.errors import CacheWarning
from kcomplexity.files.sources import FileSource
from kcomplexity.results.provenance import libraries
from kcomplexity.results.records import Score
from kcomplexity.scoring.plan import Plan, Task
from kcomplexity.scoring.specs import Spec
from kcomplexity.scoring.units import Unit
from kcomplexity.tensors.checkpoint import StoredTensor, Tensor
from kcomplexity.tensors.derived import origins

#: Part of every key: rises when what is stored changes its meaning.
_LAYOUT = 1
#: Bytes of rows and hashes together.
_LIMIT = 256 << 20
#: A file changed this recently may change again within one tick of its clock (2 s on FAT).
_SETTLED = 2.0
#: What is deleted makes the file smaller; other processes read while one writes.
_SCHEMA = """
PRAGMA auto_vacuum = FULL;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, value BLOB, size INTEGER, used REAL);
CREATE TABLE IF NOT EXISTS hashes (key TEXT PRIMARY KEY, value TEXT, size INTEGER, used REAL);
CREATE INDEX IF NOT EXISTS rows_used ON rows (used);
CREATE INDEX IF NOT EXISTS hashes_used ON hashes (used);
"""


def cache_path() -> Path:
    """Return where rows are kept: in ``$KCOMPLEXITY_CACHE`` or in the user's cache folder."""
    return ctm_cache_folder().parent / "scores.sqlite"


class Cache:
    """Rows and content hashes, `limit` bytes of them; a context manager.

    Without a path everything is kept in memory, for as long as the cache lives. `n_found` counts
    the rows found, `n_hashed` the tensors whose content had to be read for their hash.
    """

    def __init__(self, path: Path | None = None, *, limit: int = _LIMIT) -> None:
        self.path = path
        self.limit = limit
        self.n_found = self.n_hashed = 0
        self._touched: dict[str, set[str]] = {"rows": set(), "hashes": set()}
        self._database: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        try:
            self._open()
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._database is not None:
            try:
                self._forget(self._database)
            except sqlite3.Error as error_:
                self._give_up(error_)
            self._close()

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def rows(self, keys: Iterable[str]) -> dict[str, Score]:
        """Return the rows that are known, by key; ``cached`` is set in them."""
        rows = {}
        for key in keys:
            value = self._get("rows", key)
            if value is not None:
                record = json.loads(zlib.decompress(value))
                rows[key] = replace(Score.from_dict(record), cached=True)
        self.n_found += len(rows)
        return rows

    def keep(self, rows: Mapping[str, Score]) -> None:
        """Keep rows; what failed is worth another try."""
        for key, row in rows.items():
            if row.status != "failed":
                record = row.to_dict() | {"checkpoint": "", "seconds": 0.0}
                self._put("rows", key, zlib.compress(json.dumps(record).encode(), 1))

    def content(self, tensor: Tensor) -> str:
        """Return the SHA-256 of the stored bytes of a tensor."""
        place = _place(tensor)
        key = hashlib.sha256(json.dumps(place).encode()).hexdigest()
        known = self._get("hashes", key) if place else None
        if known is not None:
            return str(known)
        digest = hashlib.sha256()
        for piece in tensor.pieces():
            digest.update(piece)
        self.n_hashed += 1
        # The file may have changed while it was read.
        if place and place == _place(tensor):
            self._put("hashes", key, digest.hexdigest())
        return digest.hexdigest()

    def _open(self) -> None:
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        path = self.path or ":memory:"
        self._database = sqlite3.connect(path, timeout=30, isolation_level=None)
        self._database.executescript(_SCHEMA)

    def _run(self, query: str, *values: Any) -> list[Any]:
        """Return the rows that a query gives; none where the cache cannot be used."""
        if self._database is None:
            return []
        try:
            return self._database.execute(query, values).fetchall()
        except sqlite3.Error as error:
            self._give_up(error)
            return []

    def _get(self, table: str, key: str) -> Any:
        query = f"SELECT value FROM {table} WHERE key = ?"  # noqa: S608 - one of our tables
        for (value,) in self._run(query, key):
            self._touched[table].add(key)
            return value
        return None

    def _put(self, table: str, key: str, value: bytes | str) -> None:
        query = f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?)"  # noqa: S608
        self._run(query, key, value, len(key) + len(value), time.time())

    def _forget(self, database: sqlite3.Connection) -> None:
        """Note what was used, and remove what was not for longest until the limit is kept."""
        database.execute("BEGIN IMMEDIATE")
        for table, keys in self._touched.items():
            database.executemany(
                f"UPDATE {table} SET used = ? WHERE key = ?",  # noqa: S608
                [(time.time(), key) for key in keys],
            )
        sizes = "SELECT coalesce(sum(size), 0) FROM "
        total = sum(database.execute(sizes + table).fetchone()[0] for table in self._touched)
        if total > self.limit:
            # Down to nine tenths, so that not every run has to.
            query = "SELECT used, size, key, '{0}' FROM {0}"
            oldest = (database.execute(query.format(table)) for table in self._touched)
            for _, size, key, table in sorted(itertools.chain(*oldest)):
                if total <= 0.9 * self.limit:
                    break
                database.execute(f"DELETE FROM {table} WHERE key = ?", (key,))  # noqa: S608
                total -= size
        database.execute("COMMIT")

    def _give_up(self, error: Exception) -> None:
        """Go on without: a cache is a convenience."""
        self._close()
        warnings.warn(
            f"the cache {self.path} cannot be used ({error}): everything is measured; "
            "remove the file, or set KCOMPLEXITY_CACHE to a folder that can be written",
            CacheWarning,
            stacklevel=3,
        )


class CachedRows:
    """The rows of one plan in a cache: see :class:`~kcomplexity.scoring.score.KnownRows`."""

    def __init__(self, cache: Cache, plan: Plan) -> None:
        self._cache = cache
        self._plan = plan
        # Of the units that were looked up and not yet kept.
        self._keys: deque[dict[Spec, str]] = deque()

    def find(self, path: str, unit: Unit) -> dict[Spec, Score]:
        """Return the rows of a unit that the cache has, under the path of this checkpoint."""
        self._keys.append({})  # of a tensor that cannot be read nothing is kept
        keys = self._keys[-1] = row_keys(unit, self._plan, self._cache)
        rows = self._cache.rows(keys.values())
        return {
            spec: replace(rows[key], checkpoint=path) for spec, key in keys.items() if key in rows
        }

    def keep(self, path: str, unit: Unit, rows: Mapping[Spec, Score]) -> None:
        """Write rows to the cache as they come, so that an interruption loses little."""
        keys = self._keys.popleft()
        self._cache.keep({keys[spec]: row for spec, row in rows.items() if spec in keys})


def row_keys(unit: Unit, plan: Plan, cache: Cache) -> dict[Spec, str]:
    """Return, for each spec of a unit, the key that its row is kept under."""
    tensor = unit.tensor
    contents = [
        [member.name, member.dtype.code, member.shape, member.layout, cache.content(member)]
        for member in origins(tensor)
    ]
    what = [unit.scope, unit.group, tensor.name, tensor.dtype.code, tensor.shape, tensor.side_of]
    made_by = [_LAYOUT, __version__, _code(), _versions()]
    keys = {}
    for spec in unit.specs:
        task = _task(plan.task_of[spec], plan.seed, tensor)
        text = json.dumps([made_by, what, contents, task])
        keys[spec] = hashlib.sha256(text.encode()).hexdigest()
    return keys


def _task(task: Task, seed: int, tensor: Tensor) -> list[Any]:
    spec = str(task.spec)
    # Only the machine's name stands for the family of its processor.
    machine = platform.node() if task.spec.estimator.machine_dependent else ""
    measured_by = (task.spec.estimator, task.spec.view, *task.controls)
    theirs = [_file_code(type(thing).__module__) for thing in measured_by]
    controls = [[str(control), control.depends_on(tensor)] for control in task.controls]
    return [spec, controls, task.fraction, task.every_tensor, seed, machine, theirs]


@lru_cache(maxsize=1)
def _code() -> str:
    """Return the SHA-256 of this package's code: between two versions it changes too."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    for path in sorted(root.rglob("*.py")):
        digest.update(json.dumps([path.relative_to(root).as_posix(), path.stat().st_size]).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


@lru_cache
def _file_code(module: str) -> str:
    """Return the SHA-256 of the file of an estimator, view or control of another package."""
    path = getattr(sys.modules.get(module), "__file__", None)
    if path is None or module.partition(".")[0] in ("kcomplexity", "builtins"):
        return ""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@lru_cache(maxsize=1)
def _versions() -> tuple[tuple[str, str], ...]:
    python = ("python", platform.python_version())
    return (python, ("platform", platform.platform()), *sorted(libraries().items()))


def _place(tensor: Tensor) -> list[Any]:
    """Return where a tensor lies in which state of which file; nothing if that is uncertain."""
    if type(tensor) is not StoredTensor or type(tensor.source) is not FileSource:
        return []
    status = tensor.source.status()
    if time.time() - status.st_mtime < _SETTLED:
        return []
    file = [os.fspath(tensor.source.path.absolute()), status.st_ino, status.st_size]
    # A file that is written in place and given its old time back has a new time of change.
    return [*file, status.st_mtime_ns, status.st_ctime_ns, tensor.offset, tensor.n_bytes]

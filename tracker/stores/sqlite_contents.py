"""The whole content of one SQLite store, of one moment."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self

import msgspec

from tracker.errors import NotFound, StoreMismatch
from tracker.model.limits import Limits
from tracker.stores import schema, tables
from tracker.stores.base import Jump, ParkedRecord, PartitionStatus
from tracker.stores.contents import About, Holding
from tracker.stores.sql import SqlStore
from tracker.stores.sqlite_file import translated

_CELLS = [column.name for column in tables.task.columns if column.name not in ("id", "revision", "registers")]
COLUMNS = ", ".join(["id", "registers", *_CELLS])
"""Of a task's row, all but the revision, in the order of a `Holding`."""
_CHUNK = 500
_PARKED_PAGE = 1_000


class _Reads(SqlStore):
    """The store's own reading methods, on a connection of ours."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection, self.path = connection, path


def about(connection: sqlite3.Connection, path: str) -> About:
    """What the store says of itself, of whatever fold version and limits it is. Raises `StoreMismatch` for what is no store of ours."""
    found = schema.stored_schema(connection)
    if found not in schema.KNOWN_SCHEMAS:
        raise StoreMismatch(f"{path} has the schema {found}, this release knows up to {schema.SCHEMA}: use the newer release")
    if schema.is_outdated(found):
        raise StoreMismatch(
            f"{path} has the schema {found} of an earlier release: what writes to it next, such as tracker run, brings it up to date"
        )
    meta: dict[str, str] = dict(connection.execute("SELECT name, value FROM meta"))
    try:
        limits = msgspec.json.decode(meta["limits"], type=Limits)
    except (msgspec.DecodeError, KeyError) as error:
        raise StoreMismatch(f"{path} does not say what limits it was made with ({error}): it is damaged; restore a copy") from error
    (tasks,) = connection.execute("SELECT count(*) FROM task").fetchone()
    size_bytes = sum(file.stat().st_size for file in (Path(path), Path(path + "-wal")) if file.exists())
    return About(meta["store"], int(meta["revision"]), meta.get("fold_version", "unknown"), limits, tasks, size_bytes)


def holdings(rows: Iterable[tuple[Any, ...]]) -> Iterator[Holding]:
    """Rows of `COLUMNS` as they are compared."""
    return (Holding(row[0], row[1], row[2:]) for row in rows)


def some(connection: sqlite3.Connection, table: str, task_ids: Iterable[str]) -> dict[str, Holding]:
    """Those of these tasks that the table has."""
    wanted, found = iter(task_ids), dict[str, Holding]()
    while chunk := list(islice(wanted, _CHUNK)):
        marks = ",".join("?" * len(chunk))
        rows = connection.execute(f"SELECT {COLUMNS} FROM {table} WHERE id IN ({marks})", chunk)  # noqa: S608 - our own names
        found.update((holding.id, holding) for holding in holdings(rows))
    return found


def changed_after(connection: sqlite3.Connection, revision: int) -> set[str]:
    """Ids of the tasks that later commits wrote."""
    return {id for (id,) in connection.execute("SELECT id FROM task WHERE revision > ?", (revision,))}


class SqliteContents:
    """See `tracker.stores.contents.Contents`. Raises `NotFound` or `StoreMismatch` on opening."""

    kind = "sqlite"

    def __init__(self, path: str) -> None:
        if not Path(path).exists():
            raise NotFound(f"there is no store {path}: tracker run or tracker replay makes one, or name another")
        self.where, self._path = f"sqlite:///{path}", path

    def __enter__(self) -> Self:
        with translated(self._path):
            uri = f"{Path(self._path).absolute().as_uri()}?mode=ro"
            self._connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
            try:
                self._connection.execute("BEGIN")
                self._about = about(self._connection, self._path)
            except BaseException:
                self._connection.close()
                raise
        self._reads = _Reads(self._connection, self._path)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._connection.close()

    def about(self) -> About:
        """What the store says of itself."""
        return self._about

    def holdings(self) -> Iterator[Holding]:
        """Every task by id."""
        with translated(self._path):
            yield from holdings(self._connection.execute(f"SELECT {COLUMNS} FROM task ORDER BY id"))  # noqa: S608 - our own names

    def some(self, task_ids: Iterable[str]) -> Mapping[str, Holding]:
        """Those of them that it has."""
        with translated(self._path):
            return some(self._connection, "task", task_ids)

    def sample(self, count: int, random: Random) -> Sequence[Holding]:
        """Rows at random places of the table."""
        with translated(self._path):
            if count >= self._about.tasks:
                return list(self.holdings())
            (last,) = self._connection.execute("SELECT max(rowid) FROM task").fetchone()
            found = dict[str, Holding]()
            while len(found) < count:
                row = self._connection.execute(
                    f"SELECT {COLUMNS} FROM task WHERE rowid >= ? LIMIT 1",  # noqa: S608 - our own names
                    (random.randint(1, last),),
                ).fetchone()
                found[row[0]] = Holding(row[0], row[1], row[2:])
            return list(found.values())

    def changed_after(self, revision: int) -> set[str]:
        """Ids of the tasks that later commits wrote."""
        with translated(self._path):
            return changed_after(self._connection, revision)

    def purged(self, *, after: str = "", limit: int = 1_000) -> Sequence[str]:
        """Ids of the tasks of which attempts were purged."""
        return self._reads.purged(after=after, limit=limit)

    def partitions(self) -> Sequence[PartitionStatus]:
        """Every partition, by topic and partition."""
        return self._reads.partitions()

    def jumps(self) -> Sequence[Jump]:
        """Every jump, oldest first."""
        return self._reads.jumps()

    def parked_records(self) -> Iterator[ParkedRecord]:
        """By number."""
        last = 0
        while page := self._reads.parked(after=last, limit=_PARKED_PAGE):
            yield from page
            last = page[-1].number

"""Reading a SQLite store: snapshots of the file beside its writer, on read-only connections."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from sqlalchemy import Select
from sqlalchemy.dialects import sqlite

from tracker.model.limits import Limits
from tracker.query import functions, sqlite_counts
from tracker.query.base import Row
from tracker.query.data_version import DataVersion
from tracker.query.fields import Field
from tracker.query.functions import Bound
from tracker.query.scan import Scalar, most
from tracker.query.sql import SqlSnapshot
from tracker.query.tree import Node
from tracker.stores.sql import SqlStore
from tracker.stores.sqlite_file import FileId, connect_readonly, file_id, translated

_ONE = "SELECT id, revision, registers FROM task WHERE id=?"
"""Said once: to build and compile it takes ten times as long as to run it."""
_CACHE_KIB = 8_192
"""A listing of 250 tasks touches 250 pages of 16 kB: SQLite's own 2 MB would read them all again, which doubled its time."""
_MAX_IDLE = 8
"""Connections kept for later: each may hold its cache and three files; a hundred streams at once would leave a hundred."""
_LIMIT_STEPS = 10_000
"""Instructions of SQLite's between two looks at the clock: half a millisecond of its own work, some 1,000 rows of a scan."""
_DIALECT = sqlite.dialect(paramstyle="named")


def compiled(statement: Select[Any]) -> tuple[str, dict[str, Any]]:
    """A statement as SQLite's text and values."""
    made = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    return str(made), {name: value.text if isinstance(value, Bound) else value for name, value in made.params.items()}


class _StoreReads(SqlStore):
    """The store's own reading methods, on a snapshot's connection."""

    def __init__(self, connection: sqlite3.Connection, path: str, limits: Limits) -> None:
        self._connection, self.path, self.limits = connection, path, limits


class SqliteSnapshot(SqlSnapshot):
    """One read transaction; see `tracker.query.base.Snapshot`."""

    def __init__(self, connection: sqlite3.Connection, path: str, limits: Limits) -> None:
        self._connection, self._path = connection, path
        self._reads = _StoreReads(connection, path, limits)
        super().__init__(self._reads, limits)

    def _run(self, statement: Select[Any], *, few: bool = True) -> Iterator[tuple[Any, ...]]:  # noqa: ARG002 - a cursor reads as it is asked
        with translated(self._path):
            # Through a chain: who leaves off may close this generator after the connection, and `yield from` would close the cursor then.
            yield from chain(self._connection.execute(*compiled(statement)))

    def _held(self, name: str, limit: int | None) -> dict[Scalar, int]:
        with translated(self._path):
            found = sqlite_counts.counts(self._connection, name) if name in sqlite_counts.LEADING else None
        return super()._held(name, limit) if found is None else most(found, limit)

    def moments(self, where: Node | None, field: Field, length: int, by: Field | None) -> Iterable[tuple[str, Scalar, int]]:
        """How many matching tasks have each beginning of a time and each value."""
        with translated(self._path):
            if where is None and self._has_indexes and (field.column, by and by.column) == ("completed", "completion_status"):
                found = sqlite_counts.ended(self._connection, length)
                if found is not None:
                    return found
        return super().moments(where, field, length, by)

    @property
    def kept_by(self) -> str:
        """The library of this process."""
        return f"SQLite {sqlite3.sqlite_version}"

    def task(self, id: str) -> Row | None:
        """The task, deleted or not."""
        with translated(self._path):
            found = self._connection.execute(_ONE, (id,)).fetchone()
        return None if found is None else Row(*found)

    def revision(self) -> int:
        """Of the newest commit."""
        return self._reads.revision()


class _Connected(NamedTuple):
    """A connection, and which file it reads: another may come to stand under the path."""

    connection: sqlite3.Connection
    file: FileId | None
    limits: Limits


class SqliteReader:
    """A SQLite store that is open for reading. Raises `NotFound` or `StoreMismatch` on opening, and later where the file was deleted or
    replaced; `StoreError` later. A file that is put in the place of the one before is read from then on.
    """

    quick = True

    def __init__(self, path: str) -> None:
        self._path = path
        self._idle: list[_Connected] = []
        self._closed = False
        connected = self._connect()
        self.limits = connected.limits
        self._idle.append(connected)
        self._path = str(Path(path).absolute())  # whoever changes the working folder still reads this one

    def _connect(self) -> _Connected:
        file = file_id(self._path)  # before it is opened: if it is replaced between, the next one who asks sees that
        connection, limits = connect_readonly(self._path)
        connection.execute("PRAGMA query_only=1")
        connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        functions.register(connection)
        return _Connected(connection, file, limits)

    def _connected(self) -> _Connected:
        """One that is idle, or a new one."""
        file = file_id(self._path)
        while True:
            try:
                idle = self._idle.pop()
            except IndexError:
                connected = self._connect()
                self.limits = connected.limits
                return connected
            if idle.file == file:
                return idle
            idle.connection.close()

    @contextmanager
    def snapshot(self, timeout_s: float | None = None, stop: threading.Event | None = None) -> Iterator[SqliteSnapshot]:
        """The file as it is now; its writer goes on meanwhile. A connection is kept for the next one."""
        connected = self._connected()
        connection = connected.connection
        try:
            if timeout_s is not None or stop is not None:
                until = monotonic() + (inf if timeout_s is None else timeout_s)
                end = stop or threading.Event()
                connection.set_progress_handler(lambda: self._closed or end.is_set() or monotonic() > until, _LIMIT_STEPS)
            with translated(self._path):
                connection.execute("BEGIN")
            yield SqliteSnapshot(connection, self._path, connected.limits)
            connection.execute("ROLLBACK")
            connection.set_progress_handler(None, 0)
        except BaseException:
            connection.close()
            raise
        if self._closed or len(self._idle) >= _MAX_IDLE:
            connection.close()
        else:
            self._idle.append(connected)

    def commits(self) -> DataVersion:
        """What waits for commits, with a connection of its own."""
        connected = self._connect()
        return DataVersion(connected.connection, self._path, connected.file)

    def close(self) -> None:
        """Close what is idle; a snapshot that is still read closes on its own."""
        self._closed = True
        while self._idle:
            self._idle.pop().connection.close()

"""Reading a SQLite store: snapshots of the file beside its writer.

Statements are built with SQLAlchemy Core and run on the driver's own read-only connection. Answers come from ``registers``; the other
columns only find and sort rows. A deleted task's columns are all null, so ``state`` tells the living where an index covers the question.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import Select, func, not_, or_, select
from sqlalchemy.dialects import sqlite

from tracker.model.limits import Limits
from tracker.query.base import Facts, Row
from tracker.query.clauses import after_clause, clause, ordering
from tracker.query.data_version import DataVersion
from tracker.query.fields import Field
from tracker.query.filters import Node
from tracker.query.pages import Key, Order
from tracker.stores import tables
from tracker.stores.sql import SqlStore
from tracker.stores.sqlite_file import connect_readonly, translated

_TASK = tables.task.c
_FETCH_ROWS = 200
"""Rows asked of SQLite at once: a state is about 1 kB, the greatest well over 1 MB."""
_DIALECT = sqlite.dialect(paramstyle="named")


def _casefold(text: str | None) -> str | None:
    return None if text is None else text.casefold()


class _StoreReads(SqlStore):
    """The store's own reading methods, on a snapshot's connection."""

    def __init__(self, connection: sqlite3.Connection, path: str, limits: Limits) -> None:
        self._connection, self.path, self.limits = connection, path, limits


class SqlSnapshot:
    """One read transaction; see `tracker.query.base.Snapshot`."""

    def __init__(self, connection: sqlite3.Connection, path: str, limits: Limits) -> None:
        self._connection, self._path, self.limits = connection, path, limits
        self._store = _StoreReads(connection, path, limits)
        self.parked = self._store.parked
        self.parked_record = self._store.parked_record
        self.revision = self._store.revision
        self.partitions = self._store.partitions

    def _run(self, statement: Select[Any]) -> sqlite3.Cursor:
        compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
        return self._connection.execute(str(compiled), compiled.params)

    def _rows(self, statement: Select[Any]) -> Iterator[Row]:
        with translated(self._path):
            cursor = self._run(statement)
            while rows := cursor.fetchmany(_FETCH_ROWS):
                for id, revision, registers, *key in rows:
                    yield Row(id, revision, registers, tuple(key))

    @cached_property
    def store(self) -> str:
        """The store's own name."""
        with translated(self._path):
            (name,) = self._connection.execute("SELECT value FROM meta WHERE name='store'").fetchone()
        return str(name)

    def task(self, id: str) -> Row | None:
        """The task, deleted or not."""
        return next(self._rows(select(_TASK.id, _TASK.revision, _TASK.registers).where(_TASK.id == id)), None)

    def rows(self, where: Node | None, order: Order, *, after: Key | None = None, limit: int | None = None) -> Iterator[Row]:
        """Matching tasks in the order."""
        statement = select(_TASK.id, _TASK.revision, _TASK.registers, *(_TASK[sort.field.column] for sort in order))
        statement = statement.where(not_(_TASK.deleted)).order_by(*map(ordering, order)).limit(limit)
        if where is not None:
            statement = statement.where(clause(where))
        if after is not None:
            statement = statement.where(after_clause(order, after))
        return self._rows(statement)

    def count(self, where: Node | None) -> int:
        """How many tasks match."""
        statement = _living(select(func.count()).select_from(tables.task), where)
        with translated(self._path):
            (count,) = self._run(statement).fetchone()
        return int(count)

    def counts(self, where: Node | None, by: Field) -> dict[str | int | None, int]:
        """How many matching tasks have each value."""
        column = _TASK[by.column]
        statement = _living(select(column, func.count()), where).group_by(column)
        if where is None and by.nullable:
            # The partial index has the rest without looking at a task; how many it leaves out is a subtraction.
            statement = select(column, func.count()).where(column.is_not(None)).group_by(column)
        with translated(self._path):
            counts = dict(self._run(statement).fetchall())
        if where is None and by.nullable and (nulls := self.count(None) - sum(counts.values())):
            counts[None] = nulls
        return counts

    def changed(self, revision: int, where: Node | None) -> Iterator[Row]:
        """Tasks of later revisions, by revision and id."""
        statement = select(_TASK.id, _TASK.revision, _TASK.registers).where(_TASK.revision > revision)
        if where is not None:
            statement = statement.where(or_(_TASK.deleted, clause(where)))
        return self._rows(statement.order_by(_TASK.revision, _TASK.id))

    def facts(self) -> Facts:
        """What the store says of itself."""
        reasons = select(tables.parked.c.reason, func.count()).group_by(tables.parked.c.reason).order_by(tables.parked.c.reason)
        with translated(self._path):
            parked_by_reason = dict(self._run(reasons).fetchall())
        return Facts(
            partitions=self._store.partitions(),
            jumps=self._store.jumps(),
            parked_by_reason=parked_by_reason,
            tasks=self.count(None),
            store_bytes=sum(file.stat().st_size for file in (Path(self._path), Path(self._path + "-wal")) if file.exists()),
            revision=self.revision(),
        )


def _living(statement: Select[Any], where: Node | None) -> Select[Any]:
    statement = statement.where(_TASK.state.is_not(None))
    return statement if where is None else statement.where(clause(where))


class SqlReader:
    """A SQLite store that is open for reading. Raises `NotFound` or `StoreMismatch` on opening; `StoreError` later."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        connection, self.limits = self._connect()
        self._idle.append(connection)

    def _connect(self) -> tuple[sqlite3.Connection, Limits]:
        connection, limits = connect_readonly(self._path)
        connection.execute("PRAGMA query_only=1")
        connection.create_function("casefold", 1, _casefold, deterministic=True)
        return connection, limits

    @contextmanager
    def snapshot(self) -> Iterator[SqlSnapshot]:
        """The file as it is now; its writer goes on meanwhile. A connection is kept for the next one."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection, _ = self._connect()
        try:
            with translated(self._path):
                connection.execute("BEGIN")
            yield SqlSnapshot(connection, self._path, self.limits)
            connection.execute("ROLLBACK")
        except BaseException:
            connection.close()
            raise
        if self._closed:
            connection.close()
        else:
            self._idle.append(connection)

    def commits(self) -> DataVersion:
        """What waits for commits, with a connection of its own."""
        connection, _ = self._connect()
        return DataVersion(connection, self._path)

    def close(self) -> None:
        """Close what is idle; a snapshot that is still read closes on its own."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

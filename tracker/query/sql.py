"""Reading a SQLite store: filters as SQL with bound values, and snapshots of the file beside its writer.

Statements are built with SQLAlchemy Core and run on the driver's own read-only connection. Answers come from ``registers``; the other
columns only find and sort rows. A deleted task's columns are all null, so ``state`` tells the living where an index covers the question.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Select, and_, func, not_, or_, select
from sqlalchemy.dialects import sqlite

from tracker.fold.state import from_bytes
from tracker.model.limits import Limits
from tracker.query.base import Facts, Row
from tracker.query.fields import FIELDS, Field, Kind
from tracker.query.filters import And, Compare, In, IsNull, Moment, Node, Not, Value
from tracker.query.pages import Key, Order, Sort
from tracker.stores import tables
from tracker.stores.sql import SqlStore
from tracker.stores.sqlite_file import connect_readonly, translated

_TASK = tables.task.c
_FETCH_ROWS = 200
"""Rows asked of SQLite at once: a state is about 1 kB, the greatest well over 1 MB."""
_DIALECT = sqlite.dialect(paramstyle="named")
Clause: TypeAlias = ColumnElement[bool]


def clause(node: Node, *, negated: bool = False) -> Clause:
    """The WHERE clause of a filter, or of its opposite.

    ``not`` is pushed down to the comparisons, where a null is asked for by name: SQL's NOT of an unknown would be unknown.
    """
    if isinstance(node, Not):
        return clause(node.node, negated=not negated)
    if isinstance(node, And):
        return (or_ if negated else and_)(*(clause(each, negated=negated) for each in node.nodes))
    if not isinstance(node, Compare | In | IsNull):
        return (and_ if negated else or_)(*(clause(each, negated=negated) for each in node.nodes))
    column = _TASK[node.field.column]
    if isinstance(node, IsNull):
        return column.is_not(None) if negated else column.is_(None)
    if isinstance(node, Compare) and node.op == "ne":
        node, negated = Compare(node.field, "eq", node.value), not negated
    positive = _one_of(node) if isinstance(node, In) else _compare(node.field, node.op, node.value)
    if not negated:
        return positive
    return or_(column.is_(None), not_(positive)) if node.field.nullable else not_(positive)


def _one_of(node: In) -> Clause:
    if node.field.kind is Kind.TIME:
        return or_(*(_compare(node.field, "eq", value) for value in node.values))
    if node.field is FIELDS["launcher"]:
        return _launched_by(node.values)
    return _comparable(node.field, whole=True).in_(node.values)


def _launched_by(folded: tuple[Value, ...]) -> Clause:
    """The launcher is one of these without case, found by an index that knows nothing of casefold.

    The launchers that there are, few, are read off the index by jumping from each to the next greater one; those that match are then
    looked up: 1 ms instead of 300 in 200,000 tasks.
    """
    inner = tables.task.alias().c.launcher
    each = select(func.min(inner).label("value")).cte(recursive=True)
    following = select(func.min(inner)).where(inner > each.c.value).scalar_subquery()
    each = each.union_all(select(following).where(each.c.value.is_not(None)))
    return _TASK.launcher.in_(select(each.c.value).where(func.casefold(each.c.value).in_(folded)))


def _comparable(field: Field, *, whole: bool) -> ColumnElement[Any]:
    """The column as it compares. Of a word the whole is looked for as it is stored, so that its index serves; it is ASCII."""
    column = _TASK[field.column]
    if field.kind is Kind.TEXT:
        return func.casefold(column)
    return func.lower(column) if field.kind is Kind.WORD and not whole else column


def _compare(field: Field, op: str, value: Value) -> Clause:
    if op == "eq" and field.kind is Kind.TEXT:
        return _one_of(In(field, (value,)))
    column = _comparable(field, whole=op == "eq")
    if isinstance(value, Moment):
        after, before = column >= value.prefix, column < value.beyond
        return {"eq": and_(after, before), "ge": after, "le": before, "gt": column >= value.beyond, "lt": column < value.prefix}[op]
    if op == "co":
        return func.instr(column, value) > 0
    if op == "sw":
        starts = func.instr(column, value) == 1
        # An id's index finds where the prefix begins and ends; a prefix that ends with the last code point has no simple end.
        bounded = field.kind is Kind.ID and str(value)[-1:] not in ("", "\U0010ffff", "\ud7ff")
        return and_(starts, column >= value, column < str(value)[:-1] + chr(ord(str(value)[-1]) + 1)) if bounded else starts
    return {"eq": column == value, "gt": column > value, "ge": column >= value, "lt": column < value, "le": column <= value}[op]


def after_clause(order: Order, key: Key) -> Clause:
    """The rows that come after the one with this key."""
    ways: list[Clause] = []
    same: list[Clause] = []
    for sort, value in zip(order, key, strict=True):
        column = _TASK[sort.field.column]
        if value is not None:  # nulls are last: nothing comes after one
            later = column < value if sort.descending else column > value
            ways.append(and_(*same, or_(later, column.is_(None)) if sort.field.nullable else later))
        same.append(column.is_(None) if value is None else column == value)
    first, value = order[0], key[0]
    if first.field.nullable or value is None:
        return or_(*ways)
    # Follows from the rest, and gives the first column's index a place to begin.
    column = _TASK[first.field.column]
    return and_(column <= value if first.descending else column >= value, or_(*ways))


def _ordering(sort: Sort) -> ColumnElement[Any]:
    column = _TASK[sort.field.column]
    ordered = column.desc() if sort.descending else column.asc()
    return ordered.nulls_last() if sort.field.nullable else ordered


def _casefold(text: str | None) -> str | None:
    return None if text is None else text.casefold()


class _StoreReads(SqlStore):
    """The store's own reading methods, on a snapshot's connection."""

    def __init__(self, connection: sqlite3.Connection, path: str, limits: Limits) -> None:
        self._connection, self.path, self.limits = connection, path, limits


class SqlSnapshot:
    """One read transaction; see `tracker.query.base.Snapshot`."""

    def __init__(self, connection: sqlite3.Connection, path: str, limits: Limits) -> None:
        self._connection, self._path = connection, path
        self._store = _StoreReads(connection, path, limits)
        self.parked = self._store.parked
        self.parked_record = self._store.parked_record
        self.revision = self._store.revision

    def _run(self, statement: Select[Any]) -> sqlite3.Cursor:
        compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
        return self._connection.execute(str(compiled), compiled.params)

    def _rows(self, statement: Select[Any]) -> Iterator[Row]:
        with translated(self._path):
            cursor = self._run(statement)
            while rows := cursor.fetchmany(_FETCH_ROWS):
                for id, revision, registers, *key in rows:
                    yield Row(id, revision, from_bytes(registers), tuple(key))

    def task(self, id: str) -> Row | None:
        """The task, deleted or not."""
        return next(self._rows(select(_TASK.id, _TASK.revision, _TASK.registers).where(_TASK.id == id)), None)

    def rows(self, where: Node | None, order: Order, *, after: Key | None = None, limit: int | None = None) -> Iterator[Row]:
        """Matching tasks in the order."""
        statement = select(_TASK.id, _TASK.revision, _TASK.registers, *(_TASK[sort.field.column] for sort in order))
        statement = statement.where(not_(_TASK.deleted)).order_by(*map(_ordering, order)).limit(limit)
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

    def close(self) -> None:
        """Close what is idle; a snapshot that is still read closes on its own."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

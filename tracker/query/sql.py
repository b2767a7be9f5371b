"""Reading a SQLite store: snapshots of the file beside its writer.

Statements are built with SQLAlchemy Core and run on the driver's own read-only connection. Answers come from ``registers``; the other
columns only find and sort rows. A deleted task's columns are all null, so ``state`` tells the living where an index covers the question.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Select, func, literal_column, not_, or_, select
from sqlalchemy.dialects import sqlite

from tracker.model.limits import Limits
from tracker.query import functions
from tracker.query.base import Facts, Row, Scan
from tracker.query.clauses import after_clause, clause, is_of_living, ordering, split
from tracker.query.data_version import DataVersion
from tracker.query.fields import Field, Kind
from tracker.query.pages import BY_ID, Key, Order, Sort
from tracker.query.predicate import compile_predicate
from tracker.query.scan import Scalar, counts, decided, ends, moments, most
from tracker.query.tree import And, IsNull, Node, Not
from tracker.stores import tables
from tracker.stores.sql import SqlStore
from tracker.stores.sqlite_file import FileId, connect_readonly, file_id, translated

_TASK = tables.task.c
_ONE = "SELECT id, revision, registers FROM task WHERE id=?"
"""Said once: to build and compile it takes ten times as long as to run it."""
_IDS = 500
"""Parents in one SELECT: within SQLite's oldest limit of 999 bound values."""
_CACHE_KIB = 8_192
"""A listing of 250 tasks touches 250 pages of 16 kB: SQLite's own 2 MB would read them all again, which doubled its time."""
_FEW = 20_000
"""Matching tasks whose ends are looked for among themselves: some 60 ms. By the time's index every other task is looked at where none of
these has it, as none that runs has ended: 7 s of a million."""
_MAX_IDLE = 8
"""Connections kept for later: each may hold its cache and three files; a hundred streams at once would leave a hundred."""
_LIMIT_STEPS = 10_000
"""Instructions of SQLite's between two looks at the clock: half a millisecond of its own work, some 1,000 rows of a scan."""
_DIALECT = sqlite.dialect(paramstyle="named")


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

    def _one(self, statement: Select[Any]) -> tuple[Any, ...]:
        with translated(self._path):
            row: tuple[Any, ...] = self._run(statement).fetchone()
        return row

    def _rows(self, statement: Select[Any]) -> Iterator[Row]:
        with translated(self._path):
            for id, revision, registers, *key in self._run(statement):  # one by one: a state is about 1 kB, the greatest well over 1 MB
                yield Row(id, revision, registers, tuple(key))

    @cached_property
    def store(self) -> str:
        """The store's own name."""
        with translated(self._path):
            (name,) = self._connection.execute("SELECT value FROM meta WHERE name='store'").fetchone()
        return str(name)

    def task(self, id: str) -> Row | None:
        """The task, deleted or not."""
        with translated(self._path):
            found = self._connection.execute(_ONE, (id,)).fetchone()
        return None if found is None else Row(*found)

    def rows(
        self,
        where: Node | None,
        order: Order,
        *,
        after: Key | None = None,
        offset: int = 0,
        limit: int | None = None,
        scan: Scan | None = None,
    ) -> Iterator[Row]:
        """Matching tasks in the order."""
        found, rest = _split(where)
        if rest is None:
            yield from self._found(found, order, after, offset, limit)
        else:
            yield from islice(decided(self._found(found, order, after), rest, scan), offset, None if limit is None else offset + limit)

    def _found(
        self, where: Node | None, order: Order, after: Key | None = None, offset: int = 0, limit: int | None = None
    ) -> Iterator[Row]:
        """What SQL finds. Nulls are last: by a field that may be null there are two listings, those that have a value and the rest, since
        so each of them can use an index, and go on from a key by it.
        """
        first = order[0]
        if not first.field.nullable:
            yield from self._rows(_listing(where, order, after, limit).offset(offset))
            return
        column = _TASK[first.field.column]
        if after is None or after[0] is not None:
            valued = (Sort(msgspec.structs.replace(first.field, nullable=False), first.descending), *order[1:])
            number = 0
            for row in self._rows(_listing(where, valued, after, limit).where(column.is_not(None)).offset(offset)):
                yield row
                number += 1
            if offset and not number:  # it skips them all, and some of the rest
                skipped: Node = Not(IsNull(first.field))
                offset -= self.count(skipped if where is None else And((where, skipped)))
            else:
                offset = 0
            after, limit = None, None if limit is None else limit - number
        if limit is None or limit > 0:
            statement = _listing(where, order[1:], None if after is None else after[1:], limit).where(column.is_(None)).offset(offset)
            for row in self._rows(statement):
                row.key = (None, *row.key)
                yield row

    def count(self, where: Node | None, *, stop: int | None = None, scan: Scan | None = None) -> int:
        """How many tasks match."""
        found, rest = _split(where)
        if rest is not None:
            return sum(1 for _ in self.rows(where, BY_ID, limit=stop, scan=scan))
        statement = _living(select(func.count()).select_from(tables.task), found)
        if stop is not None:
            some = _living(select(literal_column("1")).select_from(tables.task), found).limit(stop)
            statement = select(func.count()).select_from(some.subquery())
        (count,) = self._one(statement)
        return int(count)

    def counts(self, where: Node | None, by: Field, *, limit: int | None = None) -> dict[Scalar, int]:
        """How many matching tasks have each value."""
        found, rest = _split(where)
        if rest is not None:
            return most(counts(self.rows(where, BY_ID), by), limit)
        column, number = _TASK[by.column], func.count()
        statement = _living(select(column, number).group_by(column if found is None else functions.unindexed(column)), found)
        # With no filter the field's own index has all but the nulls without looking at a task; how many those are is a subtraction.
        indexed = where is None and by.column not in ("id", "revision")
        if indexed:
            statement = select(column, number).where(column.is_not(None)).group_by(column)
        if limit is not None:
            statement = statement.order_by(number.desc(), column.is_(None), column).limit(limit)
        with translated(self._path):
            values = dict(self._run(statement).fetchall())
        nulls = 0
        if indexed and by.nullable:
            valued = sum(values.values())
            if len(values) == limit:  # there may be others
                (valued,) = self._one(select(func.count()).select_from(tables.task).where(column.is_not(None)))
            nulls = self.count(None) - valued
        return most(values | {None: nulls}, limit) if nulls else values

    def ends(self, where: Node | None, field: Field) -> tuple[str, str] | None:
        """The least and the greatest time."""
        found, rest = _split(where)
        if rest is not None:
            return ends(self.rows(where, BY_ID), field)
        column = _TASK[field.column]
        if found is not None and self.count(found, stop=_FEW + 1) <= _FEW:
            only = functions.unindexed(column)
            least, greatest = self._one(select(func.min(only), func.max(only)).where(clause(found)))
            return None if least is None else (least, greatest)
        some = [column.is_not(None), *([] if found is None else [clause(found)])]
        # Two statements: SQLite reads one end off an index, not both.
        (least,), (greatest,) = (self._one(select(end(column)).where(*some)) for end in (func.min, func.max))
        return None if least is None else (least, greatest)

    def moments(self, where: Node | None, field: Field, length: int, by: Field | None) -> Iterable[tuple[str, Scalar, int]]:
        """How many matching tasks have each beginning of a time and each value."""
        found, rest = _split(where)
        if rest is not None:
            yield from moments(self.rows(where, BY_ID), field, length, by)
            return
        columns = [_TASK[field.column], *([] if by is None else [_TASK[by.column]])]
        keys = [_beginning(columns[0], length), *columns[1:]]
        statement = select(*keys, func.count()).group_by(*keys)
        if found is not None:
            statement = statement.where(columns[0].is_not(None), clause(found))
        elif any({column.name for column in columns} <= set(index.columns.keys()) for index in tables.task_indexes):
            statement = statement.where(columns[0].is_not(None))
        # Else no condition: it would have an index looked at and then each task, which takes three times as long as to read them all.
        with translated(self._path):
            for beginning, *value, number in self._run(statement):
                if beginning is not None:
                    yield beginning, value[0] if value else None, number

    def children(self, ids: Sequence[str], limit: int) -> Iterator[Row]:
        """Tasks with these parents, by parent and id; the key is the parent's id."""
        ordered = sorted(ids)
        for start in range(0, len(ordered), _IDS):
            wanted = _TASK.parent_id.in_(ordered[start : start + _IDS])
            statement = select(_TASK.id, _TASK.revision, _TASK.registers, _TASK.parent_id).where(wanted)
            for row in self._rows(statement.order_by(_TASK.parent_id, _TASK.id).limit(limit)):
                yield row
                limit -= 1
            if not limit:
                return

    def parents_among(self, ids: Sequence[str]) -> set[str]:
        """Those of them that are a task's parent: read off an index."""
        parents: set[str] = set()
        with translated(self._path):
            for start in range(0, len(ids), _IDS):
                wanted = _TASK.parent_id.in_(ids[start : start + _IDS])
                parents.update(id for (id,) in self._run(select(_TASK.parent_id).where(wanted).distinct()))
        return parents

    def changed(self, revision: int, where: Node | None) -> Iterator[Row]:
        """Tasks of later revisions, by revision and id."""
        found, rest = _split(where)
        statement = select(_TASK.id, _TASK.revision, _TASK.registers).where(_TASK.revision > revision)
        if found is not None:
            statement = statement.where(or_(_TASK.deleted, clause(found)))
        rows = self._rows(statement.order_by(_TASK.revision, _TASK.id))
        if rest is None:
            return rows
        matches = compile_predicate(rest)
        return (row for row in rows if row.state.deleted or matches(row))

    def changed_ids(self, revision: int) -> Iterator[tuple[str, int]]:
        """Ids and revisions of the tasks of later revisions, by revision and id."""
        with translated(self._path):
            yield from self._run(select(_TASK.id, _TASK.revision).where(_TASK.revision > revision).order_by(_TASK.revision, _TASK.id))

    def changed_count(self, revision: int, stop: int) -> int:
        """How many tasks are of later revisions, up to ``stop``: read off an index."""
        later = select(_TASK.revision).where(_TASK.revision > revision).limit(stop).subquery()
        with translated(self._path):
            (count,) = self._run(select(func.count()).select_from(later)).fetchone()
        return int(count)

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


def _split(where: Node | None) -> tuple[Node | None, Node | None]:
    return (None, None) if where is None else split(where)


def _listing(where: Node | None, order: Order, after: Key | None, limit: int | None) -> Select[Any]:
    statement = select(_TASK.id, _TASK.revision, _TASK.registers, *(_TASK[sort.field.column] for sort in order))
    statement = statement.where(not_(_TASK.deleted)).order_by(*map(ordering, order)).limit(limit)
    if where is not None:
        statement = statement.where(clause(where))
    if after is not None:
        return statement.where(after_clause(order, after))
    # Deleted tasks have nulls, which stand first in an index: the first page begins behind them (1,000 of them took it 4 ms).
    first = order[0].field
    return statement if first.nullable or first.kind is Kind.ID else statement.where(_TASK[first.column].is_not(None))


def _beginning(column: ColumnElement[Any], length: int) -> ColumnElement[Any]:
    """The beginning of a time as text; times are text in SQLite."""
    return func.substr(column, 1, length)


def _living(statement: Select[Any], where: Node | None) -> Select[Any]:
    if where is None or not is_of_living(where):
        statement = statement.where(_TASK.state.is_not(None))
    return statement if where is None else statement.where(clause(where))


class _Connected(NamedTuple):
    """A connection, and which file it reads: another may come to stand under the path."""

    connection: sqlite3.Connection
    file: FileId | None
    limits: Limits


class SqlReader:
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
    def snapshot(self, timeout_s: float | None = None, stop: threading.Event | None = None) -> Iterator[SqlSnapshot]:
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
            yield SqlSnapshot(connection, self._path, connected.limits)
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

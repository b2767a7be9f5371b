"""Reading a store by SQL: the questions of a snapshot, for SQLite and PostgreSQL alike.

Statements are built with SQLAlchemy Core and run on the driver's own connection. Answers come from ``registers``; the other columns only find
and sort rows. A deleted task's columns are all null, so ``state`` tells the living where an index covers the question.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec.structs import replace
from sqlalchemy import ColumnElement, Select, and_, func, literal_column, not_, or_, select

from tracker.model.limits import Limits
from tracker.model.records import Place
from tracker.query import attributes, functions
from tracker.query.base import Facts, Row, Scan, Stored
from tracker.query.clauses import Clause, after_clause, clause, column_of, is_of_living, ordering, split
from tracker.query.fields import Field, Kind
from tracker.query.pages import BY_ID, Key, Order, Sort
from tracker.query.predicate import compile_predicate
from tracker.query.scan import Scalar, counts, decided, ends, moments, most, values
from tracker.query.tree import Node
from tracker.stores import tables
from tracker.stores.base import Jump, ParkedRecord, PartitionStatus, StoreSize

_TASK = tables.task.c
_IDS = 500
"""Parents in one SELECT: within SQLite's oldest limit of 999 bound values."""
_AT_ONCE = 1_000
"""Rows of a listing that may be read at once: one page, some MB."""
_FEW = 20_000
"""Tasks that are looked up one by one: some 60 ms. Matching tasks' ends are looked for among themselves if they are so few: by the time's index every other task is looked at where none of
these has it, as none that runs has ended: 7 s of a million."""


class Said(NamedTuple):
    """What SQL says of a filter."""

    clause: Clause
    of_living: bool
    """Whether no deleted task can match."""


class StoreReads(Protocol):
    """What a store itself gives to read."""

    def parked(self, *, after: int = 0, limit: int = 100, reason: str | None = None) -> Sequence[ParkedRecord]:
        """See `tracker.stores.base.StatusStore`, as of the others."""
        ...

    def parked_record(self, number: int) -> ParkedRecord | None:
        """One."""
        ...

    def partitions(self) -> Sequence[PartitionStatus]:
        """All."""
        ...

    def jumps(self) -> Sequence[Jump]:
        """All."""
        ...

    def purged_count(self) -> int:
        """Tasks of which attempts were purged."""
        ...

    def size(self) -> StoreSize | None:
        """On the disk."""
        ...


class SqlSnapshot(ABC):
    """One read transaction; see `tracker.query.base.Snapshot`."""

    def __init__(self, reads: StoreReads, limits: Limits) -> None:
        self._store, self.limits = reads, limits
        self.parked = reads.parked
        self.parked_record = reads.parked_record
        self.partitions = reads.partitions

    @abstractmethod
    def _run(self, statement: Select[Any], *, few: bool = True) -> Iterator[tuple[Any, ...]]:
        """The rows, read as they are asked for; ``few`` may be read at once. Raises our errors."""

    @property
    @abstractmethod
    def kept_by(self) -> str:
        """The database and its version."""

    @abstractmethod
    def task(self, id: str) -> Row | None:
        """The task, deleted or not."""

    @abstractmethod
    def revision(self) -> int:
        """All commits up to this one are in the snapshot."""

    def _said(self, where: Node | None) -> tuple[Said | None, Node | None]:
        """What SQL can say of a filter, and what is left to be decided on decoded rows; None is nothing."""
        found, rest = (None, None) if where is None else split(where)
        said = None if found is None else Said(clause(found), is_of_living(found))
        if (
            rest is not None
            and attributes.is_indexable(rest)
            and (more := attributes.narrowed(rest, self.indexed, self._is_few)) is not None
        ):
            said = Said(more, of_living=False) if said is None else Said(and_(said.clause, more), said.of_living)
        return said, rest

    def _is_few(self, ids: attributes.Ids) -> bool:
        (count,) = self._one(select(func.count()).select_from(ids.limit(_FEW + 1).subquery()))
        return bool(count <= _FEW)

    def _after(self, revision: int) -> Clause:
        """The rows of later revisions that a follower is told of."""
        return _TASK.revision > revision

    def _one(self, statement: Select[Any]) -> tuple[Any, ...]:
        return next(iter(self._run(statement)))

    def _rows(self, statement: Select[Any], *, few: bool = False) -> Iterator[Row]:
        for id, revision, registers, *key in self._run(
            statement, few=few
        ):  # one by one: a state is about 1 kB, the greatest well over 1 MB
            yield Row(id, revision, registers, tuple(key))

    @cached_property
    def _has_indexes(self) -> bool:
        """Not those of an older schema, as a reader leaves a store as it is."""
        return self._one(select(tables.version.c.version_num)) >= ("0005",)

    @cached_property
    def indexed(self) -> dict[str, Place]:
        """The attributes that have an index, and the place in the store's changes up to which it goes."""
        if not self._has_indexes:
            return {}
        at = tables.attribute_index.c
        return {name: Place(revision, task_id) for name, revision, task_id in self._run(select(at.name, at.revision, at.task_id))}

    @cached_property
    def store(self) -> str:
        """The store's own name."""
        (name,) = self._one(select(tables.meta.c.value).where(tables.meta.c.name == "store"))
        return str(name)

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
        found, rest = self._said(where)
        if rest is None:
            yield from self._found(found, order, after, offset, limit)
        else:
            yield from islice(decided(self._found(found, order, after), rest, scan), offset, None if limit is None else offset + limit)

    def _found(
        self, where: Said | None, order: Order, after: Key | None = None, offset: int = 0, limit: int | None = None
    ) -> Iterator[Row]:
        """What SQL finds. Nulls are last: by a field that may be null there are two listings, those that have a value and the rest, since
        so each of them can use an index, and go on from a key by it.
        """
        first, few = order[0], limit is not None and limit <= _AT_ONCE
        if not first.field.nullable:
            yield from self._rows(_listing(where, order, after, limit).offset(offset), few=few)
            return
        column = column_of(first.field)
        if after is None or after[0] is not None:
            valued = (Sort(replace(first.field, nullable=False), first.descending), *order[1:])
            number = 0
            for row in self._rows(_listing(where, valued, after, limit).where(column.is_not(None)).offset(offset), few=few):
                yield row
                number += 1
            if offset and not number:  # it skips them all, and some of the rest
                (skipped,) = self._one(_living(select(func.count()).select_from(tables.task).where(column.is_not(None)), where))
                offset -= skipped
            else:
                offset = 0
            after, limit = None, None if limit is None else limit - number
        if limit is None or limit > 0:
            statement = _listing(where, order[1:], None if after is None else after[1:], limit).where(column.is_(None)).offset(offset)
            for row in self._rows(statement, few=few):
                row.key = (None, *row.key)
                yield row

    def stored(self, where: Node | None, order: Order) -> Iterator[Stored]:
        """Matching tasks in the order, as they are stored: one statement's rows where it can be one."""
        found, rest = self._said(where)
        if rest is None and not order[0].field.nullable:
            listing = _listing(found, order, None, None)
            return self._run(listing.with_only_columns(_TASK.id, _TASK.revision, _TASK.registers), few=False)
        return ((row.id, row.revision, row.registers) for row in self.rows(where, order))

    def count(self, where: Node | None, *, stop: int | None = None, scan: Scan | None = None) -> int:
        """How many tasks match."""
        found, rest = self._said(where)
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
        found, rest = self._said(where)
        if rest is not None:
            return most(counts(self.rows(where, BY_ID), by), limit)
        column, number = _TASK[by.column], func.count()
        # With no filter the field's own index has all but the nulls without looking at a task; how many those are is a subtraction.
        indexed = where is None and by.column not in ("id", "revision")
        if indexed:
            values = self._held(by.column, limit)
        else:
            statement = _living(
                select(functions.plain(column), number).group_by(column if found is None else functions.unindexed(column)), found
            )
            values = self._most(statement, number, column, limit)
        nulls = 0
        if indexed and by.nullable:
            valued = sum(values.values())
            if len(values) == limit:  # there may be others
                (valued,) = self._one(select(func.count()).select_from(tables.task).where(column.is_not(None)))
            nulls = self.count(None) - valued
        return most(values | {None: nulls}, limit) if nulls else values

    def _held(self, name: str, limit: int | None) -> dict[Scalar, int]:
        """How many tasks have each value of a column that is not null; those at least that most have, where there is a limit."""
        column, number = _TASK[name], func.count()
        statement = select(functions.plain(column), number).where(column.is_not(None)).group_by(column)
        return self._most(statement, number, column, limit)

    def _most(self, statement: Select[Any], number: ColumnElement[int], column: ColumnElement[Any], limit: int | None) -> dict[Scalar, int]:
        if limit is not None:
            statement = statement.order_by(number.desc(), column.is_(None), column).limit(limit)
        return dict(map(_pair, self._run(statement)))

    def ends(self, where: Node | None, field: Field) -> tuple[str, str] | None:
        """The least and the greatest time."""
        found, rest = self._said(where)
        if rest is not None:
            return ends(self.rows(where, BY_ID), field)
        column = _TASK[field.column]
        if found is not None and self.count(where, stop=_FEW + 1) <= _FEW:
            only = functions.unindexed(column)
            among = (functions.plain(column, end(only)) for end in (func.min, func.max))
            least, greatest = self._one(select(*among).where(found.clause))
            return None if least is None else (least, greatest)
        some = [column.is_not(None), *([] if found is None else [found.clause])]
        # Two statements: SQLite reads one end off an index, not both.
        (least,), (greatest,) = (self._one(select(functions.plain(column, end(column))).where(*some)) for end in (func.min, func.max))
        return None if least is None else (least, greatest)

    def moments(self, where: Node | None, field: Field, length: int, by: Field | None) -> Iterable[tuple[str, Scalar, int]]:
        """How many matching tasks have each beginning of a time and each value."""
        found, rest = self._said(where)
        if rest is not None:
            yield from moments(self.rows(where, BY_ID), field, length, by)
            return
        columns = [_TASK[field.column], *([] if by is None else [_TASK[by.column]])]
        keys = [functions.beginning(columns[0], length), *columns[1:]]
        statement = select(*keys[:1], *map(functions.plain, keys[1:]), func.count()).group_by(*keys)
        if found is not None:
            statement = statement.where(columns[0].is_not(None), found.clause)
        elif any({column.name for column in columns} <= set(index.columns.keys()) for index in tables.task_indexes):
            statement = statement.where(columns[0].is_not(None))
        # Else no condition: it would have an index looked at and then each task, which takes three times as long as to read them all.
        for beginning, *value, number in self._run(statement):
            if beginning is not None:
                yield beginning[:length], value[0] if value else None, number

    def values(self, where: Node | None, fields: Sequence[Field]) -> Iterator[tuple[Any, ...]]:
        """Matching tasks' values."""
        found, rest = self._said(where)
        if rest is not None:
            yield from values(self.rows(where, BY_ID), fields)
            return
        # Asked whether it is deleted, not by a column that has an index: then the whole table is read as it stands in the file.
        statement = select(*(functions.plain(_TASK[field.column]) for field in fields)).where(not_(_TASK.deleted))
        yield from self._run(statement if found is None else statement.where(found.clause), few=False)

    def children(self, ids: Sequence[str], limit: int) -> Iterator[Row]:
        """Tasks with these parents, by parent and id; the key is the parent's id."""
        ordered = sorted(ids)
        for start in range(0, len(ordered), _IDS):
            wanted = _TASK.parent_id.in_(ordered[start : start + _IDS])
            statement = select(_TASK.id, _TASK.revision, _TASK.registers, _TASK.parent_id).where(wanted)
            for row in self._rows(statement.order_by(_TASK.parent_id, _TASK.id).limit(limit), few=limit <= _AT_ONCE):
                yield row
                limit -= 1
            if not limit:
                return

    def parents_among(self, ids: Sequence[str]) -> set[str]:
        """Those of them that are a task's parent: read off an index."""
        parents: set[str] = set()
        for start in range(0, len(ids), _IDS):
            wanted = _TASK.parent_id.in_(ids[start : start + _IDS])
            parents.update(id for (id,) in self._run(select(_TASK.parent_id).where(wanted).distinct()))
        return parents

    def tasks(self, ids: Sequence[str]) -> Iterator[Row]:
        """Those of them that are there, deleted or not."""
        for start in range(0, len(ids), _IDS):
            yield from self._rows(select(_TASK.id, _TASK.revision, _TASK.registers).where(_TASK.id.in_(ids[start : start + _IDS])))

    def changed(self, revision: int, where: Node | None) -> Iterator[Row]:
        """Tasks of later revisions, by revision and id."""
        found, rest = self._said(where)
        statement = select(_TASK.id, _TASK.revision, _TASK.registers).where(self._after(revision))
        if found is not None:
            statement = statement.where(or_(_TASK.deleted, found.clause))
        rows = self._rows(statement.order_by(_TASK.revision, _TASK.id))
        if rest is None:
            return rows
        matches = compile_predicate(rest)
        return (row for row in rows if row.state.deleted or matches(row))

    def changed_ids(self, revision: int) -> Iterator[tuple[str, int]]:
        """Ids and revisions of the tasks of later revisions, by revision and id."""
        statement = select(_TASK.id, _TASK.revision).where(self._after(revision)).order_by(_TASK.revision, _TASK.id)
        yield from map(_pair, self._run(statement, few=False))

    def changed_count(self, revision: int, stop: int) -> int:
        """How many tasks are of later revisions, up to ``stop``: read off an index."""
        later = select(_TASK.revision).where(self._after(revision)).limit(stop).subquery()
        (count,) = self._one(select(func.count()).select_from(later))
        return int(count)

    def facts(self) -> Facts:
        """What the store says of itself."""
        reasons = select(tables.parked.c.reason, func.count()).group_by(tables.parked.c.reason).order_by(tables.parked.c.reason)
        parked_by_reason: dict[str, int] = dict(map(_pair, self._run(reasons)))
        rebuild = next(iter(self._run(select(tables.meta.c.value).where(tables.meta.c.name == "rebuild"))), None)
        return Facts(
            partitions=self._store.partitions(),
            jumps=self._store.jumps(),
            parked_by_reason=parked_by_reason,
            tasks=self.count(None),
            purged=self._store.purged_count(),
            size=self._store.size(),
            revision=self.revision(),
            rebuild=None if rebuild is None else msgspec.json.decode(rebuild[0]),
        )


def _pair(row: tuple[Any, ...]) -> tuple[Any, Any]:
    one, other = row
    return one, other


def _listing(where: Said | None, order: Order, after: Key | None, limit: int | None) -> Select[Any]:
    statement = select(_TASK.id, _TASK.revision, _TASK.registers, *(functions.plain(column_of(sort.field)) for sort in order))
    statement = statement.where(not_(_TASK.deleted)).order_by(*map(ordering, order)).limit(limit)
    if where is not None:
        statement = statement.where(where.clause)
    if after is not None:
        return statement.where(after_clause(order, after))
    # Deleted tasks have nulls, which stand first in an index: the first page begins behind them (1,000 of them took it 4 ms).
    first = order[0].field
    return statement if first.nullable or first.kind is Kind.ID else statement.where(column_of(first).is_not(None))


def _living(statement: Select[Any], where: Said | None) -> Select[Any]:
    if where is None or not where.of_living:
        statement = statement.where(_TASK.state.is_not(None))
    return statement if where is None else statement.where(where.clause)

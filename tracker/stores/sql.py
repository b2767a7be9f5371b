"""The SQL store: states, positions, counters and parked records in one transaction.

Statements are built once with SQLAlchemy Core and run on the driver's own connection with ``executemany``: on the hot path
there is no ORM and no statement is compiled. A commit is one BEGIN IMMEDIATE transaction (a deferred one that reads first fails as
locked, whatever the timeout), and both fences are row counts: a position or a task that is not as expected matches no row.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from sqlalchemy import Table, bindparam, delete, insert, literal_column, select, update
from sqlalchemy.dialects import sqlite

from tracker.errors import PositionConflict, StateConflict, StoreReplaced
from tracker.model.limits import Limits
from tracker.model.records import Position, Record, TopicPartition
from tracker.stores import schema, tables
from tracker.stores.base import (
    BEGINNING,
    OUTCOMES,
    Advance,
    Commit,
    Counters,
    Ended,
    Jump,
    Loaded,
    ParkedRecord,
    PartitionStatus,
    Retried,
    StoreSize,
    Write,
)
from tracker.stores.sqlite_file import connect, execute_in_turn, translated

_LOAD_CHUNK = 500
"""Ids in one SELECT: one prepared statement for all chunks but the last."""


def _text(statement: Any) -> str:
    """The SQL of a statement, with ``?`` for values in the order of its columns."""
    return str(statement.compile(dialect=sqlite.dialect(paramstyle="qmark")))


def _insert(table: Table, *names: str) -> str:
    return _text(insert(table).values({name: bindparam(name) for name in names}))


_COLUMNS = [column.name for column in tables.task.columns if column.name not in ("id", "revision", "deleted", "purged_at", "registers")]
_WRITTEN = ["revision", "deleted", "registers", *_COLUMNS, "purged_at"]
"""In the table's order, which is that of a compiled statement's values."""
_INSERT_TASK = _insert(tables.task, "id", *_WRITTEN) + " ON CONFLICT DO NOTHING"
_UPDATE_TASK = _text(
    update(tables.task)
    .where(tables.task.c.id == bindparam("task_id"), tables.task.c.revision == bindparam("loaded"))
    .values({name: bindparam(name) for name in _WRITTEN})
)
_DELETE_TASK = _text(delete(tables.task).where(tables.task.c.id == bindparam("task_id"), tables.task.c.revision == bindparam("loaded")))
_ENDED = (
    # Not by the index of types, which has hardly any: a value of a function has no index.
    "SELECT completed, id FROM task WHERE completed < ? AND completed >= ? AND (completed, id) > (?, ?) "
    "AND coalesce(type, '') IN ({}) ORDER BY completed, id LIMIT ?"
)
_LOAD = "SELECT id, registers, revision FROM task WHERE id IN ({})"
_REVISIONS = "SELECT id, revision FROM task WHERE id IN ({})"
_CLAIM = _insert(tables.position, "topic", "partition", "next_offset", "identity") + " ON CONFLICT DO NOTHING"
_ADVANCE = (
    "UPDATE position SET next_offset=?, identity=?, read=read+?, applied=applied+?, unchanged=unchanged+?, ignored=ignored+?, "
    "parked=parked+?, newest_event_time=max(coalesce(newest_event_time, ''), ?), committed_at=strftime('%Y-%m-%dT%H:%M:%fZ', 'now') "
    "WHERE topic=? AND partition=? AND next_offset=? AND identity=?"
)
_PARK = _insert(tables.parked, "topic", "partition", "offset", "reason", "detail", "key", "headers", "value", "timestamp_ms", "dropped")
_UNPARK = _text(delete(tables.parked).where(tables.parked.c.number == bindparam("one")))
_MOVE_COUNT = {
    outcome: _text(
        update(tables.position)
        .where(tables.position.c.topic == bindparam("at_topic"), tables.position.c.partition == bindparam("at_partition"))
        .values({"parked": tables.position.c.parked - literal_column("1"), outcome: tables.position.c[outcome] + literal_column("1")})
    )
    for outcome in OUTCOMES
}
_JUMP = _insert(tables.jump, "topic", "partition", "stored", "chosen", "policy", "at")
_PARTITIONS = _text(
    select(
        *(tables.position.c[name] for name in ("topic", "partition", "next_offset", "identity", *msgspec.structs.asdict(Counters()))),
        *(tables.position.c[name] for name in ("newest_event_time", "end_offset", "end_seen_at", "committed_at", "worker", "claimed_at")),
    ).order_by(tables.position.c.topic, tables.position.c.partition)
)
_PARTITIONS_BEFORE_WORKERS = _PARTITIONS.replace("position.worker, position.claimed_at", "NULL, NULL")
"""Of a store of an older schema, which a reader leaves as it is."""
_HAS_WORKERS = "SELECT count(*) FROM pragma_table_info('position') WHERE name='worker'"
_HOLD = "UPDATE position SET worker=?, claimed_at=strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE topic=? AND partition=?"
_DELETED_COLUMNS = (None,) * len(_COLUMNS)

_headers_to_bytes = msgspec.msgpack.Encoder().encode
_headers_from_bytes = msgspec.msgpack.Decoder(tuple[tuple[str, bytes | None], ...]).decode


class SqlStore:
    """A store in one SQLite file; see `tracker.stores.base.StatusStore` for its promises."""

    def __init__(self, path: str, *, limits: Limits | None = None, synchronous: str = "FULL", create: bool = True) -> None:
        self._connection, self.limits = connect(path, limits=limits, synchronous=synchronous, create=create)
        self._asked = limits
        self.path = path
        self._name = self.name()
        self.hurry = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Cursor]:
        """One write transaction: committed at the end, rolled back on any error."""
        with translated(self.path):
            cursor = self._connection.cursor()
            execute_in_turn(self._connection, "BEGIN IMMEDIATE", self.hurry)
            try:
                yield cursor
                cursor.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    cursor.execute("ROLLBACK")
                raise

    def claim(self, beginnings: Iterable[Position], worker: str = "") -> Mapping[TopicPartition, Position]:
        """The stored position of each partition, seeded with the given beginning where there is none; held by ``worker`` from now on."""
        beginnings = list(beginnings)
        with self.transaction() as cursor:
            # After a rebuild another store stands here, perhaps with other limits.
            self._name, self.limits = self.name(), schema.check(self._connection, self._asked)
            cursor.executemany(_CLAIM, [(at.topic, at.partition, at.next_offset, at.identity) for at in beginnings])
            # A store may have been seeded before the log's identity was known (an empty file): it is learnt now.
            cursor.executemany(
                "UPDATE position SET identity=? WHERE topic=? AND partition=? AND identity='' AND next_offset=?",
                [(at.identity, at.topic, at.partition, at.next_offset) for at in beginnings if at.identity],
            )
            if worker:
                cursor.executemany(_HOLD, [(worker, at.topic, at.partition) for at in beginnings])
            wanted = {at.at for at in beginnings}
            rows = cursor.execute("SELECT topic, partition, next_offset, identity FROM position").fetchall()
        return {position.at: position for position in (Position(*row) for row in rows) if position.at in wanted}

    def load(self, task_ids: Sequence[str]) -> Mapping[str, Loaded]:
        """The states that the store has; ids that it does not have are absent."""
        loaded: dict[str, Loaded] = {}
        with translated(self.path):
            for start in range(0, len(task_ids), _LOAD_CHUNK):
                chunk = task_ids[start : start + _LOAD_CHUNK]
                rows = self._connection.execute(_LOAD.format(",".join("?" * len(chunk))), chunk)
                loaded.update([(task_id, Loaded(registers, revision)) for task_id, registers, revision in rows])
        return loaded

    def commit(self, commit: Commit) -> int:
        """Write all or nothing; raises `PositionConflict` or `StateConflict` where the store is not as expected."""
        with self.transaction() as cursor:
            return self.write(cursor, commit)

    def write(self, cursor: sqlite3.Cursor, commit: Commit) -> int:
        """A commit's rows, within a transaction; returns its revision."""
        if self.name() != self._name:
            raise StoreReplaced("the store was rebuilt meanwhile, and nothing was written: what was read before is of the one before it")
        for advance in commit.advances:
            self._advance(cursor, advance)
        (revision,) = cursor.execute("UPDATE meta SET value=value+1 WHERE name='revision' RETURNING CAST(value AS INTEGER)").fetchone()
        self._write_tasks(cursor, commit.writes, revision)
        cursor.executemany(_PARK, map(_parked_row, commit.parked))
        for retried in commit.retried:
            self._unpark(cursor, retried)
        cursor.executemany(_JUMP, [(j.at.topic, j.at.partition, j.stored, j.chosen, j.policy, j.when) for j in commit.jumps])
        return int(revision)

    def insert_tasks(self, cursor: sqlite3.Cursor, writes: Iterable[Write], revision: int) -> int:
        """New rows; returns how many of them were new indeed."""
        cursor.executemany(_INSERT_TASK, ((w.task_id, *_task_row(w, revision)) for w in writes))
        return max(cursor.rowcount, 0)

    def _advance(self, cursor: sqlite3.Cursor, advance: Advance) -> None:
        expected, new, counted = advance.expected, advance.next, advance.counters
        counts = (counted.read, counted.applied, counted.unchanged, counted.ignored, counted.parked)
        where = (expected.topic, expected.partition, expected.next_offset, expected.identity)
        cursor.execute(_ADVANCE, (new.next_offset, new.identity, *counts, advance.newest_event_time, *where))
        if cursor.rowcount != 1:
            raise PositionConflict(
                f"{expected.topic}, partition {expected.partition}: the store is no longer at offset {expected.next_offset}; "
                f"another worker has it, or this one's own commit landed although its answer was lost"
            )

    def _write_tasks(self, cursor: sqlite3.Cursor, writes: Sequence[Write], revision: int) -> None:
        # Rows in id order: neighbours in the index share pages.
        ordered = sorted(writes, key=lambda write: write.task_id)
        new = [write for write in ordered if write.loaded_revision is None]
        # What is deleted or purged is written anew, behind all others: in its place it would leave a page nearly empty, which SQLite joins
        # with its neighbours where a row is deleted, and not where one gets shorter.
        gone = [write for write in ordered if write.loaded_revision is not None and write.columns is None]
        known = [write for write in ordered if write.loaded_revision is not None and write.columns is not None]
        cursor.executemany(_DELETE_TASK, [(write.task_id, write.loaded_revision) for write in gone])
        updated = cursor.rowcount if gone else 0
        inserted = self.insert_tasks(cursor, [*new, *gone], revision)
        cursor.executemany(
            _UPDATE_TASK,
            [(*_task_row(w, revision), w.task_id, w.loaded_revision) for w in known],
        )
        updated += cursor.rowcount if known else 0
        if inserted != len(new) + len(gone) or updated != len(known) + len(gone):
            rows = self._revisions(cursor, [write.task_id for write in ordered])
            raise StateConflict([write.task_id for write in ordered if rows.get(write.task_id) != revision])

    def _revisions(self, cursor: sqlite3.Cursor, task_ids: Sequence[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for start in range(0, len(task_ids), _LOAD_CHUNK):
            chunk = task_ids[start : start + _LOAD_CHUNK]
            found.update(cursor.execute(_REVISIONS.format(",".join("?" * len(chunk))), chunk))
        return found

    def _unpark(self, cursor: sqlite3.Cursor, retried: Retried) -> None:
        if retried.outcome not in OUTCOMES:
            raise ValueError(f"a retried record becomes applied, unchanged or ignored, not {retried.outcome}")
        cursor.execute(_UNPARK, (retried.number,))
        if cursor.rowcount == 1:
            cursor.execute(_MOVE_COUNT[retried.outcome], retried.at)
        if cursor.rowcount != 1:
            raise PositionConflict(f"parked record {retried.number} is gone: another retry was faster")

    def report_ends(self, ends: Iterable[Position], seen_at: str) -> None:
        """Remember where the logs ended at ``seen_at`` (RFC 3339)."""
        with self.transaction() as cursor:
            cursor.executemany(
                "UPDATE position SET end_offset=?, end_seen_at=? WHERE topic=? AND partition=?",
                [(end.next_offset, seen_at, end.topic, end.partition) for end in ends],
            )

    def partitions(self) -> Sequence[PartitionStatus]:
        """Every partition that the store has a position of, by topic and partition."""
        with translated(self.path):
            (has_workers,) = self._connection.execute(_HAS_WORKERS).fetchone()
            rows = self._connection.execute(_PARTITIONS if has_workers else _PARTITIONS_BEFORE_WORKERS).fetchall()
        return [
            PartitionStatus(
                position=Position(*row[:4]),
                counters=Counters(*row[4:9]),
                newest_event_time=row[9] or None,
                end_offset=row[10],
                end_seen_at=row[11],
                committed_at=row[12],
                worker=row[13],
                claimed_at=row[14],
            )
            for row in rows
        ]

    def jumps(self) -> Sequence[Jump]:
        """Every position that an operator's choice has moved, oldest first."""
        with translated(self.path):
            rows = self._connection.execute("SELECT topic, partition, stored, chosen, policy, at FROM jump ORDER BY number").fetchall()
        return [Jump(at=TopicPartition(row[0], row[1]), stored=row[2], chosen=row[3], policy=row[4], when=row[5]) for row in rows]

    def parked(self, *, after: int = 0, limit: int = 100, reason: str | None = None) -> Sequence[ParkedRecord]:
        """Parked records with a number above ``after``, ascending, at most ``limit``."""
        statement = select(tables.parked).where(tables.parked.c.number > after).order_by(tables.parked.c.number).limit(limit)
        if reason is not None:
            statement = statement.where(tables.parked.c.reason == reason)
        return self._select_parked(statement)

    def parked_record(self, number: int) -> ParkedRecord | None:
        """One parked record by its number."""
        found = self._select_parked(select(tables.parked).where(tables.parked.c.number == number))
        return found[0] if found else None

    def _select_parked(self, statement: Any) -> list[ParkedRecord]:
        compiled = statement.compile(dialect=sqlite.dialect(paramstyle="named"))
        with translated(self.path):
            rows = self._connection.execute(str(compiled), compiled.params).fetchall()
        return [_parked_record(row) for row in rows]

    def drop_parked(self, numbers: Sequence[int]) -> int:
        """Delete the bytes of these records; how many had any."""
        with self.transaction() as cursor:
            dropped = 0
            for number in numbers:
                cursor.execute(
                    "UPDATE parked SET key=NULL, headers=?, value=NULL, dropped=1 WHERE number=? AND NOT dropped",
                    (_headers_to_bytes([]), number),
                )
                dropped += cursor.rowcount
        return dropped

    def task_count(self) -> int:
        """Tasks without the deleted ones."""
        with translated(self.path):
            (count,) = self._connection.execute("SELECT count(*) FROM task WHERE state IS NOT NULL").fetchone()
        return int(count)

    def name(self) -> str:
        """The store's own name, which a rebuild changes: 5 µs in each commit are the fence against states of before."""
        with translated(self.path):
            (name,) = self._connection.execute("SELECT value FROM meta WHERE name='store'").fetchone()
        return str(name)

    def revision(self) -> int:
        """The revision of the newest commit; 0 before the first."""
        with translated(self.path):
            (revision,) = self._connection.execute("SELECT CAST(value AS INTEGER) FROM meta WHERE name='revision'").fetchone()
        return int(revision)

    def ended(self, before: str, types: Sequence[str], *, after: Ended = BEGINNING, limit: int = 1_000) -> Sequence[Ended]:
        """Tasks of these types that were completed before a time, by that and id: read off the index of ``completed``."""
        with translated(self.path):
            statement = _ENDED.format(",".join("?" * len(types)))
            rows = self._connection.execute(statement, (before, after.completed, *after, *types, limit)).fetchall()
        return [Ended(*row) for row in rows]

    def purged(self, *, after: str = "", limit: int = 1_000) -> Sequence[str]:
        """Ids of the tasks of which attempts were purged, ascending: read off an index."""
        with translated(self.path):
            rows = self._connection.execute(
                "SELECT id FROM task WHERE purged_at IS NOT NULL AND id > ? ORDER BY id LIMIT ?", (after, limit)
            ).fetchall()
        return [id for (id,) in rows]

    def purged_count(self) -> int:
        """How many they are; none in a store that no writer of this release has opened yet."""
        with translated(self.path):
            if not self._connection.execute("SELECT 1 FROM pragma_table_info('task') WHERE name='purged_at'").fetchone():
                return 0
            (count,) = self._connection.execute("SELECT count(*) FROM task WHERE purged_at IS NOT NULL").fetchone()
        return int(count)

    def size(self) -> StoreSize | None:
        """The file and its log of changes; and how much of the file is free pages."""
        with translated(self.path):
            (free_pages,), (page_bytes,) = (
                self._connection.execute(f"PRAGMA {name}").fetchone() for name in ("freelist_count", "page_size")
            )
        files = (Path(self.path), Path(self.path + "-wal"))
        return StoreSize(sum(file.stat().st_size for file in files if file.exists()), free_pages * page_bytes)

    def shrink(self, most_bytes: int) -> int:
        """Move pages from the file's end into free ones; the file is shorter after the next checkpoint. Only where the store was made so."""
        with self.transaction() as cursor:
            (page_bytes,) = cursor.execute("PRAGMA page_size").fetchone()
            (before,) = cursor.execute("PRAGMA freelist_count").fetchone()
            cursor.execute(f"PRAGMA incremental_vacuum({max(1, most_bytes // page_bytes)})").fetchall()
            (after,) = cursor.execute("PRAGMA freelist_count").fetchone()
        return int(page_bytes * (before - after))


def _task_row(write: Write, revision: int) -> tuple[Any, ...]:
    return (revision, write.columns is None, write.registers, *(write.columns or _DELETED_COLUMNS), write.purged_at)


def _parked_row(parked: ParkedRecord) -> tuple[Any, ...]:
    record = parked.record
    headers = _headers_to_bytes(list(record.headers))
    at = (record.topic, record.partition, record.offset)
    return (*at, parked.reason, parked.detail, record.key, headers, record.value, record.timestamp_ms, parked.dropped)


def _parked_record(row: Sequence[Any]) -> ParkedRecord:
    number, topic, partition, offset, reason, detail, key, headers, value, timestamp_ms, dropped = row
    record = Record(topic, partition, offset, value, key, _headers_from_bytes(headers), timestamp_ms)
    return ParkedRecord(record=record, reason=reason, detail=detail, number=number, dropped=bool(dropped))

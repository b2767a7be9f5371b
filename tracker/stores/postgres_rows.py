"""What a PostgreSQL store's statements are, and its rows as their values. ``{}`` is the schema with its dot."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from tracker.model.records import Record
from tracker.model.rows import Columns
from tracker.stores import tables
from tracker.stores.base import OUTCOMES, ParkedRecord, Write
from tracker.stores.postgres_arrays import Array, array
from tracker.stores.postgres_text import FREE, fitting

COLUMNS = [column.name for column in tables.task.columns if column.name not in ("id", "revision", "deleted", "registers")]
_NUMBERS = {"percent_complete", "attempt"}
_KINDS = ["text", "bigint", "boolean", "bytea", *("integer" if name in _NUMBERS else "text" for name in COLUMNS)]
_VALUES = ", ".join(f"{name}::timestamptz" if name in tables.TIMES else name for name in COLUMNS)
THIS_REVISION = "SELECT pg_current_xact_id()::text::bigint + (SELECT value::bigint FROM {0}meta WHERE name = 'revision_base')"
_SET = ", ".join(f"{name} = excluded.{name}" for name in ("deleted", "registers", *COLUMNS))
UPSERT = (
    f"WITH this AS MATERIALIZED ({THIS_REVISION} AS revision), written AS ("
    f"INSERT INTO {{0}}task AS t (id, revision, deleted, registers, {', '.join(COLUMNS)}) "
    f"SELECT id, coalesce(loaded, (SELECT revision FROM this)), deleted, registers, {_VALUES} "
    f"FROM unnest({', '.join(f'%b::{kind}[]' for kind in _KINDS)}) AS n(id, loaded, deleted, registers, {', '.join(COLUMNS)}) "
    f"ON CONFLICT (id) DO UPDATE SET revision = (SELECT revision FROM this), {_SET} WHERE t.revision = excluded.revision "
    "RETURNING xmax = 0 AS made) SELECT count(*), count(*) FILTER (WHERE made) FROM written"
)
"""All tasks of a commit, new and known. A known one brings the revision that it was loaded at, which the row's is compared with; a new one the
commit's own, which no row has, so that a row that is there already is left alone. How many rows were written, and how many of them were
made, tells whether all was as expected.
"""
ADVANCE = (
    "UPDATE {0}position SET next_offset = %s, identity = %s, read = read + %s, applied = applied + %s, unchanged = unchanged + %s, "
    "ignored = ignored + %s, parked = parked + %s, newest_event_time = greatest(newest_event_time, %s::timestamptz), "
    "committed_at = clock_timestamp() WHERE topic = %s AND partition = %s AND next_offset = %s AND identity = %s"
)
PARK = (
    'INSERT INTO {0}parked (topic, partition, "offset", reason, detail, key, headers, value, timestamp_ms, dropped) '
    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)
MOVE_COUNT = {
    outcome: f"UPDATE {{0}}position SET parked = parked - 1, {outcome} = {outcome} + 1 WHERE topic = %s AND partition = %s"
    for outcome in OUTCOMES
}
JUMP = "INSERT INTO {0}jump (topic, partition, stored, chosen, policy, at) VALUES (%s, %s, %s, %s, %s, %s)"
_NO_COLUMNS = (None,) * len(Columns._fields)

headers_to_bytes = msgspec.msgpack.Encoder().encode
headers_from_bytes = msgspec.msgpack.Decoder(tuple[tuple[str, bytes | None], ...]).decode


def task_arrays(writes: Sequence[Write]) -> list[Array]:
    """The arrays of `UPSERT`."""
    columns = zip(*map(_cells, writes), strict=True)
    values: list[Sequence[Any]] = [
        [write.task_id for write in writes],
        [write.loaded_revision for write in writes],
        [write.columns is None for write in writes],
        [write.registers for write in writes],
        *([fitting(name, value) for value in column] if name in FREE else column for name, column in zip(COLUMNS, columns, strict=True)),
    ]
    return [array(kind, each) for kind, each in zip(_KINDS, values, strict=True)]


def task_row(write: Write, revision: int) -> tuple[Any, ...]:
    """A new row, for COPY."""
    return (write.task_id, revision, write.columns is None, write.registers, *map(fitting, COLUMNS, _cells(write)))


def _cells(write: Write) -> tuple[Any, ...]:
    return (*(write.columns or _NO_COLUMNS), write.purged_at)


def parked_values(parked: ParkedRecord) -> tuple[Any, ...]:
    """The values of `PARK`."""
    record = parked.record
    at = (record.topic, record.partition, record.offset)
    headers = headers_to_bytes(list(record.headers))
    return (*at, parked.reason, escaped(parked.detail), record.key, headers, record.value, record.timestamp_ms, parked.dropped)


def parked_record(row: Sequence[Any]) -> ParkedRecord:
    """A row of ``parked``, all columns in their order."""
    number, topic, partition, offset, reason, detail, key, headers, value, timestamp_ms, dropped = row
    record = Record(topic, partition, offset, value, key, headers_from_bytes(headers), timestamp_ms)
    return ParkedRecord(record=record, reason=reason, detail=unescaped(detail), number=number, dropped=dropped)


def escaped(detail: str) -> str:
    r"""A text that may quote what a record holds, U+0000 too: that is ``\0`` here, and a backslash two of them."""
    return detail.replace("\\", "\\\\").replace("\0", "\\0")


def unescaped(detail: str) -> str:
    """The text of `escaped`."""
    return re.sub(r"\\(.)", lambda match: "\0" if match[1] == "0" else match[1], detail)

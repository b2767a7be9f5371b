"""The tables, defined once for all databases. Their names and columns are for people's own SQL too.

Times are ISO 8601 text in UTC (``2026-01-31T09:30:00.123456Z``) in SQLite, timestamptz in PostgreSQL, where text compares by code point
(``COLLATE "C"``). ``registers`` is the task's state as canonical bytes: everything else of a ``task`` row follows from it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.dialects import postgresql

metadata = MetaData()

Number = BigInteger().with_variant(Integer, "sqlite")
Text = String().with_variant(postgresql.TEXT(collation="C"), "postgresql")
Time = String().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")

task = Table(
    "task",
    metadata,
    # A rowid table with a unique id: without the rowid SQLite was a third slower to write.
    Column("id", Text, nullable=False),
    Column("revision", Number, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("registers", LargeBinary, nullable=False),
    Column("type", Text),
    Column("unique_name", Text),
    Column("description", Text),
    Column("parent_name", Text),
    Column("parent_id", Text),
    Column("launcher", Text),
    Column("target_id", Text),
    Column("target_type", Text),
    Column("target_name", Text),
    Column("created", Time),
    Column("modified", Time),
    Column("launched", Time),
    Column("completed", Time),
    Column("completion_status", Text),
    Column("progress", Text),
    Column("percent_complete", Integer),
    Column("state", Text),
    Column("attempt", Integer),
    # When attempts of the task were purged. Where it is set and ``deleted`` is too, retention has deleted the task and no event.
    Column("purged_at", Time),
    UniqueConstraint("id", name="task_id"),
)


TIMES = frozenset(column.name for column in task.columns if column.type is Time)


def _having(column: str) -> dict[str, Any]:
    """An index of the rows that have a value."""
    return {f"{dialect}_where": text(f"{column} IS NOT NULL") for dialect in ("sqlite", "postgresql")}


task_indexes = [
    # What runs, the last changed first, is asked for most; counts by state read it too, and no task.
    Index("task_state", task.c.state, task.c.modified),
    # Most tasks have no parent or target, and those in flight no status: partial indexes keep those rows out. What failed is asked for likewise, and
    # `modified` of a task that has ended changes hardly ever.
    Index("task_completion_status", task.c.completion_status, task.c.modified, **_having("completion_status")),
    Index("task_type", task.c.type),
    Index("task_launcher", task.c.launcher),
    Index("task_parent_id", task.c.parent_id, **_having("parent_id")),
    Index("task_target_id", task.c.target_id, **_having("target_id")),
    Index("task_created", task.c.created),
    Index("task_modified", task.c.modified),
    Index("task_launched", task.c.launched, **_having("launched")),
    # How the tasks of each hour ended is read off it alone.
    Index("task_completed", task.c.completed, task.c.completion_status, **_having("completed")),
    Index("task_revision", task.c.revision),
    Index("task_purged", task.c.id, **_having("purged_at")),
]

position = Table(
    "position",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", Number, nullable=False),
    Column("identity", Text, nullable=False),
    Column("read", Number, nullable=False, server_default="0"),
    Column("applied", Number, nullable=False, server_default="0"),
    Column("unchanged", Number, nullable=False, server_default="0"),
    Column("ignored", Number, nullable=False, server_default="0"),
    Column("parked", Number, nullable=False, server_default="0"),
    Column("newest_event_time", Time),
    Column("end_offset", Number),
    Column("end_seen_at", Time),
    Column("committed_at", Time),
    Column("worker", Text),
    Column("claimed_at", Time),
)

parked = Table(
    "parked",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", Number, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("key", LargeBinary),
    Column("headers", LargeBinary, nullable=False),
    Column("value", LargeBinary),
    Column("timestamp_ms", Number),
    Column("dropped", Boolean, nullable=False, server_default=false()),
    sqlite_autoincrement=True,
)
Index("parked_at", parked.c.topic, parked.c.partition, parked.c.offset)

jump = Table(
    "jump",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("stored", Number, nullable=False),
    Column("chosen", Number, nullable=False),
    Column("policy", Text, nullable=False),
    Column("at", Time, nullable=False),
)

attribute_index = Table(
    "attribute_index",
    metadata,
    Column("name", Text, primary_key=True),
    Column("revision", Number, nullable=False),
    Column("task_id", Text),
)
"""The attributes that have an index, and the place in the store's changes up to which it goes (null: the whole revision)."""

attribute_value = Table(
    "attribute_value",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("task_id", Text, primary_key=True),
    sqlite_with_rowid=False,
)
"""Which tasks have a value, as `tracker.query.attributes.entry` writes it; what has changed since may be missing, or here still."""
Index("attribute_value_task", attribute_value.c.task_id)

version = Table("alembic_version", MetaData(), Column("version_num", String(32)))
"""Alembic's own: the newest migration."""

meta = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""``fold_version``, ``limits`` (JSON), ``made_at``, ``made_by``, ``store`` (its own random name); ``revision`` in SQLite, where the newest
commit's number is, and ``revision_base`` in PostgreSQL, what is added to a transaction's number."""

"""The tables, defined once for all databases. Their names and columns are for people's own SQL too.

Times are ISO 8601 text in UTC (``2026-01-31T09:30:00.123456Z``) in SQLite. ``registers`` is the task's state as canonical
bytes: everything else of a ``task`` row follows from it.
"""

from __future__ import annotations

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
    text,
)

metadata = MetaData()

Number = BigInteger().with_variant(Integer, "sqlite")

task = Table(
    "task",
    metadata,
    # A rowid table with a unique id: without the rowid SQLite was a third slower to write.
    Column("id", String, nullable=False),
    Column("revision", Number, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("registers", LargeBinary, nullable=False),
    Column("type", String),
    Column("unique_name", String),
    Column("description", String),
    Column("parent_name", String),
    Column("parent_id", String),
    Column("launcher", String),
    Column("target_id", String),
    Column("target_type", String),
    Column("target_name", String),
    Column("created", String),
    Column("modified", String),
    Column("launched", String),
    Column("completed", String),
    Column("completion_status", String),
    Column("progress", String),
    Column("percent_complete", Integer),
    Column("state", String),
    Column("attempt", Integer),
    UniqueConstraint("id", name="task_id"),
)

task_indexes = [
    # What runs, the last changed first, is asked for most; counts by state read it too, and no task.
    Index("task_state", task.c.state, task.c.modified),
    # Most tasks have no parent or target, and those in flight no status: partial indexes keep those rows out.
    Index("task_completion_status", task.c.completion_status, sqlite_where=text("completion_status IS NOT NULL")),
    Index("task_type", task.c.type),
    Index("task_launcher", task.c.launcher),
    Index("task_parent_id", task.c.parent_id, sqlite_where=text("parent_id IS NOT NULL")),
    Index("task_target_id", task.c.target_id, sqlite_where=text("target_id IS NOT NULL")),
    Index("task_created", task.c.created),
    Index("task_modified", task.c.modified),
    Index("task_launched", task.c.launched, sqlite_where=text("launched IS NOT NULL")),
    # How the tasks of each hour ended is read off it alone.
    Index("task_completed", task.c.completed, task.c.completion_status, sqlite_where=text("completed IS NOT NULL")),
    Index("task_revision", task.c.revision),
]

position = Table(
    "position",
    metadata,
    Column("topic", String, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", Number, nullable=False),
    Column("identity", String, nullable=False),
    Column("read", Number, nullable=False, server_default="0"),
    Column("applied", Number, nullable=False, server_default="0"),
    Column("unchanged", Number, nullable=False, server_default="0"),
    Column("ignored", Number, nullable=False, server_default="0"),
    Column("parked", Number, nullable=False, server_default="0"),
    Column("newest_event_time", String),
    Column("end_offset", Number),
    Column("end_seen_at", String),
    Column("committed_at", String),
    Column("worker", String),
    Column("claimed_at", String),
)

parked = Table(
    "parked",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("topic", String, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", Number, nullable=False),
    Column("reason", String, nullable=False),
    Column("detail", String, nullable=False),
    Column("key", LargeBinary),
    Column("headers", LargeBinary, nullable=False),
    Column("value", LargeBinary),
    Column("timestamp_ms", Number),
    Column("dropped", Boolean, nullable=False, server_default=text("0")),
    sqlite_autoincrement=True,
)
Index("parked_at", parked.c.topic, parked.c.partition, parked.c.offset)

jump = Table(
    "jump",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("topic", String, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("stored", Number, nullable=False),
    Column("chosen", Number, nullable=False),
    Column("policy", String, nullable=False),
    Column("at", String, nullable=False),
)

meta = Table(
    "meta",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", String, nullable=False),
)
"""``fold_version``, ``limits`` (JSON), ``made_at``, ``made_by``, ``store`` (its own random name) and ``revision``."""

"""The first tables: tasks, positions, parked records, jumps and meta."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from tracker.stores import postgres_text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
Text = sa.String().with_variant(postgresql.TEXT(collation="C"), "postgresql")
Time = sa.String().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "task",
        sa.Column("id", Text, nullable=False),
        sa.Column("revision", Number, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sa.Column("registers", sa.LargeBinary, nullable=False),
        *(sa.Column(name, Text) for name in ("type", "unique_name", "description", "parent_name", "parent_id", "launcher")),
        *(sa.Column(name, Text) for name in ("target_id", "target_type", "target_name")),
        *(sa.Column(name, Time) for name in ("created", "modified", "launched", "completed")),
        *(sa.Column(name, Text) for name in ("completion_status", "progress")),
        sa.Column("percent_complete", sa.Integer),
        sa.Column("state", Text),
        sa.Column("attempt", sa.Integer),
        sa.UniqueConstraint("id", name="task_id"),
    )
    for name in ("state", "type", "launcher", "created", "modified", "revision"):
        op.create_index(f"task_{name}", "task", [name])
    for name in ("completion_status", "parent_id", "target_id"):
        having = sa.text(f"{name} IS NOT NULL")
        op.create_index(f"task_{name}", "task", [name], sqlite_where=having, postgresql_where=having)
    op.create_table(
        "position",
        sa.Column("topic", Text, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("next_offset", Number, nullable=False),
        sa.Column("identity", Text, nullable=False),
        *(sa.Column(name, Number, nullable=False, server_default="0") for name in ("read", "applied", "unchanged", "ignored", "parked")),
        sa.Column("newest_event_time", Time),
        sa.Column("end_offset", Number),
        sa.Column("end_seen_at", Time),
        sa.Column("committed_at", Time),
    )
    op.create_table(
        "parked",
        sa.Column("number", Number, primary_key=True, autoincrement=True),
        sa.Column("topic", Text, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("offset", Number, nullable=False),
        sa.Column("reason", Text, nullable=False),
        sa.Column("detail", Text, nullable=False),
        sa.Column("key", sa.LargeBinary),
        sa.Column("headers", sa.LargeBinary, nullable=False),
        sa.Column("value", sa.LargeBinary),
        sa.Column("timestamp_ms", Number),
        sa.Column("dropped", sa.Boolean, nullable=False, server_default=sa.false()),
        sqlite_autoincrement=True,
    )
    op.create_index("parked_at", "parked", ["topic", "partition", "offset"])
    op.create_table(
        "jump",
        sa.Column("number", Number, primary_key=True, autoincrement=True),
        sa.Column("topic", Text, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("stored", Number, nullable=False),
        sa.Column("chosen", Number, nullable=False),
        sa.Column("policy", Text, nullable=False),
        sa.Column("at", Time, nullable=False),
    )
    op.create_table(
        "meta",
        sa.Column("name", Text, primary_key=True),
        sa.Column("value", Text, nullable=False),
    )
    if op.get_context().dialect.name == "postgresql":
        for statement in (*postgres_text.casefold_functions(), postgres_text.INEXACT_INDEX):
            op.execute(statement)

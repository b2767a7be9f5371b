"""The first tables: tasks, positions, parked records, jumps and meta."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "task",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("revision", Number, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sa.Column("registers", sa.LargeBinary, nullable=False),
        *(sa.Column(name, sa.String) for name in ("type", "unique_name", "description", "parent_name", "parent_id", "launcher")),
        *(sa.Column(name, sa.String) for name in ("target_id", "target_type", "target_name")),
        *(sa.Column(name, sa.String) for name in ("created", "modified", "launched", "completed", "completion_status", "progress")),
        sa.Column("percent_complete", sa.Integer),
        sa.Column("state", sa.String),
        sa.Column("attempt", sa.Integer),
        sa.UniqueConstraint("id", name="task_id"),
    )
    for name in ("state", "type", "launcher", "created", "modified", "revision"):
        op.create_index(f"task_{name}", "task", [name])
    for name in ("completion_status", "parent_id", "target_id"):
        op.create_index(f"task_{name}", "task", [name], sqlite_where=sa.text(f"{name} IS NOT NULL"))
    op.create_table(
        "position",
        sa.Column("topic", sa.String, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("next_offset", Number, nullable=False),
        sa.Column("identity", sa.String, nullable=False),
        *(sa.Column(name, Number, nullable=False, server_default="0") for name in ("read", "applied", "unchanged", "ignored", "parked")),
        sa.Column("newest_event_time", sa.String),
        sa.Column("end_offset", Number),
        sa.Column("end_seen_at", sa.String),
        sa.Column("committed_at", sa.String),
    )
    op.create_table(
        "parked",
        sa.Column("number", Number, primary_key=True, autoincrement=True),
        sa.Column("topic", sa.String, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("offset", Number, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("detail", sa.String, nullable=False),
        sa.Column("key", sa.LargeBinary),
        sa.Column("headers", sa.LargeBinary, nullable=False),
        sa.Column("value", sa.LargeBinary),
        sa.Column("timestamp_ms", Number),
        sa.Column("dropped", sa.Boolean, nullable=False, server_default=sa.text("0")),
        sqlite_autoincrement=True,
    )
    op.create_index("parked_at", "parked", ["topic", "partition", "offset"])
    op.create_table(
        "jump",
        sa.Column("number", Number, primary_key=True, autoincrement=True),
        sa.Column("topic", sa.String, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("stored", Number, nullable=False),
        sa.Column("chosen", Number, nullable=False),
        sa.Column("policy", sa.String, nullable=False),
        sa.Column("at", sa.String, nullable=False),
    )
    op.create_table(
        "meta",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("value", sa.String, nullable=False),
    )

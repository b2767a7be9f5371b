"""An index of attributes, where one is asked for: both tables are empty until then. And what failed, the last changed first."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

Text = sa.String().with_variant(postgresql.TEXT(collation="C"), "postgresql")
Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make them; the index of statuses is what the new one begins with."""
    op.create_table(
        "attribute_index",
        sa.Column("name", Text, primary_key=True),
        sa.Column("revision", Number, nullable=False),
        sa.Column("task_id", Text),
    )
    op.create_table(
        "attribute_value",
        sa.Column("name", Text, primary_key=True),
        sa.Column("value", Text, primary_key=True),
        sa.Column("task_id", Text, primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_index("attribute_value_task", "attribute_value", ["task_id"])
    op.drop_index("task_completion_status", "task")
    there = sa.text("completion_status IS NOT NULL")
    op.create_index("task_completion_status", "task", ["completion_status", "modified"], sqlite_where=there, postgresql_where=there)

"""When attempts of a task were purged: null for nearly all, so that its index is small."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the column and its index; nothing was purged before there was one."""
    op.add_column("task", sa.Column("purged_at", sa.String().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")))
    there = sa.text("purged_at IS NOT NULL")
    op.create_index("task_purged", "task", ["id"], sqlite_where=there, postgresql_where=there)

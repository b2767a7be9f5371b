"""Indexes that give a listing in order: one state's tasks by ``modified``, all tasks by ``launched`` and ``completed``."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them; the one of states alone is what the new one begins with.

    Statistics, which only replay's stores had, go: queries say themselves what is few and what is many, for all stores alike.
    """
    op.execute("DROP TABLE IF EXISTS sqlite_stat1")
    op.drop_index("task_state", "task")
    op.create_index("task_state", "task", ["state", "modified"])
    op.create_index("task_launched", "task", ["launched"], sqlite_where=sa.text("launched IS NOT NULL"))
    op.create_index("task_completed", "task", ["completed", "completion_status"], sqlite_where=sa.text("completed IS NOT NULL"))

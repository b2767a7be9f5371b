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
    if op.get_context().dialect.name == "sqlite":
        op.execute("DROP TABLE IF EXISTS sqlite_stat1")
    op.drop_index("task_state", "task")
    op.create_index("task_state", "task", ["state", "modified"])
    for names in (["launched"], ["completed", "completion_status"]):
        having = sa.text(f"{names[0]} IS NOT NULL")
        op.create_index(f"task_{names[0]}", "task", names, sqlite_where=having, postgresql_where=having)

"""Who holds a partition, and since when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

Text = sa.String().with_variant(postgresql.TEXT(collation="C"), "postgresql")
Time = sa.String().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")


def upgrade() -> None:
    """Add the columns; they are null until a worker of this release claims the partition."""
    op.add_column("position", sa.Column("worker", Text))
    op.add_column("position", sa.Column("claimed_at", Time))

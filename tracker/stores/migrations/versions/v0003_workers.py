"""Who holds a partition, and since when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; they are null until a worker of this release claims the partition."""
    op.add_column("position", sa.Column("worker", sa.String))
    op.add_column("position", sa.Column("claimed_at", sa.String))

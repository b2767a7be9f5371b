"""An index of attributes, where one is asked for: both tables are empty until then."""

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
    """Make them."""
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

"""Alembic's entry: the connection, already in its transaction, comes from `tracker.stores.schema.migrate`."""

from __future__ import annotations

from alembic import context

from tracker.stores.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table_schema=context.config.attributes.get("schema"),  # None: SQLite has none
    transactional_ddl=False,  # the caller's transaction holds the whole upgrade: all of it or nothing
    render_as_batch=True,
)
context.run_migrations()

"""Stores in SQLite files for their tests, and what other programs do to them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect

from tracker.model.limits import Limits
from tracker.stores.base import Commit, StatusStore
from tracker.stores.open import open_store
from tracker.stores.tables import metadata
from tracker.testing.stores.values import advance, parked, position, write


def made(folder: Path) -> Path:
    """A store with one task, one position and one parked record; nobody has it open."""
    path = folder / "status.db"
    with opened(path) as store:
        store.claim([position()])
        store.commit(Commit(writes=[write("a")], advances=[advance(0, 5)], parked=[parked(1)]))
    return path


def opened(path: Path, *, limits: Limits | None = None, create: bool = True) -> StatusStore:
    """As the command line opens it."""
    return open_store(f"sqlite:///{path}", limits=limits, create=create)


def changed(path: Path, statement: str) -> None:
    """Another program's hand in the file."""
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another writer's transaction that takes its time."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.close()


def assert_schema_is_ours(path: Path) -> None:
    """Alembic finds nothing to change."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        differences = compare_metadata(context, metadata)
        indexes = {index["name"] for table in metadata.tables for index in inspect(connection).get_indexes(table)}
    engine.dispose()

    assert differences == []
    assert indexes == {index.name for table in metadata.tables.values() for index in table.indexes}

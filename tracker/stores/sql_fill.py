"""Filling an empty SQLite store in one transaction: rows in id order first, indexes afterwards."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex

from tracker.errors import StoreError
from tracker.stores.base import Commit, Write
from tracker.stores.sql import SqlStore
from tracker.stores.tables import task_indexes


def fill(store: SqlStore, writes: Iterable[Write], commit: Commit, *, indexed: bool = True) -> int:
    """Write many new tasks, and the rest of ``commit``, as one transaction; returns its revision.

    The tasks come ascending by id, each once. Building the indexes over rows that are there takes a third of the time that keeping
    them up row by row does; not ``indexed``, the store has none. Raises `StoreError` if the store has tasks, `PositionConflict` as a commit does.
    """
    with store.transaction() as cursor:
        if cursor.execute("SELECT 1 FROM task LIMIT 1").fetchone():
            raise StoreError(f"{store.path} has tasks that another writer stored meanwhile; nothing was written: run it again")
        indexes = task_indexes if indexed else []
        for index in indexes:
            cursor.execute(f"DROP INDEX {index.name}")
        revision = store.write(cursor, commit)
        store.insert_tasks(cursor, writes, revision)
        for index in indexes:
            cursor.execute(str(CreateIndex(index).compile(dialect=sqlite.dialect())))
    return revision

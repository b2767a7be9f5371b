"""Filling an empty PostgreSQL store in one transaction, by COPY."""

from __future__ import annotations

from collections.abc import Iterable

from tracker.errors import StoreError
from tracker.stores.base import Commit, Write
from tracker.stores.postgres import PostgresStore
from tracker.stores.postgres_link import Link
from tracker.stores.postgres_rows import COLUMNS
from tracker.stores.postgres_text import FREE, fitting

_NO_COLUMNS = (None,) * len(COLUMNS)


def fill(store: PostgresStore, writes: Iterable[Write], commit: Commit) -> int:
    """Write many new tasks, and the rest of ``commit``, as one transaction; returns its revision.

    Raises `StoreError` if the store has tasks, `PositionConflict` as a commit does.
    """
    t = store.qualifier

    def work(link: Link) -> int:
        revision = store.write(link, commit)
        if link.rows(f"SELECT 1 FROM {t}task LIMIT 1"):
            raise StoreError(f"{store.path} has tasks that another writer stored meanwhile; nothing was written: run it again")
        statement = f"COPY {t}task (id, revision, deleted, registers, {', '.join(COLUMNS)}) FROM STDIN"
        with link.cursor() as cursor, cursor.copy(statement) as copied:
            for write in writes:
                cells = zip(COLUMNS, write.columns or _NO_COLUMNS, strict=True)
                values = [fitting(name, cell) if name in FREE and isinstance(cell, str) else cell for name, cell in cells]
                copied.write_row((write.task_id, revision, write.columns is None, write.registers, *values))
        return revision

    return store.once(work)

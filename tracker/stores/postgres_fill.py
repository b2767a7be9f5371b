"""Filling an empty PostgreSQL store in one transaction: COPY into a table without indexes, rows in id order, indexes afterwards.

The table is locked meanwhile: readers wait, as far as they have the time. Rows are written frozen, so that no vacuum has to go over them
again before the indexes alone can answer.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.schema import CreateIndex

from tracker.errors import StoreError
from tracker.stores.base import Commit, Write
from tracker.stores.postgres import LOCK_TIMEOUT_S, PostgresStore
from tracker.stores.postgres_link import Link
from tracker.stores.postgres_rows import COLUMNS, task_row
from tracker.stores.postgres_text import INEXACT_INDEX
from tracker.stores.tables import task_indexes


def fill(store: PostgresStore, writes: Iterable[Write], commit: Commit, *, indexed: bool = True) -> int:
    """Write many new tasks, and the rest of ``commit``, as one transaction; returns its revision.

    The tasks come ascending by id, each once; not ``indexed``, the store has none of `task_indexes`. Raises `StoreError` if the store has tasks, `PositionConflict` as a commit does.
    """
    table, indexes = f"{store.qualifier}task", task_indexes if indexed else []

    def work(link: Link) -> int:
        revision = store.write(link, commit)
        link.execute(f"SET LOCAL lock_timeout = {int(LOCK_TIMEOUT_S * 1000)}")
        link.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        if link.rows(f"SELECT 1 FROM {table} LIMIT 1"):
            raise StoreError(f"{store.path} has tasks that another writer stored meanwhile; nothing was written: run it again")
        for name in (*(index.name for index in indexes), "task_inexact"):
            link.execute(f"DROP INDEX {store.qualifier}{name}")
        link.execute(f"TRUNCATE {table}")  # of nothing: what may be frozen has to be of this transaction
        with link.cursor().copy(f"COPY {table} (id, revision, deleted, registers, {', '.join(COLUMNS)}) FROM STDIN WITH (FREEZE)") as copy:
            for write in writes:
                copy.write_row(task_row(write, revision))
        for index in indexes:
            created = CreateIndex(index).compile(
                dialect=PGDialect(),  # type: ignore[no-untyped-call]
                schema_translate_map={None: store.address.schema},
                render_schema_translate=True,
            )
            link.execute(str(created))
        link.execute(INEXACT_INDEX.replace(" ON task ", f" ON {table} "))
        link.execute(f"ANALYZE {table}")
        return revision

    return store.transact(work)

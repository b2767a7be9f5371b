"""Which reader a store's URL means; the databases' own are loaded where they are used."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tracker.errors import UsageError
from tracker.query.base import Reader


def reader_at(url: str, stop: threading.Event | None = None) -> Callable[[], Reader]:
    """What opens the store at a URL for reading, no longer than until ``stop``; raises as `open_query` does."""
    from tracker.stores.open import sqlite_path
    from tracker.stores.postgres_url import address, is_postgres

    if url.lower().startswith("memory:"):
        raise UsageError(f"a store in memory ({url}) can't be read by another command: it lives and ends with the one that fills it")
    if is_postgres(url):
        where = address(url)

        def connected() -> Reader:
            from tracker.query.postgres import PostgresReader

            return PostgresReader(where, stop)

        return connected
    path, _ = sqlite_path(url)

    def opened() -> Reader:
        from tracker.query.sqlite import SqliteReader

        return SqliteReader(path)

    return opened

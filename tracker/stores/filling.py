"""How an empty store is filled at once, of those that can be."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from tempfile import gettempdir
from typing import TypeAlias

from tracker.stores.base import Commit, StatusStore, Write

Fill: TypeAlias = Callable[[Iterable[Write], Commit], int]


def filler(store: StatusStore, *, indexed: bool = True) -> tuple[Fill, Path] | None:
    """What writes many new tasks, ascending by id, and a commit beside them as one transaction; and a folder for them until then.

    None: the store takes commits only. Not ``indexed``: it has no secondary indexes, and gets none.
    """
    if type(store).__name__ == "PostgresStore":  # not loaded where it is not used: it needs an extra
        from tracker.stores.postgres import PostgresStore
        from tracker.stores.postgres_fill import fill as fill_postgres

        assert isinstance(store, PostgresStore)
        return partial(fill_postgres, store, indexed=indexed), Path(gettempdir())
    from tracker.stores.sql import SqlStore
    from tracker.stores.sql_fill import fill

    return (partial(fill, store, indexed=indexed), Path(store.path).absolute().parent) if isinstance(store, SqlStore) else None

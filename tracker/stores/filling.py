"""Filling an empty store in one transaction, whatever its database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeGuard

from tracker.errors import StoreError
from tracker.stores.base import Commit, StatusStore, Write
from tracker.stores.sql import SqlStore
from tracker.stores.sql_fill import fill as fill_sqlite

if TYPE_CHECKING:
    from tracker.stores.postgres import PostgresStore


def fill(store: StatusStore, writes: Iterable[Write], commit: Commit, *, indexed: bool = True) -> int:
    """Write many new tasks, ascending by id, and the rest of ``commit``, as one transaction; returns its revision.

    Raises `StoreError` if the store has tasks, `PositionConflict` as a commit does.
    """
    if isinstance(store, SqlStore):
        return fill_sqlite(store, writes, commit, indexed=indexed)
    if _is_postgres(store):
        from tracker.stores.postgres_fill import fill as fill_postgres

        return fill_postgres(store, writes, commit)
    raise StoreError("a store in memory is filled by commits")


def can_be_filled(store: StatusStore) -> bool:
    """Whether `fill` knows it."""
    return isinstance(store, SqlStore) or _is_postgres(store)


def _is_postgres(store: StatusStore) -> TypeGuard[PostgresStore]:
    """Asked without loading a driver that may not be installed."""
    return type(store).__name__ == "PostgresStore"

"""The indexes of attributes as a writer sees them: which there are, how far each goes, and what stands in them.

They are no part of the projection, and no commit of the projector's waits for them: `tracker.query.indexing` lets them follow. How far one goes is
written in one transaction with what stands in it, and only by who knows how far it went before: so of two who do the same work one is refused.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from tracker.model.records import Place
from tracker.stores.base import StatusStore
from tracker.stores.sql import SqlStore


class AttributeIndex(Protocol):
    """The indexes of one store, for a writer: readers have them from a snapshot. Every method is one transaction, and raises as the store's do."""

    def ask(self, names: Iterable[str]) -> None:
        """Let these have one, from the beginning; those that have one keep it."""
        ...

    def drop(self, names: Collection[str]) -> None:
        """Take away those of them that there are."""
        ...

    def write(self, values: Mapping[str, Collection[tuple[str, str]]], before: Mapping[str, Place], after: Mapping[str, Place]) -> bool:
        """What each of these tasks has now, as names and values, of all the attributes of ``before``, which go up to ``after`` with it.

        False, and nothing written, where one of them is no longer there or at that place.
        """
        ...


class _Moved(Exception):
    """Another one was faster: the transaction is rolled back."""


class SqliteAttributeIndex:
    """See `AttributeIndex`."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store

    def ask(self, names: Iterable[str]) -> None:
        """From the beginning."""
        with self._store.transaction() as cursor:
            cursor.executemany("INSERT INTO attribute_index (name, revision) VALUES (?, 0) ON CONFLICT DO NOTHING", [(n,) for n in names])

    def drop(self, names: Collection[str]) -> None:
        """With all that stands in them."""
        with self._store.transaction() as cursor:
            for table in ("attribute_index", "attribute_value"):
                cursor.executemany(f"DELETE FROM {table} WHERE name=?", [(name,) for name in names])  # noqa: S608 - our own names

    def write(self, values: Mapping[str, Collection[tuple[str, str]]], before: Mapping[str, Place], after: Mapping[str, Place]) -> bool:
        """All or nothing."""
        try:
            with self._store.transaction() as cursor:
                self._write(cursor, values, before, after)
        except _Moved:
            return False
        return True

    def _write(
        self,
        cursor: sqlite3.Cursor,
        values: Mapping[str, Collection[tuple[str, str]]],
        before: Mapping[str, Place],
        after: Mapping[str, Place],
    ) -> None:
        for name, place in before.items():
            cursor.execute(
                "UPDATE attribute_index SET revision=?, task_id=? WHERE name=? AND revision=? AND task_id IS ?",
                (*after[name], name, *place),
            )
            if cursor.rowcount != 1:
                raise _Moved
        cursor.executemany(
            f"DELETE FROM attribute_value WHERE task_id=? AND name IN ({','.join('?' * len(before))})",  # noqa: S608 - only marks
            [(task_id, *before) for task_id in values],
        )
        cursor.executemany(
            "INSERT INTO attribute_value (name, value, task_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            sorted((name, value, task_id) for task_id, own in values.items() for name, value in own),
        )


def attribute_index(store: StatusStore) -> AttributeIndex | None:
    """A store's; None: one in memory has none."""
    if isinstance(store, SqlStore):
        return SqliteAttributeIndex(store)
    from tracker.stores.memory import MemoryStore

    if isinstance(store, MemoryStore):
        return None
    from tracker.stores.postgres import PostgresStore
    from tracker.stores.postgres_attribute_index import PostgresAttributeIndex

    assert isinstance(store, PostgresStore)
    return PostgresAttributeIndex(store)

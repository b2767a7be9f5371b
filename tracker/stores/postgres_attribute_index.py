"""The indexes of attributes in PostgreSQL; see `tracker.stores.attribute_index`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from tracker.model.records import Place
from tracker.stores.postgres import PostgresStore
from tracker.stores.postgres_link import Link


class _Moved(Exception):
    """Another one was faster: the transaction is rolled back."""


class PostgresAttributeIndex:
    """See `AttributeIndex`."""

    def __init__(self, store: PostgresStore) -> None:
        self._store, self._t = store, store.qualifier

    def ask(self, names: Iterable[str]) -> None:
        """From the beginning."""
        insert = f"INSERT INTO {self._t}attribute_index (name, revision) SELECT unnest(%s::text[]), 0 ON CONFLICT DO NOTHING"
        self._transact([(insert, (sorted(names),))])

    def drop(self, names: Collection[str]) -> None:
        """With all that stands in them."""
        delete = "DELETE FROM {}{} WHERE name = ANY(%s)"
        self._transact([(delete.format(self._t, table), (sorted(names),)) for table in ("attribute_index", "attribute_value")])

    def write(self, values: Mapping[str, Collection[tuple[str, str]]], before: Mapping[str, Place], after: Mapping[str, Place]) -> bool:
        """All or nothing."""
        update = (
            f"UPDATE {self._t}attribute_index SET revision = %s, task_id = %s "
            "WHERE name = %s AND revision = %s AND task_id IS NOT DISTINCT FROM %s"
        )
        moves = [(update, (*after[name], name, *before[name])) for name in sorted(before)]
        rows = sorted((name, value, task_id) for task_id, own in values.items() for name, value in own)
        delete = f"DELETE FROM {self._t}attribute_value WHERE task_id = ANY(%s) AND name = ANY(%s)"
        insert = (
            f"INSERT INTO {self._t}attribute_value (name, value, task_id) "
            "SELECT * FROM unnest(%s::text[], %s::text[], %s::text[]) ON CONFLICT DO NOTHING"
        )
        columns = tuple([row[at] for row in rows] for at in range(3))
        try:
            self._transact(moves, [(delete, (list(values), sorted(before))), (insert, columns)])
        except _Moved:
            return False
        return True

    def _transact(self, moves: Collection[tuple[str, tuple[Any, ...]]], others: Collection[tuple[str, tuple[Any, ...]]] = ()) -> None:
        """Statements as one transaction; where there are ``others``, each of the first has to change one row."""

        def work(link: Link) -> None:
            # Without the lock that tells readers of writers of tasks: this writes none, and no follower need wait for it.
            link.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
            link.execute(f"SELECT {link.untimed}, set_config('lock_timeout', '500', true)")
            for statement, bound in moves:
                if link.execute(statement, bound).rowcount != 1 and others:
                    raise _Moved
            for statement, bound in others:
                link.execute(statement, bound)

        self._store.transact(work)

"""The indexes of attributes in PostgreSQL; see `tracker.stores.attribute_index`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

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
        self._store.transact(lambda link: self._begun(link).execute(insert, (sorted(names),)))

    def drop(self, names: Collection[str]) -> None:
        """With all that stands in them."""

        def work(link: Link) -> None:
            self._begun(link)
            for table in ("attribute_index", "attribute_value"):
                link.execute(f"DELETE FROM {self._t}{table} WHERE name = ANY(%s)", (sorted(names),))

        self._store.transact(work)

    def write(self, values: Mapping[str, Collection[tuple[str, str]]], before: Mapping[str, Place], after: Mapping[str, Place]) -> bool:
        """All or nothing."""
        update = (
            f"UPDATE {self._t}attribute_index SET revision = %s, task_id = %s "
            "WHERE name = %s AND revision = %s AND task_id IS NOT DISTINCT FROM %s"
        )
        rows = sorted((name, value, task_id) for task_id, own in values.items() for name, value in own)
        delete = f"DELETE FROM {self._t}attribute_value WHERE task_id = ANY(%s) AND name = ANY(%s)"
        insert = (
            f"INSERT INTO {self._t}attribute_value (name, value, task_id) "
            "SELECT * FROM unnest(%s::text[], %s::text[], %s::text[]) ON CONFLICT DO NOTHING"
        )
        columns = tuple([row[at] for row in rows] for at in range(3))

        def work(link: Link) -> None:
            self._begun(link)
            for name in sorted(before):
                if link.execute(update, (*after[name], name, *before[name])).rowcount != 1:
                    raise _Moved
            link.execute(delete, (list(values), sorted(before)))
            link.execute(insert, columns)

        try:
            self._store.transact(work)
        except _Moved:
            return False
        return True

    @staticmethod
    def _begun(link: Link) -> Link:
        """In a transaction, without the lock that tells readers of writers of tasks: this writes none, and no follower need wait for it."""
        link.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
        link.execute(f"SELECT {link.untimed}, set_config('lock_timeout', '500', true)")
        return link

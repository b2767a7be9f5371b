"""A PostgreSQL store's shadow: a second schema ``NAME_rebuild`` beside it, and how the two exchange what they hold.

As in SQLite the exchange writes the rows in which the two differ, the positions and a new name, in one transaction; the schemas are not renamed.
A rename waits for every reader, lets all others wait behind it, and a reader whose snapshot is older than the rename would find the new
tables by the old name and see them as they were in the middle of being built. A lock that only writers meet (SHARE ROW EXCLUSIVE) is enough for
this, and readers see one content or the other. What the live rows were stays in the shadow, which becomes ``NAME_old``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from time import monotonic

from psycopg import errors

from tracker.errors import StoreError, StoreUnavailable, UsageError
from tracker.model.limits import Limits
from tracker.stores import postgres_schema, schema, tables
from tracker.stores.base import PartitionStatus
from tracker.stores.contents import STILL_SO, Holding
from tracker.stores.postgres import PostgresStore
from tracker.stores.postgres_contents import HORIZON, PostgresContents, Reads, changed_after, some
from tracker.stores.postgres_link import Link, translated
from tracker.stores.postgres_reads import writers_key
from tracker.stores.postgres_rows import COLUMNS
from tracker.stores.postgres_url import Address

LOCK_STEP_MS, LOCK_PATIENCE_S = 1_000, 60.0
"""While we wait for the lock, writers wait behind us: not for longer than that at a time."""
STANDING_MS = 120_000
"""While we have it, writers wait too: for the last records to be folded, which takes some 0.1 s. A rebuild that is frozen there, or whose cable
is out, is ended after so long; nothing is exchanged then."""
MAX_SCHEMA = 55
"""Characters of the live schema's name, so that the others' fit into PostgreSQL's 63."""
_TASK = ", ".join(["id", "deleted", "registers", *COLUMNS])
_SET = ", ".join(f"{name} = excluded.{name}" for name in ["revision", "deleted", "registers", *COLUMNS])
_POSITION = [column.name for column in tables.position.columns]
_PARKED = ", ".join(f'"{column.name}"' for column in tables.parked.columns if column.name != "number")
_SAME_PARKED = 'a.topic = b.topic AND a.partition = b.partition AND a."offset" = b."offset"'
_META = ["fold_version", "limits", "made_by"]
"""What a content brings with it."""


class PostgresShadow:
    """See `tracker.stores.contents.Shadow`."""

    def __init__(self, address: Address) -> None:
        if len(address.schema) > MAX_SCHEMA:
            raise UsageError(f"{address.shown}: a schema of more than {MAX_SCHEMA} characters has no room for the names of a rebuild")
        self._live = address
        self._shadow = dataclasses.replace(address, schema=f"{address.schema}_rebuild")
        self._old = dataclasses.replace(address, schema=f"{address.schema}_old")
        name = hashlib.blake2b(f"{address.shown} {address.schema}".encode(), digest_size=8).hexdigest()
        self.folder = Path(tempfile.gettempdir()) / f"tracker-rebuild-{name}"
        with self.live_contents():
            pass  # raises where there is no store

    @contextmanager
    def _linked(self) -> Iterator[Link]:
        with translated(self._live):
            link = Link.to(self._live)
            try:
                yield link
            finally:
                link.close()

    @contextmanager
    def _transaction(self) -> Iterator[Link]:
        with self._linked() as link:
            link.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
            link.execute(f"SELECT {link.untimed}")
            yield link
            link.execute("COMMIT")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """A lock of one transaction, which ends with the process; it has no snapshot and keeps no row alive."""
        with self._transaction() as link:
            key = f"tracker-rebuild:{self._live.schema}"
            ((free,),) = link.rows("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", (key,))
            if not free:
                raise StoreError(f"another tracker rebuild works on {self._live.shown}: let it end, or stop it")
            yield

    def note(self) -> str | None:
        """What the live store says of a rebuild."""
        with self._linked() as link:
            found = link.rows(f"SELECT value FROM {self._live.qualifier}meta WHERE name = 'rebuild'")
        return str(found[0][0]) if found else None

    def remember(self, note: str | None) -> None:
        """Say it in the live store."""
        with self._transaction() as link:
            _set_meta(link, self._live.qualifier, {"rebuild": note})

    def _has(self, address: Address) -> bool:
        with self._linked() as link:
            return bool(link.rows("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = %s", (address.schema,)))

    @property
    def exists(self) -> bool:
        """Whether there is a shadow."""
        return self._has(self._shadow)

    def open(self, limits: Limits | None) -> PostgresStore:
        """The shadow as a store, without what only filters and listings read."""
        store = PostgresStore(self._shadow, limits=limits)
        try:
            empty = not store.revision()
            with self._transaction() as link:
                for index in tables.task_indexes:
                    if index.name != "task_revision" or empty:
                        link.execute(f"DROP INDEX IF EXISTS {self._shadow.qualifier}{index.name}")
        except BaseException:
            store.__exit__(None, None, None)
            raise
        return store

    def finish(self) -> None:
        """What changed last is asked for under the lock; no other index of the shadow is ever read."""
        with self._transaction() as link:
            link.execute(f"CREATE INDEX IF NOT EXISTS task_revision ON {self._shadow.qualifier}task (revision)")

    def contents(self) -> PostgresContents:
        """The shadow's."""
        return PostgresContents(self._shadow)

    def live_contents(self) -> PostgresContents:
        """The live store's."""
        with self._linked() as link:
            version, _ = postgres_schema.stored(link, self._live)
        if version is not None and schema.is_outdated(version):
            postgres_schema.migrate(self._live, None)
        return PostgresContents(self._live)

    @contextmanager
    def live_standing(self) -> Iterator[_StillLive]:
        """Readers go on, writers wait; committed only where something was exchanged."""
        with self._linked() as link:
            _lock(link, self._live)
            standing = _StillLive(link, self._live, self._shadow)
            yield standing
            link.execute("COMMIT" if standing.exchanged else "ROLLBACK")

    def keep_old(self) -> None:
        """The shadow is the old one from now on."""
        if self.exists:
            with self._transaction() as link:
                link.execute(f'DROP SCHEMA IF EXISTS "{self._old.schema}" CASCADE')
                link.execute(f'ALTER SCHEMA "{self._shadow.schema}" RENAME TO "{self._old.schema}"')
        self.discard()

    @property
    def has_old(self) -> bool:
        """Whether an exchange can be taken back."""
        return self._has(self._old)

    def roll_back(self, note: str) -> None:
        """What was exchanged comes back, and what was written since is forgotten: its records are read again from the old positions."""
        live, old = self._live.qualifier, self._old.qualifier
        with self._linked() as link:
            _lock(link, self._live)
            since = f"(SELECT value::bigint FROM {old}previous_meta WHERE name = 'exchanged_after')"
            link.execute(
                f"CREATE TEMPORARY TABLE restored ON COMMIT DROP AS SELECT id FROM {old}previous_ids "
                f"UNION SELECT id FROM {live}task WHERE revision > {since}"
            )
            link.execute(
                f"CREATE TEMPORARY TABLE kept ON COMMIT DROP AS SELECT {_TASK} FROM {old}previous UNION ALL SELECT {_TASK} FROM {old}task t "
                f"WHERE id IN (SELECT id FROM restored) AND id NOT IN (SELECT id FROM {old}previous_ids)"
            )
            _take_tasks(link, live, "kept", "SELECT id FROM restored")
            link.execute(f"CREATE TEMPORARY TABLE said ON COMMIT DROP AS SELECT * FROM {live}position")
            _replace_positions(link, live, _positions(f"{old}previous_position", "said"))
            link.execute(f"DELETE FROM {live}parked a WHERE EXISTS (SELECT 1 FROM {old}previous_added b WHERE {_SAME_PARKED})")
            beside = f"SELECT 1 FROM {old}parked b WHERE {_SAME_PARKED}"
            link.execute(f"DELETE FROM {live}parked a WHERE NOT EXISTS ({beside})")
            for table, but in (
                ("previous_parked", ""),
                ("parked", f" AND NOT EXISTS (SELECT 1 FROM {old}previous_added b WHERE {_SAME_PARKED})"),
            ):
                link.execute(
                    f"INSERT INTO {live}parked ({_PARKED}) SELECT {_PARKED} FROM {old}{table} a "
                    f'WHERE NOT EXISTS (SELECT 1 FROM {live}parked b WHERE {_SAME_PARKED}){but} ORDER BY topic, partition, "offset"'
                )
            meta = dict(link.rows(f"SELECT name, value FROM {old}previous_meta WHERE name = ANY(%s)", (_META,)))
            _set_meta(link, live, {**meta, "store": secrets.token_hex(8), "rebuild": note})
            link.execute("COMMIT")

    def discard(self) -> None:
        """Drop the shadow and the runs on their way into it."""
        with self._transaction() as link:
            link.execute(f'DROP SCHEMA IF EXISTS "{self._shadow.schema}" CASCADE')
        rmtree(self.folder, ignore_errors=True)

    def discard_old(self) -> None:
        """Drop the old one."""
        with self._transaction() as link:
            link.execute(f'DROP SCHEMA IF EXISTS "{self._old.schema}" CASCADE')

    def free_bytes(self) -> int | None:
        """A server does not tell."""
        return None


class _StillLive:
    """See `tracker.stores.contents.StillLive`."""

    def __init__(self, link: Link, live: Address, shadow: Address) -> None:
        self._link, self._live, self._shadow = link, live.qualifier, shadow.qualifier
        self._reads = Reads(link, live)
        self.exchanged = False

    def partitions(self) -> Sequence[PartitionStatus]:
        """The live store's positions."""
        return self._reads.partitions()

    def changed_after(self, revision: int) -> set[str]:
        """Ids of the live tasks that later commits wrote."""
        return changed_after(self._link, self._live, revision)

    def some(self, task_ids: Iterable[str]) -> Mapping[str, Holding]:
        """Those of them that the live store has."""
        return some(self._link, self._live, task_ids)

    def exchange(self, differing: set[str], note: str) -> None:
        """First the shadow keeps what the live store has, then the live store gets what the shadow has; one transaction."""
        link, live, shadow = self._link, self._live, self._shadow
        for table in ("", "_ids", "_position", "_parked", "_added", "_meta"):
            link.execute(f"DROP TABLE IF EXISTS {shadow}previous{table}")
        link.execute(f'CREATE TABLE {shadow}previous_ids AS SELECT unnest(%s::text[]) COLLATE "C" AS id', (sorted(differing),))
        ids = f"SELECT id FROM {shadow}previous_ids"
        link.execute(f"CREATE TABLE {shadow}previous AS SELECT {_TASK} FROM {live}task WHERE id IN ({ids})")
        link.execute(f"CREATE TABLE {shadow}previous_position AS SELECT * FROM {live}position")
        for table, one, other in (("previous_parked", live, shadow), ("previous_added", shadow, live)):
            link.execute(
                f"CREATE TABLE {shadow}{table} AS SELECT {_PARKED} FROM {one}parked a "
                f"WHERE NOT EXISTS (SELECT 1 FROM {other}parked b WHERE {_SAME_PARKED})"
            )
        link.execute(
            f"CREATE TABLE {shadow}previous_meta AS SELECT name, value FROM {live}meta WHERE name = ANY(%s) "
            f"UNION ALL SELECT 'exchanged_after', ({HORIZON.format(live)})::text",
            (_META,),
        )
        _take_tasks(link, live, f"{shadow}task", ids)
        _replace_positions(link, live, _positions(f"{shadow}position", f"{shadow}previous_position"))
        link.execute(f"DELETE FROM {live}parked a WHERE EXISTS (SELECT 1 FROM {shadow}previous_parked b WHERE {_SAME_PARKED})")
        link.execute(
            f'INSERT INTO {live}parked ({_PARKED}) SELECT {_PARKED} FROM {shadow}previous_added ORDER BY topic, partition, "offset"'
        )
        meta = dict(link.rows(f"SELECT name, value FROM {shadow}meta WHERE name = ANY(%s)", (_META,)))
        _set_meta(link, live, {**meta, "store": secrets.token_hex(8), "rebuild": note})
        self.exchanged = True


def _lock(link: Link, live: Address) -> None:
    """Begin a transaction that keeps writers out of the live tables."""
    deadline = monotonic() + LOCK_PATIENCE_S
    while True:
        link.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
        link.execute(f"SET LOCAL lock_timeout = {LOCK_STEP_MS}")
        link.execute(f"SELECT {link.untimed}")
        link.execute("SELECT pg_advisory_xact_lock_shared(%s)", (writers_key(live.schema),))
        try:
            names = ", ".join(f"{live.qualifier}{name}" for name in ("position", "task", "parked", "jump"))
            link.execute(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE")
            link.execute(f"SET LOCAL idle_in_transaction_session_timeout = {STANDING_MS}")
            return
        except (errors.LockNotAvailable, errors.DeadlockDetected) as error:
            link.execute("ROLLBACK")
            if monotonic() > deadline:
                raise StoreUnavailable(f"{live.shown}: its writers left no moment for the exchange; start again") from error


def _take_tasks(link: Link, live: str, table: str, ids: str) -> None:
    """The live rows of these ids become those of the table; what that has not goes."""
    link.execute(f"DELETE FROM {live}task WHERE id IN ({ids}) AND id NOT IN (SELECT id FROM {table})")
    link.execute(
        f"INSERT INTO {live}task (revision, {_TASK}) SELECT pg_current_xact_id()::text::bigint + "
        f"(SELECT value::bigint FROM {live}meta WHERE name = 'revision_base'), {_TASK} FROM {table} WHERE id IN ({ids}) ORDER BY id "
        f"ON CONFLICT (id) DO UPDATE SET {_SET}"
    )


def _positions(table: str, live: str) -> str:
    """The table's, with what the workers have said of them in the live one."""
    columns = ", ".join(f"{'p' if name in STILL_SO else 's'}.{name}" for name in _POSITION)
    return f"SELECT {columns} FROM {table} s LEFT JOIN {live} p USING (topic, partition)"


def _replace_positions(link: Link, live: str, rows: str) -> None:
    link.execute(f"DELETE FROM {live}position")
    link.execute(f"INSERT INTO {live}position ({', '.join(_POSITION)}) {rows}")


def _set_meta(link: Link, live: str, values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            link.execute(f"DELETE FROM {live}meta WHERE name = %s", (name,))
        else:
            link.execute(
                f"INSERT INTO {live}meta (name, value) VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (name, value),
            )

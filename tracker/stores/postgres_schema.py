"""A PostgreSQL store's schema: whether it is one of ours, made and migrated under a lock of one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg

from tracker.errors import NotFound, StoreError, StoreMismatch, StoreUnavailable
from tracker.model.limits import Limits
from tracker.stores import schema
from tracker.stores.postgres_link import Link, translated
from tracker.stores.postgres_url import Address

_OURS = {"alembic_version", "meta", "task", "position"}
_NAMES = {*_OURS, "parked", "jump"}
_TABLES = """
SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relname = ANY(%s)
"""


def stored(link: Link, address: Address) -> tuple[str | None, Mapping[str, str]]:
    """The schema version (None: no store is there) and what the store says of itself. `StoreMismatch`: something else has its tables."""
    tables = {name for (name,) in link.rows(_TABLES, (address.schema, sorted(_NAMES)))}
    if not tables:
        return None, {}
    if not tables >= _OURS:
        raise StoreMismatch(
            f"expected a tracker store in {address.shown}, schema {address.schema}, but it has the tables "
            f"{', '.join(sorted(tables))} of something else; name another schema (?schema=NAME) or database with --store"
        )
    versions = link.rows(f"SELECT version_num FROM {address.qualifier}alembic_version")
    meta = dict(link.rows(f"SELECT name, value FROM {address.qualifier}meta"))
    return (str(versions[0][0]) if versions else "unknown"), meta


def check(link: Link, address: Address, limits: Limits | None) -> Limits:
    """Refuse a store that this release can't use; returns the limits in force in it. `NotFound`: there is none."""
    version, meta = stored(link, address)
    if version is None:
        raise NotFound(
            f"there is no store in {address.shown}, schema {address.schema}: tracker run or tracker replay makes one, "
            f"or name another with --store"
        )
    return schema.judge(version, meta, limits)


def prepare(link: Link, address: Address, limits: Limits | None, *, create: bool, opening: bool) -> Limits:
    """The same, for a writer: where there is no store it is made, where it is of an older schema it is migrated. Not ``opening``: the
    writer had it open before, and only its connection was lost.
    """
    ((encoding, standby),) = link.rows("SELECT current_setting('server_encoding'), pg_is_in_recovery()")
    if standby:  # to a worker that is at work it is a server that is to be promoted, or the wrong one of two for a moment
        kind = StoreError if opening else StoreUnavailable
        raise kind(f"{address.shown} is a standby, which takes no writes: name its primary with --store")
    version, meta = stored(link, address)
    if version is None and not opening:
        raise StoreMismatch(f"{address.shown}, schema {address.schema}: the store was removed while it was in use")
    if version is None and not create:
        return check(link, address, limits)
    if version is not None:
        limits = schema.judge(version, meta, limits)  # before anything is touched
        if not schema.is_outdated(version):
            return limits
    if encoding != "UTF8":
        raise StoreError(f"{address.shown} holds text as {encoding}: create a database with the encoding UTF8 for the store")
    migrate(address, limits)
    return check(link, address, limits)


def migrate(address: Address, limits: Limits | None, *, to: str = "head") -> None:
    """Make or upgrade the store in one transaction; several processes may try at once."""
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import NullPool

    def connect() -> psycopg.Connection[Any]:
        return Link.connect(address.conninfo, prepare_threshold=None)

    engine = create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool, use_native_hstore=False)
    with translated(address):
        try:
            with engine.begin() as transaction:
                driver: Any = transaction.connection.driver_connection
                # Before the lock, since a snapshot of before it would not show what another has made; and in its own time.
                driver.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED READ WRITE")
                driver.execute(f"SELECT {driver.untimed}")
                driver.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"tracker:{address.schema}",))
                # Not IF NOT EXISTS, for which the user needs the right to make schemas though it is there.
                if not driver.execute("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = %s", (address.schema,)).fetchone():
                    driver.execute(f'CREATE SCHEMA "{address.schema}"')
                # For the migrations alone, and of this transaction alone: their statements name no schema.
                driver.execute(f'SET LOCAL search_path TO "{address.schema}"')
                cursor = driver.execute(_TABLES, (address.schema, ["meta"]))
                made = cursor.fetchone() is not None
                schema.upgrade(transaction, address.schema, to)
                if not made:
                    meta = {**schema.first_meta(limits)}
                    driver.cursor().executemany("INSERT INTO meta (name, value) VALUES (%s, %s)", meta.items())
                    driver.execute(
                        "INSERT INTO meta (name, value) VALUES "
                        "('made_at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')), "
                        "('revision_base', (-pg_current_xact_id()::text::bigint)::text)"
                    )
        except DBAPIError as error:
            raise error.orig or error from error  # the driver's own, which is translated


def raise_base(link: Link, address: Address) -> None:
    """Let revisions go on growing where the store was restored into another cluster, whose transactions have smaller numbers."""
    newest = f"(SELECT max(revision) FROM {address.qualifier}task)"
    following = "pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
    link.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
    link.execute(
        f"UPDATE {address.qualifier}meta SET value = ({newest} - {following} + 1)::text "
        f"WHERE name = 'revision_base' AND {newest} >= {following} + value::bigint"
    )
    link.execute("COMMIT")

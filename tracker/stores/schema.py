"""What version a store is, and how it comes to be the present one.

A store is usable if its tables are of this release's schema and its statuses of this release's fold, under the same limits. An older
schema is migrated on opening, in one transaction; a newer one, another fold or other limits are refused with what to do.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import msgspec

from tracker.errors import StoreError, StoreMismatch
from tracker.model.limits import DEFAULT_LIMITS, FOLD_VERSION, Limits

if TYPE_CHECKING:
    from sqlalchemy import Connection

SCHEMA = "0005"
"""The newest migration. Alembic is loaded only where a store is not there yet."""
KNOWN_SCHEMAS = ("0001", "0002", "0003", "0004", "0005")
MIGRATION_WAIT_S = 30.0
"""For another process that makes or migrates the same store."""


def stored_schema(connection: sqlite3.Connection) -> str | None:
    """The schema version of a store; None for an empty database. Raises `StoreMismatch` for a database that is something else."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")}
    if not tables:
        return None
    if not {"alembic_version", "meta", "task", "position"} <= tables:
        raise StoreMismatch(
            f"expected a tracker store, got a database with the tables {', '.join(sorted(tables)[:5])}; name another file with --store"
        )
    found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    if found is None:
        return "unknown"
    _refuse_damage(found)
    return str(found[0])


def _refuse_damage(texts: Iterable[object]) -> None:
    """SQLite reads some garbage as nulls and numbers without a word."""
    if not all(isinstance(text, str) for text in texts):
        raise StoreError("the store is damaged (what it says of itself is no text): restore a copy, or fold the log again into a new store")


def is_outdated(schema: str | None) -> bool:
    """Whether a store of this schema (None: an empty database) is to be migrated before it is used."""
    return schema is None or (schema in KNOWN_SCHEMAS and schema != SCHEMA)


def check(connection: sqlite3.Connection, limits: Limits | None) -> Limits:
    """Refuse a store that this release can't use; returns the limits that are in force in it."""
    schema = stored_schema(connection)
    if schema in KNOWN_SCHEMAS:
        meta: dict[str, str] = dict(connection.execute("SELECT name, value FROM meta"))
        _refuse_damage([*meta, *meta.values()])
        return judge(schema, meta, limits)
    return judge(schema, {}, limits)


def judge(schema: str | None, meta: Mapping[str, str], limits: Limits | None) -> Limits:
    """The same of what any database says of its store."""
    if schema not in KNOWN_SCHEMAS:
        raise StoreMismatch(
            f"the store's schema is {schema}, this release knows up to {SCHEMA}: use the newer release, "
            f"or fold the log again into a new store with this one (tracker replay FILES --store NEW)"
        )
    fold_version = meta.get("fold_version", "unknown")
    if fold_version != str(FOLD_VERSION):
        raise StoreMismatch(
            f"the store's statuses are of fold version {fold_version}, this release folds version {FOLD_VERSION}: "
            f"fold the log again beside it with 'tracker rebuild', or into a new store (tracker run with a new --store)"
        )
    try:
        stored = msgspec.json.decode(meta.get("limits", ""), type=Limits)
    except msgspec.DecodeError as error:
        raise StoreMismatch(
            f"the store does not say what limits it was made with ({error}): it is damaged; "
            f"restore a copy, or fold the log again into a new store"
        ) from error
    if limits is not None and limits != stored:
        ours, theirs = msgspec.to_builtins(limits), msgspec.to_builtins(stored)
        names = ", ".join(f"{name} {theirs[name]}, not {ours[name]}" for name in ours if ours[name] != theirs[name])
        raise StoreMismatch(
            f"the store was made with other limits ({names}): leave the option out, "
            f"or fold the log again under these limits with 'tracker rebuild'"
        )
    return stored


def migrate(path: str, limits: Limits | None, *, to: str = "head") -> None:
    """Bring an empty or older store to the present schema (or an older one), in one transaction; several processes may try at once."""
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import NullPool

    engine = create_engine(
        "sqlite://", creator=lambda: sqlite3.connect(path, isolation_level=None, timeout=MIGRATION_WAIT_S), poolclass=NullPool
    )
    try:
        with engine.begin() as transaction:
            transaction.exec_driver_sql("BEGIN IMMEDIATE")
            driver: Any = transaction.connection.driver_connection
            before = stored_schema(driver)
            if is_outdated(before):
                upgrade(transaction, to=to)
            if before is None:
                made = {**first_meta(limits), "revision": "0"}
                driver.executemany("INSERT INTO meta (name, value) VALUES (?, ?)", made.items())
                driver.execute("INSERT INTO meta (name, value) VALUES ('made_at', strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))")
    except DBAPIError as error:
        raise error.orig or error from error  # the driver's own, which the caller translates


def upgrade(transaction: Connection, schema: str | None = None, to: str = "head") -> None:
    """Run the migrations that a database lacks, within a transaction; ``schema`` is the one of PostgreSQL that they are for."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "tracker.stores:migrations")
    config.attributes.update(connection=transaction, schema=schema)
    command.upgrade(config, to)


def first_meta(limits: Limits | None) -> dict[str, str]:
    """What a new store says of itself in any database."""
    return {
        "fold_version": str(FOLD_VERSION),
        "limits": json.dumps(msgspec.to_builtins(limits or DEFAULT_LIMITS)),
        "made_by": f"tracker {version('tracker')}",
        "store": secrets.token_hex(8),
    }

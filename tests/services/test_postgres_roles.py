"""Settings that a role or a database may have for other programs: a store means the same under each."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.unit.query_store import commit as fold_and_commit
from tests.unit.query_store import event
from tracker.query import connect
from tracker.stores.base import Commit
from tracker.stores.postgres import PostgresStore
from tracker.stores.postgres_link import Link
from tracker.testing.stores.values import advance, position, write

from .postgres import PASSWORD


def setting(database: str, name: str, value: str) -> None:
    """Give the database a setting."""
    with psycopg.connect(database, autocommit=True) as hand:
        hand.execute(f"ALTER DATABASE {database.rpartition('/')[2]} SET {name} = '{value}'")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("standard_conforming_strings", "off"),
        ("default_transaction_read_only", "on"),
        ("default_transaction_isolation", "serializable"),
        ("TimeZone", "Asia/Kathmandu"),
        ("DateStyle", "SQL, DMY"),
        ("IntervalStyle", "sql_standard"),
        ("search_path", "nowhere"),
        ("bytea_output", "escape"),
        ("quote_all_identifiers", "on"),
        ("transform_null_equals", "on"),
        ("array_nulls", "off"),
        ("extra_float_digits", "-15"),
        ("client_encoding", "LATIN1"),
        ("default_transaction_deferrable", "on"),
    ],
)
def test_a_setting_of_the_database_changes_nothing(database: str, name: str, value: str) -> None:
    """A store is made, written and read as ever."""
    setting(database, name, value)
    with PostgresStore(database) as store:
        store.claim([position()])
        fold_and_commit(
            store,
            [
                event("a", "created", launcher="Straße\0", time="2026-01-02T03:04:05.678901Z"),
                event("a", "launched", time="2026-01-02T03:04:06Z"),
                event("a", "completed", completionStatus="SUCCESS", time="2026-02-03T03:04:06Z"),
            ],
        )
        store.commit(Commit(advances=[advance(0, 5)]))
    with connect(database) as tasks:
        assert [task.id for task in tasks.stream('created gt "2026-01-02T03:04:05.6789Z" and launcher sw "STRASSE"')] == ["a"]
        assert tasks.count('created gt "2026-01-02T03:04:05.678901Z" and completed lt "2026-02-03T03:04:06.001Z"') == 0
        assert tasks.get("a") is not None


@pytest.mark.parametrize("name", ["statement_timeout", "transaction_timeout"])
def test_a_time_limit_is_not_for_commits(database: str, name: str) -> None:
    """Nor for making a store."""
    setting(database, name, "300ms")

    def work(link: Link) -> None:
        store.write(link, Commit(writes=[write("a")]))
        link.execute("SELECT pg_sleep(0.4)")

    with PostgresStore(database) as store:
        store.transact(work)
        assert set(store.load(["a"])) == {"a"}


def test_a_commit_is_on_the_disk_before_it_is_told(database: str) -> None:
    """Where the database has synchronous_commit off a commit has it on: a follower would not be told again of a number that is given anew."""
    setting(database, "synchronous_commit", "off")
    seen: list[Any] = []

    def work(link: Link) -> None:
        store.write(link, Commit(writes=[write("a")]))
        seen.extend(link.rows("SHOW synchronous_commit"))

    with PostgresStore(database) as store:
        store.transact(work)
    assert seen == [("on",)]


def test_a_role_that_may_not_make_schemas_has_its_own(database: str) -> None:
    """Who owns the schema that is named makes and migrates a store in it, and needs no right to the database."""
    role = f"u{database[-6:]}"
    with psycopg.connect(database, autocommit=True) as hand:
        hand.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
        hand.execute(f"CREATE SCHEMA theirs AUTHORIZATION {role}")
        try:
            with PostgresStore(f"{database.replace(f'postgres:{PASSWORD}@', f'{role}:x@')}?schema=theirs") as store:
                store.commit(Commit(writes=[write("a")]))
                assert set(store.load(["a"])) == {"a"}
        finally:
            hand.execute(f"DROP OWNED BY {role} CASCADE")
            hand.execute(f"DROP ROLE {role}")

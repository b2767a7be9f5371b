"""The schema of a PostgreSQL store: as the code describes it, from whatever release it comes; and standbys, which have it without a writer."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from time import monotonic, sleep

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from tests.ports import free_port
from tests.unit.query_store import commit, event
from tracker.errors import NotFound, StoreError, StoreMismatch, StoreUnavailable
from tracker.query.postgres import PostgresReader
from tracker.stores.base import Commit
from tracker.stores.open import open_store
from tracker.stores.postgres import PostgresStore
from tracker.stores.postgres_schema import migrate
from tracker.stores.postgres_url import address
from tracker.stores.tables import metadata
from tracker.testing.stores.values import in_threads, position, write

from .postgres import PASSWORD, Container, Server, answering, new_database


def assert_schema_is_ours(database: str) -> None:
    """Alembic finds nothing to change but the one index that PostgreSQL alone has."""
    engine = create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        differences = compare_metadata(context, metadata)
    engine.dispose()

    assert [(what, getattr(index, "name", index)) for what, index, *_ in differences] == [("remove_index", "task_inexact")]


def test_a_fresh_store_has_the_schema_of_the_tables(database: str) -> None:
    """Tables, columns, types, keys and indexes, also where several make it at once."""
    in_threads(*[lambda: open_store(database).__exit__(None, None, None)] * 4)

    assert_schema_is_ours(database)


def test_a_store_of_the_first_schema_is_migrated(database: str) -> None:
    """Opened by this release, it has the present schema, and every byte that it had."""
    migrate(address(database), None, to="0001")
    with psycopg.connect(database) as hand:
        hand.execute("INSERT INTO task (id, revision, deleted, registers, state) VALUES ('a', 1, false, '\\x00ff', 'RUNNING')")
        hand.execute("INSERT INTO position (topic, partition, next_offset, identity, read, applied) VALUES ('events', 0, 5, 'log:1', 5, 5)")
    with PostgresStore(database) as store:
        assert store.load(["a"])["a"].registers == b"\x00\xff"
        assert store.claim([position()]) == {position().at: position(next_offset=5)}

    assert_schema_is_ours(database)


def test_stores_of_two_schemas_are_two(database: str) -> None:
    """``?schema=NAME`` makes the schema, and nothing of one is in the other."""
    with PostgresStore(f"{database}?schema=one") as one, PostgresStore(f"{database}?schema=Two") as two:
        one.commit(Commit(writes=[write("a")]))
        two.commit(Commit(writes=[write("b")]))
        assert (set(one.load(["a", "b"])), set(two.load(["a", "b"]))) == ({"a"}, {"b"})
    with pytest.raises(NotFound, match="no store"):
        PostgresReader(address(database))


def test_tables_of_something_else_are_left_alone(database: str) -> None:
    """A table named like one of ours is another program's: the store is refused, naming the way out."""
    with psycopg.connect(database, autocommit=True) as hand:
        hand.execute("CREATE TABLE task (name text)")
    with pytest.raises(StoreMismatch, match="schema=NAME"):
        open_store(database)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("UPDATE alembic_version SET version_num = '9999'", "schema is 9999.*newer release"),
        ("UPDATE meta SET value = '99' WHERE name = 'fold_version'", "fold version 99.*fold the log again"),
    ],
)
def test_a_store_of_another_release_is_refused(database: str, change: str, sentence: str) -> None:
    """A newer schema, and another fold, with what mends it; for writers and readers alike."""
    with open_store(database):
        pass  # it is made
    with psycopg.connect(database, autocommit=True) as hand:
        hand.execute(change)
    for opening in (lambda: open_store(database), lambda: PostgresReader(address(database))):
        with pytest.raises(StoreMismatch, match=sentence):
            opening()


@pytest.fixture
def standby(postgres15: Server) -> Iterator[str]:
    """The URL of a streaming standby of the oldest server (whose image has pg_basebackup), without a database."""
    postgres = postgres15
    if not isinstance(postgres, Container):
        pytest.skip("a standby is made from a server in a container")
    with psycopg.connect(f"{postgres.url}/postgres", autocommit=True) as hand:
        hand.execute("ALTER SYSTEM SET wal_level = replica")
    postgres.run(
        "sh", "-c", "grep -q replication.all $PGDATA/pg_hba.conf || echo 'host replication all all scram-sha-256' >> $PGDATA/pg_hba.conf"
    )
    with psycopg.connect(f"{postgres.url}/postgres", autocommit=True) as hand:
        hand.execute("SELECT pg_reload_conf()")
    port, told = free_port(), ["docker", "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", postgres._id]
    host = subprocess.run(told, capture_output=True, text=True, timeout=30, check=True).stdout.strip()
    copy = f"pg_basebackup --host {host} --username postgres --pgdata /tmp/data --write-recovery-conf --wal-method stream --checkpoint fast"
    start = f"{copy} && chmod 700 /tmp/data && exec postgres -D /tmp/data -c hot_standby=on -c max_connections=60 -c listen_addresses='*'"
    options = [
        "--detach",
        "--env",
        f"PGPASSWORD={PASSWORD}",
        "--publish",
        f"127.0.0.1:{port}:5432",
        "--user",
        "postgres",
        "--entrypoint",
        "sh",
    ]
    made = subprocess.run(["docker", "run", *options, "postgres:15", "-c", start], capture_output=True, text=True, timeout=60, check=True)
    url = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}"
    try:
        try:
            answering(url)
        except psycopg.OperationalError:
            said = subprocess.run(["docker", "logs", made.stdout.strip()], capture_output=True, text=True, timeout=30, check=False)
            pytest.fail(f"the standby does not start: {said.stdout[-500:]}{said.stderr[-1_500:]}")
        yield url
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", made.stdout.strip()], capture_output=True, timeout=60, check=False)


def test_a_standby_is_read_and_not_written(postgres15: Server, standby: str) -> None:
    """A reader sees what has arrived, positions and changes too; a writer is refused, with what to do."""
    database = new_database(postgres15)
    replica = f"{standby}/{database.rpartition('/')[2]}"
    with PostgresStore(database) as store:
        store.claim([position()])
        revision = commit(store, [event("a", "created", launcher="sweep"), event("b", "created")])

        def arrived() -> bool:
            try:
                with closing(PostgresReader(address(replica))) as reader, reader.snapshot() as snapshot:
                    return snapshot.revision() == revision and len(list(snapshot.changed_ids(0))) == 2 and len(snapshot.partitions()) == 1
            except (StoreUnavailable, StoreError):
                return False

        deadline = monotonic() + 20
        while not arrived():
            assert monotonic() < deadline
            sleep(0.05)
        with pytest.raises(StoreError, match="is a standby"):
            PostgresStore(replica)

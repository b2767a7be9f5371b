"""The tables of an SQLite store: as the code describes them, however the store was made."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from tests.unit.stored import assert_schema_is_ours, changed, made, opened
from tracker.errors import PositionConflict, StoreError
from tracker.query.fields import FIELDS
from tracker.query.filters import parse
from tracker.query.pages import parse_sorters
from tracker.query.sqlite import SqliteReader
from tracker.stores import schema
from tracker.stores.base import Commit, Retried, Write
from tracker.stores.sql import SqlStore
from tracker.stores.sql_fill import fill
from tracker.testing.stores.values import AT, advance, everything, position, write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A small store."""
    return made(tmp_path)


def test_a_fresh_store_has_the_schema_of_the_tables(tmp_path: Path) -> None:
    """What the migrations make is what the code describes: tables, columns, types, keys and indexes."""
    path = tmp_path / "status.db"
    with opened(path):
        pass
    assert_schema_is_ours(path)


def test_a_filled_store_has_the_same_indexes(tmp_path: Path) -> None:
    """Filling drops the indexes and makes them anew: afterwards they are what they were, word for word."""
    texts = []
    for filled in (False, True):
        path = tmp_path / f"{filled}.db"
        with SqlStore(str(path)) as store:
            store.claim([position()])
            if filled:
                fill(store, [write("a"), write("b")], Commit(advances=[advance(0, 5)]))
            texts.append(set(store._connection.execute("SELECT name, replace(sql, '\"', '') FROM sqlite_master WHERE type='index'")))

    assert texts[0] == texts[1]


def test_a_filled_store_has_no_statistics(tmp_path: Path) -> None:
    """A store that is filled live has none, and both shall find tasks in the same way."""
    with SqlStore(str(tmp_path / "status.db")) as store:
        store.claim([position()])
        fill(store, [write("a"), write("b")], Commit(advances=[advance(0, 5)]))
        assert not list(store._connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'sqlite_stat%'"))


def test_a_store_with_tasks_is_not_filled(path: Path) -> None:
    """Filling is for empty stores: another's tasks would be overwritten."""
    with SqlStore(str(path)) as store:
        before = everything(store)
        with pytest.raises(StoreError, match="has tasks"):
            fill(store, [write("b")], Commit(advances=[advance(5, 6)]))

        assert everything(store) == before


def test_filling_compares_positions(tmp_path: Path) -> None:
    """The fence holds there too: nothing is written, and the indexes stay."""
    path = tmp_path / "status.db"
    with SqlStore(str(path)) as store:
        store.claim([position(next_offset=3)])
        with pytest.raises(PositionConflict):
            fill(store, [write("b")], Commit(advances=[advance(0, 6)]))

        assert store.task_count() == 0
    assert_schema_is_ours(path)


def test_the_newest_migration_is_the_schema() -> None:
    """The number that a store is compared with, and the list of those that are known, follow the migrations."""
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "tracker.stores:migrations")
    revisions = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]

    assert revisions[0] == schema.SCHEMA
    assert set(schema.KNOWN_SCHEMAS) == set(revisions)


def test_a_store_says_what_made_it(path: Path) -> None:
    """Release, time, limits and its own random name stand in ``meta``."""
    connection = sqlite3.connect(path)
    meta = dict(connection.execute("SELECT name, value FROM meta"))
    connection.close()

    assert meta["made_by"].startswith("tracker ")
    assert meta["made_at"].endswith("Z")
    assert json.loads(meta["limits"])["messages"] == 1_000
    assert len(meta["store"]) == 16


def test_the_columns_are_for_peoples_own_sql(path: Path) -> None:
    """Scalar fields stand in columns, and are empty for a deleted task."""
    with opened(path) as store:
        store.commit(Commit(writes=[Write("b", b"tombstone", None, None)]))
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT id, deleted, unique_name, percent_complete, state FROM task ORDER BY id").fetchall()
    connection.close()

    assert rows == [("a", 0, "name", 0, "PENDING"), ("b", 1, None, None, None)]


def test_a_retried_count_is_moved_in_the_same_transaction(path: Path) -> None:
    """Where the record's partition has no row, the retry is refused and the record stays."""
    changed(path, "DELETE FROM position")
    with opened(path) as store:
        with pytest.raises(PositionConflict):
            store.commit(Commit(retried=[Retried(number=1, at=AT, outcome="ignored")]))

        assert len(store.parked()) == 1


def test_a_store_of_the_first_schema_is_read_as_it_is_and_migrated_by_a_writer(tmp_path: Path) -> None:
    """A reader needs no index, and changes nothing; the first writer makes what is new, and keeps the tasks."""
    path = made(tmp_path)
    for index in ("completed", "launched", "state"):
        changed(path, f"DROP INDEX task_{index}")
    changed(path, "CREATE INDEX task_state ON task (state)")
    changed(path, "DROP INDEX task_purged")
    changed(path, "ALTER TABLE task DROP COLUMN purged_at")
    changed(path, "ANALYZE")
    for column in ("worker", "claimed_at"):
        changed(path, f"ALTER TABLE position DROP COLUMN {column}")
    for table in ("attribute_index", "attribute_value"):
        changed(path, f"DROP TABLE {table}")
    changed(path, "UPDATE alembic_version SET version_num='0001'")
    reader = SqliteReader(str(path))
    with reader.snapshot() as snapshot:
        assert [row.id for row in snapshot.rows(None, parse_sorters("-completed"))] == ["a"]
        assert snapshot.facts().purged == 0
        assert [each.worker for each in snapshot.partitions()] == [None]
        assert list(snapshot.rows(parse("id eq none and attributes.k eq 1"), parse_sorters("id"))) == []
        assert sum(snapshot.counts(None, FIELDS["completionStatus"]).values()) == 1
        assert sum(number for *_, number in snapshot.moments(None, FIELDS["completed"], 13, FIELDS["completionStatus"])) == snapshot.count(
            parse("pr completed")
        )
    reader.close()
    with opened(path) as store:
        assert store.task_count() == 1
    with sqlite3.connect(path) as connection:
        assert not list(connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'sqlite_stat%'"))
    connection.close()
    assert_schema_is_ours(path)

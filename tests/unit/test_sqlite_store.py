"""What only a file can do wrong: versions, damage, full disks, and how each is said."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.unit.stored import assert_schema_is_ours, changed, made, opened
from tracker.errors import NotFound, StoreError, StoreFull, StoreMismatch, UsageError
from tracker.fold.state import from_bytes
from tracker.model.limits import Limits
from tracker.stores import sqlite_file
from tracker.stores.base import Commit, Write
from tracker.stores.open import open_store
from tracker.stores.sql import SqlStore
from tracker.stores.sql_fill import fill
from tracker.testing.stores.values import COLUMNS, advance, everything, jump, parked, position, write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A small store."""
    return made(tmp_path)


# Versions and identity


def test_a_newer_schema_is_refused(path: Path) -> None:
    """The message names both schemas and the way out; the operator decides."""
    changed(path, "UPDATE alembic_version SET version_num='0099'")
    with pytest.raises(StoreMismatch, match=r"schema is 0099, .* up to 0005: use the newer release, or fold the log again"):
        opened(path)


def test_another_fold_version_is_refused(path: Path) -> None:
    """Statuses of another meaning can't be gone on with."""
    changed(path, "UPDATE meta SET value='7' WHERE name='fold_version'")
    with pytest.raises(
        StoreMismatch, match=r"fold version 7, .* version 1: fold the log again beside it with 'tracker rebuild', or into a new store"
    ):
        opened(path)


def test_a_store_without_versions_is_refused(path: Path) -> None:
    """A store whose making was cut off by hand is no store."""
    changed(path, "DELETE FROM meta WHERE name='fold_version'")
    with pytest.raises(StoreMismatch, match="fold version unknown"):
        opened(path)


def test_other_limits_are_named(path: Path) -> None:
    """Only those that differ are listed, with both values, and the word rebuild."""
    with pytest.raises(StoreMismatch, match=r"other limits \(messages 1000, not 7\): .* rebuild"):
        opened(path, limits=Limits(messages=7))


def test_another_database_is_refused(tmp_path: Path) -> None:
    """An SQLite file of another program is named by its tables."""
    changed(tmp_path / "other.db", "CREATE TABLE customers (id)")
    with pytest.raises(StoreMismatch, match="expected a tracker store, got a database with the tables customers"):
        opened(tmp_path / "other.db")


def test_another_database_is_left_as_it_was(tmp_path: Path) -> None:
    """Not a byte of a refused file changes: no journal mode, no tables."""
    other = tmp_path / "other.db"
    changed(other, "CREATE TABLE customers (id)")
    before = other.read_bytes()
    with pytest.raises(StoreMismatch):
        opened(other)

    assert other.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["other.db"]


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    """A log given for the store stays whole."""
    log = tmp_path / "events.jsonl"
    log.write_bytes(b'{"type":"io.tracker.task.created"}\n' * 100)
    with pytest.raises(StoreMismatch, match="is no SQLite database; name another file"):
        opened(log)

    assert log.read_bytes() == b'{"type":"io.tracker.task.created"}\n' * 100


def test_the_reader_refuses_an_empty_database(tmp_path: Path) -> None:
    """Who only reads makes no tables."""
    (tmp_path / "empty.db").touch()
    with pytest.raises(StoreMismatch, match="is an empty database"):
        sqlite_file.connect_readonly(str(tmp_path / "empty.db"))


# Files


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """Folders are not made: a typing error would hide a store for ever."""
    with pytest.raises(NotFound, match=rf"there is no folder {tmp_path}/nowhere"):
        opened(tmp_path / "nowhere" / "status.db")


def test_a_missing_store_is_named(tmp_path: Path) -> None:
    """A command that needs a store does not make one."""
    with pytest.raises(NotFound, match="there is no store"):
        opened(tmp_path / "status.db", create=False)

    assert not list(tmp_path.iterdir())


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    """One sentence, not a driver's error."""
    with pytest.raises(StoreError, match="can't be used"):
        opened(tmp_path)


@pytest.mark.parametrize("offset", [100, 5_000, 20_000, 60_000])
def test_a_damaged_file_is_said_to_be_damaged(path: Path, offset: int) -> None:
    """Garbage anywhere in the tables gives a StoreError with what to do, never an empty store."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xa5" * (path.stat().st_size - offset))
    with pytest.raises(StoreError, match=r"is damaged \(.*\): restore a copy, or fold the log again"):
        read_all(path)


def test_a_file_cut_short_is_said_to_be_damaged(path: Path) -> None:
    """Half a copy is not a smaller store."""
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(StoreError, match="is damaged"):
        read_all(path)


def read_all(path: Path) -> None:
    """Everything that is in the store."""
    with opened(path) as store:
        everything(store)
        store.claim([position()])
        store.commit(Commit(writes=[write("b")], advances=[advance(5, 6)], parked=[parked(2)], jumps=[jump(1)]))


def test_a_store_that_may_not_be_written_is_said_so(path: Path) -> None:
    """Read-only files fail at the first write, in one sentence (asked of SQLite itself: root may write anything)."""
    with SqlStore(str(path)) as store:
        store._connection.execute("PRAGMA query_only=1")
        with pytest.raises(StoreError, match="can't be used: attempt to write a readonly database"):
            store.claim([position()])


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite://host/x.db", "mysql://x/y", "status.db", ""])
def test_an_unknown_url_is_wrong_usage(url: str) -> None:
    """What was expected and what came."""
    with pytest.raises(UsageError, match=r"expected a store such as sqlite:///status\.db"):
        open_store(url)


@pytest.mark.parametrize(
    ("setting", "message"), [("synchronus=full", "did you mean synchronous"), ("synchronous=off", "full .* or normal, not 'off'")]
)
def test_an_unknown_setting_is_wrong_usage(tmp_path: Path, setting: str, message: str) -> None:
    """The one setting and its values are named."""
    with pytest.raises(UsageError, match=message):
        open_store(f"sqlite:///{tmp_path}/status.db?{setting}")


@pytest.mark.parametrize(("setting", "level"), [("", 2), ("?synchronous=full", 2), ("?synchronous=normal", 1)])
def test_synchronous_is_full_unless_told(tmp_path: Path, setting: str, level: int) -> None:
    """A power cut loses nothing that was committed, by default."""
    with open_store(f"sqlite:///{tmp_path}/status.db{setting}") as store:
        assert isinstance(store, SqlStore)
        assert store._connection.execute("PRAGMA synchronous").fetchone() == (level,)


# Full disks


def test_a_full_disk_is_said_and_nothing_is_half_written(path: Path) -> None:
    """The commit that does not fit is rolled back whole."""
    with SqlStore(str(path)) as store:
        before = everything(store)
        with full_disk(store), pytest.raises(StoreFull, match="nothing of this commit was written"):
            store.commit(too_much())

        assert everything(store) == before


def test_after_a_full_disk_the_commit_can_be_repeated(path: Path) -> None:
    """Once there is room, the same store goes on."""
    with SqlStore(str(path)) as store:
        with full_disk(store), pytest.raises(StoreFull):
            store.commit(too_much())
        store.commit(too_much())

        assert store.task_count() == 2_001


def test_a_full_disk_while_a_store_is_made(tmp_path: Path) -> None:
    """The migration's error is ours too, and the file that is left is an empty database, not half a store."""
    path = tmp_path / "status.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", connecting_with(sqlite3.connect, "PRAGMA max_page_count=3"))
        with pytest.raises(StoreFull):
            opened(path)
    with opened(path) as store:
        assert store.revision() == 0


def test_a_full_disk_while_a_store_is_filled(tmp_path: Path) -> None:
    """The one transaction of a replay is rolled back with its indexes."""
    path = tmp_path / "status.db"
    with SqlStore(str(path)) as store:
        store.claim([position()])
        commit = too_much(expected=0)
        with full_disk(store), pytest.raises(StoreFull):
            fill(store, commit.writes, Commit(advances=commit.advances, parked=commit.parked))

        assert everything(store)["task_count"] == 0
        assert everything(store)["revision"] == 0
    assert_schema_is_ours(path)


@contextmanager
def full_disk(store: SqlStore) -> Iterator[None]:
    """SQLite says FULL when the file may not grow, as it does when the disk is full."""
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count={pages + 10}")
    yield
    store._connection.execute("PRAGMA max_page_count=1000000")


def too_much(expected: int = 5) -> Commit:
    """2 MB of states, after a position and before parked records."""
    writes = [Write(f"task-{index:04}", b"x" * 1_000, COLUMNS, None) for index in range(2_000)]
    return Commit(writes=writes, advances=[advance(expected, 9)], parked=[parked(7)], jumps=[jump(1)])


def connecting_with(connect: Any, pragma: str) -> Any:
    """``sqlite3.connect`` whose connections have a pragma."""

    def made(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.execute(pragma)
        return connection

    return made


def test_a_damaged_state_is_one_sentence() -> None:
    """A state that can't be read ends in a StoreError that says what to do, wherever it is met."""
    with pytest.raises(StoreError, match=r"a stored state can't be read .* fold the log again with 'tracker rebuild'"):
        from_bytes(b"\x93\xc1")


def test_a_store_without_its_limits_is_refused(path: Path) -> None:
    """What limits a store was made with must be known."""
    changed(path, "DELETE FROM meta WHERE name='limits'")
    with pytest.raises(StoreMismatch, match="does not say what limits it was made with"):
        opened(path)

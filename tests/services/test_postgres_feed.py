"""The promise of a PostgreSQL store's change feed, where it is hardest: rows held before a commit, and a standby."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from time import monotonic, sleep

import psycopg
import pytest

from tracker.errors import StateConflict, StoreReplaced
from tracker.query.postgres import PostgresReader
from tracker.stores.base import Commit
from tracker.stores.postgres import PostgresStore
from tracker.stores.postgres_url import address
from tracker.testing.stores.values import position, write

from .postgres import Server, drop_database, new_database
from .test_postgres_faults import changed, held
from .test_postgres_schema import standby

__all__ = ["standby"]


@pytest.fixture
def database15(postgres15: Server) -> Iterator[str]:
    """A new database of the server that the standby is a copy of."""
    url = new_database(postgres15)
    yield url
    drop_database(postgres15, url)


def test_a_commit_that_holds_its_rows_first_is_told_of(database: str) -> None:
    """After two refused commits rows are held from the load on: a commit that overtakes that one does not have it missed."""
    with PostgresStore(database) as store, PostgresStore(database) as second, closing(PostgresReader(address(database))) as reader:
        stale = store.commit(Commit(writes=[write("early")]))
        now = stale
        for _ in range(2):
            now = second.commit(Commit(writes=[write("early", b"theirs", loaded=now)]))
            with pytest.raises(StateConflict):
                store.commit(Commit(writes=[write("early", b"ours", loaded=stale)]))
        ours = store.load(["early"])["early"].revision
        second.commit(Commit(writes=[write("late")]))
        _, since = changed(reader, 0)
        store.commit(Commit(writes=[write("early", b"both", loaded=ours)]))
        after, _ = changed(reader, since)

    assert "early" in after


def test_a_commit_that_was_overtaken_is_told_of_on_a_standby(database15: str, standby: str) -> None:
    """A standby knows less of what is on its way than a primary, and a follower of it misses nothing either."""
    replica = f"{standby}/{database15.rpartition('/')[2]}"
    with PostgresStore(database15) as store, PostgresStore(database15) as second:
        store.claim([position()])
        with held(store, Commit(writes=[write("early", b"x" * 100_000)])):
            second.commit(Commit(writes=[write("late")]))
            with closing(PostgresReader(address(replica))) as reader:
                found(reader, "late")
                between, since = changed(reader, 0)
        with closing(PostgresReader(address(replica))) as reader:
            found(reader, "early")
            after, _ = changed(reader, since)

    assert between | after == {"early", "late"}


def test_a_follower_of_a_standby_is_woken_by_what_was_overtaken(database15: str, standby: str) -> None:
    """A commit without positions that ends after a later one is heard of there, though no newer revision comes."""
    replica = f"{standby}/{database15.rpartition('/')[2]}"
    with PostgresStore(database15) as store, PostgresStore(database15) as second:
        with held(store, Commit(writes=[write("early")])):
            second.commit(Commit(writes=[write("late")]))
            with closing(PostgresReader(address(replica))) as reader, closing(reader.commits()) as commits:
                found(reader, "late")
                assert commits.wait(threading.Event())
                seen = commits._seen
        with closing(PostgresReader(address(replica))) as reader, closing(reader.commits()) as commits:
            found(reader, "early")
            commits._seen = seen
            stop = threading.Event()
            timer = threading.Timer(3, stop.set)
            timer.start()
            assert commits.wait(stop)
            timer.cancel()


def test_what_was_loaded_before_a_failover_is_not_written_after_it(database15: str, standby: str) -> None:
    """A standby that is promoted has not the last commit, and gives its number to another: that one is not overwritten."""
    replica = f"{standby}/{database15.rpartition('/')[2]}"
    with PostgresStore(database15) as store, PostgresStore(database15) as second:
        known = second.commit(Commit(writes=[write("a")]))
        with psycopg.connect(replica, autocommit=True) as hand:
            until(lambda: hand.execute(f"SELECT 1 FROM task WHERE revision = {known}").fetchone())
            hand.execute("ALTER SYSTEM SET primary_conninfo = ''")
            hand.execute("SELECT pg_reload_conf()")
            until(lambda: not hand.execute("SELECT 1 FROM pg_stat_wal_receiver").fetchone())
            lost = second.commit(Commit(writes=[write("a", b"lost", loaded=known)]))
            assert store.load(["a"])["a"].revision == lost
            hand.execute("SELECT pg_promote()")
        for each in (store, second):
            each._drop()
            each.address = address(replica)
        second.claim([])
        while known < lost:
            known = second.commit(Commit(writes=[write("a", b"theirs", loaded=known)]))
        assert known == lost
        with pytest.raises(StoreReplaced, match="another server"):
            store.commit(Commit(writes=[write("a", b"ours", loaded=lost)]))
        store.claim([])
        assert store.load(["a"])["a"].registers == b"theirs"
        store.commit(Commit(writes=[write("a", b"both", loaded=lost)]))


def until(true: Callable[[], object]) -> None:
    """Wait for it."""
    deadline = monotonic() + 20
    while True:
        try:
            if true():
                return
        except psycopg.errors.UndefinedTable:  # it has not arrived yet
            pass
        assert monotonic() < deadline
        sleep(0.05)


def found(reader: PostgresReader, id: str) -> None:
    """Wait until the task has arrived."""
    deadline = monotonic() + 20
    while True:
        with reader.snapshot() as snapshot:
            if snapshot.task(id) is not None:
                return
        assert monotonic() < deadline
        sleep(0.05)

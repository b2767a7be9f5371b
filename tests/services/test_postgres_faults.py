"""What a PostgreSQL store does when its server, its connection or another writer is in the way."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from time import monotonic
from typing import Any

import psycopg
import pytest

from tracker.errors import NotFound, PositionConflict, StateConflict, StoreError, StoreUnavailable, TooLong
from tracker.query.postgres import PostgresReader
from tracker.stores.base import Commit
from tracker.stores.open import open_store
from tracker.stores.postgres import PostgresStore
from tracker.stores.postgres_link import Link
from tracker.stores.postgres_url import address
from tracker.testing.stores.values import advance, in_threads, position, status, write

from .postgres import PASSWORD, Server


@pytest.fixture
def store(database: str) -> Iterator[PostgresStore]:
    """A store with a claimed partition."""
    with PostgresStore(database) as store:
        store.claim([position()])
        yield store


@contextmanager
def other(database: str) -> Iterator[psycopg.Connection]:
    """Another program's connection, out of a transaction."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@contextmanager
def held(store: PostgresStore, commit: Commit) -> Iterator[None]:
    """A commit that has written everything but its last word, until the block ends."""
    written, go = threading.Event(), threading.Event()

    def work(link: Link) -> None:
        store.write(link, commit)
        written.set()
        assert go.wait(30)

    thread = threading.Thread(target=lambda: store.transact(work))
    thread.start()
    try:
        assert written.wait(30)
        yield
    finally:
        go.set()
        thread.join(30)


def changed(reader: PostgresReader, since: int) -> tuple[set[str], int]:
    """Ids that a follower is told of, and where it is then."""
    with reader.snapshot() as snapshot:
        return {id for id, _ in snapshot.changed_ids(since)}, snapshot.revision()


def test_a_commit_that_was_overtaken_is_told_of(store: PostgresStore, database: str) -> None:
    """A commit that ends after a later one is not missed by a follower that looked in between, and neither is the later one."""
    with PostgresStore(database) as second, closing(PostgresReader(address(database))) as reader:
        with held(store, Commit(writes=[write("early")])):
            second.commit(Commit(writes=[write("late")]))
            between, since = changed(reader, 0)
        after, _ = changed(reader, since)

    assert "early" not in between
    assert between | after == {"early", "late"}


def test_another_program_s_long_transaction_holds_nothing_back(store: PostgresStore, database: str) -> None:
    """It has a smaller number and has written something else: what is committed after it began is told of at once."""
    with other(database) as hand, closing(PostgresReader(address(database))) as reader:
        hand.execute("CREATE TABLE theirs (name text)")
        with hand.transaction():
            hand.execute("INSERT INTO theirs VALUES ('long')")
            revision = store.commit(Commit(writes=[write("a")]))
            assert changed(reader, 0) == ({"a"}, revision)
            with PostgresStore(database) as second:
                with held(second, Commit(writes=[write("early")])):
                    store.commit(Commit(writes=[write("late")]))
                    assert changed(reader, 0) == ({"a"}, revision)
                assert changed(reader, revision)[0] == {"early", "late"}


@pytest.mark.usefixtures("store")
def test_a_follower_misses_nothing_of_many_writers(database: str) -> None:
    """Whoever goes on from where it was, while four writers overtake each other, is told of every task."""
    done, seen = threading.Event(), set[str]()
    writing = [4]

    def fill(writer: int) -> Callable[[], None]:
        def run() -> None:
            try:
                with PostgresStore(database) as own:
                    for number in range(60):
                        own.commit(Commit(writes=[write(f"{writer}-{number}-{part}") for part in range(writer + 1)]))
            finally:
                writing[0] -= 1
                if not writing[0]:
                    done.set()

        return run

    def follow() -> None:
        since = 0
        with closing(PostgresReader(address(database))) as reader:
            while True:
                last = done.is_set()
                found, since = changed(reader, since)
                seen.update(found)
                if last:
                    return

    in_threads(*(fill(writer) for writer in range(4)), follow)

    assert len(seen) == 60 * (1 + 2 + 3 + 4)


def test_a_backend_that_is_terminated_in_mid_commit_leaves_nothing(store: PostgresStore, database: str) -> None:
    """The commit is StoreUnavailable, nothing of it is there, and the next one goes through on a new connection."""

    def work(link: Link) -> None:
        store.write(link, Commit(writes=[write("a")], advances=[advance(0, 5)]))
        with other(database) as hand:
            hand.execute("SELECT pg_terminate_backend(%s, 5000)", (link.info.backend_pid,))

    with pytest.raises(StoreUnavailable):
        store.transact(work)

    assert store.load(["a"]) == {}
    store.commit(Commit(writes=[write("a")], advances=[advance(0, 5)]))
    assert status(store).position.next_offset == 5


def test_a_commit_whose_answer_was_lost_is_refused_the_second_time(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """It landed: the same commit again is a PositionConflict, and what it wrote is there once."""
    execute = Link.execute

    def lossy(self: Link, query: str, *values: Any, **words: Any) -> Any:
        cursor = execute(self, query, *values, **words)
        if query == "COMMIT":
            self.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return cursor

    commit = Commit(writes=[write("a")], advances=[advance(0, 5)])
    with monkeypatch.context() as patched:
        patched.setattr(Link, "execute", lossy)
        with pytest.raises(StoreUnavailable):
            store.commit(commit)

    with pytest.raises(PositionConflict):
        store.commit(commit)
    assert (set(store.load(["a"])), status(store).counters.read) == ({"a"}, 5)


def test_a_worker_that_is_killed_in_a_commit_leaves_whole_commits(store: PostgresStore, database: str) -> None:
    """Kill -9 at any moment: the position and the states are of one and the same commit."""
    program = f"""
from tracker.stores.open import open_store
from tracker.stores.base import Commit
from tracker.testing.stores.values import AT, advance, position, write
with open_store({database!r}) as store:
    at = store.claim([position()])[AT].next_offset
    ids = [f"t{{number}}" for number in range(300)]
    revisions = {{id: held.revision for id, held in store.load(ids).items()}}
    print("begun", flush=True)
    while True:
        writes = [write(id, str(at + 1).encode(), loaded=revisions.get(id)) for id in ids]
        revisions = dict.fromkeys(ids, store.commit(Commit(writes=writes, advances=[advance(at, at + 1)])))
        at += 1
"""
    for delay_s in (0.05, 0.11, 0.23, 0.31):
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as worker:
            assert worker.stdout is not None
            assert worker.stdout.readline() == b"begun\n"
            threading.Event().wait(delay_s)
            worker.send_signal(signal.SIGKILL)
        with other(database) as hand, hand.transaction():  # what it has sent ends, one way or the other
            hand.execute("LOCK TABLE task, position IN SHARE MODE")
        states = {held.registers for held in store.load([f"t{number}" for number in range(300)]).values()}
        assert states <= {str(status(store).position.next_offset).encode()}
    assert status(store).position.next_offset > 4


def test_a_wrong_password_fails_at_once(database: str) -> None:
    """In one sentence that has no password in it, the right one or the wrong one."""
    wrong = database.replace(PASSWORD, "wrong-horse")
    started = monotonic()
    for opening in (lambda: open_store(wrong), lambda: PostgresReader(address(wrong))):
        with pytest.raises(StoreError, match="password authentication failed") as caught:
            opening()
        assert not caught.value.retriable
        assert "horse" not in str(caught.value)
    assert monotonic() - started < 5


@pytest.mark.usefixtures("store")
def test_a_password_that_changes_ends_the_worker(database: str) -> None:
    """Where the connection is lost and the password is another by now, the next call says so, and is not worth a retry."""
    name = f"u{database[-6:]}"
    with other(database) as hand:
        hand.execute(f"CREATE ROLE {name} LOGIN SUPERUSER PASSWORD 'first'")
        with PostgresStore(database.replace(f"postgres:{PASSWORD}@", f"{name}:first@")) as own:
            hand.execute(f"ALTER ROLE {name} PASSWORD 'second'")
            hand.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s", (name,))
            with pytest.raises(StoreUnavailable):
                own.partitions()
            with pytest.raises(StoreError, match="does not let us in") as caught:
                own.partitions()
        hand.execute(f"DROP ROLE {name}")
    assert not caught.value.retriable


def test_a_database_that_is_not_there_is_said(database: str) -> None:
    """What to do is said too."""
    with pytest.raises(NotFound, match="createdb"):
        open_store(database + "x")


def test_a_server_without_a_connection_to_spare_is_waited_for(store: PostgresStore, database: str) -> None:
    """A store opens once another connection has gone."""
    name = f"u{database[-6:]}"
    with other(database) as hand:
        hand.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'x' CONNECTION LIMIT 1")
        hand.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}")
        url = database.replace(f"postgres:{PASSWORD}@", f"{name}:x@")
        taken = psycopg.connect(url)
        timer = threading.Timer(0.7, taken.close)
        timer.start()
        with PostgresStore(url) as own:
            assert taken.closed
            assert own.partitions() == store.partitions()
        timer.join()
        hand.execute(f"DROP OWNED BY {name}")
        hand.execute(f"DROP ROLE {name}")


def test_a_server_that_is_away_is_said_at_once() -> None:
    """Nobody listens: an error that a projector retries, within a second."""
    started = monotonic()
    with pytest.raises(StoreUnavailable, match="can't be reached"):
        open_store("postgresql://postgres@127.0.0.1:9/nothing")
    assert monotonic() - started < 1


def test_who_hurries_does_not_wait_for_another_transaction(store: PostgresStore, database: str) -> None:
    """A commit that waits for another's rows gives up within a second of ``hurry``, and what it would have written is not there."""
    revision = store.commit(Commit(writes=[write("a")]))
    with PostgresStore(database) as second, held(second, Commit(writes=[write("a", b"theirs", loaded=revision)])):
        timer = threading.Timer(0.3, store.hurry.set)
        timer.start()
        started = monotonic()
        with pytest.raises(StoreUnavailable):
            store.commit(Commit(writes=[write("a", b"ours", loaded=revision), write("b")]))
        assert monotonic() - started < 1.3
        store.hurry.clear()

    assert store.load(["a", "b"])["a"].registers == b"theirs"
    assert set(store.load(["a", "b"])) == {"a"}


def test_who_hurries_does_not_wait_for_a_silent_server(store: PostgresStore) -> None:
    """One that takes connections and says nothing (it is frozen, or a cable is cut) has ten seconds, and a stop has fewer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store._drop()
        store.address = address(f"postgresql://postgres@127.0.0.1:{silent.getsockname()[1]}/nothing")
        timer = threading.Timer(0.3, store.hurry.set)
        timer.start()
        started = monotonic()
        with pytest.raises(StoreUnavailable, match="given up"):
            store.load(["a"])
        assert monotonic() - started < 1.3


def test_another_transaction_is_waited_for(store: PostgresStore, database: str) -> None:
    """Longer than one step of waiting: then the row is another's, and the commit a StateConflict."""
    revision = store.commit(Commit(writes=[write("a")]))
    with PostgresStore(database) as second:
        holding = held(second, Commit(writes=[write("a", b"theirs", loaded=revision)]))
        holding.__enter__()
        timer = threading.Timer(1.2, holding.__exit__, (None, None, None))
        timer.start()
        with pytest.raises(StateConflict):
            store.commit(Commit(writes=[write("a", b"ours", loaded=revision)]))
        timer.join()


def test_after_two_conflicts_the_rows_are_held(store: PostgresStore, database: str) -> None:
    """For a third commit in a row what it loaded is locked until it is written."""
    revision = store.commit(Commit(writes=[write("a"), write("b")]))
    with PostgresStore(database) as second:
        for _ in range(2):
            theirs = second.load(["a"])["a"].revision
            second.commit(Commit(writes=[write("a", b"theirs", loaded=theirs)]))
            with pytest.raises(StateConflict):
                store.commit(Commit(writes=[write("a", b"ours", loaded=revision), write("b", loaded=revision)]))
            revision = revision if _ else store.load(["b"])["b"].revision
        ours = store.load(["a"])["a"].revision
        second.hurry.set()
        with pytest.raises(StoreUnavailable):
            second.commit(Commit(writes=[write("a", b"faster", loaded=ours)]))
        second.hurry.clear()
        store.commit(Commit(writes=[write("a", b"both", loaded=ours), write("b", loaded=store_revision(database, "b"))]))

    assert store.load(["a"])["a"].registers == b"both"


def store_revision(database: str, id: str) -> int:
    """What another reads."""
    with other(database) as hand:
        row = hand.execute("SELECT revision FROM task WHERE id = %s", (id,)).fetchone()
    assert row is not None
    return int(row[0])


def test_a_store_that_was_restored_elsewhere_goes_on_growing(store: PostgresStore, database: str) -> None:
    """In another cluster transactions have smaller numbers: the next revision is greater than all that are there all the same."""
    before = store.commit(Commit(writes=[write("a")]))
    with other(database) as hand:
        hand.execute("UPDATE meta SET value = (value::bigint - 1000000)::text WHERE name = 'revision_base'")
    with PostgresStore(database) as restored, closing(PostgresReader(address(database))) as reader:
        after = restored.commit(Commit(writes=[write("b")]))
        assert changed(reader, before) == ({"b"}, after)
    assert after > before


@pytest.mark.usefixtures("store")
def test_a_question_that_takes_too_long_ends(database: str) -> None:
    """By its time limit and by its stop; the server's work ends too."""
    with closing(PostgresReader(address(database))) as reader:
        stop = threading.Event()
        threading.Timer(0.3, stop.set).start()
        for words in ({"timeout_s": 0.3}, {"stop": stop}):
            started = monotonic()
            with pytest.raises(TooLong), reader.snapshot(**words) as snapshot:
                snapshot._reads.read("SELECT pg_sleep(20)")
            assert monotonic() - started < 2
        with reader.snapshot() as snapshot:
            assert snapshot.count(None) == 0
    with other(database) as hand:
        assert hand.execute("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(%' AND state = 'active'").fetchall() == []


@pytest.mark.usefixtures("store")
def test_a_question_does_not_wait_for_a_silent_server(database: str) -> None:
    """Where it needs a new connection, its time limit holds for that too."""
    with closing(PostgresReader(address(database))) as reader, socket.create_server(("127.0.0.1", 0)) as silent:
        reader._idle.pop().close()
        reader._address = address(f"postgresql://postgres@127.0.0.1:{silent.getsockname()[1]}/nothing")
        started = monotonic()
        with pytest.raises(TooLong), reader.snapshot(timeout_s=0.3):
            pytest.fail("nothing can be read")
        assert monotonic() - started < 2


def test_a_role_s_time_limit_is_not_for_commits(database: str) -> None:
    """A user whose questions may take 50 ms writes a batch that takes longer."""
    with other(database) as hand:
        hand.execute(f"ALTER DATABASE {database.rpartition('/')[2]} SET statement_timeout = '50ms'")
    with PostgresStore(database) as store:
        store.commit(Commit(writes=[write(f"t{number:05}", b"x" * 1_000) for number in range(6_000)]))


def test_a_reader_goes_on_after_a_restart(store: PostgresStore, postgres: Server, database: str) -> None:
    """Connections that it had kept are gone: the next question has a new one. The store's, too, after one StoreUnavailable."""
    if not postgres.restartable:
        pytest.skip("this server is not ours to restart")
    store.commit(Commit(writes=[write("a")]))
    with closing(PostgresReader(address(database))) as reader:
        postgres.restart()
        with reader.snapshot() as snapshot:
            assert snapshot.count(None) == 1
    with pytest.raises(StoreUnavailable):
        store.load(["a"])
    assert set(store.load(["a"])) == {"a"}

"""The whole road into PostgreSQL while its server misbehaves: connections cut, the server killed, the disk full."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from tests.naive.workload import lines
from tracker.errors import StoreFull
from tracker.projector import Options, Projector
from tracker.query import connect
from tracker.replay import replay
from tracker.sources.jsonl import JsonlSource
from tracker.stores.base import Commit
from tracker.stores.postgres import PostgresStore
from tracker.testing.stores.values import advance, position, status, write

from .postgres import SMALL_DISK, Container, Server

pytestmark = pytest.mark.timeout(180)
OURS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tracker' AND datname = current_database()"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """16,000 events in random order."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines(2_000, seed=3, shuffle=True)))
    return path


def documents(url: str) -> list[object]:
    """All tasks."""
    with connect(url) as tasks:
        return list(tasks.documents())


@contextmanager
def cutting(database: str, every_s: float, cut: list[int]) -> Iterator[None]:
    """Somebody who terminates all of the workers' connections, again and again; counts them."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(every_s):
            with suppress(psycopg.OperationalError), psycopg.connect(database, autocommit=True, application_name="cutter") as hand:
                cut[0] += len(hand.execute(OURS).fetchall())

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)


def project(database: str, log: Path, trouble: Callable[[], AbstractContextManager[object]]) -> int:
    """Fold the log in small batches, in trouble once the store is open; how many records were read."""
    with PostgresStore(database) as store, trouble():
        projector = Projector(lambda _: JsonlSource([str(log)]), store, options=Options(max_batch_records=200, max_parked_ratio=0))
        asyncio.run(projector.run())
        (partition,) = store.partitions()
    assert partition.counters.balanced
    return partition.counters.read


def test_connections_that_are_cut_change_nothing(database: str, log: Path, tmp_path: Path) -> None:
    """However often a worker loses its connection, in whatever moment of a commit, the end is byte-equal and each record counted once."""
    replay([str(log)], f"sqlite:///{tmp_path}/status.db", jobs=1, max_parked_ratio=0)
    cut = [0]
    read = project(database, log, lambda: cutting(database, 0.4, cut))

    assert cut[0] >= 3
    assert read == 16_000
    assert documents(database) == documents(f"sqlite:///{tmp_path}/status.db")


@pytest.mark.crash
def test_a_server_that_is_killed_in_between_changes_nothing(postgres: Server, database: str, log: Path, tmp_path: Path) -> None:
    """Restarted at once, twice, while a worker commits: the worker waits for it and goes on exactly."""
    if not postgres.restartable:
        pytest.skip("this server is not ours to restart")
    replay([str(log)], f"sqlite:///{tmp_path}/status.db", jobs=1, max_parked_ratio=0)

    @contextmanager
    def restarting() -> Iterator[None]:
        failed: list[BaseException] = []

        def twice() -> None:
            try:
                for _ in range(2):
                    threading.Event().wait(0.4)
                    postgres.restart()
            except BaseException as error:  # noqa: BLE001 - raised again by the test's thread
                failed.append(error)

        thread = threading.Thread(target=twice)
        thread.start()
        try:
            yield
        finally:
            thread.join(180)
        assert not failed

    read = project(database, log, restarting)

    assert read == 16_000
    assert documents(database) == documents(f"sqlite:///{tmp_path}/status.db")


def test_a_full_disk_is_said_and_nothing_is_written(postgres: Server) -> None:
    """StoreFull, which ends a worker; once there is room again, the same commit goes through."""
    if not isinstance(postgres, Container):
        pytest.skip("a small disk needs a container")
    # After a restart the small disk is root's alone.
    postgres.run("chmod", "1777", SMALL_DISK, user="root")
    postgres.run("mkdir", "-p", f"{SMALL_DISK}/space")
    with psycopg.connect(f"{postgres.url}/postgres", autocommit=True) as hand:
        hand.execute(f"CREATE TABLESPACE small LOCATION '{SMALL_DISK}/space'")
        hand.execute("CREATE DATABASE tiny TABLESPACE small")
    with PostgresStore(f"{postgres.url}/tiny") as store:
        store.claim([position()])
        big = Commit(writes=[write(f"t{number}", bytes([number % 256]) * 1_800) for number in range(20_000)], advances=[advance(0, 5)])
        with pytest.raises(StoreFull, match="no space is left"):
            store.commit(big)
        assert store.load(["t1"]) == {}
        assert status(store).position.next_offset == 0
        store.commit(Commit(writes=[write("small")], advances=[advance(0, 5)]))
        assert status(store).position.next_offset == 5
    with psycopg.connect(f"{postgres.url}/postgres", autocommit=True) as hand:
        hand.execute("DROP DATABASE tiny WITH (FORCE)")
        hand.execute("DROP TABLESPACE small")

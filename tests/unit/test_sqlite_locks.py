"""Several writers at one SQLite file: who waits, how long, and who gives up."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.unit.stored import locked, made, opened
from tracker.errors import StoreUnavailable
from tracker.stores import schema, sqlite_file
from tracker.stores.base import Commit
from tracker.stores.open import open_store
from tracker.testing.stores.values import write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A small store."""
    return made(tmp_path)


def test_another_writer_is_waited_for_in_vain(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that is held over the timeout gives StoreUnavailable, which may pass."""
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT_MS", 50)
    with opened(path) as store, locked(path), pytest.raises(StoreUnavailable, match="is locked by another writer") as caught:
        store.commit(Commit(writes=[write("b")]))

    assert caught.value.retriable


def test_after_a_lock_the_commit_can_be_repeated(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the refused try is left."""
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT_MS", 50)
    with opened(path) as store:
        with locked(path), pytest.raises(StoreUnavailable):
            store.commit(Commit(writes=[write("b")]))
        store.commit(Commit(writes=[write("b")]))

        assert store.task_count() == 2


def test_a_lock_is_waited_for(path: Path) -> None:
    """A commit that begins while another writer is at work is done when that one is."""
    with opened(path) as store:
        with locked(path):
            committing = threading.Thread(target=store.commit, args=(Commit(writes=[write("b")]),))
            committing.start()
            committing.join(0.05)
            assert committing.is_alive()
        committing.join(10)

        assert set(store.load(["b"])) == {"b"}


def test_readers_do_not_wait_for_a_writer(path: Path) -> None:
    """What is stored can be read while a transaction is open."""
    with opened(path) as store, locked(path):
        assert set(store.load(["a"])) == {"a"}
        assert store.revision() == 1


def test_a_wait_can_be_given_up(path: Path) -> None:
    """Told to hurry by another thread, a commit that waits gives up within a second, not after 30."""
    with opened(path) as store, locked(path):
        errors: list[Exception] = []

        def commit() -> None:
            try:
                store.commit(Commit(writes=[write("b")]))
            except StoreUnavailable as error:
                errors.append(error)

        committing = threading.Thread(target=commit)
        committing.start()
        committing.join(0.05)
        assert committing.is_alive()
        store.hurry.set()
        committing.join(1)

        assert not committing.is_alive()
        assert len(errors) == 1


def test_a_store_that_is_being_made_by_another_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The migration waits for the lock as a commit does, and says so in our words."""
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT_MS", 50)
    monkeypatch.setattr(schema, "MIGRATION_WAIT_S", 0.05)
    empty = path.with_name("new.db")
    with locked(empty), pytest.raises(StoreUnavailable):
        opened(empty)
    with opened(empty) as store:
        assert store.revision() == 0


MANY = """
import sys
from tracker.stores.open import open_store
from tracker.testing.stores.values import AT, advance, position
from tracker.stores.base import Commit
from tracker.errors import PositionConflict
sys.stdin.readline()
with open_store(sys.argv[1]) as store:
    offset = store.claim([position()])[AT].next_offset
    done = 0
    while offset < 60:
        try:
            store.commit(Commit(advances=[advance(offset, offset + 1)]))
            offset, done = offset + 1, done + 1
        except PositionConflict:
            offset = store.claim([position()])[AT].next_offset
print(done)
"""


def test_several_processes_make_and_write_one_new_store(tmp_path: Path) -> None:
    """Three workers that start at the same moment on a file that is not there: one makes it, all write, each offset counts once."""
    url = f"sqlite:///{tmp_path}/status.db"
    workers = [
        subprocess.Popen([sys.executable, "-c", MANY, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    done = [int(worker.communicate(timeout=60)[0]) for worker in workers]

    assert [worker.returncode for worker in workers] == [0, 0, 0]
    with open_store(url) as store:
        assert store.partitions()[0].counters.read == sum(done) == 60


def test_a_store_is_opened_while_another_writes(path: Path) -> None:
    """Opening one that is there writes nothing: it waits for no other writer."""
    with locked(path), opened(path) as store:
        assert store.task_count() == 1

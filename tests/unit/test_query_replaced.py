"""A store's file that is deleted, or another one put in its place, while it is open for reading."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import aclosing
from pathlib import Path

import pytest

from tests.unit.query_store import commit, event, ids
from tracker.errors import NotFound, StoreChanged, StoreError
from tracker.query import TaskQuery, connect, open_query
from tracker.query.sqlite import _MAX_IDLE, SqliteReader
from tracker.stores import schema
from tracker.stores.sql import SqlStore


def made(path: Path, *tasks: str) -> Path:
    """A closed store with these tasks."""
    with SqlStore(str(path)) as store:
        commit(store, [event(task, "created") for task in tasks])
    return path


def test_a_deleted_store_is_not_there(tmp_path: Path) -> None:
    """What was deleted is not told as if it were the newest; a store that is made anew is read, without opening again."""
    path = made(tmp_path / "status.db", "a")
    with connect(f"sqlite:///{path}") as tasks:
        assert tasks.document("a") is not None
        path.unlink()
        with pytest.raises(NotFound, match="there is no store"):
            tasks.document("a")
        made(path, "b")
        assert (tasks.document("a"), ids(tasks.documents())) == (None, ["b"])


async def test_a_store_that_is_put_in_its_place_is_read(tmp_path: Path) -> None:
    """After a rebuild is moved into place every answer is of the new one, also beside a stream of the old one; old tokens are refused."""
    path = made(tmp_path / "status.db", "a")
    async with open_query(f"sqlite:///{path}") as tasks:
        token = await tasks.token()
        async with aclosing(tasks.documents()) as stream:
            assert (await anext(stream))["id"] == "a"
            made(tmp_path / "new.db", "b").replace(path)
            assert ids((await tasks.documents_page()).items) == ["b"]
        assert [ids((await tasks.documents_page()).items) for _ in range(3)] == [["b"]] * 3
        with pytest.raises(StoreChanged, match="another store"):
            await anext(tasks.changes(token))


@pytest.mark.parametrize("is_replaced", [False, True], ids=["deleted", "replaced"])
async def test_who_follows_is_told(tmp_path: Path, is_replaced: bool) -> None:
    """A follower does not wait for ever for commits to a file that nobody writes to any more."""
    path = made(tmp_path / "status.db", "a")
    async with asyncio.timeout(10), open_query(f"sqlite:///{path}") as tasks, aclosing(tasks.changes(follow=True)) as changes:
        assert (await anext(changes)).id == "a"
        following = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0.1)
        if is_replaced:
            made(tmp_path / "new.db", "b").replace(path)
        else:
            path.unlink()
        with pytest.raises(StoreChanged if is_replaced else NotFound):
            await following


async def test_waiting_goes_on_in_the_new_store(tmp_path: Path) -> None:
    """Where there is no store for a while, who waits for commits hears of those to the next one."""
    path = made(tmp_path / "status.db", "a")
    async with asyncio.timeout(10), open_query(f"sqlite:///{path}") as tasks, tasks.commits() as committed:
        path.unlink()
        while not await is_there(tasks, "b"):
            committed.clear()
            if not path.exists():
                made(path, "b")
            await committed.wait()


async def is_there(tasks: TaskQuery, id: str) -> bool:
    """Whether there is a store, and the task in it."""
    try:
        return await tasks.document(id) is not None
    except NotFound:
        return False


def test_the_working_folder_may_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that was named from one folder is the same from another."""
    made(tmp_path / "status.db", "a")
    monkeypatch.chdir(tmp_path)
    with connect("sqlite:///status.db") as tasks:
        monkeypatch.chdir("/")
        assert tasks.document("a") is not None
        with tasks._store.snapshot() as one, tasks._store.snapshot() as other:
            assert [snapshot.task("a") is not None for snapshot in (one, other)] == [True, True]


@pytest.mark.parametrize("name", ["a" * 5_000, "a\0b"], ids=["too long", "null"])
def test_names_that_no_file_has(name: str) -> None:
    """What can't be looked for is said in a sentence."""
    with pytest.raises(StoreError, match="can't be used"):
        connect(f"sqlite:///{name}")


def test_a_folder_that_is_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader alone has to make SQLite's -wal and -shm; where it may not, the error says what to do."""
    path = made(tmp_path / "status.db", "a")

    def refused(*_: object) -> None:
        error = sqlite3.OperationalError("unable to open database file")
        error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
        raise error

    monkeypatch.setattr(schema, "stored_schema", refused)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(StoreError, match="can't be read in a folder where nothing may be written"):
        connect(f"sqlite:///{path}")


def test_few_connections_are_kept(tmp_path: Path) -> None:
    """After many snapshots at once there are no more connections than are of use: each has files, and pages in memory."""
    reader = SqliteReader(str(made(tmp_path / "status.db", "a")))
    snapshots = [reader.snapshot() for _ in range(30)]
    for snapshot in snapshots:
        assert snapshot.__enter__().task("a") is not None
    for snapshot in snapshots:
        snapshot.__exit__(None, None, None)

    assert len(reader._idle) == _MAX_IDLE
    reader.close()

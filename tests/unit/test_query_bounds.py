"""Great states: what is made of them at once, and looked at for one page, is bounded in bytes and time, not in rows alone."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from tests.unit.query_store import commit, event
from tracker.errors import TooLong
from tracker.query import api, open_query, questions
from tracker.query.base import Scan
from tracker.query.filters import parse
from tracker.query.pages import BY_ID
from tracker.query.sqlite import SqliteReader
from tracker.stores.sql import SqlStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store of 20 tasks, each of them some 10 kB."""
    path = tmp_path / "status.db"
    with SqlStore(str(path)) as store:
        commit(store, [event(f"t{number:02}", "created", description="x" * 10_000) for number in range(20)])
    return path


async def test_a_stream_makes_few_great_documents_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first document comes when the time for a chunk is over, whatever is still to be made of it."""
    made, shown = [], questions.shown

    def counted(*arguments: Any, **more: Any) -> dict[str, Any]:
        made.append(1)
        return shown(*arguments, **more)

    monkeypatch.setattr(questions, "shown", counted)
    monkeypatch.setattr(api, "_CHUNK_S", -1)
    async with open_query(f"sqlite:///{path}") as tasks, aclosing(tasks.documents()) as documents:
        assert (await anext(documents))["id"] == "t00"
        assert len(made) == 1
        assert [document["id"] async for document in documents][-1] == "t19"


def test_a_scan_ends_after_so_many_bytes(path: Path) -> None:
    """It looks at one row at least, so that whoever goes on comes to the end."""
    reader, where = SqliteReader(str(path)), parse("messages co x")
    with reader.snapshot() as snapshot:
        for bytes_left, looked_at in ((1, 1), (35_000, 4)):
            scan = Scan(100, bytes_left=bytes_left)
            assert list(snapshot.rows(where, BY_ID, scan=scan)) == []
            assert (scan.ended, scan.looked_at, scan.last) == (True, looked_at, (f"t{looked_at - 1:02}",))
        without = Scan(None, bytes_left=1)
        assert list(snapshot.rows(where, BY_ID, scan=without)) == []
        assert not without.ended
    reader.close()


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A store of 3,000 tasks: enough instructions of SQLite's to look at the clock."""
    path = tmp_path / "many.db"
    with SqlStore(str(path)) as store:
        commit(store, [event(f"t{number:04}", "created") for number in range(3_000)])
    return path


@pytest.mark.parametrize("where", ["attributes.a eq 1", 'description co "a"'])
async def test_a_question_takes_no_longer_than_it_may(many: Path, where: str) -> None:
    """Whether it is decided row by row or by SQL; the next question is answered."""
    async with open_query(f"sqlite:///{many}") as tasks:
        with pytest.raises(TooLong, match="more time than it may"):
            await tasks.ask(questions.counts(where, "state"), timeout_s=-1)
        found = await tasks.ask(questions.counts(where, "state"))
        assert found.values == {}


async def test_a_question_with_a_limit_ends_with_the_query(many: Path) -> None:
    """Who closes the query need not wait for what is asked of it."""
    begun, closed = threading.Event(), threading.Event()

    def forever(snapshot: Any) -> None:
        begun.set()
        closed.wait(10)
        while True:
            snapshot.count(parse('description co "a"'))

    async with open_query(f"sqlite:///{many}") as tasks:
        asking = asyncio.create_task(tasks.ask(forever, timeout_s=60))
        await asyncio.to_thread(begun.wait, 10)
    closed.set()
    async with asyncio.timeout(10):
        with pytest.raises(TooLong):
            await asking


async def test_a_question_that_is_cancelled_stops(path: Path) -> None:
    """Its thread is free soon, and its connection of use to the next one."""
    begun, ended = threading.Event(), threading.Event()

    def endless(snapshot: Any) -> None:
        begun.set()
        try:
            snapshot._connection.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
            ).fetchone()
        finally:
            ended.set()

    async with asyncio.timeout(20), open_query(f"sqlite:///{path}") as tasks:
        asked = asyncio.create_task(tasks.ask(endless))
        await asyncio.to_thread(begun.wait)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert await asyncio.to_thread(ended.wait, 10)
        assert await tasks.count() == 20

"""The query module over every store: the same questions, the same answers."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from tests.suites.stores import STORES, store_of
from tests.unit.query_store import commit, event, ids
from tracker.errors import NotFound, StoreMismatch, UsageError
from tracker.fold.event import TaskEvent
from tracker.model.records import Position, Record, TopicPartition
from tracker.query import TaskQuery, open_query, questions
from tracker.query.sqlite import SqliteSnapshot
from tracker.stores.base import Advance, Commit, Counters, ParkedRecord, StatusStore
from tracker.stores.memory import MemoryStore
from tracker.stores.sql import SqlStore

LOG = [
    event("a", "created", "2026-01-01T00:00:00.5Z", launcher="Élodie", parentId="p", target={"id": "s1", "type": "APPLICATION"}),
    event("a", "launched", "2026-01-01T00:00:01Z", attempt=2),
    event("b", "created", "2026-01-02T00:00:00Z", launcher="sweep"),
    event("b", "launched", "2026-01-02T00:00:01Z"),
    event("b", "completed", "2026-01-02T00:00:02Z", completionStatus="ERROR"),
    event("c", "created", "2026-01-02T00:00:00Z"),
    event("gone", "created", "2026-01-01T00:00:00Z"),
    event("gone", "deleted", "2026-01-01T00:00:00Z"),
]


@dataclass
class Opened:
    """A store that is written to, and read beside that."""

    store: StatusStore
    tasks: TaskQuery

    def commit(self, *events: TaskEvent) -> int:
        return commit(self.store, events)


@pytest.fixture(params=STORES)
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opened]:
    """Each store with the log above folded in one commit."""
    store, query = store_of(request, tmp_path)
    with store:
        commit(store, LOG)
        async with query as tasks:
            yield Opened(store, tasks)


async def test_get_gives_the_status(opened):
    """A task's status is the published document; of a deleted or unknown task there is none."""
    status = await opened.tasks.get("a")
    assert (status.id, status.launcher, status.completion_status) == ("a", "Élodie", None)
    assert await opened.tasks.get("gone") is None
    assert await opened.tasks.get("nobody") is None
    assert await opened.tasks.get_with_extension("nobody") is None


async def test_get_with_extension_adds_what_is_beyond_the_18(opened):
    """State, attempts, parent and the store's revision come beside the status."""
    status, extension = await opened.tasks.get_with_extension("a")
    assert (status.id, extension.state, extension.attempt, extension.parent_id, extension.revision) == ("a", "RUNNING", 2, "p", 1)


async def test_documents_are_the_18_keys_by_id(opened):
    """Documents come in code point order of the ids with exactly the 18 keys, and one more if the extension is asked for."""
    plain = [document async for document in opened.tasks.documents()]
    extended = [document async for document in opened.tasks.documents(extension=True)]
    assert ids(plain) == ids(extended) == ["a", "b", "c"]
    assert {len(document) for document in plain} == {18}
    assert list(extended[0]["tracker"]) == ["state", "attempt", "attempts", "parentId", "truncated", "revision"]
    assert [status.id async for status in opened.tasks.stream("state ne RUNNING")] == ["b", "c"]


async def test_pages_go_on_where_they_ended(opened):
    """A page ends with a cursor while there is more, by created and id unless told; limit 0 is an empty page."""
    first = await opened.tasks.list(limit=2)
    second = await opened.tasks.list(limit=2, after=first.next)
    assert [[task.id for task in page.items] for page in (first, second)] == [["a", "b"], ["c"]]
    assert second.next is None
    assert ids((await opened.tasks.documents_page(sorters="-launched", limit=3)).items) == ["b", "a", "c"]
    assert (await opened.tasks.list(limit=0)).items == []
    with pytest.raises(UsageError, match="limit of 0 to 10,000, not 10,001"):
        await opened.tasks.list(limit=10_001)


async def test_a_page_is_not_disturbed_by_writes(opened):
    """A task that is written between two pages neither repeats nor hides another."""
    first = await opened.tasks.list(limit=1)
    opened.commit(event("a0", "created", "2026-01-01T00:00:00.4Z"), event("a1", "created", "2026-01-01T00:00:00.6Z"), event("c", "deleted"))
    assert [task.id for task in (await opened.tasks.list(after=first.next)).items] == ["a1", "b"]


async def test_counts(opened):
    """Counts leave deleted tasks out; by a field they have each value, null last."""
    assert await opened.tasks.count() == 3
    assert await opened.tasks.count('launcher eq "ÉLODIE"') == 1
    assert list((await opened.tasks.count(by="completionStatus")).items()) == [("ERROR", 1), (None, 2)]
    assert await opened.tasks.count("completionStatus isnull", by="completionStatus") == {None: 2}
    assert await opened.tasks.count(by="attempt") == {1: 2, 2: 1}
    assert await opened.tasks.count("id eq nobody", by="state") == {}
    with pytest.raises(UsageError, match='there is no "stat"; did you mean "state"'):
        await opened.tasks.count(by="stat")


async def test_times_compare_as_they_are_shown(opened):
    """A time copied from a status finds it, though the event's time had more digits."""
    opened.commit(event("d", "created", "2026-01-03T00:00:00.123456Z"))
    for text in (
        "created eq 2026-01-03T00:00:00.123Z",
        "created eq 2026-01-03T01:00:00.123456+01:00",
        "created gt 2026-01-03T00:00:00.122Z",
        "created gt 2026-01-03T00:00:00.123455Z",
    ):
        assert await opened.tasks.count(text) == 1, text
    assert await opened.tasks.count("created gt 2026-01-03T00:00:00.123Z") == 0


async def test_a_stream_is_one_snapshot(opened):
    """What is written while a stream is read does not show in it; a stream may be left at any moment."""
    opened.commit(*(event(f"t{number:04}", "created") for number in range(500)))
    async with aclosing(opened.tasks.documents('id sw "t"')) as documents:
        first = await anext(documents)
        opened.commit(event("t9999", "created"), *(event(f"t{number:04}", "deleted") for number in range(500)))
        assert len([first, *[document async for document in documents]]) == 500
    async with aclosing(opened.tasks.documents()) as documents:
        await anext(documents)
    assert await opened.tasks.count('id sw "t"') == 1


async def test_cancelled_reads_leave_the_query_usable(opened):
    """Tasks that are cancelled in the middle of a stream or a read do no harm to those after them."""
    opened.commit(*(event(f"t{number:04}", "created") for number in range(2_000)))

    async def read_all() -> int:
        return len([document async for document in opened.tasks.documents()])

    for turns in range(8):
        reading = asyncio.create_task(read_all())
        for _ in range(turns):
            await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    assert await read_all() == await opened.tasks.count() == 2_003


async def test_why_names_the_event(opened):
    """Why says of each field which event set it, of a deleted task that it is deleted, of an unknown task nothing."""
    reasons = await opened.tasks.why("b")
    assert reasons["completionStatus"].event.id == "completed-2026-01-02T00:00:02Z"
    assert list(await opened.tasks.why("gone")) == ["deleted"]
    assert await opened.tasks.why("nobody") is None


async def test_status_and_parked_records(opened):
    """The status has positions, counters, sums and the refused records by reason, which can be read one by one."""
    begin = Position("t", 0, 0, "kafka:c")
    opened.store.claim([begin])
    refused = [ParkedRecord(record=Record("t", 0, at, b"{", None, (("h", None),)), reason="not-json", detail="no") for at in (3, 4)]
    counted = Counters(read=5, applied=3, parked=2)
    opened.store.commit(Commit(advances=[Advance(expected=begin, next=Position("t", 0, 5, "kafka:c"), counters=counted)], parked=refused))
    status = await opened.tasks.status()
    assert (status.tasks, status.revision, status.balanced) == (3, opened.store.revision(), True)
    assert status.parked_by_reason == {"not-json": 2}
    assert status.counters == counted
    (partition,) = status.partitions
    assert (partition.topic, partition.next_offset, partition.lag_records) == ("t", 5, None)
    (second,) = await opened.tasks.parked(after=1)
    assert (second.number, second.record.offset, second.record.headers) == (2, 4, (("h", None),))
    assert await opened.tasks.parked_record(1) is not None
    assert await opened.tasks.parked_record(9) is None
    assert TopicPartition("t", 0) == opened.store.partitions()[0].position.at


async def test_wrong_filters_fail_before_anything_is_read(opened):
    """A wrong filter is a usage error in every method."""
    with pytest.raises(UsageError):
        opened.tasks.documents("nonsense")
    for call in (opened.tasks.list("nonsense"), opened.tasks.count("nonsense")):
        with pytest.raises(UsageError):
            await call


async def test_a_query_that_is_not_open_says_so():
    """Using a query outside its context is said in one sentence."""
    with pytest.raises(UsageError, match="not open"):
        await TaskQuery.over(MemoryStore()).count()


async def test_a_missing_store_is_said(tmp_path):
    """Opening a store that is not there names the commands that make one, and makes no file."""
    with pytest.raises(NotFound, match=r"there is no store .*: tracker run or tracker replay makes one"):
        await open_query(f"sqlite:///{tmp_path}/none.db").__aenter__()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["status.db", "mysql://h/db", "memory://", "sqlite:///s.db?synchronus=normal"])
async def test_a_url_that_is_no_store_file_is_a_usage_error(url):
    """Only a SQLite file and a PostgreSQL database can be opened by their URL for reading."""
    with pytest.raises(UsageError):
        open_query(url)


async def test_what_is_no_store_is_refused(tmp_path):
    """Another program's database, another fold version and a file that is no database are refused."""
    other, text, fold = (tmp_path / name for name in ("other.db", "text.db", "fold.db"))
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    text.write_bytes(b"not a database, but long enough to be looked at" * 100)
    SqlStore(str(fold)).__exit__(None, None, None)
    with sqlite3.connect(fold) as connection:
        connection.execute("UPDATE meta SET value='999' WHERE name='fold_version'")
    connection.close()
    for path in (other, text, fold):
        with pytest.raises(StoreMismatch):
            await open_query(f"sqlite:///{path}").__aenter__()


async def test_a_reader_can_not_write(tmp_path):
    """The connection of a query refuses every write."""
    path = tmp_path / "status.db"
    with SqlStore(str(path)) as store:
        commit(store, LOG)
        async with open_query(f"sqlite:///{path}") as tasks:
            with tasks._store.snapshot() as snapshot, pytest.raises(sqlite3.OperationalError, match="readonly"):
                cast("SqliteSnapshot", snapshot)._connection.execute("DELETE FROM task")
            assert await tasks.count() == 3


async def test_readers_and_the_writer_do_not_wait_for_each_other(tmp_path):
    """A stream that is open does not hold up a commit, nor an open write transaction a read."""
    path = tmp_path / "status.db"
    with SqlStore(str(path)) as store:
        commit(store, LOG)
        async with open_query(f"sqlite:///{path}") as tasks:
            async with aclosing(tasks.documents()) as documents:
                await anext(documents)
                async with asyncio.timeout(5):
                    await asyncio.to_thread(commit, store, [event("z", "created")])
            writer = sqlite3.connect(path, isolation_level=None)
            writer.execute("BEGIN IMMEDIATE")
            writer.execute("DELETE FROM task")
            assert await tasks.count() == 4
            writer.execute("ROLLBACK")
            writer.close()


async def test_the_first_page_begins_behind_the_deleted(tmp_path):
    """Deleted tasks stand first in the indexes of times, and a first page in such an order reads none of them."""
    path = tmp_path / "status.db"
    with SqlStore(str(path)) as store:
        commit(store, LOG)
    async with open_query(f"sqlite:///{path}") as tasks:
        with tasks._store.snapshot() as snapshot:
            seen: list[str] = []
            connection = cast("SqliteSnapshot", snapshot)._connection
            connection.set_trace_callback(seen.append)
            questions.page(sorters="created")(snapshot)
            connection.set_trace_callback(None)
            plan = str(connection.execute(f"EXPLAIN QUERY PLAN {seen[-1]}").fetchall())
    assert "SEARCH task USING INDEX task_created (created>?)" in plan

"""What a publisher does: first everything, then what changes; it goes on where it stood, waits for what is away, and refuses what would do harm."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.publish.memory_topic import Log, MemoryTopic
from tests.unit.query_store import commit, event
from tracker.emit.open import topic_url
from tracker.emit.statuses import Publication, StatusRecord
from tracker.errors import EmitUnavailable, StoreUnavailable, TopicUnfit, UsageError
from tracker.model.records import Position
from tracker.publish import publisher as module
from tracker.publish.publisher import Publisher, Totals, place_of
from tracker.query import TaskQuery, open_query
from tracker.stores.memory import MemoryStore
from tracker.stores.sql import SqlStore


@pytest.fixture
def store() -> MemoryStore:
    """With three tasks, of which the first is deleted."""
    store = MemoryStore()
    commit(store, [event("0", "deleted"), event("a", "created"), event("b", "created")])
    return store


async def publish(store: MemoryStore, topic: MemoryTopic, **options: Any) -> Totals:
    """One run to the end."""
    async with TaskQuery.over(store) as query, asyncio.timeout(10):
        return await Publisher(query, topic, **{"until_end": True, "place": "here", **options}).run()


@asynccontextmanager
async def following(store: MemoryStore, topic: MemoryTopic) -> AsyncIterator[Publisher]:
    """A publisher at work; stopped in order at the end."""
    async with TaskQuery.over(store) as query:
        publisher = Publisher(query, topic, place="here")
        running = asyncio.create_task(publisher.run())
        try:
            yield publisher
        finally:
            publisher.stop()
            async with asyncio.timeout(10):
                await running


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - the topic tells nobody
            await asyncio.sleep(0.005)


async def test_all_tasks_come_first(store):
    """A new topic gets each task's status, and nothing of one that was deleted before."""
    totals = await publish(store, MemoryTopic(log := Log()))
    assert sorted(log.folded()) == ["a", "b"]
    assert (totals.statuses, totals.tombstones, totals.publication, totals.revision) == (2, 0, 1, 1)


async def test_the_value_is_the_status(store):
    """The 18 keys as everywhere; with the extension one more."""
    await publish(store, MemoryTopic(log := Log()))
    async with TaskQuery.over(store) as query:
        assert json.loads(log.folded()["a"]) == await query.document("a")
        await publish(store, MemoryTopic(log := Log()), extension=True)
        assert json.loads(log.folded()["a"]) == await query.document("a", extension=True)


async def test_a_second_run_publishes_what_changed(store):
    """It goes on after the last record, and a deleted task is taken out."""
    log = Log()
    await publish(store, MemoryTopic(log))
    commit(store, [event("a", "launched"), event("b", "deleted"), event("d", "created")])
    totals = await publish(store, MemoryTopic(log))
    assert (totals.statuses, totals.tombstones) == (2, 1)
    assert sorted(log.folded()) == ["a", "d"]


async def test_nothing_new_is_no_transaction(store):
    """A run that finds nothing to say writes nothing."""
    log = Log()
    await publish(store, MemoryTopic(log))
    assert (await publish(store, MemoryTopic(log))).transactions == 0


async def test_changes_are_followed(store):
    """What is committed while it runs is in the topic soon."""
    log = Log()
    async with following(store, MemoryTopic(log)):
        await until(lambda: len(log.folded()) == 2)
        commit(store, [event("later", "created")])
        await until(lambda: "later" in log.folded())
        commit(store, [event("later", "deleted")])
        await until(lambda: "later" not in log.folded())


async def test_a_rebuild_is_followed(store, monkeypatch):
    """A store that gets another content is published anew by itself, without the tasks that are gone."""
    monkeypatch.setattr(module, "CONFIRM_S", 0.01)
    log = Log()
    async with following(store, MemoryTopic(log)):
        await until(lambda: len(log.folded()) == 2)
        (write, _) = store.tasks["a"]
        store.tasks, store.name = {"a": (write, 2)}, "rebuilt"
        commit(store, [event("x", "created")])
        await until(lambda: sorted(log.folded()) == ["a", "x"])
    assert {publication.number for part in log.partitions for publication, _ in part} == {1, 2}


async def test_another_store_is_refused(store):
    """A topic with another store's statuses is left alone, unless --again puts these in their place."""
    log = Log()
    await publish(store, MemoryTopic(log))
    other = MemoryStore()
    commit(other, [event("x", "created")])
    with pytest.raises(TopicUnfit, match=r"statuses of another store .*--again"):
        await publish(other, MemoryTopic(log), place="elsewhere")
    assert sorted(log.folded()) == ["a", "b"]
    await publish(other, MemoryTopic(log), place="elsewhere", again=True)
    assert sorted(log.folded()) == ["x"]


async def test_another_shape_is_published_anew(store):
    """With --extension all statuses get the further key, not only those that change."""
    log = Log()
    await publish(store, MemoryTopic(log))
    assert (await publish(store, MemoryTopic(log), extension=True)).publication == 2
    assert all("tracker" in json.loads(value) for value in log.folded().values())


async def test_again_means_once(store):
    """What --again has begun is gone on with after a broker was away."""
    log, failed = Log(), list[str]()

    def away_once(seam: str) -> None:
        if seam == "committed" and not failed:
            failed.append(seam)
            raise EmitUnavailable("away")

    await publish(store, MemoryTopic(log))
    totals = await publish(store, MemoryTopic(log, away_once), again=True)
    assert (totals.publication, failed) == (2, ["committed"])


async def test_an_older_copy_that_has_grown(store):
    """A copy that was put back and has as many commits as were published by now is told by the last task that was."""
    before = dict(store.tasks)
    commit(store, [event("b", "launched")])
    log = Log()
    await publish(store, MemoryTopic(log))
    store.tasks, store._revision = before, 1
    for number in range(5):
        commit(store, [event(f"new-{number}", "created")])
    totals = await publish(store, MemoryTopic(log))
    assert totals.publication == 2
    assert json.loads(log.folded()["b"])["launched"] is None


async def test_its_own_source_is_refused(store):
    """A tombstone among events is a deletion: the topic that a store is folded from is none for its statuses."""
    store.claim([Position("statuses", 0, 5, "kafka:here")])
    with pytest.raises(TopicUnfit, match="reads its events"):
        await publish(store, MemoryTopic(log := Log()))
    assert log.written == 0


class AwayTopic(MemoryTopic):
    """One whose broker is away for some attempts to open it."""

    def __init__(self, log: Log, attempts: int) -> None:
        super().__init__(log)
        self.attempts = attempts

    async def open(self) -> Any:
        if self.attempts:
            self.attempts -= 1
            raise EmitUnavailable("Kafka does not answer for the topic of the test (no route)")
        return await super().open()


async def test_a_broker_that_is_away_is_waited_for(store, monkeypatch, caplog):
    """One line when it goes, one when it is back, however many attempts there are between."""
    monkeypatch.setattr(module, "FIRST_DELAY_S", 0.001)
    monkeypatch.setattr(module, "LONGEST_DELAY_S", 0.001)
    caplog.set_level(logging.WARNING, "tracker.publish")
    await publish(store, AwayTopic(log := Log(), 5))
    assert sorted(log.folded()) == ["a", "b"]
    assert [record.getMessage().partition(" after ")[0] for record in caplog.records] == [
        "Kafka does not answer for the topic of the test (no route); trying again",
        "the topic of the test is published to again",
    ]


async def test_a_stop_while_the_broker_is_away(store):
    """Nobody has to wait for it."""
    async with TaskQuery.over(store) as query:
        publisher = Publisher(query, AwayTopic(Log(), 10**9))
        running = asyncio.create_task(publisher.run())
        await asyncio.sleep(0.05)
        begun_s = time.monotonic()
        publisher.stop()
        await running
    assert time.monotonic() - begun_s < 1


class SlowTopic(MemoryTopic):
    """One that takes its time for a transaction."""

    def __init__(self, log: Log, seconds: float) -> None:
        super().__init__(log)
        self.seconds, self.begun = seconds, asyncio.Event()

    async def write(self, publication: Publication, records: Sequence[StatusRecord]) -> None:
        self.begun.set()
        await asyncio.sleep(self.seconds)
        await super().write(publication, records)


@pytest.mark.parametrize(("seconds", "written"), [(0.3, 2), (60.0, 0)])
async def test_a_stop_within_a_transaction(store, monkeypatch, seconds, written):
    """It is waited for as long as a stop can, and then given up."""
    monkeypatch.setattr(module, "STOP_BUDGET_S", 1.0)
    async with TaskQuery.over(store) as query:
        publisher = Publisher(query, topic := SlowTopic(log := Log(), seconds))
        running = asyncio.create_task(publisher.run())
        await topic.begun.wait()
        begun_s = time.monotonic()
        publisher.stop()
        totals = await running
    assert (log.written, totals.statuses) == (written, written)
    assert time.monotonic() - begun_s < 5


async def test_the_store_may_be_away(store, monkeypatch):
    """A database that restarts is waited for like a broker."""
    monkeypatch.setattr(module, "FIRST_DELAY_S", 0.001)
    failing = [StoreUnavailable("the server restarts")] * 3
    async with TaskQuery.over(store) as query:
        ask = query.ask

        async def flaky(question: Any, **options: Any) -> Any:
            if failing:
                raise failing.pop()
            return await ask(question, **options)

        monkeypatch.setattr(query, "ask", flaky)
        await Publisher(query, MemoryTopic(log := Log()), until_end=True).run()
    assert sorted(log.folded()) == ["a", "b"]


async def test_a_file_is_published(tmp_path: Path):
    """From SQLite it is the same: bytes as of the export, also of ids that are no ASCII."""
    with SqlStore(str(tmp_path / "s.db")) as store:
        commit(store, [event("ä/ö", "created"), event("z", "created"), event("gone", "deleted")])
        async with open_query(f"sqlite:///{tmp_path}/s.db") as query:
            await Publisher(query, MemoryTopic(log := Log()), until_end=True).run()
            expected = {d["id"]: json.dumps(d, ensure_ascii=False, separators=(",", ":")).encode() async for d in query.documents()}
    assert log.folded() == expected


def test_a_topic_by_its_url_or_its_name():
    """Where the source is in Kafka, the topic's name alone means one of the same brokers."""
    assert topic_url("kafka://a:1/t", "events.jsonl") == "kafka://a:1/t"
    assert topic_url("statuses", "kafka://a:1,b:2/events?group=g") == "kafka://a:1,b:2/statuses"


@pytest.mark.parametrize(
    ("topic", "source"), [("statuses", "events.jsonl"), ("", "kafka://a/t"), ("a,b", "kafka://a/t"), ("http://a/t", "x")]
)
def test_what_is_no_topic(topic, source):
    """Anything else is refused."""
    with pytest.raises(UsageError):
        topic_url(topic, source)


def test_a_place_is_the_address_without_a_secret():
    """The same database for another user or password, another schema is another place."""
    one = place_of("postgresql://ann:secret@db.example/t?schema=a")
    assert one == place_of("postgresql://bob@DB.example/t?schema=a&connect_timeout=3")
    assert one != place_of("postgresql://ann:secret@db.example/t?schema=b")
    assert place_of("sqlite:///./x.db") == place_of("sqlite:///x.db")

"""Following a store's changes, and waiting for positions, over every store."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.suites.stores import STORES, store_of
from tests.unit.query_store import commit, event
from tracker.errors import StoreChanged, UsageError
from tracker.fold.event import TaskEvent
from tracker.model.records import Position
from tracker.query import Change, Impossible, Reached, TaskQuery, TimedOut
from tracker.query.tokens import to_token, to_vector
from tracker.stores.base import Advance, Commit, Counters, StatusStore

CLUSTER = "kafka:one"


@dataclass
class Opened:
    """A store that is written to, and read beside that."""

    store: StatusStore
    tasks: TaskQuery

    def commit(self, *events: TaskEvent) -> int:
        return commit(self.store, events)

    def reach(self, topic: str, next_offset: int, partition: int = 0, identity: str = CLUSTER) -> None:
        """As a worker does: claim the partition, and move it."""
        held = self.store.claim([Position(topic, partition, 0, identity)])[Position(topic, partition, 0).at]
        advance = Advance(expected=held, next=Position(topic, partition, next_offset, held.identity), counters=Counters())
        self.store.commit(Commit(advances=[advance]))

    async def all(self, since: str | None = None, filters: str | None = None) -> list[Change]:
        return [change async for change in self.tasks.changes(since, filters)]


@pytest.fixture(params=STORES)
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opened]:
    """Each store, empty. No thread that waits for commits is left at the end."""
    store, query = store_of(request, tmp_path)
    with store:
        async with query as tasks:
            yield Opened(store, tasks)
    async with asyncio.timeout(5):
        while any(thread.name == "tracker-commits" for thread in threading.enumerate()):  # noqa: ASYNC110 - threads tell nobody
            await asyncio.sleep(0.005)


def told(changes: list[Change]) -> list[tuple[str, str]]:
    """What was told of which task."""
    return [(change.id, change.kind) for change in changes]


async def test_all_that_there_is_comes_from_the_beginning(opened):
    """Without a token every task is told, by revision and id, and a deleted one as deleted."""
    opened.commit(event("b", "created"), event("a", "created"), event("gone", "deleted"))
    opened.commit(event("b", "launched"))
    assert told(await opened.all()) == [("a", "changed"), ("gone", "deleted"), ("b", "changed")]


async def test_nothing_comes_after_the_last_token(opened):
    """The last change's token stands for everything."""
    opened.commit(event("a", "created"), event("b", "created"))
    changes = await opened.all()
    assert await opened.all(changes[-1].token) == []
    assert changes[-1].token == await opened.tasks.token()


async def test_a_follower_can_go_on_from_any_token(opened):
    """Whichever change was the last that was seen, the rest comes: also in the middle of a commit."""
    for number in range(4):
        opened.commit(*(event(f"t{number}{letter}", "created") for letter in "abc"))
    changes = await opened.all()
    for seen, change in enumerate(changes, 1):
        rest = {later.id for later in await opened.all(change.token)}
        assert {later.id for later in changes[seen:]} <= rest, change


async def test_a_task_is_told_once_and_as_it_is_now(opened):
    """Changes of one task between two looks are one change."""
    opened.commit(event("a", "created"))
    since = await opened.tasks.token()
    opened.commit(event("a", "launched"))
    opened.commit(event("a", "completed", "2026-01-01T00:00:05Z", completionStatus="ERROR"))
    changes = await opened.all(since)
    assert told(changes) == [("a", "changed")]
    assert changes[0].document["completionStatus"] == "ERROR"


async def test_what_leaves_the_filter_is_told(opened):
    """With a filter a changed task that does not match is told as left, without a document."""
    opened.commit(event("a", "launched"), event("b", "launched"))
    since = await opened.tasks.token()
    opened.commit(event("a", "completed", completionStatus="SUCCESS"), event("b", "progressed", percentComplete=5), event("c", "deleted"))
    changes = await opened.all(since, "state eq RUNNING")
    assert told(changes) == [("a", "left"), ("b", "changed"), ("c", "deleted")]
    assert [change.document is None for change in changes] == [True, False, True]


async def test_from_the_beginning_nothing_leaves(opened):
    """Who begins with nothing is told only what matches, and deletions."""
    opened.commit(event("a", "launched"), event("b", "created"))
    assert told(await opened.all(None, "state eq RUNNING")) == [("a", "changed")]


async def test_another_stores_token_is_refused(opened):
    """A token names its store; so does one from after the store's last commit, as of a copy that was put back."""
    opened.commit(event("a", "created"))
    with pytest.raises(StoreChanged, match="another store"):
        await opened.all("0123456789abcdef.1")
    name, _, revision = (await opened.tasks.token()).rpartition(".")
    with pytest.raises(StoreChanged, match="older copy"):
        await opened.all(to_token(name, int(revision) + 1))


@pytest.mark.parametrize("token", ["", "1", "x", ".1", "a.-1", "a.b", "a." + "9" * 30])
async def test_what_is_no_token_is_said_so(opened, token):
    """Anything else is refused with one sentence."""
    with pytest.raises(UsageError, match="expected a change token"):
        await opened.all(token)


async def test_following_waits_for_commits(opened):
    """With follow, changes come as they are committed, each commit's tasks whole."""
    opened.commit(event("a", "created"))
    async with asyncio.timeout(10), aclosing(opened.tasks.changes(follow=True)) as changes:
        assert (await anext(changes)).id == "a"
        for number in range(5):
            opened.commit(event(f"t{number}", "created"), event(f"u{number}", "created"))
            assert [(await anext(changes)).id, (await anext(changes)).id] == [f"t{number}", f"u{number}"]


async def test_watching_begins_now(opened):
    """What was there before is not told."""
    opened.commit(event("a", "created"))
    async with asyncio.timeout(10), aclosing(opened.tasks.watch()) as changes:
        first = asyncio.ensure_future(anext(changes))
        while not any(thread.name == "tracker-commits" for thread in threading.enumerate()):  # noqa: ASYNC110 - it has begun when there is one
            await asyncio.sleep(0.005)
        opened.commit(event("b", "created"))
        assert (await first).id == "b"


async def test_followers_share_a_thread(opened):
    """However many follow, one thread waits for commits; it ends with the last of them."""
    async with asyncio.timeout(10), opened.tasks.commits() as one:
        async with opened.tasks.commits() as other:
            assert sum(thread.name == "tracker-commits" for thread in threading.enumerate()) == 1
            one.clear()
            other.clear()
            opened.commit(event("a", "created"))
            await asyncio.gather(one.wait(), other.wait())
        one.clear()
        opened.commit(event("b", "created"))
        await one.wait()


async def test_a_position_that_is_reached(opened):
    """What the store has read already is reached at once, however it is given."""
    opened.reach("t", 5)
    for positions in (Position("t", 0, 5, CLUSTER), [Position("t", 0, 4)], to_vector([Position("t", 0, 5, CLUSTER)]), []):
        ending = await opened.tasks.wait_for(positions, timeout_s=0)
        assert isinstance(ending, Reached)
        assert [position.next_offset for position in ending.freshness.positions] == [5]


async def test_a_position_that_comes(opened):
    """The wait ends when the commit is there, not at the end of its time."""
    opened.reach("t", 5)
    waiting = asyncio.create_task(opened.tasks.wait_for(Position("t", 0, 6, CLUSTER), timeout_s=30))
    while not any(thread.name == "tracker-commits" for thread in threading.enumerate()):  # noqa: ASYNC110 - it waits when there is one
        await asyncio.sleep(0.005)
    opened.reach("t", 6)
    async with asyncio.timeout(5):
        assert isinstance(await waiting, Reached)


async def test_a_position_that_does_not_come(opened):
    """A wait that times out says how far each partition is; one that nobody has begun with is waited for."""
    opened.reach("t", 5)
    ending = await opened.tasks.wait_for([Position("t", 0, 6, CLUSTER), Position("t", 1, 1, CLUSTER)], timeout_s=0.05)
    assert isinstance(ending, TimedOut)
    assert [(behind.wanted.partition, behind.stored) for behind in ending.behind] == [(0, 5), (1, None)]
    assert ending.freshness.lag_records is None
    assert ending.reason.startswith("t, partition 0: waited for offset 6, the store is at 5 (1 more partitions are behind)")


async def test_an_empty_store_is_waited_for(opened):
    """No worker has begun yet: that may come."""
    assert isinstance(await opened.tasks.wait_for(Position("t", 0, 1), timeout_s=0), TimedOut)


async def test_a_topic_that_the_store_never_reads(opened):
    """Where the store reads other topics, waiting is no use, and the answer says which."""
    opened.reach("t", 5)
    ending = await opened.tasks.wait_for(Position("u", 0, 1), timeout_s=30)
    assert isinstance(ending, Impossible)
    assert ending.reason == "the store reads t, and never u: name the store that reads it"


@pytest.mark.parametrize("partition", [0, 1])
async def test_a_topic_of_another_cluster(opened, partition):
    """Offsets of another cluster's topic of that name mean nothing here, whichever partition."""
    opened.reach("t", 5)
    ending = await opened.tasks.wait_for(Position("t", partition, 1, "kafka:two"), timeout_s=30)
    assert isinstance(ending, Impossible)
    assert "another one (kafka:one)" in ending.reason


@pytest.mark.parametrize(
    ("stored", "asked", "same"),
    [
        ("file:1:2:90-ab", "file:1:2:90-ab", True),
        ("file:1:2:40-cd", "file:1:2:90-ab", True),
        ("file:1:9:90-ab", "file:1:2:90-ab", True),
        ("file:1:9:90-cd", "file:1:2:90-ab", False),
        ("", "file:1:2:90-ab", True),
        ("file:1:2:90-ab", "", True),
    ],
)
async def test_files_are_known_again(opened, stored, asked, same):
    """A file's first line may grow, and a copy begins alike; another file under the name is another log."""
    opened.reach("/log", 5, identity=stored)
    ending = await opened.tasks.wait_for(Position("/log", 0, 5, asked), timeout_s=30)
    assert isinstance(ending, Reached if same else Impossible)


async def test_a_cancelled_wait_leaves_nothing(opened):
    """A wait can be given up at any moment."""
    waiting = asyncio.create_task(opened.tasks.wait_for(Position("t", 0, 1), timeout_s=30))
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

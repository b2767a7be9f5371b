"""The feed of a store by revision and task id, over every store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.suites.stores import STORES, store_of
from tests.unit.query_store import commit, event
from tracker.errors import StoreChanged
from tracker.model.records import Place
from tracker.publish import feed as module
from tracker.publish.feed import Feed, Page, gone
from tracker.query import TaskQuery
from tracker.query.later import BEGINNING
from tracker.stores.base import StatusStore


@dataclass
class Opened:
    """A store that is written to, and read beside that."""

    store: StatusStore
    tasks: TaskQuery

    async def feed(self, place: Place = BEGINNING, **options: int) -> Feed:
        """The store's feed from a place on."""
        name = await self.tasks.ask(lambda snapshot: snapshot.store)
        return Feed(name, place, extension=False, **options)

    async def page(self, feed: Feed) -> Page:
        """Its next page."""
        return await self.tasks.ask(feed.page)


@pytest.fixture(params=STORES)
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opened]:
    """Each store, empty."""
    store, query = store_of(request, tmp_path)
    with store:
        async with query as tasks:
            yield Opened(store, tasks)


def ids(page: Page) -> list[str]:
    """Of which tasks it tells."""
    return [record.task_id for record in page.records]


async def test_all_tasks_by_revision_and_id(opened):
    """Those of a commit by id, later commits after it; then nothing."""
    commit(opened.store, [event("b", "created"), event("ä", "created"), event("a", "created")])
    commit(opened.store, [event("b", "launched"), event("0", "created")])
    feed = await opened.feed()
    assert ids(await opened.page(feed)) == ["a", "ä", "0", "b"]
    assert (await opened.page(feed)).records == []


async def test_a_page_in_the_middle_of_a_commit(opened, monkeypatch):
    """However large a commit is, its pages are as small as others, and a new feed goes on after any record."""
    monkeypatch.setattr(module, "PAGE_RECORDS", 4)
    monkeypatch.setattr(module, "AT_ONCE", 2)
    commit(opened.store, [event(f"t{number:02}", "created") for number in range(20)])
    feed, told = await opened.feed(listed=7), list[str]()
    while (page := await opened.page(feed)).records:
        assert len(page.records) <= 4
        told += ids(page)
        later = await opened.feed(Place(page.records[-1].revision, told[-1]), listed=3)
        following = ids(await opened.page(later))
        assert following == [f"t{number:02}" for number in range(len(told), min(20, len(told) + len(following)))]
    assert told == [f"t{number:02}" for number in range(20)]


async def test_a_page_ends_by_its_bytes(opened, monkeypatch):
    """Great statuses come one by one."""
    monkeypatch.setattr(module, "PAGE_BYTES", 1)
    commit(opened.store, [event(id, "created") for id in "abc"])
    feed = await opened.feed()
    assert [ids(await opened.page(feed)) for _ in range(4)] == [["a"], ["b"], ["c"], []]


async def test_what_changes_before_its_turn(opened, monkeypatch):
    """A task that changes after it was listed is told as it is now, under the revision that it was listed with, and again in its new turn."""
    monkeypatch.setattr(module, "PAGE_RECORDS", 1)
    monkeypatch.setattr(module, "AT_ONCE", 1)
    first = commit(opened.store, [event("a", "created"), event("b", "created")])
    feed = await opened.feed()
    assert ids(await opened.page(feed)) == ["a"]
    second = commit(opened.store, [event("b", "launched")])
    pages = [(await opened.page(feed)).records for _ in range(3)]
    assert [[(record.task_id, record.revision) for record in page] for page in pages] == [[("b", first)], [("b", second)], []]
    assert pages[0][0].value == pages[1][0].value


async def test_deletions_before_the_beginning_are_not_told(opened):
    """Up to the revision that the topic is known to be clean of; later ones are tombstones."""
    before = commit(opened.store, [event("old", "deleted"), event("a", "created")])
    commit(opened.store, [event("new", "deleted")])
    page = await opened.page(await opened.feed(quiet_until=before))
    assert [(record.task_id, record.value is None) for record in page.records] == [("a", False), ("new", True)]


async def test_another_store_is_told(opened):
    """A feed is of one store, and of no older copy of it."""
    commit(opened.store, [event("a", "created")])
    with pytest.raises(StoreChanged, match="rebuilt"):
        await opened.page(Feed("another", BEGINNING, extension=False))
    with pytest.raises(StoreChanged, match="older copy"):
        await opened.page(await opened.feed(Place(2**60, "a")))


async def test_tasks_by_their_ids(opened):
    """Those that are there, deleted or not, however many are asked for."""
    commit(opened.store, [event(f"t{number}", "created") for number in range(1_200)])
    commit(opened.store, [event("t7", "deleted")])
    wanted = [f"t{number}" for number in range(0, 2_400, 2)] + ["t7", "no\0such"]
    found = await opened.tasks.ask(lambda snapshot: {row.id: row.state.deleted for row in snapshot.tasks(wanted)})
    assert found == {f"t{number}": False for number in range(0, 1_200, 2)} | {"t7": True}
    assert await opened.tasks.ask(gone(["t1", "t7", "no\0such", "t1200"])) == ["t7", "no\0such", "t1200"]

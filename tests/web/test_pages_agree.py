"""Counts, list and detail are of the revision that they state, while a writer keeps changing everything."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.unit.query_store import commit, event
from tests.web.reading_pages import Page
from tracker.fold.event import TaskEvent
from tracker.stores.open import open_store
from tracker.web.wording import BY_NAME

pytestmark = pytest.mark.slow
TASKS = 120
READS = 25
WORDS = {outcome.word: outcome.name for outcome in BY_NAME.values()}


class Writer:
    """Changes some tasks in each commit, and keeps how all tasks stood at each revision."""

    def __init__(self, url: str) -> None:
        self._url, self._random, self._numbers = url, Random(7), count()
        self._now: dict[str, str] = {}
        self._attempts: Counter[str] = Counter()
        self.history: dict[int, dict[str, str]] = {}
        self._noted = threading.Condition()

    def step(self, store: Any) -> None:
        """One commit."""
        revision = commit(store, [self._next(f"t{self._random.randrange(TASKS)}") for _ in range(10)])
        with self._noted:
            self.history[revision] = dict(self._now)
            self._noted.notify_all()

    def _next(self, id: str) -> TaskEvent:
        number = next(self._numbers)
        time = f"2026-01-01T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}Z"
        stands = self._now.get(id)
        if stands is None or (self._random.random() < 0.02 and stands != "deleted"):
            kind = "created" if stands is None else "deleted"
            self._now[id] = "PENDING" if stands is None else "deleted"
            return event(id, kind, time, id=str(number), attempt=max(1, self._attempts[id]))
        if stands in ("PENDING", "deleted") or stands != "RUNNING":
            self._attempts[id] += 1
            if stands != "deleted":
                self._now[id] = "RUNNING"
            return event(id, "launched", time, id=str(number), attempt=self._attempts[id])
        ended = self._random.choice(["SUCCESS", "WARNING", "ERROR", "TERMINATED"])
        self._now[id] = ended
        return event(id, "completed", time, id=str(number), attempt=self._attempts[id], completionStatus=ended)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """It goes on inside."""
        stop = threading.Event()

        def run() -> None:
            with open_store(self._url) as store:
                while not stop.is_set():
                    self.step(store)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    async def at(self, revision: int) -> dict[str, str]:
        """How the tasks stood, by id, without deleted ones. The writer notes a revision right after its commit."""
        assert await asyncio.to_thread(self.wait, lambda: revision in self.history), revision
        return {id: stood for id, stood in self.history[revision].items() if stood != "deleted"}

    def wait(self, until: Callable[[], bool]) -> bool:
        """Until that is so after some commit; whether it came to be."""
        with self._noted:
            return self._noted.wait_for(until, 20)


@pytest.fixture
async def busy(served: Any, tmp_path: Path) -> AsyncIterator[tuple[Any, Writer]]:
    """A client of a server whose store is written to."""
    client = await served(event("other", "deleted"))
    writer = Writer(f"sqlite:///{tmp_path}/status.db")
    with writer.writing():
        assert await asyncio.to_thread(writer.wait, lambda: len(writer.history) > 30)
        yield client, writer


def shown(page: Page) -> dict[str, str]:
    """The outcome that each row shows."""
    cells = [tag.text.strip() for tag in page.classed("c-outcome") if tag.name == "td"]
    return {id: WORDS[cell] for id, cell in zip(page.rows, cells, strict=True)}


async def test_list_and_counts_are_of_one_revision(busy: tuple[Any, Writer]) -> None:
    """Each row, each chip and the total are as the tasks stood at the revision that the page states."""
    client, writer = busy
    revisions = set()
    for _ in range(READS):
        page = Page((await client.get("/?limit=250")).text)
        stood = await writer.at(page.revision)
        assert shown(page) == stood
        assert {name: number for name, number in page.counts.items() if number} == Counter(stood.values())
        assert page.total == len(stood)
        revisions.add(page.revision)
    assert len(revisions) > READS // 2


async def test_a_filtered_list_and_its_total_are_of_one_revision(busy: tuple[Any, Writer]) -> None:
    """The chip that is on, the total and the rows say the same."""
    client, writer = busy
    for _ in range(READS):
        page = Page((await client.get('/?limit=250&filters=completionStatus eq "ERROR"')).text)
        failed = {id for id, stood in (await writer.at(page.revision)).items() if stood == "ERROR"}
        assert set(page.rows) == failed
        assert page.total == page.counts["ERROR"] == len(failed)


async def test_what_brings_a_page_up_to_date_is_of_one_revision(busy: tuple[Any, Writer]) -> None:
    """Rows by their ids, wherever they would stand by now, and the counts with them; what is deleted is said to be."""
    client, writer = busy
    ids = [f"t{number}" for number in range(0, TASKS, 3)]
    for _ in range(READS):
        page = Page((await client.get("/", params={"part": "live", "id": ids})).text)
        stood = await writer.at(page.revision)
        living = [tag.attributes["data-id"] for tag in page.all("tr") if "data-row-revision" in tag.attributes]
        assert living == [id for id in ids if id in stood]
        cells = [tag.text.strip() for tag in page.classed("c-outcome") if tag.name == "td" and tag.text.strip()]
        assert [WORDS[cell] for cell in cells] == [stood[id] for id in living]
        assert {name: number for name, number in page.counts.items() if number} == Counter(stood.values())


async def test_a_task_is_of_the_revision_that_it_states(busy: tuple[Any, Writer]) -> None:
    """So list and detail of one revision agree; facets and histogram state theirs too."""
    client, writer = busy
    for number in range(READS):
        id = f"t{number}"
        answer = await client.get("/task", params={"id": id})
        if answer.status_code == 404:
            continue
        page = Page(answer.text)
        [said] = [tag.text for tag in page.classed("outcome")][:1]
        assert WORDS[said.strip()] == (await writer.at(page.revision))[id]


async def test_facets_are_of_the_revision_that_they_state(busy: tuple[Any, Writer]) -> None:
    """Their counts add up to the tasks that there were then, and so do the bars to those that had ended."""
    client, writer = busy
    for _ in range(5):
        page = Page((await client.get("/?part=panels")).text)
        [said] = {int(tag.text.rpartition("revision ")[2].replace(",", "")) for tag in page.classed("hint") if "revision" in tag.text}
        stood = await writer.at(said)
        assert sum(int(tag.text) for tag in page.classed("count")) == 2 * len(stood)  # by type and by launcher, which are of one value each
        bars = [tag.attributes["aria-label"] for tag in page.all("a") if "data-start" in tag.attributes]
        told = sum(int(part.split()[0]) for bar in bars for part in bar.rpartition(": ")[2].split(", ") if part != "none")
        assert told == sum(each not in ("PENDING", "RUNNING") for each in stood.values())

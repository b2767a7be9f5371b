"""A SQLite store that a projector in another process keeps writing to, walked over page by page, and what a walk must have given.

Tasks are of four sorts. Quiet ones are never written to again; busy ones get on, end and are launched again, so that what they are
sorted and found by changes; both exist throughout. Others come and go meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
from collections import Counter
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any

from tests.crash.workers import until
from tracker.model.records import Record, TopicPartition
from tracker.projector import Options, Projector
from tracker.query import TaskQuery
from tracker.sources.memory import MemorySource, Script
from tracker.stores.open import open_store
from tracker.stores.sql import SqlStore

TOPIC = "events"
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
LAUNCHERS = ("sweep", "spadmin", "scheduler")
FEED_EVERY_S = 0.02
FIXED = ("id", "-id", "created", "-created", "launcher,-id")
"""Orders by what no event of the load changes: a walk gives every task that existed throughout once."""
MOVING = ("modified", "-modified", "launched")
"""Orders in which a task may move while a walk is on its way: those that do not move are given once."""


def quiet(number: int) -> str:
    """The id of a task that is never written to again."""
    return f"{number * 7919 % 100_003:06}-quiet"


def busy(number: int) -> str:
    """The id of a task that gets most of the events."""
    return f"{number * 7919 % 100_003:06}-busy"


def _event(task: str, kind: str, number: int, data: dict[str, Any] | None = None) -> Record:
    """Event ``number`` of the log, a millisecond after the one before."""
    document = {
        "specversion": "1.0",
        "id": str(number),
        "source": "/load",
        "type": f"io.tracker.task.{kind}",
        "subject": task,
        "time": (BEGINNING + timedelta(milliseconds=number)).isoformat(),
        "data": data or {},
    }
    return Record(TOPIC, 0, number, json.dumps(document).encode())


def beginning(tasks: int) -> Iterator[Record]:
    """As many quiet tasks as busy ones, ``tasks`` in all: created, and launched but for every tenth."""
    numbers = count()
    for number in range(tasks):
        id = quiet(number) if number % 2 else busy(number)
        yield _event(id, "created", next(numbers), {"launcher": LAUNCHERS[number % 3], "attributes": {"region": "eu"}})
        if number % 10:
            yield _event(id, "launched", next(numbers))


def load(tasks: int, first_number: int) -> Iterator[Record]:
    """The events that follow, without end: of ten seven are of busy tasks, two create others and one deletes such a one."""
    rng = Random(1)
    others: list[str] = []
    for number in count(first_number):
        kind = rng.random()
        if kind < 0.7 or (kind >= 0.9 and not others):
            id = busy(2 * rng.randrange(tasks // 2))
            if rng.random() < 0.6:
                yield _event(id, "progressed", number, {"percentComplete": rng.randrange(100)})
            elif rng.random() < 0.5:
                yield _event(id, "completed", number, {"completionStatus": "TEMPERROR"})
            else:
                yield _event(id, "launched", number)
        elif kind < 0.9:
            others.append(f"{rng.randrange(100_003):06}-other-{number}")
            yield _event(others[-1], "created", number, {"launcher": rng.choice(LAUNCHERS)})
        else:
            yield _event(others.pop(rng.randrange(len(others))), "deleted", number)


async def _project(store_url: str, tasks: int, events_per_s: int, committed: Any, stop: Any) -> None:
    """A projector over a script that grows at this rate until the stop; ``committed`` says how many events of it are in the store."""
    first = list(beginning(tasks))
    script = Script(first)
    events = load(tasks, len(first))
    begun = asyncio.Event()

    def told(progress: Any) -> None:
        committed.value = progress.counters.read - len(first)
        if committed.value == 0:
            begun.set()

    async def feed() -> None:
        await begun.wait()
        given, started = 0, perf_counter()
        while True:
            due = int((perf_counter() - started) * events_per_s)
            script.append(*(next(events) for _ in range(due - given)))
            given = due
            await asyncio.sleep(FEED_EVERY_S)

    async def watch() -> None:
        await asyncio.to_thread(stop.wait)
        projector.stop()

    with open_store(store_url) as store:
        options = Options(max_batch_records=2_000)
        at = TopicPartition(TOPIC, 0)
        projector = Projector(
            lambda revoked: MemorySource(script, on_revoked=revoked, partitions=[at]), store, options=options, on_progress=told
        )
        feeding, watching = asyncio.create_task(feed()), asyncio.create_task(watch())
        await projector.run()
        feeding.cancel()
        with suppress(asyncio.CancelledError):
            await feeding
        await watching


def _run(*arguments: Any) -> None:
    asyncio.run(_project(*arguments))


@dataclass
class Writer:
    """The projector's process, as its readers see it."""

    committed: Any

    @property
    def events(self) -> int:
        """Events of the load that are in the store."""
        return int(self.committed.value)


@contextmanager
def written(path: Path, tasks: int, events_per_s: int) -> Iterator[Writer]:
    """A new store with so many tasks, to which a projector writes so many events a second until the end of the block."""
    SqlStore(str(path)).__exit__(None, None, None)
    context = multiprocessing.get_context("spawn")
    committed, stop = context.Value("q", -1), context.Event()
    worker = context.Process(target=_run, args=(f"sqlite:///{path}", tasks, events_per_s, committed, stop))
    worker.start()
    try:
        until(lambda: committed.value > 0 or not worker.is_alive(), "the first events of the load to be committed")
        assert worker.is_alive(), f"the projector has not begun: {worker.exitcode}"
        yield Writer(committed)
        assert worker.is_alive(), "the projector has ended by itself"
        stop.set()
        worker.join(30)
        assert worker.exitcode == 0, f"the projector has ended with {worker.exitcode}"
    finally:
        if worker.is_alive():
            worker.kill()
        worker.join()


@dataclass
class Walks:
    """Walks over a store with so many quiet and busy tasks; each raises AssertionError where a task is missing or comes twice."""

    tasks: TaskQuery
    count: int
    limit: int = 250
    pages: int = 0
    """Of all walks so far."""
    done: int = 0
    """Walks and streams that came to their end."""
    moved: Counter[str] = field(default_factory=Counter)
    """By order: how many busy tasks were passed over or came twice, where an order by what changes allows it."""

    def __post_init__(self) -> None:
        self._quiet = {quiet(number) for number in range(1, self.count, 2)}
        self._throughout = self._quiet | {busy(number) for number in range(0, self.count, 2)}

    async def by_pages(self, sorters: str, filters: str | None = None) -> list[str]:
        """The ids of all pages in order."""
        given: list[str] = []
        cursor = None
        while True:
            page = await self.tasks.documents_page(filters, sorters, self.limit, cursor)
            self.pages += 1
            given += [document["id"] for document in page.items]
            if page.next is None:
                self.done += 1
                return given
            cursor = page.next

    async def fixed(self, sorters: str) -> None:
        """A walk by what does not change: all that existed throughout is there, and no task at all is there twice."""
        self._each_once(await self.by_pages(sorters), self._throughout, sorters)

    async def moving(self, sorters: str) -> None:
        """A walk by what changes: what did not change is there once. Forward in time nothing is missing, backward nothing comes twice."""
        given = Counter(await self.by_pages(sorters))
        quiet_only = [id for id, times in given.items() for _ in range(times) if id in self._quiet]
        self._each_once(quiet_only, self._quiet, sorters)
        missing = self._throughout - given.keys()
        twice = {id for id, times in given.items() if times > 1}
        if sorters == "modified":
            assert not missing, f"by {sorters}: {len(missing)} tasks are missing: {sorted(missing)[:3]}"
        if sorters == "-modified":
            assert not twice, f"by {sorters}: {len(twice)} tasks come twice: {sorted(twice)[:3]}"
        self.moved[sorters] += len(missing) + len(twice)

    async def found(self) -> None:
        """A filter that some tasks come under and leave meanwhile: of those that do not change, the ones that match are there once."""
        given = [id for id in await self.by_pages("id", 'state eq "RUNNING"') if id in self._quiet]
        self._each_once(given, {quiet(number) for number in range(1, self.count, 2) if number % 10}, "id, running")

    async def streamed(self, sorters: str | None) -> None:
        """A stream is of one moment: whatever the order, all that existed throughout is there once, and nothing twice."""
        given = [document["id"] async for document in self.tasks.documents(None, sorters)]
        self.done += 1
        self._each_once(given, self._throughout, f"stream by {sorters}")

    def each(self) -> Iterator[Awaitable[None]]:
        """One walk of each kind."""
        yield from map(self.fixed, FIXED)
        yield from map(self.moving, MOVING)
        yield self.found()
        yield from map(self.streamed, (None, "-modified"))

    @staticmethod
    def _each_once(given: list[str], wanted: set[str], what: str) -> None:
        twice = [id for id, times in Counter(given).items() if times > 1]
        missing = wanted - set(given)
        assert not twice, f"by {what}: {len(twice)} tasks come twice: {sorted(twice)[:3]}"
        assert not missing, f"by {what}: {len(missing)} tasks are missing: {sorted(missing)[:3]}"

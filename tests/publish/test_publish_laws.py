"""The law of publishing: whatever happened on the way, a topic that has been published to its end is the store, key by key, byte by byte."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.publish.memory_topic import SEAMS, Killed, Log, MemoryTopic, Trouble
from tests.unit.query_store import commit, event
from tracker.publish import feed, publisher
from tracker.publish.publisher import Publisher
from tracker.query import TaskQuery
from tracker.stores.memory import MemoryStore

PLACE = "where the store is"
ALL_SEAMS = (*SEAMS, "opened", "swept", "read", "written")
KINDS = ("created", "launched", "progressed", "deleted", "created")


@dataclass
class World:
    """A store that changes, a topic, and what is done to both."""

    rng: Random
    store: MemoryStore = field(default_factory=MemoryStore)
    log: Log = field(default_factory=Log)
    copies: list[tuple[dict, int, str]] = field(default_factory=list)
    clock: int = 0

    def change(self) -> None:
        """One commit: some tasks, or very many for a page."""
        tasks = self.rng.sample(range(30), self.rng.choice([1, 2, 5, 25]))
        self.clock += 1
        time = f"2026-01-01T{self.clock // 3600:02}:{self.clock // 60 % 60:02}:{self.clock % 60:02}Z"
        commit(self.store, [event(f"task-{number}", self.rng.choice(KINDS), time) for number in tasks])

    def keep(self) -> None:
        """A copy of the store, to be put back later."""
        self.copies.append((dict(self.store.tasks), self.store._revision, self.store.name))

    def put_back(self) -> None:
        """An older copy in the place of the store, which the publisher finds before it has grown to what was published: later nobody could tell."""
        if self.copies:
            tasks, revision, name = self.copies[-1]
            if revision < max((record.revision for part in self.log.partitions for _, record in part), default=0):
                self.store.tasks, self.store._revision, self.store.name = dict(tasks), revision, name
                self.finish()

    def rebuild(self) -> None:
        """Another content under another name, without some of the tasks."""
        kept = {id: held for id, held in self.store.tasks.items() if self.rng.random() < 0.6}
        self.store._revision += 1
        self.store.tasks = {id: (write, self.store._revision) for id, (write, _) in kept.items()}
        self.store.name = f"rebuilt-{self.clock}-{self.rng.random()}"
        self.copies.clear()

    def publish(self, *, again: bool = False) -> None:
        """A run to the end that a trouble ends early, perhaps."""
        asyncio.run(
            self._publish(Trouble(self.rng.choice(ALL_SEAMS), self.rng.choice([1, 1, 2, 3, 7]), self.rng.random() < 0.3), again=again)
        )

    async def _publish(self, trouble: Callable[[str], None], *, again: bool = False, meanwhile: bool = True) -> None:
        def seam(name: str) -> None:
            if meanwhile and self.rng.random() < 0.1:
                self.change()
            trouble(name)

        async with TaskQuery.over(self.store) as query:
            topic = MemoryTopic(self.log, seam)
            run = Publisher(query, topic, place=PLACE, again=again, until_end=True, seam=seam, listed=7)
            try:
                async with asyncio.timeout(20):
                    await run.run()
            except Killed:
                pass

    def finish(self) -> None:
        """A run that nothing disturbs."""
        asyncio.run(self._publish(lambda _: None, meanwhile=False))

    def statuses(self) -> dict[str, bytes]:
        """The store, as ``tracker export`` writes it."""

        async def read() -> dict[str, bytes]:
            async with TaskQuery.over(self.store) as query:
                return {d["id"]: json.dumps(d, ensure_ascii=False, separators=(",", ":")).encode() async for d in query.documents()}

        return asyncio.run(read())


DEEDS = ("change", "change", "publish", "publish", "again", "compact", "keep", "put_back", "rebuild", "finish")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(DEEDS), min_size=3, max_size=14), st.randoms(use_true_random=False))
def test_the_topic_becomes_the_store(monkeypatch, deeds, rng):
    """Commits, kills at every seam, a broker that is away, compaction, a rebuild, an older copy put back, everything published again: after
    one undisturbed run the topic, folded by key, is the store.
    """
    monkeypatch.setattr(feed, "PAGE_RECORDS", 4)
    monkeypatch.setattr(feed, "AT_ONCE", 3)
    monkeypatch.setattr(publisher, "FIRST_DELAY_S", 0.0)
    monkeypatch.setattr(publisher, "CONFIRM_S", 0.0)
    world = World(Random(rng.getrandbits(64)))
    for deed in deeds:
        match deed:
            case "again":
                world.publish(again=True)
            case "compact":
                world.log.compact(world.rng.choice([1, 2, 5]))
            case _:
                getattr(world, deed)()
    world.finish()
    assert world.log.folded() == world.statuses()

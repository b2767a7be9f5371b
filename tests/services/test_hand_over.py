"""Partitions change hands: how long nobody commits, and that a static member's restart costs the others nothing."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.crash.crash_log import Outcome, produce_all
from tracker.model.records import TopicPartition
from tracker.projector import Options, Progress, Projector
from tracker.sources.base import OnRevoked
from tracker.sources.kafka import KafkaSource
from tracker.stores.sql import SqlStore

from .kafka import Broker
from .reading import DEADLINE_S, MakeTopic
from .road import KEPT, is_exact, settled, spread, until_shared, wait_for

PARTITIONS = 4
WITHIN_S = 3.0
"""Measured 0.02 to 0.6 s on an idle machine; a loaded one gets some room."""

pytestmark = pytest.mark.timeout(180)


@dataclass
class Worker:
    """A projector with the product's own times, and when it gave up partitions and committed each of them."""

    name: str
    projector: Projector
    revoked_at: list[float] = field(default_factory=list)
    committed: list[tuple[float, frozenset[TopicPartition]]] = field(default_factory=list)

    def first_commit(self, after: float) -> float | None:
        """When it committed for the first time after a moment."""
        return next((at for at, _ in self.committed if at > after), None)


@asynccontextmanager
async def working(broker: Broker, topic: str, store: Path, name: str, *, static: bool = False) -> AsyncIterator[Worker]:
    """A worker in this process; stopped in order."""

    def make_source(on_revoked: OnRevoked) -> KafkaSource:
        async def told(partitions: frozenset[TopicPartition]) -> None:
            worker.revoked_at.append(time.perf_counter())
            await on_revoked(partitions)

        return KafkaSource(f"kafka://{broker.bootstrap}/{topic}?group={topic}", on_revoked=told, instance=name if static else None)

    def on_progress(progress: Progress) -> None:
        worker.committed.append((time.perf_counter(), frozenset(progress.positions)))

    with SqlStore(str(store)) as opened:
        options = Options(max_parked_ratio=0, max_batch_records=200)
        worker = Worker(name, Projector(make_source, opened, options=options, on_progress=on_progress, worker=name))
        running = asyncio.create_task(worker.projector.run())
        try:
            yield worker
        finally:
            worker.projector.stop()
            async with asyncio.timeout(DEADLINE_S):
                await running


@asynccontextmanager
async def producing(broker: Broker, topic: str, outcome: Outcome) -> AsyncIterator[None]:
    """A few records in every partition, over and over."""
    stop = asyncio.Event()

    async def write() -> None:
        number = 0
        while not stop.is_set():
            log = spread(topic, 20, first_task=number)
            for record in log:
                outcome.add(record)
            await produce_all(broker.bootstrap, log)
            number += 20
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 0.02)

    writing = asyncio.create_task(write())
    try:
        yield
    finally:
        stop.set()
        await writing


async def test_a_join_costs_milliseconds(kafka: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    """From the old owner's revocation to the new owner's first commit; exact in the end, and the store says who holds what."""
    name, store = await topic(partitions=PARTITIONS, config=KEPT), tmp_path / "status.db"
    with Outcome(tmp_path) as outcome:
        async with producing(kafka, name, outcome), working(kafka, name, store, "old") as old:
            await wait_for(lambda: bool(old.committed), "the first commit")
            old.revoked_at.clear()
            async with working(kafka, name, store, "new") as new:
                await wait_for(lambda: bool(new.committed) and bool(old.revoked_at), "the new owner's first commit")
                revoked = old.revoked_at[0]
                joined_s = new.committed[0][0] - revoked
                await wait_for(lambda: old.first_commit(revoked + 0.001) is not None, "the old owner's next commit")
                await until_shared(kafka, name)
                with SqlStore(str(store)) as reader:
                    holders = sorted(str(each.worker) for each in reader.partitions())
            left = time.perf_counter()
            await wait_for(lambda: (old.first_commit(left) or 0) > 0 and len(old.committed[-1][1]) == PARTITIONS, "the taking back")
            back_s = old.committed[-1][0] - left
        async with working(kafka, name, store, "last"):
            await settled(store, outcome)
        assert await is_exact(kafka, name, store, outcome)

    print(
        f"\nrevoked to the new owner's first commit: {joined_s * 1000:.0f} ms; the leaver's end to the stayer's commit: {back_s * 1000:.0f} ms"
    )
    assert joined_s < WITHIN_S
    assert back_s < WITHIN_S
    assert holders == ["new", "new", "old", "old"]


async def test_a_static_member_that_comes_back_costs_the_others_nothing(kafka: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    """A deploy: one worker ends and starts again under its name. The other is not asked for its partitions, and goes on committing."""
    name, store = await topic(partitions=PARTITIONS, config=KEPT), tmp_path / "status.db"
    with Outcome(tmp_path) as outcome:
        async with producing(kafka, name, outcome), working(kafka, name, store, "stays", static=True) as stays:
            async with working(kafka, name, store, "deployed", static=True):
                await until_shared(kafka, name)
            stays.revoked_at.clear()
            ended = time.perf_counter()
            async with working(kafka, name, store, "deployed", static=True) as deployed:
                await wait_for(lambda: bool(deployed.committed), "the first commit after the restart")
                away_s = deployed.committed[0][0] - ended
        async with working(kafka, name, store, "last"):
            await settled(store, outcome)
        assert await is_exact(kafka, name, store, outcome)

    print(f"\na static member was away for {away_s * 1000:.0f} ms")
    assert stays.revoked_at == []
    assert away_s < WITHIN_S

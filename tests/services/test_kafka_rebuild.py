"""A store rebuilt from a real topic, and verified against it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from aiokafka.admin import RecordsToDelete
from aiokafka.structs import TopicPartition as KafkaPartition

from tests.crash.crash_log import Outcome, produce_all, produce_crash_log
from tests.naive.workload import task_id
from tests.rebuild.logs import NOW, hash_of, plant, url
from tracker.rebuild import folding
from tracker.rebuild.logs import Logs
from tracker.rebuild.run import Order, Rebuild
from tracker.rebuild.verifying import Verified, verify_all, verify_some
from tracker.stores.open import open_contents, open_shadow

from .conftest import MakeTopic
from .kafka import AIOKafkaAdminClientClosing, Broker
from .road import KEPT, expecting, is_exact, settled, spread, track, tracking

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]


def logs(kafka: Broker, topic: str, query: str = "") -> Logs:
    """The topic, as a worker names it."""
    return Logs(source=f"kafka://{kafka.bootstrap}/{topic}{query}")


def rebuilding(store: Path, log: Logs, seam: Callable[[str], None] = lambda _: None, **order: object) -> Rebuild:
    """A run of it."""
    return Rebuild(open_shadow(url(store)), Order(logs=log, **order), lambda: NOW, seam=seam)  # type: ignore[arg-type]


@pytest.mark.parametrize("records_per_s", [0.0, 1e9], ids=["as fast as it goes", "in one process"])
async def test_beside_a_worker_of_a_group(
    kafka: Broker, topic: MakeTopic, tmp_path: Path, records_per_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a worker follows the topic and more comes, the content is exchanged; in the end all is the naive fold, and the sums are exact."""
    monkeypatch.setattr(folding, "PARALLEL_FROM_RECORDS", 0)
    monkeypatch.setattr(folding, "STRETCH_RECORDS", 500)
    name, store = await topic(partitions=4, config=KEPT), tmp_path / "status.db"
    with Outcome(tmp_path) as outcome:
        await produce_crash_log(kafka.bootstrap, name, 4_000, outcome)
        async with tracking(kafka, name, store, "?group=workers") as running:
            await settled(store, outcome, running)
            plant(store, task_id(3))
            more = expecting(outcome, spread(name, 100, first_task=50_000))
            producing = asyncio.create_task(produce_all(kafka.bootstrap, more))
            seams: list[str] = []
            log = logs(kafka, name, "?group=workers")
            done = await rebuilding(store, log, seams.append, accept=True, records_per_s=records_per_s).run()
            await producing
            await settled(store, outcome, running)
        assert done.note.state == "swapped"
        assert (seams.count("a stretch is folded") > 4) == (not records_per_s)
        assert task_id(3) in [pair.id for pair in done.pairs]
        assert await is_exact(kafka, name, store, outcome)


async def test_a_topic_that_was_cut(kafka: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    """What retention took is in the store alone: verify tells it apart from what is wrong, and a rebuild asks before it gives it up."""
    name, store = await topic(partitions=2, config=KEPT), tmp_path / "status.db"
    await produce_all(kafka.bootstrap, spread(name, 200, partitions=2))
    await track(kafka, name, store)
    before = hash_of(store)
    async with AIOKafkaAdminClientClosing(kafka.bootstrap) as admin:
        await admin.delete_records({KafkaPartition(name, 0): RecordsToDelete(100)})

    async def checked() -> list[Verified]:
        some = await verify_some(lambda: open_contents(url(store)), logs(kafka, name), 1_000, Random(1))
        return [some, await verify_all(lambda: open_contents(url(store)), logs(kafka, name))]

    for found in await checked():
        assert (found.different, found.whole, found.covered > 0) == (0, False, True)
    plant(store, task_id(150), "A word that is less than what the event said")
    assert [[pair.id for pair in found.pairs] for found in await checked()] == [[task_id(150)]] * 2
    done = await rebuilding(store, logs(kafka, name)).run()
    assert done.note.state == "different"
    assert hash_of(store) != before


async def test_a_lost_position(kafka: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    """A store that stood still too long is rebuilt from what there is, and its worker goes on there."""
    name, store = await topic(partitions=2, config=KEPT), tmp_path / "status.db"
    await produce_all(kafka.bootstrap, spread(name, 50, partitions=2))
    await track(kafka, name, store)
    await produce_all(kafka.bootstrap, spread(name, 50, first_task=50, partitions=2))
    async with AIOKafkaAdminClientClosing(kafka.bootstrap) as admin:
        await admin.delete_records({KafkaPartition(name, partition): RecordsToDelete(-1) for partition in (0, 1)})
    await produce_all(kafka.bootstrap, spread(name, 50, first_task=100, partitions=2))
    done = await rebuilding(store, logs(kafka, name), accept=True).run()
    assert (done.note.state, done.note.different) == ("swapped", 100)
    assert (await track(kafka, name, store)).counters.read == 0
    with open_contents(url(store)) as contents:
        assert [holding.id for holding in contents.holdings()] == [task_id(number) for number in range(100, 150)]

"""Two workers in one group into one SQLite file, every task spread over all partitions: exact, also where both believe they own one."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.errors import GroupCoordinatorNotAvailableError

from tests.crash.crash_log import TIMESTAMP_MS, Outcome, produce_all
from tests.crash.outcome import differences, records_read
from tests.crash.workers import Worker, until
from tests.naive.workload import lines
from tracker.model.records import Record

from .kafka import AIOKafkaAdminClientClosing, Broker
from .reading import DEADLINE_S, MakeTopic

PARTITIONS = 4
TASKS = 2_000
SETTLED_S = 90.0

pytestmark = pytest.mark.timeout(240)


def unkeyed(topic: str, first_task: int, tasks: int = TASKS) -> list[Record]:
    """A workload without keys: each event of a task stands in a partition of its own chance."""
    rng = Random(first_task)
    return [Record(topic, rng.randrange(PARTITIONS), 0, line, None, (), TIMESTAMP_MS) for line in lines(tasks, 8, first_task=first_task)]


async def held_by(broker: Broker, group: str) -> list[set[int]]:
    """The partitions of each member of a stable group; none while it rebalances."""
    async with AIOKafkaAdminClientClosing(broker.bootstrap) as admin:
        try:
            answers: list[Any] = await admin.describe_consumer_groups([group])
        except GroupCoordinatorNotAvailableError:  # a broker's first group
            return []
        (described,) = answers[0].to_object()["groups"]
        if described["state"] != "Stable":
            return []
        assignments = [ConsumerProtocol.ASSIGNMENT.decode(member["member_assignment"]) for member in described["members"]]
        return [{number for _, number in assignment.partitions()} for assignment in assignments]


async def until_shared(broker: Broker, group: str) -> None:
    """Both workers hold two partitions each."""
    async with asyncio.timeout(DEADLINE_S):
        while sorted(map(len, await held_by(broker, group))) != [2, 2]:
            await asyncio.sleep(0.1)


async def settled(store: Path, outcome: Outcome) -> None:
    """All records are in the store."""
    await asyncio.to_thread(until, lambda: records_read(store) >= outcome.total, f"{outcome.total} records", SETTLED_S)


def ended(*workers: Worker) -> list[int]:
    """Stops workers in good order; how many records each has read."""
    for worker in workers:
        worker.process.send_signal(signal.SIGTERM)
    assert [worker.wait() for worker in workers] == [0] * len(workers), "\n".join(worker.log for worker in workers)
    return [orjson.loads(worker.printed())["read"] for worker in workers]


def added(outcome: Outcome, log: Iterable[Record]) -> list[Record]:
    """The records, counted as expected."""
    found = list(log)
    for record in found:
        outcome.add(record)
    return found


@pytest.fixture
def outcome(tmp_path: Path) -> Iterator[Outcome]:
    """What must come of the records that are added."""
    with Outcome(tmp_path) as found:
        yield found


async def test_two_workers_share_every_task(kafka: Broker, topic: MakeTopic, tmp_path: Path, outcome: Outcome) -> None:
    """No commit undoes the other's: the documents are the naive fold's, each record was counted once, and both have worked."""
    name, store = await topic(partitions=PARTITIONS, config={"retention.ms": "-1"}), tmp_path / "status.db"
    source = f"kafka://{kafka.bootstrap}/{name}?group={name}"
    with Worker(source, store, name="a") as a, Worker(source, store, name="b") as b:
        await until_shared(kafka, name)
        await produce_all(kafka.bootstrap, added(outcome, unkeyed(name, 0)))
        await settled(store, outcome)
        read = ended(a, b)

    assert await asyncio.to_thread(differences, store, outcome, outcome.documents()) == []
    assert sum(read) == outcome.total
    assert min(read) > outcome.total / 4


async def test_a_stopped_worker_that_wakes_is_refused(kafka: Broker, topic: MakeTopic, tmp_path: Path, outcome: Outcome) -> None:
    """SIGSTOP just before a commit, a rebalance, SIGCONT: the commit is a PositionConflict, both go on with what they are given, exactly."""
    name, store = await topic(partitions=PARTITIONS, config={"retention.ms": "-1"}), tmp_path / "status.db"
    source = f"kafka://{kafka.bootstrap}/{name}?group={name}"
    sleepy = ("--seam", "before commit", "--passing", "4", "--signal", "SIGSTOP")
    with Worker(source, store, *sleepy, name="sleeper") as sleeper, Worker(source, store, name="waker") as waker:
        await until_shared(kafka, name)
        await produce_all(kafka.bootstrap, added(outcome, unkeyed(name, 0)))
        await asyncio.to_thread(until, lambda: sleeper.is_stopped, "the sleeper's stop in mid-batch")
        await settled(store, outcome)  # the other has taken over what the sleeper has in hand
        held = await held_by(kafka, name)
        sleeper.process.send_signal(signal.SIGCONT)
        await asyncio.to_thread(until, lambda: "no longer at offset" in sleeper.log, "the sleeper's conflict")
        await until_shared(kafka, name)
        before = outcome.total
        await produce_all(kafka.bootstrap, added(outcome, unkeyed(name, TASKS)))
        await settled(store, outcome)
        read = ended(sleeper, waker)

    assert held == [set(range(PARTITIONS))]
    assert await asyncio.to_thread(differences, store, outcome, outcome.documents()) == []
    assert sum(read) == outcome.total
    assert read[0] > (outcome.total - before) / 4  # far more than the three batches before its stop
    assert "no longer at offset" not in waker.log

"""Two workers in one group into one SQLite file, every task spread over all partitions: exact, also where both believe they own one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.crash.crash_log import Outcome, produce_all
from tests.crash.workers import Worker

from .kafka import Broker
from .reading import MakeTopic
from .road import KEPT, expecting, held_by, is_exact, settled, spread, until_shared, wait_for

TASKS = 2_000

pytestmark = pytest.mark.timeout(240)


def ended(*workers: Worker) -> list[int]:
    """Stops workers in good order; how many records each has read."""
    for worker in workers:
        worker.process.send_signal(signal.SIGTERM)
    assert [worker.wait() for worker in workers] == [0] * len(workers), "\n".join(worker.log for worker in workers)
    return [orjson.loads(worker.printed())["read"] for worker in workers]


@pytest.fixture
def outcome(tmp_path: Path) -> Iterator[Outcome]:
    """What must come of the records that are added."""
    with Outcome(tmp_path) as found:
        yield found


async def test_two_workers_share_every_task(kafka: Broker, topic: MakeTopic, tmp_path: Path, outcome: Outcome) -> None:
    """No commit undoes the other's: the documents are the naive fold's, each record was counted once, and both have worked."""
    name, store = await topic(partitions=4, config=KEPT), tmp_path / "status.db"
    source = f"kafka://{kafka.bootstrap}/{name}?group={name}"
    with Worker(source, store, name="a") as a, Worker(source, store, name="b") as b:
        await until_shared(kafka, name)
        await produce_all(kafka.bootstrap, expecting(outcome, spread(name, TASKS)))
        await settled(store, outcome)
        read = ended(a, b)

    assert await is_exact(kafka, name, store, outcome)
    assert sum(read) == outcome.total
    assert min(read) > outcome.total / 4


async def test_a_stopped_worker_that_wakes_is_refused(kafka: Broker, topic: MakeTopic, tmp_path: Path, outcome: Outcome) -> None:
    """SIGSTOP just before a commit, a rebalance, SIGCONT: the commit is a PositionConflict, both go on with what they are given, exactly."""
    name, store = await topic(partitions=4, config=KEPT), tmp_path / "status.db"
    source = f"kafka://{kafka.bootstrap}/{name}?group={name}"
    sleepy = ("--seam", "before commit", "--passing", "4", "--signal", "SIGSTOP")
    with Worker(source, store, *sleepy, name="sleeper") as sleeper, Worker(source, store, name="waker") as waker:
        await until_shared(kafka, name)
        await produce_all(kafka.bootstrap, expecting(outcome, spread(name, TASKS)))
        await wait_for(lambda: sleeper.is_stopped, "the sleeper's stop in mid-batch")
        await settled(store, outcome)  # the other has taken over what the sleeper has in hand
        held = await held_by(kafka, name)
        sleeper.process.send_signal(signal.SIGCONT)
        await wait_for(lambda: "no longer at offset" in sleeper.log, "the sleeper's conflict")
        await until_shared(kafka, name)
        before = outcome.total
        await produce_all(kafka.bootstrap, expecting(outcome, spread(name, TASKS, first_task=TASKS)))
        await settled(store, outcome)
        read = ended(sleeper, waker)

    assert held == [{0, 1, 2, 3}]
    assert await is_exact(kafka, name, store, outcome)
    assert sum(read) == outcome.total
    assert read[0] > (outcome.total - before) / 4  # far more than the three batches before its stop
    assert "no longer at offset" not in waker.log

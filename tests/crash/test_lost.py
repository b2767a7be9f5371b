"""Records that are gone before they were read, and a topic that was made anew: the policy decides, and what it says was read is folded exactly."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin import NewTopic, RecordsToDelete

from tests.crash.scene import ends_of, fleet, log_of, produce, read_all, stored, tend_until, wrong
from tests.services.kafka import AIOKafkaAdminClientClosing, Broker
from tracker.model.records import Record, TopicPartition

PARTITIONS = 4

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]


async def make(broker: Broker, topic: str) -> None:
    """A topic that keeps its records; a deletion of one of that name is waited for."""
    async with AIOKafkaAdminClientClosing(broker.bootstrap) as admin, asyncio.timeout(30):
        while True:
            answer = await admin.create_topics([NewTopic(topic, PARTITIONS, 1, topic_configs={"retention.ms": "-1"})])
            if all(error[1] == 0 for error in answer.topic_errors):
                return
            await asyncio.sleep(0.2)


async def drop(broker: Broker, topic: str) -> None:
    """The topic and all that is in it."""
    async with AIOKafkaAdminClientClosing(broker.bootstrap) as admin:
        await admin.delete_topics([topic])


async def overrun(broker: Broker, topic: str, before: dict[int, int]) -> None:
    """What retention does: records before these offsets are gone."""
    async with AIOKafkaAdminClientClosing(broker.bootstrap) as admin:
        await admin.delete_records(
            {KafkaPartition(topic, number): RecordsToDelete(before_offset=offset) for number, offset in before.items()}
        )


def read_first(kafka: Broker, topic: str, url: str, folder: Path) -> list[Record]:
    """A log that two workers have read to its end; they are stopped."""
    asyncio.run(make(kafka, topic))
    produce(kafka.bootstrap, topic, 3_000, seed=1)
    log = log_of(kafka.bootstrap, topic)
    with fleet(kafka.bootstrap, topic, url, folder) as workers:
        workers.start()
        tend_until(workers, read_all(url, folder / "status.db", log), "the first log")
        assert workers.stop() + workers.complaints() == []
    return log


def overran(kafka: Broker, topic: str, url: str, folder: Path) -> tuple[list[Record], list[Record], dict[int, int]]:
    """What was read, what was written after that, and the offsets before which it is gone again, half of it."""
    first = read_first(kafka, topic, url, folder)
    produce(kafka.bootstrap, topic, 3_000, seed=2)
    later = [
        record for record in log_of(kafka.bootstrap, topic) if record.offset >= ends_of(first)[TopicPartition(topic, record.partition)]
    ]
    cut = {
        number: (ends_of(first)[TopicPartition(topic, number)] + ends_of(later)[TopicPartition(topic, number)]) // 2 for number in range(3)
    }
    asyncio.run(overrun(kafka, topic, cut))
    return first, later, cut


def test_retention_overran_and_nothing_was_chosen(kafka: Broker, tmp_path: Path) -> None:
    """All workers end with code 3 and a sentence that names the offsets and the choices; nothing in the store has moved."""
    topic, url = "overran-stop", f"sqlite:///{tmp_path}/status.db"
    first, _, _ = overran(kafka, topic, url, tmp_path)
    with fleet(kafka.bootstrap, topic, url, tmp_path, workers=1) as workers:
        workers.start()
        (worker,) = workers.workers
        assert worker.process is not None
        assert worker.process.wait(60) == 3
        said = worker.messages()[-1]["message"]

    assert "--on-lost-offset" in said
    assert topic in said
    assert wrong(url, first, ends_of(first), tmp_path) == []


def test_retention_overran_and_earliest_was_chosen(kafka: Broker, tmp_path: Path) -> None:
    """What was read before and what is still there are folded; the jumps are remembered with what was lost between."""
    topic, url = "overran-earliest", f"sqlite:///{tmp_path}/status.db"
    first, later, cut = overran(kafka, topic, url, tmp_path)
    left = [record for record in later if record.offset >= cut.get(record.partition, 0)]
    with fleet(kafka.bootstrap, topic, url, tmp_path, "--on-lost-offset", "earliest") as workers:
        workers.start()
        tend_until(workers, read_all(url, None, later), "the rest of the log")
        assert workers.stop() + workers.complaints() == []

    assert len(left) < len(later)
    assert wrong(url, first + left, ends_of(later), tmp_path) == []


def test_retention_overran_under_a_worker_that_slept(kafka: Broker, tmp_path: Path) -> None:
    """The log is cut behind a reader's back, by SIGSTOP and SIGCONT: the same as for one that starts."""
    topic, url = "overran-asleep", f"sqlite:///{tmp_path}/status.db"
    asyncio.run(make(kafka, topic))
    produce(kafka.bootstrap, topic, 1_000, seed=1)
    first = log_of(kafka.bootstrap, topic)
    with fleet(kafka.bootstrap, topic, url, tmp_path, "--on-lost-offset", "earliest", workers=1) as workers:
        workers.start()
        (worker,) = workers.workers
        tend_until(workers, read_all(url, tmp_path / "status.db", first), "the first log")
        worker.signal(signal.SIGSTOP)
        produce(kafka.bootstrap, topic, 3_000, seed=2)
        whole = log_of(kafka.bootstrap, topic)
        cut = {at.partition: end - 10 for at, end in ends_of(whole).items()}
        # What the sleeping process has in its sockets was read before the cut: it counts, whatever of it there is.
        asyncio.run(overrun(kafka, topic, cut))
        worker.signal(signal.SIGCONT)
        tend_until(workers, read_all(url, None, whole), "the rest of the log")
        assert workers.stop() + workers.complaints() == []
        jumps = {jump.at: jump for jump in _jumps(url)}

    read = [
        record
        for record in whole
        if (jump := jumps.get(TopicPartition(topic, record.partition))) is None or not jump.stored <= record.offset < jump.chosen
    ]
    assert all(jump.chosen == cut[at.partition] for at, jump in jumps.items())
    assert wrong(url, read, ends_of(whole), tmp_path) == []


def test_a_topic_made_anew(kafka: Broker, tmp_path: Path) -> None:
    """Deleted and made again, shorter than what was read, while workers run: by ``earliest`` the old log and the new one are both folded."""
    topic, url = "anew", f"sqlite:///{tmp_path}/status.db"
    asyncio.run(make(kafka, topic))
    produce(kafka.bootstrap, topic, 3_000, seed=1)
    first = log_of(kafka.bootstrap, topic)
    with fleet(kafka.bootstrap, topic, url, tmp_path, "--on-lost-offset", "earliest") as workers:
        workers.start()
        tend_until(workers, read_all(url, tmp_path / "status.db", first), "the first log")
        asyncio.run(drop(kafka, topic))
        asyncio.run(make(kafka, topic))
        produce(kafka.bootstrap, topic, 400, seed=3)
        second = log_of(kafka.bootstrap, topic)
        tend_until(workers, lambda: {each.position.at: each.position.next_offset for each in stored(url)} == ends_of(second), "the new log")
        assert workers.stop() + workers.complaints() == []

    assert all(ends_of(second)[at] < end for at, end in ends_of(first).items())
    assert wrong(url, first + second, ends_of(second), tmp_path) == []


def _jumps(url: str) -> list:
    from tracker.stores.open import open_store

    with open_store(url, create=False) as store:
        return list(store.jumps())

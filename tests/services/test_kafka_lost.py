"""A topic made anew under a known name, with fewer partitions: what the store has of it can't be gone on with."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic

from tracker.errors import LostOffset
from tracker.stores.sql import SqlStore

from .conftest import MakeTopic
from .kafka import AIOKafkaAdminClientClosing, Broker
from .road import KEPT, track

pytestmark = pytest.mark.services


async def _fill(broker: Broker, topic: str, partitions: int, each: int) -> None:
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        for partition in range(partitions):
            for _ in range(each):
                await producer.send_and_wait(topic, b'{"type":"com.example.other"}', partition=partition)


async def test_fewer_partitions(kafka: Broker, topic: MakeTopic, tmp_path: Path) -> None:
    """The missing partitions are lost offsets: the run stops, and goes on with earliest, once and for all."""
    name, store = await topic(partitions=3, config=KEPT), tmp_path / "status.db"
    await _fill(kafka, name, 3, 4)
    await track(kafka, name, store)
    async with AIOKafkaAdminClientClosing(kafka.bootstrap) as admin:
        await admin.delete_topics([name])
        await admin.create_topics([NewTopic(name, 2, 1, topic_configs=KEPT)])
    await _fill(kafka, name, 2, 6)
    with pytest.raises(LostOffset) as caught:
        await track(kafka, name, store)
    totals = await track(kafka, name, store, on_lost_offset="earliest")
    again = await track(kafka, name, store)

    assert [(lost.partition, lost.next_offset, lost.beginning, lost.end) for lost in caught.value.lost] == [(2, 4, 0, 0)]
    assert (totals.counters.read, again.counters.read) == (4, 0)
    with SqlStore(str(store)) as opened:
        assert [(jump.at.partition, jump.stored, jump.chosen) for jump in opened.jumps()] == [(2, 4, 0)]

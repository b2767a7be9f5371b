"""Events written to a real Kafka topic."""

from __future__ import annotations

import time

import pytest

from tests.ports import free_port
from tracker.emit.base import Outgoing
from tracker.emit.kafka import CONTENT_TYPE, KafkaEmitter
from tracker.errors import EmitError, UsageError
from tracker.model.records import Position, TopicPartition
from tracker.sources.kafka_config import parse_kafka_config

from .kafka import Broker
from .reading import MakeTopic, claim, read, source


def events(count: int, tasks: int = 3) -> list[Outgoing]:
    """Events of a few tasks in turn."""
    return [Outgoing(f"task-{number % tasks}", b'{"n":%d}' % number) for number in range(count)]


async def test_events_come_back_with_key_and_content_type(kafka: Broker, topic: MakeTopic) -> None:
    """A reader finds each event as written, keyed by its task and marked as a structured event."""
    name = await topic()
    async with KafkaEmitter(f"kafka://{kafka.bootstrap}/{name}") as emitter:
        await emitter.emit(events(4))
    async with source(kafka, name) as kafka_source:
        await claim(kafka_source)
        records, _ = await read(kafka_source, 4)

    assert [(record.key, record.value) for record in records] == [(event.task_id.encode(), event.value) for event in events(4)]
    assert {tuple(record.headers) for record in records} == {(CONTENT_TYPE,)}


async def test_positions_are_after_each_event(kafka: Broker, topic: MakeTopic) -> None:
    """A reader's position has reached an event's once it has read it; cluster identity included."""
    name = await topic()
    async with KafkaEmitter(f"kafka://{kafka.bootstrap}/{name}") as emitter:
        positions = await emitter.emit(events(5))
    async with source(kafka, name) as kafka_source:
        (beginning,) = (await claim(kafka_source)).values()
        _, offsets = await read(kafka_source, 5)

    assert positions == [Position(name, 0, number + 1, beginning.identity) for number in range(5)]
    assert offsets[TopicPartition(name, 0)] == positions[-1].next_offset


async def test_a_task_stays_in_one_partition_in_order(kafka: Broker, topic: MakeTopic) -> None:
    """The key decides the partition, and a task's events keep their order in it."""
    name = await topic(partitions=4)
    async with KafkaEmitter(f"kafka://{kafka.bootstrap}/{name}") as emitter:
        positions = await emitter.emit(events(300, tasks=10))
    by_task: dict[int, list[Position]] = {}
    for number, position in enumerate(positions):
        by_task.setdefault(number % 10, []).append(position)

    assert all(len({position.partition for position in found}) == 1 for found in by_task.values())
    assert all(found == sorted(found, key=lambda position: position.next_offset) for found in by_task.values())
    assert len({position.partition for position in positions}) > 1


async def test_compression_by_properties(kafka: Broker, topic: MakeTopic) -> None:
    """compression.type of the properties file is the producer's."""
    name = await topic()
    config = parse_kafka_config("compression.type=zstd\nlinger.ms=5\n", "test.properties")
    async with KafkaEmitter(f"kafka://{kafka.bootstrap}/{name}", config) as emitter:
        await emitter.emit(events(50))
    async with source(kafka, name) as kafka_source:
        await claim(kafka_source)
        assert len((await read(kafka_source, 50))[0]) == 50


async def test_nothing_to_write(kafka: Broker, topic: MakeTopic) -> None:
    """No events, no positions."""
    async with KafkaEmitter(f"kafka://{kafka.bootstrap}/{await topic()}") as emitter:
        assert await emitter.emit([]) == []


async def test_a_broker_that_is_away_is_an_error() -> None:
    """Whoever emits is told soon, with the address."""
    begun = time.monotonic()
    with pytest.raises(EmitError, match=r"127\.0\.0\.1.*can't be reached"):
        async with KafkaEmitter(f"kafka://127.0.0.1:{free_port()}/t"):
            pass

    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("url", ["kafka://h:9092/a,b", "kafka://h:9092/?pattern=a.*"])
def test_events_go_to_one_topic(url: str) -> None:
    """Several topics or a pattern can be read, not written."""
    with pytest.raises(UsageError, match="one topic"):
        KafkaEmitter(url)

"""Driving a Kafka source in tests, with a deadline on everything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from tracker.model.records import Batch, Position, Record, TopicPartition
from tracker.sources.kafka import KafkaSource
from tracker.sources.kafka_config import parse_kafka_config

from .kafka import Broker

# Sessions of 2 s instead of 10, and a look at the partitions each 0.3 s instead of 30.
QUICK = parse_kafka_config("session.timeout.ms=2000\nheartbeat.interval.ms=300\nmetadata.max.age.ms=300\n", "test.properties")
DEADLINE_S = 30.0

MakeTopic = Callable[..., Awaitable[str]]


def source(broker: Broker, topic: str, query: str = "", **options: Any) -> KafkaSource:
    """A source with short times."""
    return KafkaSource(f"kafka://{broker.bootstrap}/{topic}{query}", **{"config": QUICK, **options})


async def claim(source: KafkaSource, at: dict[int, int] | None = None) -> dict[TopicPartition, Position]:
    """Assigned and sought: at the beginnings, or at given offsets by partition."""
    beginnings = dict(await source.assigned())
    await source.seek(moved(position, (at or {}).get(position.partition, position.next_offset)) for position in beginnings.values())
    return beginnings


def moved(position: Position, next_offset: int) -> Position:
    """The same partition at another offset."""
    return Position(position.topic, position.partition, next_offset, position.identity)


async def read(source: KafkaSource, count: int, max_records: int = 1000) -> tuple[list[Record], dict[TopicPartition, int]]:
    """``count`` records, and where the partitions stand then."""
    records: list[Record] = []
    offsets: dict[TopicPartition, int] = {}
    async with asyncio.timeout(DEADLINE_S):
        while len(records) < count:
            batch = await source.read(max_records, 0.5)
            assert not batch.reassigned
            take(batch, records, offsets)
    return records, offsets


def take(batch: Batch, records: list[Record], offsets: dict[TopicPartition, int]) -> None:
    """Adds a batch to what was read."""
    records.extend(record for found in batch.records.values() for record in found)
    offsets.update({tp: position.next_offset for tp, position in batch.positions.items()})


async def read_to(source: KafkaSource, wanted: dict[TopicPartition, int]) -> list[Record]:
    """All records until the positions are the wanted ones."""
    records: list[Record] = []
    offsets: dict[TopicPartition, int] = {}
    async with asyncio.timeout(DEADLINE_S):
        while offsets != wanted:
            take(await source.read(1000, 0.2), records, offsets)
    return records


async def until_reassigned(source: KafkaSource) -> list[Record]:
    """What is read before the assignment changes."""
    records: list[Record] = []
    async with asyncio.timeout(DEADLINE_S):
        while not (batch := await source.read(1000, 0.1)).reassigned:
            take(batch, records, {})
    assert not batch.records
    assert not batch.positions
    return records


def values(records: Iterable[Record]) -> list[bytes | None]:
    """Only the values."""
    return [record.value for record in records]


def numbered(count: int, first: int = 0) -> list[bytes | None]:
    """Different values."""
    return [b"%d" % number for number in range(first, first + count)]

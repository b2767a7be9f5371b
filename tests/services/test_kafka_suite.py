"""The suite of sources over a real Kafka broker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import NewPartitions

from tracker.sources.base import Source
from tracker.sources.kafka import KafkaSource
from tracker.sources.kafka_config import parse_kafka_config
from tracker.testing.sources import PreparedLog, SourceSuite

from .kafka import AIOKafkaAdminClientClosing, Broker, produce

QUICK_LOOK = parse_kafka_config("metadata.max.age.ms=300\n", "test.properties")


class KafkaLog:
    """A topic of its own for one test."""

    def __init__(self, broker: Broker, topic: str, query: str) -> None:
        self._broker, self._topic, self._query = broker, topic, query
        self._partitions = 0

    async def write(self, partitions: Sequence[Sequence[bytes]]) -> None:
        self._partitions = len(partitions)
        for number, values in enumerate(partitions):
            await produce(self._broker.bootstrap, self._topic, list(values), partition=number)

    def open(self) -> Source:
        return KafkaSource(f"kafka://{self._broker.bootstrap}/{self._topic}{self._query}", config=QUICK_LOOK)

    async def change_assignment(self) -> None:
        async with AIOKafkaAdminClientClosing(self._broker.bootstrap) as admin:
            await admin.create_partitions({self._topic: NewPartitions(self._partitions + 1)})


class TestKafkaWithoutGroup(SourceSuite):
    """All partitions taken by hand."""

    foreign_identity = "kafka:another-cluster"
    query = ""

    @pytest.fixture(autouse=True)
    def _services(self, kafka: Broker, topic: Any) -> None:
        self._broker, self._topic = kafka, topic

    async def make_log(self, partitions: Sequence[Sequence[bytes]], folder: Path, *, live: bool) -> PreparedLog:  # noqa: ARG002
        name = await self._topic(len(partitions))
        log = KafkaLog(self._broker, name, self.query.format(name))
        await log.write(partitions)
        return log


class TestKafkaInGroup(TestKafkaWithoutGroup):
    """Partitions by the group protocol, with one member."""

    query = "?group=group-{}"

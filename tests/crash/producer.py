"""A log for the chaos runs, written at a steady rate by a process of its own, whatever happens to the broker.

Run as ``python -m tests.crash.producer BOOTSTRAP TOPICS PARTITIONS EVENTS RATE SEED``. Two topics; a third of the tasks spread over all partitions
of both, the others keyed. All else of `crash_log`: refused and ignored records, duplicates, late ones, every form. What a broker that dies
made of a batch without an answer is found out when the log is read back, so a batch is simply sent again. Writes a line of progress every
second, and ``done`` at the end.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Iterator
from random import Random
from typing import Any
from zlib import crc32

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.crash.crash_log import BATCH_BYTES, records
from tracker.model.records import Record, TopicPartition

TICK_S = 0.1
SEND_TIMEOUT_S = 20.0


def spread_log(count: int, topics: list[str], partitions: int, seed: int) -> Iterator[Record]:
    """``count`` records or a few less. The tasks whose crc divides by three stand everywhere."""
    rng = Random(seed)
    for record in records(count, topics[0], partitions, seed):
        mark = crc32(record.key) if record.key is not None else 0
        if mark % 3 == 0:
            yield msgspec.structs.replace(record, topic=rng.choice(topics), partition=rng.randrange(partitions))
        else:
            yield msgspec.structs.replace(record, topic=topics[mark // 3 % len(topics)], partition=mark // 16 % partitions)


class Sender:
    """Records gathered into one batch a partition, sent until each is acknowledged."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._producer: AIOKafkaProducer | None = None
        self.sent = 0

    async def send(self, log: list[Record]) -> None:
        """All of them; a broker that is away is waited for."""
        waiting: dict[TopicPartition, list[Record]] = {}
        for record in log:
            waiting.setdefault(TopicPartition(record.topic, record.partition), []).append(record)
        while waiting:
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    for at in list(waiting):
                        await self._send(at, waiting[at])
                        self.sent += len(waiting.pop(at))
            except (KafkaError, OSError, TimeoutError):
                await self.close()
                await asyncio.sleep(0.5)

    async def _send(self, at: TopicPartition, log: list[Record]) -> None:
        producer = await self._connected()
        batch = producer.create_batch()
        for record in log:
            fields: dict[str, Any] = {"key": record.key, "value": record.value, "timestamp": record.timestamp_ms}
            if batch.append(**fields, headers=list(record.headers)) is None:
                await self._acknowledged(producer, batch, at)
                batch = producer.create_batch()
                assert batch.append(**fields, headers=list(record.headers)) is not None
        await self._acknowledged(producer, batch, at)

    async def _acknowledged(self, producer: AIOKafkaProducer, batch: Any, at: TopicPartition) -> None:
        batch.close()
        await (await producer.send_batch(batch, at.topic, partition=at.partition))

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._bootstrap, max_batch_size=BATCH_BYTES, acks="all", request_timeout_ms=10_000, retry_backoff_ms=200
            )
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        return self._producer

    async def close(self) -> None:
        """Let go of the connection, in a moment."""
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                async with asyncio.timeout(2):
                    await producer.stop()
            except (KafkaError, OSError, TimeoutError):
                return


async def produce(bootstrap: str, topics: list[str], partitions: int, count: int, rate: float, seed: int) -> None:
    """At ``rate`` records a second in all; after a pause it does not hurry to catch up."""
    sender, told, due = Sender(bootstrap), 0.0, time.monotonic()
    tick: list[Record] = []
    for record in spread_log(count, topics, partitions, seed):
        tick.append(record)
        if len(tick) >= rate * TICK_S:
            await sender.send(tick)
            tick = []
            due = max(due + TICK_S, time.monotonic() - 1)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if time.monotonic() > told + 1:
                told = time.monotonic()
                print(sender.sent, flush=True)
    await sender.send(tick)
    await sender.close()
    print(f"{sender.sent}\ndone", flush=True)


if __name__ == "__main__":
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the broker is killed now and then
    where, names, number, events, per_second, number_seed = sys.argv[1:]
    asyncio.run(produce(where, names.split(","), int(number), int(events), float(per_second), int(number_seed)))

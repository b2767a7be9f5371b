"""From a real Kafka broker on this machine into SQLite, one process."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic

from bench.measure import Figure, rounds
from bench.store_road import shares
from tests.services.kafka import AIOKafkaAdminClientClosing, start_broker
from tracker.projector import Options, Projector
from tracker.sources.kafka import KafkaSource
from tracker.stores.open import open_store

PARTITIONS = 4


def figures(folder: Path, lines: Sequence[bytes], count: int) -> list[Figure]:
    """The whole road, with the share of each station."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells of every try while the broker starts
    broker = start_broker()
    try:
        topic = f"bench-{uuid.uuid4().hex[:8]}"
        asyncio.run(_fill(broker.bootstrap, topic, lines))
        figure = Figure("run from Kafka into SQLite, NORMAL", 22)

        def once() -> float:
            with (
                tempfile.TemporaryDirectory(dir=folder) as store_folder,
                open_store(f"sqlite:///{store_folder}/status.db?synchronous=normal") as store,
            ):
                url = f"kafka://{broker.bootstrap}/{topic}"
                options = Options(until_end=True)
                projector = Projector(lambda revoked: KafkaSource(url, on_revoked=revoked), store, options=options)
                totals = asyncio.run(projector.run())
                assert totals.counters.read == len(lines), totals
                figure.notes = shares(projector.projection.seconds, totals.seconds)
                return totals.seconds

        return [rounds(figure, count, lines, once)]
    finally:
        broker.stop()


async def _fill(bootstrap: str, topic: str, lines: Sequence[bytes]) -> None:
    async with AIOKafkaAdminClientClosing(bootstrap) as admin:
        await admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=20, max_batch_size=1 << 20) as producer:
        for start in range(0, len(lines), 20_000):
            sent = [await producer.send(topic, line, key=orjson.loads(line)["subject"].encode()) for line in lines[start : start + 20_000]]
            await asyncio.gather(*sent)

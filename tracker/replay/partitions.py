"""A stretch of one Kafka partition, read in a process of its own by plain calls."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec

from tracker.model.records import Record, TopicPartition
from tracker.sources.kafka import KafkaSource
from tracker.sources.kafka_config import read_kafka_config
from tracker.sources.kafka_url import parse_kafka_url

READ_RECORDS = 10_000
READ_WAIT_S = 0.2
START_TIMEOUT_S = 30.0


def read_partition(url: str, kafka_config: str | None, at: TopicPartition, begin: int, end: int) -> Iterator[tuple[int, list[Record]]]:
    """The records of the partition from offset ``begin`` to before ``end``, each list with the offset that was reached.

    ``url`` is the source's, whose group is not joined. Raises what `KafkaSource` raises.
    """
    config = read_kafka_config(Path(kafka_config)) if kafka_config is not None else None
    source = KafkaSource(replace(parse_kafka_url(url), group=None), config=config, start_timeout_s=START_TIMEOUT_S)
    loop = asyncio.new_event_loop()
    run = loop.run_until_complete
    try:
        reached, sought = begin, False
        while reached < end:
            if not sought:
                beginnings = run(source.assigned())
                run(source.seek([msgspec.structs.replace(beginnings[at], next_offset=reached)]))
                sought = True
            batch = run(source.read(READ_RECORDS, READ_WAIT_S))
            sought = not batch.reassigned
            if at in batch.positions:
                reached = min(end, batch.positions[at].next_offset)
                yield reached, [record for record in batch.records.get(at, []) if record.offset < end]
    finally:
        run(source.__aexit__(None, None, None))
        run(loop.shutdown_default_executor())
        loop.close()

"""What a Kafka source gives on a real broker: records, and positions that also move without any."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka import TopicPartition as KafkaPartition

from tracker.model.records import Record, TopicPartition

from .kafka import Broker, produce, transaction
from .reading import DEADLINE_S, MakeTopic, claim, numbered, read, read_to, source, values

# -- reading -----------------------------------------------------------------------------------------------------


async def test_resumes_where_it_is_told(kafka: Broker, topic: MakeTopic) -> None:
    """The first record after a seek is the one at the position."""
    name = await topic()
    await produce(kafka.bootstrap, name, numbered(20))
    async with source(kafka, name) as kafka_source:
        await claim(kafka_source, {0: 13})
        records, offsets = await read(kafka_source, 7)

    assert [record.offset for record in records] == list(range(13, 20))
    assert offsets == {TopicPartition(name, 0): 20}


async def test_a_record_has_key_headers_timestamp_and_null_value(kafka: Broker, topic: MakeTopic) -> None:
    """Everything that the decoder looks at comes through unchanged, tombstones too."""
    name = await topic()
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
        await producer.send_and_wait(name, None, key=b"t", headers=[("ce_id", b"1"), ("ce_id", b"2")], timestamp_ms=1_700_000_000_123)
    async with source(kafka, name) as kafka_source:
        await claim(kafka_source)
        (tombstone,), _ = await read(kafka_source, 1)

    expected = Record(name, 0, 0, None, b"t", [("ce_id", b"1"), ("ce_id", b"2")], 1_700_000_000_123)
    assert tombstone == expected


async def test_records_are_made_without_a_detour(kafka: Broker, topic: MakeTopic) -> None:
    """Our records are made by aiokafka itself (its buffer is ours): this is what keeps a record under 2 µs."""
    name = await topic()
    await produce(kafka.bootstrap, name, numbered(3))
    async with source(kafka, name) as kafka_source:
        await claim(kafka_source)
        found = await kafka_source._fetch(10, 5.0)

    assert [type(record) for record in found[KafkaPartition(name, 0)]] == [Record] * 3


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_every_codec_is_read(kafka: Broker, topic: MakeTopic, codec: str) -> None:
    """Batches of every codec that Kafka has can be read as installed."""
    name = await topic()
    await produce(kafka.bootstrap, name, [b"x" * 1000 + b"%d" % number for number in range(50)], compression_type=codec)
    async with source(kafka, name) as kafka_source:
        await claim(kafka_source)
        records, _ = await read(kafka_source, 50)

    assert values(records) == [b"x" * 1000 + b"%d" % number for number in range(50)]


async def test_a_topic_compressed_by_the_broker_is_read(kafka: Broker, topic: MakeTopic) -> None:
    """The topic's own compression.type (zstd) counts, not only the producer's."""
    name = await topic(config={"compression.type": "zstd"})
    await produce(kafka.bootstrap, name, numbered(30))
    async with source(kafka, name) as kafka_source:
        await claim(kafka_source)
        assert values((await read(kafka_source, 30))[0]) == numbered(30)


async def test_two_topics_and_a_pattern(kafka: Broker, topic: MakeTopic) -> None:
    """Several topics are read by list, and by a pattern that must match the whole name."""
    first = await topic(partitions=2)
    second = await topic(name=f"{first}-b")
    async with source(kafka, f"{first},{second}") as listed, source(kafka, "", f"?pattern={first}.%2B") as matching:
        assert {*await listed.assigned()} == {TopicPartition(first, 0), TopicPartition(first, 1), TopicPartition(second, 0)}
        assert {*await matching.assigned()} == {TopicPartition(second, 0)}


async def test_no_partition_waits_for_the_backlog_of_another(kafka: Broker, topic: MakeTopic) -> None:
    """Each read has records of every partition that has some, however many the first one has."""
    name = await topic(partitions=3)
    for partition, count in enumerate((3000, 300, 3000)):
        await produce(kafka.bootstrap, name, numbered(count), partition)
    async with source(kafka, name) as kafka_source:
        await claim(kafka_source)
        await read(kafka_source, 3, 3)  # the first answer is here now
        batches = [await kafka_source.read(90, 0.5) for _ in range(5)]

    assert [{at.partition for at in batch.records} for batch in batches] == [{0, 1, 2}] * 5
    assert [batch.record_count for batch in batches] == [90] * 5


async def test_a_read_is_full_where_one_partition_has_enough(kafka: Broker, topic: MakeTopic) -> None:
    """What others have no use for of their share is filled by those that have more, each in its order."""
    name = await topic(partitions=2)
    await produce(kafka.bootstrap, name, numbered(1000), 0)
    await produce(kafka.bootstrap, name, numbered(5), 1)
    async with source(kafka, name) as kafka_source:
        await claim(kafka_source)
        first, _ = await read(kafka_source, 2, 2)
        batch = await kafka_source.read(500, 0.5)

    assert batch.record_count == 500
    rest = [record for found in batch.records.values() for record in found]
    for partition, count in ((0, 1000), (1, 5)):
        offsets = [record.offset for record in first + rest if record.partition == partition]
        assert offsets == list(range(len(offsets)))
        assert len(offsets) <= count


# -- positions that move without records -------------------------------------------------------------------------


async def test_aborted_records_are_not_delivered(kafka: Broker, topic: MakeTopic) -> None:
    """Records of an aborted transaction and the markers of both kinds are passed over, and positions move past them."""
    name = await topic()
    async with transaction(kafka.bootstrap, f"{name}-tx") as producer:
        await producer.send_and_wait(name, b"aborted", partition=0)
        await producer.abort_transaction()
        await producer.begin_transaction()
        await producer.send_and_wait(name, b"kept", partition=0)
        await producer.commit_transaction()
    async with source(kafka, name) as kafka_source:
        await claim(kafka_source)
        records = await read_to(kafka_source, {TopicPartition(name, 0): 4})

    assert [(record.offset, record.value) for record in records] == [(2, b"kept")]


async def test_positions_move_over_markers_alone(kafka: Broker, topic: MakeTopic) -> None:
    """A log that ends in an aborted transaction is read to its end although no record comes."""
    name = await topic()
    async with transaction(kafka.bootstrap, f"{name}-tx") as producer:
        await producer.send_and_wait(name, b"aborted", partition=0)
        await producer.abort_transaction()
    async with source(kafka, name) as kafka_source:
        await claim(kafka_source)
        ends = {tp: position.next_offset for tp, position in (await kafka_source.ends()).items()}
        records = await read_to(kafka_source, ends)

    assert ends == {TopicPartition(name, 0): 2}
    assert records == []


async def test_an_open_transaction_bounds_the_ends(kafka: Broker, topic: MakeTopic) -> None:
    """``ends`` are the last stable offsets, so that reading until the end does not wait for somebody's open transaction."""
    name = await topic()
    await produce(kafka.bootstrap, name, numbered(3))
    async with transaction(kafka.bootstrap, f"{name}-tx") as producer, source(kafka, name) as kafka_source:
        await producer.send_and_wait(name, b"open", partition=0)
        await produce(kafka.bootstrap, name, numbered(2))
        await claim(kafka_source)
        ends = {tp: position.next_offset for tp, position in (await kafka_source.ends()).items()}
        records = await read_to(kafka_source, ends)
        await producer.commit_transaction()
        rest, _ = await read(kafka_source, 3)

    assert ends == {TopicPartition(name, 0): 3}
    assert values(records) == numbered(3)
    assert values(rest) == [b"open", b"0", b"1"]


async def test_a_compacted_topic_has_gaps(kafka: Broker, topic: MakeTopic) -> None:
    """Records that compaction removed are missing, those left keep their offsets, and the position ends behind the last."""
    compact = {"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.001", "delete.retention.ms": "100"}
    name = await topic(config=compact | {"segment.bytes": "1048576"})
    for number in range(4):
        await produce(kafka.bootstrap, name, numbered(5, first=number * 5))
        await asyncio.sleep(0.2)  # longer than segment.ms: the next write rolls the segment, and only closed ones are compacted
    async with source(kafka, name) as kafka_source:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                await claim(kafka_source)
                records = await read_to(kafka_source, {TopicPartition(name, 0): 20})
                if len(records) < 20:
                    break
                await asyncio.sleep(0.3)  # the cleaner looks each 0.2 s

    assert [record.value for record in records] == [b"%d" % record.offset for record in records]
    assert records[-1].offset == 19

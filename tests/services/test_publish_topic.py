"""Topics of statuses over a real broker: the suite of all topics, and what only Kafka can do to them."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin import NewPartitions
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from tests.ports import free_port
from tests.publish.topic_suite import FIRST, StatusTopicSuite, Topics, records
from tracker.emit.kafka_statuses import KafkaStatusTopic
from tracker.emit.statuses import StatusRecord
from tracker.errors import EmitError, EmitUnavailable, TopicUnfit
from tracker.sources.kafka_config import parse_kafka_config

from .kafka import USER, AIOKafkaAdminClientClosing, Broker, produce
from .reading import MakeTopic

pytestmark = pytest.mark.timeout(120)
COMPACT = {"cleanup.policy": "compact"}


async def folded(broker: Broker, topic: str, isolation: str = "read_committed") -> dict[str, bytes]:
    """What a plain consumer has at the topic's end: the last value of each key, and no key whose last value is null."""
    found: dict[str, bytes] = {}
    async with AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, isolation_level=isolation, auto_offset_reset="earliest") as consumer:
        partitions = [KafkaPartition(topic, number) for number in await consumer_partitions(consumer, topic)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        async with asyncio.timeout(60):
            while any([await consumer.position(each) < ends[each] for each in partitions]):
                for messages in (await consumer.getmany(timeout_ms=200)).values():
                    for message in messages:
                        if message.value is None:
                            found.pop(message.key.decode(), None)
                        else:
                            found[message.key.decode()] = message.value
    return found


async def consumer_partitions(consumer: AIOKafkaConsumer, topic: str) -> list[int]:
    """The numbers of a topic's partitions."""
    await consumer._client._wait_on_metadata(topic)
    return sorted(consumer.partitions_for_topic(topic))


def hold(broker: Broker, topic: str, **options: Any) -> KafkaStatusTopic:
    """One publisher's hold on it."""
    return KafkaStatusTopic(f"kafka://{broker.bootstrap}/{topic}", **options)


@pytest.fixture
async def new_topic(kafka: Broker) -> AsyncIterator[str]:
    """The name of a topic that is not there; deleted after the test if it is by then."""
    name = f"s-{uuid.uuid4().hex[:10]}"
    yield name
    async with AIOKafkaAdminClientClosing(kafka.bootstrap) as admin:
        await admin.delete_topics([name])


@pytest.fixture
async def topics(kafka: Broker, topic: MakeTopic) -> Topics:
    """A compacted topic of three partitions."""
    name = await topic(partitions=3, config=COMPACT)
    return Topics(lambda: hold(kafka, name), lambda: folded(kafka, name))


class TestKafkaStatusTopic(StatusTopicSuite):
    """All of it."""


async def test_a_missing_topic_is_made(kafka: Broker, new_topic: str, caplog: pytest.LogCaptureFixture) -> None:
    """Compacted, with as many partitions as are asked for; and it is said."""
    caplog.set_level(logging.INFO, "tracker.publish")
    topic = hold(kafka, new_topic, partitions=4)
    assert await topic.open() is None
    await topic.close()
    async with AIOKafkaAdminClientClosing(kafka.bootstrap) as admin:
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, new_topic)])
        (found,) = await admin.describe_topics([new_topic])
    config = {entry[0]: entry[1] for entry in answer.resources[0][4]}
    assert config["cleanup.policy"] == "compact"
    assert len(found["partitions"]) == 4
    assert any("was missing and is made: compacted, 4 partitions" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("policy", ["delete", "compact,delete"])
async def test_a_topic_that_deletes_is_refused(kafka: Broker, topic: MakeTopic, policy: str) -> None:
    """Statuses of tasks that do not change any more would be gone some day."""
    name = await topic(config={"cleanup.policy": policy})
    with pytest.raises(TopicUnfit, match=f"cleanup.policy={policy}"):
        await hold(kafka, name).open()


async def test_other_records_are_refused(kafka: Broker, topic: MakeTopic) -> None:
    """A topic in which somebody else's records are is somebody else's."""
    name = await topic(config=COMPACT)
    await produce(kafka.bootstrap, name, [b"theirs"])
    with pytest.raises(TopicUnfit, match="tracker publish did not write"):
        await hold(kafka, name).open()


async def test_added_partitions_are_refused(kafka: Broker, topic: MakeTopic) -> None:
    """With other partitions a task's next status stands beside its last one, and no consumer can tell which is newer."""
    name = await topic(partitions=2, config=COMPACT)
    first = hold(kafka, name)
    await first.open()
    await first.write(FIRST, records(*range(50)))
    async with AIOKafkaAdminClientClosing(kafka.bootstrap) as admin:
        await admin.create_partitions({name: NewPartitions(3)})
    await first.close()
    with pytest.raises(TopicUnfit, match="has 3 partitions and had 2"):
        await hold(kafka, name).open()


async def test_tasks_stand_where_other_producers_put_them(kafka: Broker, topic: MakeTopic) -> None:
    """The partition of a key is the Java client's choice, so a join with a topic of that key finds them together."""
    ours, theirs = await topic(partitions=5, config=COMPACT), await topic(partitions=5)
    held = hold(kafka, ours)
    await held.open()
    await held.write(FIRST, records(*range(100)))
    await held.close()
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
        for number in range(100):
            await producer.send(theirs, b"{}", key=f"task-{number:03}".encode())
    assert await partition_of_keys(kafka, ours) == await partition_of_keys(kafka, theirs)


async def partition_of_keys(broker: Broker, topic: str) -> dict[bytes, int]:
    """Where each key stands."""
    found: dict[bytes, int] = {}
    async with AIOKafkaConsumer(topic, bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest") as consumer, asyncio.timeout(30):
        while len(found) < 100:
            for messages in (await consumer.getmany(timeout_ms=200)).values():
                found |= {message.key: message.partition for message in messages}
    return found


async def test_what_was_not_committed_is_not_there(kafka: Broker, topic: MakeTopic) -> None:
    """A publisher that stops in the middle of a transaction leaves nothing of it to readers of committed records; the next one is not held up."""
    name = await topic(partitions=2, config=COMPACT)

    class Stopped(Exception):
        pass

    def seam(at: str) -> None:
        if at == "sent":
            raise Stopped

    first = hold(kafka, name, seam=seam)
    await first.open()
    with pytest.raises(Stopped):
        await first.write(FIRST, records(1, 2, 3))
    second = hold(kafka, name)
    begun_s = time.monotonic()
    assert await second.open() is None
    await second.write(FIRST, records(4))
    assert time.monotonic() - begun_s < 30
    assert {id async for chunk in second.task_ids() for id in chunk} == {"task-001", "task-002", "task-003", "task-004"}
    await first.close()
    await second.close()
    assert sorted(await folded(kafka, name)) == ["task-004"]


async def test_the_last_record_is_found_behind_what_was_taken_back(kafka: Broker, topic: MakeTopic) -> None:
    """However much of it there is at the end of the log."""
    name = await topic(config=COMPACT)
    held = hold(kafka, name)
    await held.open()
    await held.write(FIRST, records(1, 2, revision=7))
    await held.close()
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=f"other-{name}") as producer:
        await producer.begin_transaction()
        for number in range(3_000):
            await producer.send(name, b"{}", key=b"%d" % number)
        await producer.abort_transaction()
    again = hold(kafka, name)
    assert await again.open() == (FIRST, 7, "task-002")
    await again.close()


async def test_a_status_that_is_too_large(kafka: Broker, topic: MakeTopic) -> None:
    """One sentence with the task and what to do; what was written before stays, and nothing of its transaction comes."""
    name = await topic(config=COMPACT | {"max.message.bytes": "20000"})
    held = hold(kafka, name)
    await held.open()
    await held.write(FIRST, records(1))
    large = StatusRecord("the-large-one", b'"' + b"x" * 30_000 + b'"', 2)
    with pytest.raises(TopicUnfit, match=r"task 'the-large-one' has 30,002 bytes, .*takes records of 20,000: .*max.message.bytes"):
        await held.write(FIRST, [*records(*range(2, 200), revision=2), large])
    await held.close()
    assert sorted(await folded(kafka, name)) == ["task-001"]


async def test_large_statuses_within_the_limit(kafka: Broker, topic: MakeTopic) -> None:
    """Many statuses whose sum is far beyond the limit are written in as many batches as it takes."""
    name = await topic(config=COMPACT | {"max.message.bytes": "20000"})
    held = hold(kafka, name)
    await held.open()
    await held.write(FIRST, records(*range(300), value=b'"' + b"x" * 2_000 + b'"'))
    await held.close()
    assert len(await folded(kafka, name)) == 300


async def test_compression_by_properties(kafka: Broker, topic: MakeTopic) -> None:
    """compression.type of the properties file is the producer's."""
    name = await topic(config=COMPACT | {"max.message.bytes": "20000"})
    held = hold(kafka, name, config=parse_kafka_config("compression.type=zstd\n", "test.properties"))
    await held.open()
    await held.write(FIRST, [StatusRecord("large", b'"' + b"x" * 100_000 + b'"', 1)])
    await held.close()
    assert list(await folded(kafka, name)) == ["large"]


async def test_the_end_is_known_after_compaction(kafka: Broker, topic: MakeTopic) -> None:
    """What is compacted away says nothing that the rest does not say."""
    config = COMPACT | {"segment.ms": "100", "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "0"}
    name = await topic(partitions=2, config=config)
    held = hold(kafka, name)
    await held.open()
    for revision in range(1, 30):
        await held.write(FIRST, records(*range(10), revision=revision))
        await asyncio.sleep(0.05)
    await held.write(FIRST, [*records(1, revision=30, value=None)])
    async with AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap) as consumer, asyncio.timeout(90):
        while await count(consumer, name) > 100:  # noqa: ASYNC110 - the broker has to be asked
            await asyncio.sleep(0.5)
    await held.close()
    again = hold(kafka, name)
    reached = await again.open()
    assert reached is not None
    assert reached.revision in (29, 30)
    await again.close()
    assert sorted(await folded(kafka, name)) == [f"task-{number:03}" for number in range(10) if number != 1]


async def count(consumer: AIOKafkaConsumer, topic: str) -> int:
    """How many records the topic has now."""
    partitions = [KafkaPartition(topic, number) for number in await consumer_partitions(consumer, topic)]
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    ends, found = await consumer.end_offsets(partitions), 0
    while any([await consumer.position(each) < ends[each] for each in partitions]):
        found += sum(map(len, (await consumer.getmany(timeout_ms=200)).values()))
    return found


async def test_a_broker_that_is_away_is_retriable() -> None:
    """Who publishes waits for it; the address is told."""
    port = free_port()
    with pytest.raises(EmitUnavailable, match=f"the topic t at 127.0.0.1:{port}"):
        await KafkaStatusTopic(f"kafka://127.0.0.1:{port}/t").open()


async def test_refused_credentials_are_not_waited_for(kafka: Broker) -> None:
    """A wrong password is told at once, without it."""
    if kafka.sasl_bootstrap is None:
        pytest.skip("this broker has no SASL")
    text = f"security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username={USER}\nsasl.password=wrong-one\n"
    topic = KafkaStatusTopic(f"kafka://{kafka.sasl_bootstrap}/t", parse_kafka_config(text, "test.properties"))
    with pytest.raises(EmitError, match="refuses the connection") as caught:
        await topic.open()
    assert not isinstance(caught.value, EmitUnavailable)
    assert "wrong-one" not in str(caught.value)


async def test_a_pause_of_the_broker_is_survived(restartable: Broker, topic: MakeTopic) -> None:
    """A transaction that the broker's pause cut off is no end: opened again, the topic says what of it there is."""
    name = await topic(config=COMPACT)
    held = hold(restartable, name)
    await held.open()
    await held.write(FIRST, records(1))
    await asyncio.to_thread(restartable.restart)
    try:
        await held.write(FIRST, records(2, revision=2))
    except EmitUnavailable:
        reached = await held.open()
        assert reached is not None
        if reached.revision == 1:
            await held.write(FIRST, records(2, revision=2))
    await held.close()
    assert sorted(await folded(restartable, name)) == ["task-001", "task-002"]

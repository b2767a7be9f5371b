"""What a Kafka source does when things go wrong: lost offsets, another cluster, a broker that goes away, refused credentials."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

import pytest
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin import RecordsToDelete

from tests.ports import free_port
from tracker.errors import Lost, LostOffset, SourceChanged, SourceError, SourceUnavailable
from tracker.model.records import Position
from tracker.sources.kafka import KafkaSource
from tracker.sources.kafka_config import read_kafka_config

from .kafka import PASSWORD, USER, AIOKafkaAdminClientClosing, Broker, produce
from .reading import DEADLINE_S, QUICK, MakeTopic, claim, moved, numbered, read, source, values


async def cut(broker: Broker, topic: str, before: int) -> None:
    """What retention does: records before an offset are gone."""
    async with AIOKafkaAdminClientClosing(broker.bootstrap) as admin:
        await admin.delete_records({KafkaPartition(topic, 0): RecordsToDelete(before_offset=before)})


# -- lost offsets ------------------------------------------------------------------------------------------------


async def test_retention_overran_the_position(kafka: Broker, topic: MakeTopic) -> None:
    """A position before the log's beginning is LostOffset with both offsets."""
    name = await topic()
    await produce(kafka.bootstrap, name, numbered(10))
    await cut(kafka, name, before=6)
    async with source(kafka, name) as kafka_source:
        (beginning,) = (await kafka_source.assigned()).values()
        with pytest.raises(LostOffset) as caught:
            await kafka_source.seek([moved(beginning, 3)])

    assert beginning.next_offset == 6
    assert caught.value.lost == (Lost(name, 0, 3, 6, 10),)


async def test_all_lost_positions_are_in_one_error(kafka: Broker, topic: MakeTopic) -> None:
    """Two partitions that are out of range are told together, and nothing has moved."""
    name = await topic(partitions=2)
    async with source(kafka, name) as kafka_source:
        beginnings = await kafka_source.assigned()
        with pytest.raises(LostOffset) as caught:
            await kafka_source.seek(moved(position, 5) for position in beginnings.values())

    assert caught.value.lost == (Lost(name, 0, 5, 0, 0), Lost(name, 1, 5, 0, 0))


async def test_a_topic_made_anew_and_shorter(kafka: Broker, topic: MakeTopic) -> None:
    """The position of the old topic lies after the end of the new one."""
    name = await topic()
    await produce(kafka.bootstrap, name, numbered(10))
    async with AIOKafkaAdminClientClosing(kafka.bootstrap) as admin:
        await admin.delete_topics([name])
        async with asyncio.timeout(DEADLINE_S):
            while name in await admin.list_topics():  # noqa: ASYNC110 - the broker does not call back
                await asyncio.sleep(0.05)
    await topic(name=name)
    await produce(kafka.bootstrap, name, numbered(4))
    async with source(kafka, name) as kafka_source:
        (beginning,) = (await kafka_source.assigned()).values()
        with pytest.raises(LostOffset) as caught:
            await kafka_source.seek([moved(beginning, 10)])

    assert caught.value.lost == (Lost(name, 0, 10, 0, 4),)


async def test_a_partition_that_is_no_more(kafka: Broker, topic: MakeTopic) -> None:
    """A stored position of a partition that the topic does not have is lost, too: the log of it is empty."""
    name = await topic()
    async with source(kafka, name) as kafka_source:
        beginnings = await kafka_source.assigned()
        with pytest.raises(LostOffset) as caught:
            await kafka_source.seek([*beginnings.values(), Position(name, 7, 12)])

    assert caught.value.lost == (Lost(name, 7, 12, 0, 0),)


async def test_retention_overruns_a_reader(kafka: Broker, topic: MakeTopic) -> None:
    """Records that are cut away before they are read are LostOffset at the next read, not a silent jump; and a seek goes on."""
    name = await topic()
    await produce(kafka.bootstrap, name, numbered(10))
    async with source(kafka, name) as kafka_source:
        beginnings = await claim(kafka_source, {0: 10})
        await produce(kafka.bootstrap, name, numbered(10, first=10))
        await read(kafka_source, 10)
        await cut(kafka, name, before=20)
        await kafka_source.seek([moved(position, 20) for position in beginnings.values()])
        kafka_source._link.consumer.seek(KafkaPartition(name, 0), 2)  # as if this reader had been that slow
        kafka_source._at[KafkaPartition(name, 0)] = 2
        with pytest.raises(LostOffset) as caught:
            await read(kafka_source, 1)
        await claim(kafka_source)
        await produce(kafka.bootstrap, name, [b"after"])
        records, _ = await read(kafka_source, 1)

    assert caught.value.lost == (Lost(name, 0, 2, 20, 20),)
    assert values(records) == [b"after"]


async def test_another_cluster_is_refused(kafka: Broker, topic: MakeTopic) -> None:
    """A position of another cluster id raises SourceChanged that names both."""
    name = await topic()
    async with source(kafka, name) as kafka_source:
        (beginning,) = (await kafka_source.assigned()).values()
        with pytest.raises(SourceChanged, match="kafka:other-cluster") as caught:
            await kafka_source.seek([Position(name, 0, 0, "kafka:other-cluster")])

    assert beginning.identity.startswith("kafka:")
    assert beginning.identity in str(caught.value)


# -- brokers that go away ----------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
@pytest.mark.parametrize("group", [False, True])
async def test_a_broker_restart_in_the_middle(restartable: Broker, topic: MakeTopic, caplog: pytest.LogCaptureFixture, group: bool) -> None:
    """Reading goes on where it stopped, every record once; one line when the broker goes and one when it is back."""
    caplog.set_level(logging.INFO, logger="tracker")
    name = await topic()
    await produce(restartable.bootstrap, name, numbered(50))
    seen: list[bytes | None] = []
    async with source(restartable, name, f"?group={name}" if group else "") as kafka_source:
        await claim(kafka_source)
        seen += values((await read(kafka_source, 50))[0])
        restarting = asyncio.create_task(asyncio.to_thread(restartable.restart))
        reads, written = 0, False
        async with asyncio.timeout(90):
            while len(seen) < 60:
                if restarting.done() and not written:
                    restarting.result()
                    await produce(restartable.bootstrap, name, numbered(10, first=50))
                    written = True
                batch = await kafka_source.read(100, 0.3)
                reads += 1
                if batch.reassigned:
                    await claim(kafka_source, {0: len(seen)})
                seen += [record.value for found in batch.records.values() for record in found]
    ours = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]

    assert seen == numbered(60)
    assert len([line for line in ours if "does not answer" in line]) == 1
    assert len([line for line in ours if "is back" in line]) == 1
    assert not logging.getLogger("aiokafka").propagate  # its own lines stay out of the program's log
    assert reads < 400  # no busy loop: each empty read waits


@pytest.mark.timeout(120)
async def test_a_broker_that_is_away_at_the_start(topic: MakeTopic, kafka: Broker, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing listens at first: the source waits, says so once, and starts when the broker is there (here: a forwarding port)."""
    name = await topic()
    await produce(kafka.bootstrap, name, numbered(3))
    port = free_port()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, real = kafka.bootstrap.partition(":")
        there, back = await asyncio.open_connection(host, int(real))

        async def pump(source_: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source_.read(65536):
                target.write(data)
            target.close()

        await asyncio.gather(pump(reader, back), pump(there, writer), return_exceptions=True)

    async with KafkaSource(f"kafka://127.0.0.1:{port}/{name}", config=QUICK) as kafka_source:
        waiting = asyncio.create_task(claim(kafka_source))
        await asyncio.sleep(2)  # several attempts fail
        assert not waiting.done()
        server = await asyncio.start_server(forward, "127.0.0.1", port)
        async with server, asyncio.timeout(DEADLINE_S):
            await waiting
            records, _ = await read(kafka_source, 3)

    assert values(records) == numbered(3)
    assert caplog.text.count("does not answer") == 1
    assert caplog.text.count("is back") == 1


async def test_a_start_timeout_ends_the_waiting() -> None:
    """With ``start_timeout_s`` a broker that never comes is SourceUnavailable, naming address and reason."""
    async with KafkaSource(f"kafka://127.0.0.1:{free_port()}/t", start_timeout_s=1.0) as kafka_source:
        with pytest.raises(SourceUnavailable, match=r"127\.0\.0\.1.*Connect call failed"):
            await kafka_source.assigned()


async def test_a_topic_that_is_not_there_yet(kafka: Broker, topic: MakeTopic, caplog: pytest.LogCaptureFixture) -> None:
    """A missing topic is waited for, and one line says so; nothing creates it by asking."""
    async with source(kafka, "t-not-there-yet") as kafka_source:
        waiting = asyncio.create_task(claim(kafka_source))
        await asyncio.sleep(1)  # several looks
        assert not waiting.done()
        await topic(name="t-not-there-yet")
        async with asyncio.timeout(DEADLINE_S):
            assert len(await waiting) == 1

    assert caplog.text.count("no topic t-not-there-yet") == 1


@pytest.mark.timeout(120)
@pytest.mark.parametrize("group", [False, True])
async def test_closing_while_the_broker_is_silent(restartable: Broker, topic: MakeTopic, group: bool) -> None:
    """A broker that does not answer (paused) does not hold up the end of a source for 5 seconds."""
    name = await topic()
    await produce(restartable.bootstrap, name, numbered(3))
    kafka_source = source(restartable, name, f"?group={name}" if group else "")
    try:
        async with kafka_source:
            await claim(kafka_source)
            await read(kafka_source, 3)
            restartable.pause()
            begun = time.monotonic()
        took = time.monotonic() - begun
    finally:
        restartable.resume()

    assert took < 5


# -- credentials -------------------------------------------------------------------------------------------------


def properties(folder: Path, mechanism: str, password: str) -> Path:
    """A client.properties as for the Java client."""
    path = folder / "client.properties"
    module = "plain.PlainLoginModule" if mechanism == "PLAIN" else "scram.ScramLoginModule"
    path.write_text(
        f"security.protocol=SASL_PLAINTEXT\nsasl.mechanism={mechanism}\n"
        f'sasl.jaas.config=org.apache.kafka.common.security.{module} required \\\n  username="{USER}" password="{password}";\n'
    )
    return path


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_sasl(kafka: Broker, topic: MakeTopic, tmp_path: Path, mechanism: str) -> None:
    """A properties file with a JAAS line reads from a broker that asks for user and password."""
    if kafka.sasl_bootstrap is None:
        pytest.skip("the given broker has no SASL listener")
    name = await topic()
    await produce(kafka.bootstrap, name, numbered(3))
    config = read_kafka_config(properties(tmp_path, mechanism, PASSWORD))
    async with KafkaSource(f"kafka://{kafka.sasl_bootstrap}/{name}", config=config) as kafka_source:
        await claim(kafka_source)
        records, _ = await read(kafka_source, 3)

    assert values(records) == numbered(3)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
async def test_a_wrong_password_is_not_tried_for_ever(
    kafka: Broker, topic: MakeTopic, tmp_path: Path, mechanism: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Refused credentials end the start at once, without naming the password anywhere."""
    if kafka.sasl_bootstrap is None:
        pytest.skip("the given broker has no SASL listener")
    caplog.set_level(logging.DEBUG)
    name = await topic()
    config = read_kafka_config(properties(tmp_path, mechanism, "wrong-secret"))
    async with KafkaSource(f"kafka://{kafka.sasl_bootstrap}/{name}", config=config) as kafka_source:
        with pytest.raises(SourceError, match="refuses the connection") as caught:
            await kafka_source.assigned()

    assert "wrong-secret" not in str(caught.value) + repr(config) + repr(kafka_source) + caplog.text


@pytest.mark.parametrize("trusted", [True, False])
async def test_sasl_over_tls(kafka: Broker, topic: MakeTopic, tmp_path: Path, trusted: bool) -> None:
    """A PEM truststore makes TLS work, and without it the broker's own certificate is refused at once."""
    if kafka.tls_bootstrap is None:
        pytest.skip("the broker has no TLS listener")
    name = await topic()
    await produce(kafka.bootstrap, name, numbered(3))
    path = properties(tmp_path, "SCRAM-SHA-256", PASSWORD)
    text = path.read_text().replace("SASL_PLAINTEXT", "SASL_SSL")
    path.write_text(text + (f"ssl.truststore.type=PEM\nssl.truststore.location={kafka.ca}\n" if trusted else ""))
    async with KafkaSource(f"kafka://{kafka.tls_bootstrap}/{name}", config=read_kafka_config(path)) as kafka_source:
        if trusted:
            await claim(kafka_source)
            assert values((await read(kafka_source, 3))[0]) == numbered(3)
        else:
            with pytest.raises(SourceError, match="certificate verify failed"):
                await kafka_source.assigned()

"""A Kafka source among others: rebalances, slow claims, new partitions, silence, and one name used twice."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin import NewPartitions

from tracker.errors import DuplicateInstance, SourceError, StoreFull
from tracker.model.records import TopicPartition
from tracker.sources.kafka import KafkaSource

from .kafka import AIOKafkaAdminClientClosing, Broker, produce
from .reading import DEADLINE_S, MakeTopic, claim, numbered, read, source, until_reassigned, values


async def fill(broker: Broker, topic: str, partitions: int, count: int = 20) -> None:
    """The same values in each partition."""
    for partition in range(partitions):
        await produce(broker.bootstrap, topic, numbered(count), partition=partition)


async def settled(sources: list[KafkaSource], partitions: int) -> list[set[TopicPartition]]:
    """Drives all sources until they have claimed disjoint assignments that make up the topic."""
    held: list[set[TopicPartition]] = [set() for _ in sources]

    async def drive(number: int) -> None:
        while True:
            held[number] = set()
            held[number] = set(await claim(sources[number]))
            await until_reassigned(sources[number])

    driving = [asyncio.create_task(drive(number)) for number in range(len(sources))]
    try:
        async with asyncio.timeout(DEADLINE_S):
            while sum(map(len, held)) != partitions or not all(held):
                await asyncio.sleep(0.05)
                for task in driving:
                    if task.done():
                        task.result()
        return [set(each) for each in held]
    finally:
        for task in driving:
            task.cancel()
        await asyncio.gather(*driving, return_exceptions=True)


async def test_a_second_member_takes_its_share(kafka: Broker, topic: MakeTopic) -> None:
    """Two members hold all partitions between them, none twice."""
    name = await topic(partitions=4)
    async with source(kafka, name, f"?group={name}") as first, source(kafka, name, f"?group={name}") as second:
        shares = await settled([first, second], 4)

    assert sorted(map(len, shares)) == [2, 2]
    assert not shares[0] & shares[1]


async def test_revocation_waits_for_the_running_batch(kafka: Broker, topic: MakeTopic) -> None:
    """``on_revoked`` is awaited with all partitions that are given up before another member gets any of them."""
    name = await topic(partitions=2)
    await fill(kafka, name, 2)
    told: list[frozenset[TopicPartition]] = []
    release = asyncio.Event()

    async def on_revoked(partitions: frozenset[TopicPartition]) -> None:
        told.append(partitions)
        await release.wait()

    async with source(kafka, name, f"?group={name}", on_revoked=on_revoked) as first, source(kafka, name, f"?group={name}") as second:
        await claim(first)
        await read(first, 40)
        joining = asyncio.create_task(claim(second))
        assert await until_reassigned(first) == []
        done, _ = await asyncio.wait({joining}, timeout=1.0)
        held_back = not done
        release.set()
        async with asyncio.timeout(DEADLINE_S):
            mine, theirs = await asyncio.gather(first.assigned(), joining)

    assert held_back
    assert told == [frozenset({TopicPartition(name, 0), TopicPartition(name, 1)})]
    assert set(mine) | set(theirs) == told[0]
    assert len(mine) == len(theirs) == 1


async def test_a_batch_over_its_budget_does_not_stop_the_group(kafka: Broker, topic: MakeTopic, caplog: pytest.LogCaptureFixture) -> None:
    """After ``revoke_budget_s`` the partitions are given up all the same, and a line says so."""
    name = await topic(partitions=2)

    async def on_revoked(_: frozenset[TopicPartition]) -> None:
        await asyncio.Event().wait()

    async with (
        source(kafka, name, f"?group={name}", on_revoked=on_revoked, revoke_budget_s=0.3) as first,
        source(kafka, name, f"?group={name}") as second,
    ):
        await claim(first)
        async with asyncio.timeout(DEADLINE_S):
            joining = asyncio.create_task(claim(second))
            await until_reassigned(first)
            await asyncio.gather(first.assigned(), joining)

    assert "the running batch did not end" in caplog.text


async def test_an_error_of_on_revoked_is_not_swallowed(kafka: Broker, topic: MakeTopic) -> None:
    """What a callback raises is only logged by aiokafka; here the next read raises it."""
    name = await topic(partitions=2)

    async def on_revoked(_: frozenset[TopicPartition]) -> None:
        raise StoreFull("no space")

    async with source(kafka, name, f"?group={name}", on_revoked=on_revoked) as first, source(kafka, name, f"?group={name}") as second:
        await claim(first)
        joining = asyncio.create_task(second.assigned())
        await until_reassigned(first)
        with pytest.raises(StoreFull):
            await first.assigned()
        joining.cancel()


async def test_a_slow_claim_reads_nothing_wrong(kafka: Broker, topic: MakeTopic) -> None:
    """Seconds between assignment and seek: no record of the group's committed offsets comes, only those from the seek on."""
    name = await topic(partitions=1)
    await fill(kafka, name, 1)
    async with AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id=name, enable_auto_commit=False) as other:
        other.assign([KafkaPartition(name, 0)])
        await other.commit({KafkaPartition(name, 0): 5})
    async with source(kafka, name, f"?group={name}") as kafka_source:
        beginnings = await kafka_source.assigned()
        await asyncio.sleep(3)  # the slow claim itself: longer than a session of this test, and than aiokafka's own reset
        with pytest.raises(SourceError, match="before seek"):
            await kafka_source.read(10, 0.1)
        await kafka_source.seek(beginnings.values())
        records, _ = await read(kafka_source, 20)

    assert values(records) == numbered(20)


async def test_a_slow_claim_without_committed_offsets(kafka: Broker, topic: MakeTopic) -> None:
    """The same where the group has committed nothing: aiokafka's own search for an offset ends in an error that must not come out."""
    name = await topic(partitions=2)
    await fill(kafka, name, 2)
    async with source(kafka, name, f"?group={name}") as kafka_source:
        beginnings = await kafka_source.assigned()
        await asyncio.sleep(2)  # the slow claim itself
        await kafka_source.seek(beginnings.values())
        records, _ = await read(kafka_source, 40)

    assert len(records) == 40


async def test_an_assignment_that_changes_during_the_claim_is_told(kafka: Broker, topic: MakeTopic) -> None:
    """A seek for an assignment that is over does nothing, and the next read says reassigned."""
    name = await topic(partitions=2)
    await fill(kafka, name, 2)
    async with source(kafka, name, f"?group={name}") as first, source(kafka, name, f"?group={name}") as second:
        old = await first.assigned()
        joining = asyncio.create_task(second.assigned())
        async with asyncio.timeout(DEADLINE_S):
            await joining
        await first.seek(old.values())
        batch = await first.read(100, 0.1)

    assert batch.reassigned
    assert batch.record_count == 0


async def test_no_record_of_a_lost_partition(kafka: Broker, topic: MakeTopic) -> None:
    """Records that were fetched before a rebalance do not come after it: both members together read each record from its seek once."""
    name = await topic(partitions=2)
    await fill(kafka, name, 2, count=2000)
    async with source(kafka, name, f"?group={name}") as first, source(kafka, name, f"?group={name}") as second:
        await claim(first)
        await first.read(10, 5.0)  # the rest of both partitions lies in the buffer now
        joining = asyncio.create_task(claim(second))
        await until_reassigned(first)
        mine = await claim(first)
        records, _ = await read(first, 2000)
        async with asyncio.timeout(DEADLINE_S):
            theirs = await joining

    assert len(mine) == len(theirs) == 1
    assert {TopicPartition(record.topic, record.partition) for record in records} == set(mine)
    assert values(records) == numbered(2000)


@pytest.mark.parametrize("group", [False, True])
async def test_new_partitions_are_picked_up(kafka: Broker, topic: MakeTopic, group: bool) -> None:
    """Partitions added to a topic are read, with and without a group."""
    name = await topic(partitions=1)
    async with source(kafka, name, f"?group={name}" if group else "") as kafka_source:
        assert len(await claim(kafka_source)) == 1
        async with AIOKafkaAdminClientClosing(kafka.bootstrap) as admin:
            await admin.create_partitions({name: NewPartitions(3)})
        assert await until_reassigned(kafka_source) == []
        async with asyncio.timeout(DEADLINE_S):
            while len(await claim(kafka_source)) < 3:
                await until_reassigned(kafka_source)
        await produce(kafka.bootstrap, name, [b"new"], partition=2)
        records, _ = await read(kafka_source, 1)

    assert [(record.partition, record.value) for record in records] == [(2, b"new")]


@pytest.mark.parametrize("group", [False, True])
async def test_a_new_topic_of_the_pattern_is_picked_up(kafka: Broker, topic: MakeTopic, group: bool) -> None:
    """A topic made later is read when its name matches."""
    name = await topic()
    async with source(kafka, "", f"?pattern={name}.*" + (f"&group={name}" if group else "")) as kafka_source:
        await claim(kafka_source)
        second = await topic(name=f"{name}-b")
        async with asyncio.timeout(DEADLINE_S):
            while TopicPartition(second, 0) not in await claim(kafka_source):
                await until_reassigned(kafka_source)
        await produce(kafka.bootstrap, second, [b"new"])
        records, _ = await read(kafka_source, 1)

    assert [record.topic for record in records] == [second]


async def test_positions_are_told_to_the_group(kafka: Broker, topic: MakeTopic) -> None:
    """``committed`` ends up as the group's offset, for the lag displays of others; at the latest when the source is closed."""
    name = await topic()
    await fill(kafka, name, 1)
    async with source(kafka, name, f"?group={name}") as kafka_source:
        (position,) = (await claim(kafka_source)).values()
        await kafka_source.committed([type(position)(name, 0, 7)])
    async with AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id=name, enable_auto_commit=False) as other:
        offset = await other.committed(KafkaPartition(name, 0))

    assert offset == 7


async def test_a_member_that_was_silent_too_long_is_reassigned_first(kafka: Broker, topic: MakeTopic) -> None:
    """A process stopped for longer than its session (as by SIGSTOP: the event loop stands still) gets no buffered record afterwards,
    before its partitions are claimed again.
    """
    name = await topic(partitions=2)
    await fill(kafka, name, 2, count=2000)
    async with source(kafka, name, f"?group={name}") as kafka_source:
        await claim(kafka_source)
        await kafka_source.read(10, 5.0)  # the rest lies in the buffer
        import time

        time.sleep(3.5)  # noqa: ASYNC251 - the stop itself: session.timeout.ms is 2,000 here
        batch = await kafka_source.read(1000, 5.0)

    assert batch.reassigned
    assert batch.record_count == 0


async def test_one_name_used_twice_is_told(kafka: Broker, topic: MakeTopic) -> None:
    """Two workers with one --instance fence each other for ever, without an error from Kafka: one of them stops and says so.

    Seen with a broker 4.1.0: the join of the second replaces the first one's member id at once, without a rebalance, and both believe
    that they hold all partitions; the first one's next heartbeat is answered by UNKNOWN_MEMBER_ID, so it joins again and takes the place back.
    """
    name = await topic(partitions=2)
    told: list[str] = []

    async def drive(kafka_source: KafkaSource) -> None:
        while True:
            await claim(kafka_source)
            await until_reassigned(kafka_source)

    async with (
        source(kafka, name, f"?group={name}", instance="worker-1") as first,
        source(kafka, name, f"?group={name}", instance="worker-1") as second,
    ):
        driving = [asyncio.create_task(drive(first)), asyncio.create_task(drive(second))]
        async with asyncio.timeout(DEADLINE_S):
            done, pending = await asyncio.wait(driving, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            with pytest.raises(DuplicateInstance) as caught:
                task.result()
            told.append(str(caught.value))
        for task in pending:
            task.cancel()
        with contextlib.suppress(DuplicateInstance):
            await asyncio.gather(*pending, return_exceptions=True)

    assert all("--instance worker-1" in text for text in told)


async def test_a_static_member_comes_back_to_its_partitions(kafka: Broker, topic: MakeTopic) -> None:
    """A worker with --instance that is started anew within its session gets its partitions without a rebalance of the others."""
    name = await topic(partitions=2)
    async with source(kafka, name, f"?group={name}", instance="b") as other:
        async with source(kafka, name, f"?group={name}", instance="a") as first:
            shares = await settled([first, other], 2)
            await claim(other)
        async with source(kafka, name, f"?group={name}", instance="a") as again:
            async with asyncio.timeout(DEADLINE_S):
                back = await claim(again)
            batch = await other.read(10, 0.5)

    assert set(back) == shares[0]
    assert not batch.reassigned


async def test_a_static_member_that_came_back_sees_new_partitions(kafka: Broker, topic: MakeTopic) -> None:
    """Partitions added after a static member was started anew are picked up, although it joined without a rebalance."""
    name = await topic()
    async with source(kafka, name, f"?group={name}", instance="a") as first:
        await claim(first)
    async with source(kafka, name, f"?group={name}", instance="a") as again:
        assert len(await claim(again)) == 1
        async with AIOKafkaAdminClientClosing(kafka.bootstrap) as admin:
            await admin.create_partitions({name: NewPartitions(2)})
        async with asyncio.timeout(DEADLINE_S):
            while len(await claim(again)) < 2:
                await until_reassigned(again)
    async with AIOKafkaAdminClientClosing(kafka.bootstrap) as admin:
        await admin.create_partitions({name: NewPartitions(3)})  # while it is away
    async with source(kafka, name, f"?group={name}", instance="a") as once_more:
        async with asyncio.timeout(DEADLINE_S):
            while len(await claim(once_more)) < 3:
                await until_reassigned(once_more)

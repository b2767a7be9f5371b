"""End to end on a real broker: what stands in Kafka becomes exactly the statuses that the naive fold gives."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin import NewPartitions, RecordsToDelete
from cloudevents.core.bindings import kafka as cloudevents_kafka
from cloudevents.core.v1.event import CloudEvent

from tests.crash.crash_log import TIMESTAMP_MS, Outcome, produce_all, records, send_all
from tests.crash.outcome import offsets, records_read, registers
from tracker.errors import LostOffset
from tracker.fold.state import from_bytes
from tracker.fold.view import view
from tracker.model.records import Record, TopicPartition
from tracker.stores.sql import SqlStore

from .kafka import AIOKafkaAdminClientClosing, Broker, transaction
from .reading import DEADLINE_S, MakeTopic
from .road import KEPT, ends, expecting, is_exact, settled, spread, track, tracking, until, until_rebalancing, until_shared, wait_for

pytestmark = pytest.mark.timeout(180)

DATA: dict[str, dict[str, Any] | None] = {
    "created": {
        "type": "QUARTZ",
        "uniqueName": "Größe 😀",
        "target": {"id": "s", "type": "APPLICATION", "name": None},
        "attributes": {"n": 1.5},
    },
    "launched": None,
    "progressed": {"progress": "half", "percentComplete": 50},
    "messaged": {"type": "WARN", "key": "k", "localizedText": {"locale": "en", "message": "m"}, "parameters": ["p", {"b": 1, "a": 2}]},
    "returned": {"name": "n", "attributeName": "a"},
    "completed": {"completionStatus": "ERROR"},
    "corrected": {"completionStatus": "SUCCESS", "completed": "2026-01-02T00:00:00+01:00"},
    "updated": {"description": "d"},
}


@pytest.fixture
def outcome(tmp_path: Path) -> Iterator[Outcome]:
    """What must come of the records that are added."""
    with Outcome(tmp_path) as found:
        yield found


def sdk_events(task: str) -> list[CloudEvent]:
    """Each kind of event but ``deleted`` of one task, made by the official SDK."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    found = []
    for number, (kind, data) in enumerate(DATA.items()):
        attributes = {
            "type": f"io.tracker.task.{kind}",
            "source": "/sdk",
            "id": f"{task}-{number}",
            "specversion": "1.0",
            "subject": task,
            "time": start + timedelta(seconds=number, microseconds=123_456 * (number % 2)),
            "sequence": number + 1,
            "attempt": 1 + number // 6,
            "datacontenttype": "application/json",
        }
        found.append(CloudEvent(attributes, data))
    return found


def as_record(topic: str, event: CloudEvent, form: str) -> Record:
    """An event as the SDK writes it in one of its two Kafka forms, keyed by the task; or bare: the same JSON without a header."""
    convert = cloudevents_kafka.to_binary_event if form == "binary" else cloudevents_kafka.to_structured_event
    message = convert(event, None, lambda each: each.get_subject())
    headers = list(message.headers.items()) if form != "bare" else []
    assert isinstance(message.key, str)
    return Record(topic, 0, 0, message.value, message.key.encode(), headers, TIMESTAMP_MS)


# -- what a record may be ----------------------------------------------------------------------------------------


async def test_the_forms_of_the_official_sdk(kafka: Broker, topic: MakeTopic, tmp_path: Path, outcome: Outcome) -> None:
    """Binary and structured records of the `cloudevents` SDK and bare JSON give equal statuses, and none of them is refused."""
    name, store = await topic(config=KEPT), tmp_path / "status.db"
    forms = ("binary", "structured", "bare")
    log = [as_record(name, event, form) for form in forms for event in sdk_events(f"in-{form}")]
    log += [as_record(name, event, forms[number % 3]) for number, event in enumerate(sdk_events("in-all-forms"))]
    await produce_all(kafka.bootstrap, expecting(outcome, log))
    totals = await track(kafka, name, store)

    assert totals.counters.applied == len(log) == 4 * len(DATA)
    assert await is_exact(kafka, name, store, outcome)
    assert len(set(_documents(store))) == 1


def _documents(store: Path) -> list[str]:
    """Every task's document, its id taken out."""
    tasks = ((task_id, from_bytes(data)) for task_id, data in registers(store))
    return [orjson.dumps(view(task_id, state)).decode().replace(task_id, "the task") for task_id, state in tasks]


async def test_tombstones(kafka: Broker, topic: MakeTopic, tmp_path: Path, outcome: Outcome) -> None:
    """A null value deletes the key's task for good, before, between and after its events; without a key it is refused, and `ce_` headers make it an event."""
    name, store = await topic(config=KEPT), tmp_path / "status.db"
    log = [as_record(name, event, "bare") for task in ("before", "between", "after", "kept") for event in sdk_events(task)]
    stones = {task: Record(name, 0, 0, None, task.encode(), (), TIMESTAMP_MS) for task in ("before", "between", "after", "never-seen")}
    log = [stones["before"], *log[:12], stones["between"], *log[12:], stones["after"], stones["never-seen"]]
    log.append(Record(name, 0, 0, None, None, (), TIMESTAMP_MS))
    launched = {"ce_type": b"io.tracker.task.launched", "ce_specversion": b"1.0", "ce_id": b"1", "ce_source": b"/n"}
    log.append(Record(name, 0, 0, None, b"null-value", list(launched.items()), TIMESTAMP_MS))
    await produce_all(kafka.bootstrap, expecting(outcome, log))
    await track(kafka, name, store)

    with SqlStore(str(store)) as opened:
        assert [(parked.record.offset, parked.reason) for parked in opened.parked()] == [(len(log) - 2, "not-an-event")]
        assert opened.task_count() == 2
    assert await is_exact(kafka, name, store, outcome)


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
async def test_compressed_logs(kafka: Broker, topic: MakeTopic, tmp_path: Path, outcome: Outcome, codec: str) -> None:
    """Whole batches in lz4 and zstd, with everything in them that a log may have."""
    name, store = await topic(partitions=4, config=KEPT), tmp_path / "status.db"
    await produce_all(kafka.bootstrap, expecting(outcome, records(5_000, name)), compression_type=codec)
    await track(kafka, name, store)

    assert await is_exact(kafka, name, store, outcome)


# -- what a log may be -------------------------------------------------------------------------------------------


async def test_transactions(kafka: Broker, topic: MakeTopic, tmp_path: Path, outcome: Outcome) -> None:
    """Committed ones are folded, aborted ones never; an open one is waited for; the positions go over the markers at the end."""
    name, store = await topic(partitions=4, config=KEPT), tmp_path / "status.db"
    wipe = [Record(name, number % 4, 0, None, b"task-%08d" % number, (), TIMESTAMP_MS) for number in range(100)]
    async with tracking(kafka, name, store) as running:
        async with transaction(kafka.bootstrap, f"{name}-1") as producer:
            await send_all(producer, expecting(outcome, spread(name, 100)))
            await producer.commit_transaction()
        await settled(store, outcome, running)
        async with transaction(kafka.bootstrap, f"{name}-2") as producer:
            await send_all(producer, wipe)
            await produce_all(kafka.bootstrap, expecting(outcome, spread(name, 100, first_task=100)))  # behind the open one
            read_beside_it_open = records_read(store)
            await producer.abort_transaction()
        await settled(store, outcome, running)
        async with transaction(kafka.bootstrap, f"{name}-3") as producer:
            await send_all(producer, wipe)
            await producer.abort_transaction()
        at_end = await ends(kafka, name, range(4))
        await wait_for(lambda: offsets(store) == at_end, "positions behind the last marker", running)

    assert read_beside_it_open == 800
    assert await is_exact(kafka, name, store, outcome)


async def test_a_compacted_topic(kafka: Broker, topic: MakeTopic, tmp_path: Path, outcome: Outcome) -> None:
    """What compaction has left is folded, gaps and all, and the position ends behind the last record."""
    compact = {"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.001", "segment.bytes": "1048576"}
    name, store = await topic(config=compact), tmp_path / "status.db"
    produced = 0
    for _ in range(4):
        log = [as_record(name, event, "structured") for task in ("a", "b", "c") for event in sdk_events(task)]
        await produce_all(kafka.bootstrap, [Record(name, 0, 0, r.value, r.key, r.headers, None) for r in log])
        produced += len(log)
        await asyncio.sleep(0.2)  # longer than segment.ms: the next write rolls the segment, and only closed ones are compacted
    left: list[Record] = []

    async def compacted() -> bool:
        left[:] = await _read_all(kafka, name)
        return len(left) <= produced / 2

    await until(compacted)
    expecting(outcome, left)
    totals = await track(kafka, name, store)

    assert totals.counters.read < produced
    assert offsets(store) == {0: produced}
    assert await is_exact(kafka, name, store, outcome)


async def _read_all(broker: Broker, topic: str) -> list[Record]:
    """The records of partition 0 by an independent client."""
    async with AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest") as consumer:
        at = KafkaPartition(topic, 0)
        consumer.assign([at])
        end = (await consumer.end_offsets([at]))[at]
        found: list[Record] = []
        while await consumer.position(at) < end:
            batch = (await consumer.getmany(at, timeout_ms=1000)).get(at, [])
            found += [Record(topic, 0, read.offset, read.value, read.key, read.headers, read.timestamp) for read in batch]
        return found


async def test_partitions_are_added(kafka: Broker, topic: MakeTopic, tmp_path: Path, outcome: Outcome) -> None:
    """A run takes up new partitions from their beginning, and tasks whose events stand in old and new ones are exact."""
    name, store = await topic(partitions=1, config=KEPT), tmp_path / "status.db"
    log = spread(name, 200)
    early = [Record(name, 0, 0, r.value, r.key, r.headers, r.timestamp_ms) for r in log[:800]]
    async with tracking(kafka, name, store) as running:
        await produce_all(kafka.bootstrap, expecting(outcome, early))
        await settled(store, outcome, running)
        async with AIOKafkaAdminClientClosing(kafka.bootstrap) as admin:
            await admin.create_partitions({name: NewPartitions(4)})
        await produce_all(kafka.bootstrap, expecting(outcome, log[800:]))
        await settled(store, outcome, running)

    assert offsets(store).keys() == {0, 1, 2, 3}
    assert await is_exact(kafka, name, store, outcome)


# -- retention ---------------------------------------------------------------------------------------------------


async def test_retention_stops_a_run(kafka: Broker, topic: MakeTopic, tmp_path: Path, outcome: Outcome) -> None:
    """A position that retention has overrun ends the run with exit code 3 and a sentence with both offsets; the store stays as it was."""
    name, store = await topic(config=KEPT), tmp_path / "status.db"
    await _overrun(kafka, name, store, outcome)
    with pytest.raises(LostOffset) as caught:
        await track(kafka, name, store)

    assert caught.value.exit_code == 3
    assert str(caught.value).startswith(f"{name}, partition 0: the store goes on at offset 400, but the log has 600 to 800;")
    assert "--on-lost-offset=earliest" in str(caught.value)
    assert offsets(store) == {0: 400}


async def test_retention_overrun_by_choice(kafka: Broker, topic: MakeTopic, tmp_path: Path, outcome: Outcome) -> None:
    """With ``earliest`` the run goes on where the log begins now, the store remembers the choice, and the rest is exact."""
    name, store = await topic(config=KEPT), tmp_path / "status.db"
    left = await _overrun(kafka, name, store, outcome)
    expecting(outcome, left)
    await track(kafka, name, store, on_lost_offset="earliest")

    with SqlStore(str(store)) as opened:
        (jump,) = opened.jumps()
    assert (jump.at, jump.stored, jump.chosen, jump.policy) == (TopicPartition(name, 0), 400, 600, "earliest")
    assert await is_exact(kafka, name, store, outcome)


async def test_retention_overruns_a_slow_run(kafka: Broker, topic: MakeTopic, tmp_path: Path, outcome: Outcome) -> None:
    """With ``earliest`` a run that is overrun while it reads goes on too."""
    name, store = await topic(config=KEPT), tmp_path / "status.db"
    slow, cut = threading.Event(), threading.Event()

    def seam(at: str) -> None:
        if at == "before commit" and not slow.is_set():
            slow.set()
            assert cut.wait(DEADLINE_S)

    log = [Record(name, 0, 0, r.value, r.key, r.headers, r.timestamp_ms) for r in spread(name, 4_000)]
    await produce_all(kafka.bootstrap, log)  # more than a fetch brings
    options: dict[str, Any] = {"on_lost_offset": "earliest", "max_batch_records": 100}
    async with tracking(kafka, name, store, seam=seam, **options) as running:
        await wait_for(slow.is_set, "a batch in hand", running)
        await _cut(kafka, name, 31_990)
        cut.set()
        await wait_for(lambda: offsets(store) == {0: 32_000}, "the end", running)
    with SqlStore(str(store)) as opened:
        (jump,) = opened.jumps()
        (partition,) = opened.partitions()
    expecting(outcome, log[: jump.stored] + log[31_990:])

    assert jump.chosen == 31_990
    assert partition.counters.read == jump.stored + 10
    assert await is_exact(kafka, name, store, outcome)


async def _overrun(broker: Broker, topic: str, store: Path, outcome: Outcome) -> list[Record]:
    """A store at 400, a log that has 600 to 800; gives the records that are left."""
    log = [Record(topic, 0, 0, r.value, r.key, r.headers, r.timestamp_ms) for r in spread(topic, 100)]
    await produce_all(broker.bootstrap, expecting(outcome, log[:400]))
    await track(broker, topic, store)
    await produce_all(broker.bootstrap, log[400:])
    await _cut(broker, topic, 600)
    return log[600:]


async def _cut(broker: Broker, topic: str, before: int) -> None:
    """What retention does: records before an offset are gone."""
    async with AIOKafkaAdminClientClosing(broker.bootstrap) as admin:
        await admin.delete_records({KafkaPartition(topic, 0): RecordsToDelete(before_offset=before)})


# -- groups and faults -------------------------------------------------------------------------------------------


async def test_a_rebalance_in_mid_batch(
    kafka: Broker, topic: MakeTopic, tmp_path: Path, outcome: Outcome, caplog: pytest.LogCaptureFixture
) -> None:
    """A second worker joins while the first is in mid-batch: that batch is committed before the partitions go, and nothing is counted twice."""
    name, store = await topic(partitions=4, config=KEPT), tmp_path / "status.db"
    held, go_on = threading.Event(), threading.Event()
    passed: list[str] = []

    def seam(at: str) -> None:
        passed.append(at)
        if passed.count("before commit") == 3 and not held.is_set():
            held.set()
            assert go_on.wait(DEADLINE_S)

    await produce_all(kafka.bootstrap, expecting(outcome, spread(name, 1_000)))
    group = f"?group={name}"
    async with tracking(kafka, name, store, group, seam=seam) as first:
        await wait_for(held.is_set, "a batch in hand", first)
        async with tracking(kafka, name, store, group) as second:
            await until_rebalancing(kafka, name)  # it waits for the first worker's batch
            at_rest = records_read(store)
            go_on.set()
            await until_shared(kafka, name)
            await settled(store, outcome, second)

    assert at_rest == 1_000
    assert "no longer at offset" not in caplog.text
    assert await is_exact(kafka, name, store, outcome)


async def test_a_batch_later_than_its_budget(
    kafka: Broker, topic: MakeTopic, tmp_path: Path, outcome: Outcome, caplog: pytest.LogCaptureFixture
) -> None:
    """A batch that is still at work when its partitions have gone is refused as a whole, and its worker goes on with what it is given."""
    name, store = await topic(partitions=4, config=KEPT), tmp_path / "status.db"
    held, go_on = threading.Event(), threading.Event()

    passed: list[str] = []

    def seam(at: str) -> None:
        passed.append(at)
        if passed.count("before commit") == 2 and not held.is_set():  # the first batch is a small one
            held.set()
            assert go_on.wait(DEADLINE_S)

    await produce_all(kafka.bootstrap, expecting(outcome, spread(name, 1_000)))
    group = f"?group={name}"
    async with tracking(kafka, name, store, group, seam=seam, max_batch_records=10_000, max_batch_age_s=2.0) as first:
        await wait_for(held.is_set, "a batch of all partitions in hand", first)
        async with tracking(kafka, name, store, group) as second:
            await until_shared(kafka, name)  # after the budget of 4 seconds
            await wait_for(lambda: records_read(store) > 3_000, "the second worker's half", second)
            go_on.set()
            await settled(store, outcome, first)
            await produce_all(kafka.bootstrap, expecting(outcome, spread(name, 100, first_task=1_000)))
            await settled(store, outcome, first)

    assert caplog.text.count("no longer at offset") == 1
    assert await is_exact(kafka, name, store, outcome)


async def test_a_broker_that_is_silent_for_long(restartable: Broker, topic: MakeTopic, tmp_path: Path, outcome: Outcome) -> None:
    """No answer for longer than any single question waits (10 s): the run neither ends nor forgets where it is."""
    name, store = await topic(partitions=4, config=KEPT), tmp_path / "status.db"
    await produce_all(restartable.bootstrap, expecting(outcome, spread(name, 100)))
    async with tracking(restartable, name, store) as running:
        await settled(store, outcome, running)
        restartable.pause()
        try:
            with pytest.raises(TimeoutError):
                await wait_for(running.done, "an end that must not come", running, deadline_s=15)
        finally:
            restartable.resume()
        await produce_all(restartable.bootstrap, expecting(outcome, spread(name, 100, first_task=100)))
        await settled(store, outcome, running)

    assert await is_exact(restartable, name, store, outcome)


@pytest.mark.parametrize("group", [False, True])
async def test_a_broker_restart_in_mid_run(restartable: Broker, topic: MakeTopic, tmp_path: Path, outcome: Outcome, group: bool) -> None:
    """The broker goes in the middle of the reading and comes back: the same run goes on, and each record is counted once."""
    name, store = await topic(partitions=4, config=KEPT), tmp_path / "status.db"
    await produce_all(restartable.bootstrap, expecting(outcome, spread(name, 3_000)))
    async with tracking(restartable, name, store, f"?group={name}" if group else "", max_batch_records=200) as running:
        await wait_for(lambda: records_read(store) > 0, "a first commit", running)
        restarting = asyncio.create_task(asyncio.to_thread(restartable.restart))
        await wait_for(restarting.done, "the broker", running)
        await restarting
        await produce_all(restartable.bootstrap, expecting(outcome, spread(name, 100, first_task=3_000)))
        await settled(store, outcome, running)

    assert await is_exact(restartable, name, store, outcome)

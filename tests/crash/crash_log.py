"""The log of the crash tests: a workload with everything in it that a log may have, produced with transactions, and its naive outcome."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import IO, Any, Self
from zlib import crc32

import orjson
from aiokafka import AIOKafkaProducer

from tests.naive.decode import NaiveEvent, naive_decode
from tests.naive.fold import naive_fold
from tests.naive.workload import BASE_MS, lines
from tracker.model.records import Record

EVENTS_PER_TASK = 8
LATE_RECORDS = 3_000
"""A late record comes up to so many records after its place."""
BUCKETS = 32
"""The naive fold holds the events of one of so many parts of the tasks at a time: a million of them take 3 GB."""
BATCH_BYTES = 500_000
TIMESTAMP_MS = BASE_MS + 86_400_000
"""After all of the workload's times, and long ago: the topic keeps its records for ever (retention.ms=-1)."""
STRUCTURED = ("content-type", b"application/cloudevents+json; charset=UTF-8")
BROKEN = (
    b"not JSON",
    b"[]",
    b'{"type":"io.tracker.task.created","specversion":"0.3","id":"1","source":"/a","subject":"t","time":"2026-01-01T00:00:00Z"}',
    b'{"type":"io.tracker.task.completed","specversion":"1.0","id":"1","source":"/a","subject":"t","time":"2026-01-01T00:00:00Z","data":{}}',
    b'{"type":"io.tracker.task.created","specversion":"1.0","id":"1","source":"/a","subject":"t","time":"2999-01-01T00:00:00Z"}',
)
"""One for each reason but too-large."""


def records(count: int, topic: str, partitions: int = 4, seed: int = 0) -> Iterator[Record]:
    """``count`` records or a few less, as they are to be produced; offsets are not set.

    Per thousand: 10 are refused, 10 ignored, 20 duplicates, 20 late, 50 without a key, 100 binary, 100 structured, 20 named by the key
    alone, 1 a tombstone.
    """
    rng = Random(seed)
    late: list[tuple[int, Record]] = []
    made = 0
    tasks = int(count * 0.955) // EVENTS_PER_TASK
    for line in lines(tasks, EVENTS_PER_TASK, seed):
        event = orjson.loads(line)
        key: bytes | None = event["subject"].encode()
        partition = crc32(event["subject"].encode()) % partitions
        if rng.random() < 0.05:
            key, partition = None, rng.randrange(partitions)
        record = _in_some_form(rng, Record(topic, partition, 0, line, key, (), TIMESTAMP_MS), event)
        if rng.random() < 0.02:
            late.append((made + rng.randrange(LATE_RECORDS), record))
        else:
            made += 1
            yield record
        for extra in _extras(rng, record, event, partitions):
            made += 1
            yield extra
        while late and late[0][0] <= made:
            made += 1
            yield late.pop(0)[1]
    for _, record in late:
        yield record


def _in_some_form(rng: Random, bare: Record, event: dict[str, Any]) -> Record:
    chance = rng.random()
    if chance < 0.1:
        return Record(bare.topic, bare.partition, 0, bare.value, bare.key, [STRUCTURED], bare.timestamp_ms)
    if chance < 0.2:
        value = orjson.dumps(event.pop("data"))
        headers = [(f"ce_{name}", str(attribute).encode()) for name, attribute in event.items()]
        return Record(bare.topic, bare.partition, 0, value, bare.key, headers, bare.timestamp_ms)
    if chance < 0.22 and bare.key is not None:
        del event["subject"]
        value = orjson.dumps(event)
        event["subject"] = bare.key.decode()
        return Record(bare.topic, bare.partition, 0, value, bare.key, (), bare.timestamp_ms)
    return bare


def _extras(rng: Random, record: Record, event: dict[str, Any], partitions: int) -> Iterator[Record]:
    """What else stands in a log beside the events of the workload."""
    chance, elsewhere = rng.random(), rng.randrange(partitions)
    if chance < 0.02:  # again, perhaps in another partition
        yield Record(record.topic, elsewhere, 0, record.value, record.key, record.headers, record.timestamp_ms)
    elif chance < 0.03:
        yield Record(record.topic, elsewhere, 0, rng.choice(BROKEN), record.key, (), record.timestamp_ms)
    elif chance < 0.04:
        yield Record(record.topic, elsewhere, 0, b'{"type":"com.example.other","id":1}', record.key, (), record.timestamp_ms)
    elif chance < 0.041:
        yield Record(record.topic, record.partition, 0, None, event["subject"].encode(), (), record.timestamp_ms)


class Outcome:
    """What must come of a log: the number of records by partition and by fate, and (naively) every task's document."""

    def __init__(self, folder: Path) -> None:
        self.by_partition: Counter[int] = Counter()
        self.by_fate: Counter[str] = Counter()
        """``event``, ``ignored`` and ``parked:REASON``."""
        self._paths = [folder / f"naive-{number}" for number in range(BUCKETS)]
        self._files: list[IO[bytes]] = [path.open("wb") for path in self._paths]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()

    def add(self, record: Record) -> None:
        """One record that a reader of committed transactions sees."""
        found = naive_decode(record)
        self.by_partition[record.partition] += 1
        self.by_fate["event" if isinstance(found, NaiveEvent) else found] += 1
        if isinstance(found, NaiveEvent):
            pickle.dump(found, self._files[crc32(found.task_id.encode()) % BUCKETS])

    @property
    def total(self) -> int:
        """All records."""
        return self.by_partition.total()

    @property
    def parked(self) -> int:
        """Records that are refused, whatever the reason."""
        return sum(count for fate, count in self.by_fate.items() if fate.startswith("parked:"))

    def documents(self) -> dict[str, dict[str, Any] | None]:
        """The naive fold: each task's document by its id, None for a deleted one. Once only."""
        found: dict[str, dict[str, Any] | None] = {}
        for file, path in zip(self._files, self._paths, strict=True):
            file.close()
            found |= naive_fold(pickled(path))
            path.unlink()
        return found


def pickled(path: Path) -> Iterator[NaiveEvent]:
    """Events from a file in which they were pickled one after the other."""
    with path.open("rb") as file:
        while True:
            try:
                yield pickle.load(file)
            except EOFError:
                return


async def produce_all(bootstrap: str, log: Iterable[Record], **options: Any) -> None:
    """Write records to their partitions, in order, in batches of our own making."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, max_batch_size=BATCH_BYTES, acks="all", **options) as producer:
        await send_all(producer, log)


async def send_all(producer: AIOKafkaProducer, log: Iterable[Record]) -> None:
    """The same with a producer that may be in a transaction; returns when all are acknowledged."""
    batches: dict[int, Any] = {}
    topic = ""
    for record in log:
        topic, partition = record.topic, record.partition
        batch = batches.setdefault(partition, producer.create_batch())
        fields = {"key": record.key, "value": record.value, "timestamp": record.timestamp_ms, "headers": list(record.headers)}
        if batch.append(**fields) is None:
            await _send(producer, batch, topic, partition)
            batches[partition] = batch = producer.create_batch()
            assert batch.append(**fields) is not None
    for partition, batch in batches.items():
        await _send(producer, batch, topic, partition)


async def _send(producer: AIOKafkaProducer, batch: Any, topic: str, partition: int) -> None:
    batch.close()
    await (await producer.send_batch(batch, topic, partition=partition))


async def produce_crash_log(bootstrap: str, topic: str, count: int, outcome: Outcome, seed: int = 0) -> None:
    """The whole log: most of it plain, a tenth in a committed transaction, and an aborted one in the middle that would change every task it names."""
    log = list(records(count, topic, seed=seed))
    tenth = len(log) // 10
    for record in log:
        outcome.add(record)
    await produce_all(bootstrap, log[: 4 * tenth])
    await _in_transaction(bootstrap, log[4 * tenth : 5 * tenth], "committed")
    subjects = [record.key for record in log if record.key is not None][:: max(1, count // 200)]
    deletions = [Record(topic, number % 4, 0, None, key, (), TIMESTAMP_MS) for number, key in enumerate(subjects)]
    await _in_transaction(bootstrap, deletions, "aborted")
    await produce_all(bootstrap, log[5 * tenth :])


async def _in_transaction(bootstrap: str, log: Iterable[Record], end: str) -> None:
    name = f"{end}-{Random().getrandbits(32):x}"
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=name, max_batch_size=BATCH_BYTES, acks="all") as producer:
        await producer.begin_transaction()
        await send_all(producer, log)
        await (producer.commit_transaction() if end == "committed" else producer.abort_transaction())

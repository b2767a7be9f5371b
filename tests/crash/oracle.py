"""What must be in the store: the naive decode and fold of the whole log, offset by offset, shard by shard in processes of their own.

The log is read back from the broker once, by an independent client, and its records are spread over shards by the crc of their task id.
Each shard is folded and compared with the store's states; the sorted export lines of all shards are merged and compared with what
``tracker export`` wrote, byte by byte.
"""

from __future__ import annotations

import heapq
import json
import pickle
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import IO, Any
from zlib import crc32

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition

from tests.crash.crash_log import pickled
from tests.naive.decode import NaiveEvent, naive_decode
from tests.naive.fold import naive_export, naive_fold
from tests.services.kafka import AIOKafkaAdminClientClosing
from tracker.fold.state import from_bytes
from tracker.fold.view import extension
from tracker.model.records import Record, TopicPartition
from tracker.stores.base import Counters, PartitionStatus
from tracker.stores.open import open_store

SHARD_EVENTS = 60_000
"""The naive fold holds all events of a shard: some 200 MB."""
CHUNK_RECORDS = 50_000
PROCESSES = 2
SHOWN = 5
"""So many differences of one kind are told."""


Fates = dict[TopicPartition, Counter[str]]


@dataclass
class Expected:
    """How many records of each partition meet which fate: ``event``, ``ignored`` or ``parked:REASON``; and where the shards are."""

    fates: Fates = field(default_factory=dict)
    ends: dict[TopicPartition, int] = field(default_factory=dict)
    shards: list[Path] = field(default_factory=list)
    """The stems of each shard's files."""

    @property
    def total(self) -> int:
        """All records."""
        return sum(counted.total() for counted in self.fates.values())

    @property
    def events(self) -> int:
        """Those that are events."""
        return sum(counted["event"] for counted in self.fates.values())


class Shards:
    """Records on their way into the shards: written down in chunks, and each chunk decoded by another process."""

    def __init__(self, folder: Path, count: int, processes: int = PROCESSES) -> None:
        self._folder, self._count = folder, count
        self._pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
        self._chunk: list[Record] = []
        self._decoding: list[Future[Fates]] = []

    def add(self, record: Record) -> None:
        """One record of the log."""
        self._chunk.append(record)
        if len(self._chunk) == CHUNK_RECORDS:
            self._flush()

    def _flush(self) -> None:
        path = self._folder / f"chunk-{len(self._decoding):04}"
        path.write_bytes(pickle.dumps(self._chunk, protocol=5))
        self._chunk = []
        self._decoding.append(self._pool.submit(_decode_chunk, path, self._count))

    def close(self, ends: dict[TopicPartition, int]) -> Expected:
        """All are decoded."""
        self._flush()
        expected = Expected(ends=ends)
        with self._pool:
            for decoding in self._decoding:
                for at, counted in decoding.result().items():
                    expected.fates.setdefault(at, Counter()).update(counted)
        expected.shards = [self._folder / f"shard-{number:04}" for number in range(self._count)]
        return expected


def _decode_chunk(path: Path, shards: int) -> Fates:
    """Naive decoding: events into this chunk's file of their task's shard; how many records of each partition met which fate."""
    fates: Fates = {}
    files = [path.with_name(f"shard-{number:04}.{path.name}").open("wb") for number in range(shards)]
    for record in pickle.loads(path.read_bytes()):
        found = naive_decode(record)
        fates.setdefault(TopicPartition(record.topic, record.partition), Counter())[
            "event" if isinstance(found, NaiveEvent) else found
        ] += 1
        if isinstance(found, NaiveEvent):
            pickle.dump(found, files[crc32(found.task_id.encode()) % shards], protocol=5)
    for file in files:
        file.close()
    path.unlink()
    return fates


async def read_log(bootstrap: str, topics: Iterable[str]) -> list[Record]:
    """All committed records of the topics now, for a log that fits into memory."""
    return [record async for record in _log(bootstrap, topics)]


async def _log(bootstrap: str, topics: Iterable[str], ends: dict[TopicPartition, int] | None = None) -> Any:
    async with AIOKafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed", auto_offset_reset="earliest", request_timeout_ms=60_000
    ) as consumer:
        parts = await _partitions(bootstrap, topics)
        consumer.assign(parts)
        last: dict[KafkaPartition, int] = await consumer.end_offsets(parts)
        if ends is not None:
            ends.update({TopicPartition(at.topic, at.partition): end for at, end in last.items()})
        for at in parts:
            await consumer.seek_to_beginning(at)
        while any([await consumer.position(at) < last[at] for at in parts]):
            for at, found in (await consumer.getmany(timeout_ms=500, max_records=20_000)).items():
                for each in found:
                    if each.offset < last[at]:
                        yield Record(at.topic, at.partition, each.offset, each.value, each.key, each.headers, each.timestamp)


async def _partitions(bootstrap: str, topics: Iterable[str]) -> list[KafkaPartition]:
    async with AIOKafkaAdminClientClosing(bootstrap) as admin:
        found = await admin.describe_topics(list(topics))
    return sorted(KafkaPartition(topic["topic"], each["partition"]) for topic in found for each in topic["partitions"])


async def expect_log(bootstrap: str, topics: Iterable[str], folder: Path) -> Expected:
    """Read the whole log and spread it over shards."""
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
        sizes = sum((await consumer.end_offsets(await _partitions(bootstrap, topics))).values())
    ends: dict[TopicPartition, int] = {}
    shards = Shards(folder, max(2, sizes // SHARD_EVENTS + 1))
    async for record in _log(bootstrap, topics, ends):
        shards.add(record)
    return shards.close(ends)


def expect_records(records: Iterable[Record], folder: Path, ends: dict[TopicPartition, int]) -> Expected:
    """The same of records that are at hand, as where a policy leaves some out."""
    shards = Shards(folder, 2, processes=1)
    for record in records:
        shards.add(record)
    return shards.close(ends)


def differences(expected: Expected, store_url: str, export: Path, *, processes: int = PROCESSES) -> list[str]:
    """Every way in which the store and its export are not what the log says; empty: exact."""
    with open_store(store_url, create=False) as store:
        partitions, tasks = list(store.partitions()), store.task_count()
    found = wrong_counts(partitions, expected)
    alive = deleted = 0
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for shard in pool.map(_compare_shard, expected.shards, [store_url] * len(expected.shards)):
            alive, deleted = alive + shard.alive, deleted + shard.deleted
            found += shard.wrong
    if tasks != alive:
        found.append(f"the store has {tasks} tasks, the log {alive} (and {deleted} deleted ones)")
    return found[: 10 * SHOWN] + _wrong_lines(export, [path.with_suffix(".jsonl") for path in expected.shards])


def wrong_counts(partitions: Iterable[PartitionStatus], expected: Expected) -> list[str]:
    """Conservation, exactly, per partition: each record of the log was counted once, with the fate that the naive decoder gives it."""
    found, seen = [], set()
    for each in partitions:
        at, counted = each.position.at, each.counters
        fates = expected.fates.get(at, Counter[str]())
        seen.add(at)
        parked = sum(count for fate, count in fates.items() if fate.startswith("parked:"))
        wanted = {"read": fates.total(), "event": fates["event"], "ignored": fates["ignored"], "parked": parked}
        got = {"read": counted.read, "event": counted.applied + counted.unchanged, "ignored": counted.ignored, "parked": counted.parked}
        if got != wanted or not counted.balanced:
            found.append(f"{at.topic}/{at.partition} counted {got} (balanced: {counted.balanced}), the log has {wanted}")
        if each.position.next_offset != expected.ends.get(at, 0):
            found.append(f"{at.topic}/{at.partition} is at {each.position.next_offset}, the log ends at {expected.ends.get(at)}")
    found += [f"{at.topic}/{at.partition} is not in the store" for at in expected.fates.keys() - seen]
    return found


def summed(partitions: Iterable[PartitionStatus]) -> Counters:
    """The counters in all."""
    total = Counters()
    for each in partitions:
        total.add(each.counters)
    return total


@dataclass
class _Shard:
    alive: int
    deleted: int
    wrong: list[str]


def _compare_shard(path: Path, store_url: str) -> _Shard:
    files = sorted(path.parent.glob(f"{path.name}.chunk-*"))
    documents = naive_fold(event for file in files for event in pickled(file))
    path.with_suffix(".jsonl").write_bytes(naive_export(documents))
    wrong: list[str] = []
    with open_store(store_url, create=False) as store:
        loaded = store.load(list(documents))
    for task_id, document in documents.items():
        held = loaded.get(task_id)
        if held is None:
            wrong.append(f"{task_id} is lost")
            continue
        state = from_bytes(held.registers)
        if state.deleted != (document is None):
            wrong.append(f"{task_id} is {'deleted' if state.deleted else 'alive'} in the store alone")
        elif document is not None and extension(state) != document["tracker"]:
            wrong.append(f"{task_id} has the extension {extension(state)}, expected {document['tracker']}")
    if len(wrong) > SHOWN:
        wrong[SHOWN:] = [f"{len(wrong) - SHOWN} more tasks of {path.name} differ"]
    dead = sum(document is None for document in documents.values())
    for file in files:
        file.unlink()
    return _Shard(len(documents) - dead, dead, wrong)


def _wrong_lines(export: Path, shards: list[Path]) -> list[str]:
    """The export beside the merged lines of the shards, in code point order of the ids."""

    def keyed(file: IO[bytes]) -> Iterator[tuple[str, bytes]]:
        for line in file:
            yield json.loads(line)["id"], line

    files = [path.open("rb") for path in shards]
    wrong = []
    try:
        with export.open("rb") as exported:
            for number, (_, wanted) in enumerate(heapq.merge(*map(keyed, files)), 1):
                line = exported.readline()
                if line != wanted:
                    wrong.append(f"line {number} of the export is {line[:2000]!r}, expected {wanted[:2000]!r}")
                    if len(wrong) >= SHOWN:
                        return wrong
            if rest := exported.readline():
                wrong.append(f"the export has lines beyond the log's tasks: {rest[:300]!r}")
    finally:
        for file in files:
            file.close()
    return wrong

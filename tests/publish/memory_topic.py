"""A topic of statuses in memory, under the same suite as Kafka's, with what can go wrong there: see `Trouble`."""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field

from tracker.emit.statuses import Publication, Reached, StatusRecord
from tracker.errors import EmitUnavailable, TopicUnfit
from tracker.publish.publisher import no_seam

SEAMS = ("topic opened", "begun", "sent", "committed")
CHUNK = 3


class Killed(Exception):
    """The process is gone: nothing of it runs on."""


@dataclass
class Trouble:
    """At the n-th passing of a seam the process is killed, or the broker is away. A seam is the topic's own (SEAMS) or the publisher's."""

    seam: str
    passing: int
    away: bool = False
    happened: bool = False
    _passed: int = 0

    def __call__(self, seam: str) -> None:
        self._passed += seam == self.seam
        if seam == self.seam and self._passed == self.passing:
            self.happened = True
            if self.away and seam in SEAMS:
                raise EmitUnavailable("the broker is away")
            raise Killed(seam)


@dataclass
class Log:
    """The topic as the broker has it: partitions of committed records, and who may write."""

    partitions: list[list[tuple[Publication, StatusRecord]]] = field(default_factory=lambda: [[], [], []])
    epoch: int = 0
    written: int = 0

    def folded(self) -> dict[str, bytes]:
        """What a plain consumer has that keeps the last value of each key and forgets a key with a tombstone."""
        found: dict[str, bytes] = {}
        for partition in self.partitions:
            for _, record in partition:
                if record.value is None:
                    found.pop(record.task_id, None)
                else:
                    found[record.task_id] = record.value
        return found

    def compact(self, keep: int) -> None:
        """Keep of all but the last ``keep`` records of a partition those that are their key's last, without tombstones."""
        for number, partition in enumerate(self.partitions):
            head, tail = partition[: len(partition) - keep], partition[len(partition) - keep :]
            later = {record.task_id for _, record in tail}
            kept: list[tuple[Publication, StatusRecord]] = []
            for publication, record in reversed(head):
                if record.task_id not in later:
                    later.add(record.task_id)
                    if record.value is not None:
                        kept.append((publication, record))
            self.partitions[number] = kept[::-1] + tail


class MemoryTopic:
    """One publisher's hold on it."""

    name = "the topic of the test"

    def __init__(self, log: Log, seam: Callable[[str], None] = no_seam) -> None:
        self._log, self._seam, self._epoch = log, seam, 0

    async def open(self) -> Reached | None:
        self._log.epoch += 1
        self._epoch = self._log.epoch
        self._seam("topic opened")
        last = [partition[-1] for partition in self._log.partitions if partition]
        reached = [Reached(publication, record.revision, record.task_id) for publication, record in last]
        return max(reached, key=lambda each: (each.publication.number, each.revision, each.task_id), default=None)

    def is_source(self, topic: str, identity: str) -> bool:
        return (topic, identity) == ("statuses", "kafka:here")

    async def write(self, publication: Publication, records: Sequence[StatusRecord]) -> None:
        self._seam("begun")
        self._seam("sent")
        if self._epoch != self._log.epoch:
            raise TopicUnfit("another publisher has taken over")
        for record in records:
            partition = zlib.crc32(record.task_id.encode()) % len(self._log.partitions)
            self._log.partitions[partition].append((publication, record))
        self._log.written += len(records)
        self._seam("committed")

    async def task_ids(self) -> AsyncGenerator[Sequence[str], None]:
        held = [record for partition in self._log.partitions for _, record in partition]
        ids = [record.task_id for record in held if record.value is not None]
        for start in range(0, len(ids), CHUNK):
            yield ids[start : start + CHUNK]

    async def close(self) -> None:
        pass

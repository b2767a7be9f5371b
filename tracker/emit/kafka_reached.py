"""Reading a topic of statuses back: how far it was published, and which tasks it has.

The end of a partition may be a marker of a transaction, or records that were taken back; so its last committed record is looked for from the end
backwards, in growing steps.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from tracker.emit.statuses import Publication, Reached
from tracker.errors import TopicUnfit

REVISION, PUBLICATION = "tracker-revision", "tracker-publication"
"""Headers of each record: the revision in decimal digits, the publication as JSON."""
FIRST_STEP = 64
"""Offsets: a transaction of the publisher's ends in one marker; a step back is one fetch."""
POLL_MS = 500
KEYS = 5_000


class Header(Publication, frozen=True, rename="camel"):
    """The publication as a record's header has it."""

    partitions: int = 0
    """Of the topic, when the record was written: with another number tasks stand in other partitions."""


_decode = msgspec.json.Decoder(Header).decode


def headers_of(publication: Publication, partitions: int) -> bytes:
    """The header's JSON."""
    return msgspec.json.encode(Header(**msgspec.structs.asdict(publication), partitions=partitions))


class Reader:
    """Reads one topic with a consumer of its own, which has been started. ``name`` is the topic's for messages."""

    def __init__(self, consumer: AIOKafkaConsumer, topic: str, name: str, partitions: int) -> None:
        self._consumer, self._name, self._count = consumer, name, partitions
        self._partitions = [TopicPartition(topic, number) for number in range(partitions)]

    async def reached(self) -> Reached | None:
        """The last record that is published, of all partitions. Raises `TopicUnfit`: it is none of a publisher's, or partitions were added."""
        consumer = self._consumer
        consumer.assign(self._partitions)
        begins = await consumer.beginning_offsets(self._partitions)
        ends = await consumer.end_offsets(self._partitions)
        found: dict[TopicPartition, Any] = {}
        step = FIRST_STEP
        while spans := {each: (max(begins[each], ends[each] - step), ends[each]) for each in self._partitions if begins[each] < ends[each]}:
            async for message in self._between(spans):
                found[TopicPartition(message.topic, message.partition)] = message
            for partition, (start, _) in spans.items():
                ends[partition] = begins[partition] if partition in found else start
            step *= 8
        last = map(self._reached, found.values())
        return max(last, key=lambda each: (each.publication.number, each.revision, each.task_id), default=None)

    async def _between(self, spans: dict[TopicPartition, tuple[int, int]]) -> AsyncGenerator[Any, None]:
        """The records between two offsets of each partition."""
        consumer = self._consumer
        left = {partition: end for partition, (start, end) in spans.items() if start < end}
        for partition in self._partitions:
            (consumer.resume if partition in left else consumer.pause)(partition)
        for partition, (start, _) in spans.items():
            consumer.seek(partition, start)
        while left:
            for partition, messages in (await consumer.getmany(*left, timeout_ms=POLL_MS)).items():
                for message in messages:
                    if message.offset < left[partition]:
                        yield message
            for partition in list(left):
                if await consumer.position(partition) >= left[partition]:
                    del left[partition]
                    consumer.pause(partition)

    async def task_ids(self) -> AsyncGenerator[Sequence[str], None]:
        """The ids of all tasks that have a status, and maybe of some that have had one, in chunks."""
        consumer = self._consumer
        consumer.assign(self._partitions)
        begins = await consumer.beginning_offsets(self._partitions)
        ends = await consumer.end_offsets(self._partitions)
        chunk: dict[str, None] = {}
        async for message in self._between({each: (begins[each], ends[each]) for each in self._partitions}):
            reached = self._reached(message)
            if message.value is not None:
                chunk[reached.task_id] = None
            if len(chunk) >= KEYS:
                yield list(chunk)
                chunk = {}
        if chunk:
            yield list(chunk)

    def _reached(self, message: Any) -> Reached:
        headers = dict(message.headers)
        try:
            header = _decode(headers[PUBLICATION])
            revision, task_id = int(headers[REVISION]), message.key.decode()
        except (KeyError, ValueError, TypeError, AttributeError, msgspec.DecodeError):
            raise TopicUnfit(
                f"{self._name} holds records that tracker publish did not write (partition {message.partition}, offset {message.offset}): "
                "name another topic"
            ) from None
        if header.partitions != self._count:
            raise TopicUnfit(
                f"{self._name} has {self._count} partitions and had {header.partitions} when it was published to, so tasks stand in other "
                "partitions now: name another topic, or make this one anew"
            )
        publication = Publication(header.number, header.store, header.place, header.extension)
        return Reached(publication, revision, task_id)

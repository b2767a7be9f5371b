"""What a source hands over: records, the positions they stand at, and batches of them.

These are made once per record on the hot path, so they are msgspec structs outside the cyclic garbage collector.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec


class TopicPartition(NamedTuple):
    """One ordered log: a Kafka partition, or a file (its absolute path, partition 0; standard input is ``-``)."""

    topic: str
    partition: int


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record as the log has it, undecoded."""

    topic: str
    partition: int
    offset: int
    """Kafka: the record's offset. A file: the byte of the decompressed stream where the line begins."""
    value: bytes | None
    """Without the line's newline; null is a tombstone (Kafka only)."""
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()
    timestamp_ms: int | None = None
    """Milliseconds since 1970 UTC; None where the log has none (files; Kafka's -1)."""


class Position(msgspec.Struct, frozen=True):
    """Where to go on in one log. ``next_offset`` is the next offset to read, so gaps in offsets do not matter."""

    topic: str
    partition: int
    next_offset: int
    identity: str = ""
    """What log the offset belongs to: ``kafka:CLUSTER_ID`` or ``file:DEVICE:INODE:HASH-OF-FIRST-BYTES``; empty is unknown."""

    @property
    def at(self) -> TopicPartition:
        """The log that this position is in."""
        return TopicPartition(self.topic, self.partition)


class Place(NamedTuple):
    """A place in a store's changes: what comes before it, by revision and task id, is done with."""

    revision: int
    task_id: str | None
    """None: all of the revision is."""


class Batch(msgspec.Struct):
    """What one ``read`` of a source gives."""

    records: dict[TopicPartition, list[Record]]
    """Ascending offsets within each partition; a partition without records may be absent."""
    positions: dict[TopicPartition, Position]
    """The position after this batch of each partition that moved, which may be without records (markers, compaction)."""
    ended: bool = False
    """A bounded source has nothing more to give."""
    reassigned: bool = False
    """The assignment changed: claim and seek again before the next read. Such a batch has no records."""

    @property
    def record_count(self) -> int:
        """How many records the batch has, over all partitions."""
        return sum(map(len, self.records.values()))

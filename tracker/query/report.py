"""How a store stands: what `tracker status` prints."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from tracker.model.times import to_datetime, to_utc
from tracker.query.base import Facts
from tracker.stores.base import Counters, Jump, PartitionStatus, StoreSize

ENDS_HOLD_S = 60
"""How long a worker's word on where a log ends is believed. Workers report far more often; after this no worker is alive."""


class PartitionReport(msgspec.Struct, kw_only=True):
    """One partition: how far it is read, and what became of its records."""

    topic: str
    partition: int
    next_offset: int
    end_offset: int | None
    """Where the log ended when a worker last looked; None if none ever did."""
    end_seen_at: str | None
    lag_records: int | None
    """None: unknown since ``end_seen_at``. Of a file, whose offsets are bytes, it is estimated from the records read so far."""
    lag_seconds: float | None
    """From the newest event folded to when the end was seen; 0 where nothing is left to read."""
    counters: Counters
    newest_event_time: str | None
    committed_at: str | None
    """When a commit moved the position last, RFC 3339."""
    worker: str | None
    """Who claimed it last: an instance's name, or host and process id."""
    claimed_at: str | None

    def to_json(self) -> dict[str, Any]:
        """The shape of ``status --json``."""
        return {
            "topic": self.topic,
            "partition": self.partition,
            "nextOffset": self.next_offset,
            "endOffset": self.end_offset,
            "lagRecords": self.lag_records,
            "lagSeconds": self.lag_seconds,
            **msgspec.to_builtins(self.counters),
            "worker": self.worker,
            "claimedAt": self.claimed_at,
            "committedAt": self.committed_at,
        }


class StatusReport(msgspec.Struct, kw_only=True):
    """A store as a whole."""

    partitions: list[PartitionReport]
    counters: Counters
    """The sums over the partitions."""
    balanced: bool
    """``read = applied + unchanged + ignored + parked``, in each partition."""
    tasks: int
    """Without the deleted ones."""
    parked_by_reason: dict[str, int]
    jumps: Sequence[Jump]
    purged: int
    """Tasks of which attempts were purged, those among them that were opened again by later ones."""
    size: StoreSize | None
    """None of a store in memory."""
    revision: int
    rebuild: dict[str, Any] | None = None
    """How the last rebuild stands; None if there was none."""

    def to_json(self) -> dict[str, Any]:
        """The shape of ``status --json``; ``lagUnknown`` lists the partitions without a lag, and since when (null: always)."""
        return {
            "counters": msgspec.to_builtins(self.counters),
            "balanced": self.balanced,
            "tasks": self.tasks,
            "partitions": [partition.to_json() for partition in self.partitions],
            "lagUnknown": [
                {"topic": each.topic, "partition": each.partition, "since": each.end_seen_at}
                for each in self.partitions
                if each.lag_records is None
            ],
            "parkedByReason": self.parked_by_reason,
            "jumps": [
                {
                    "topic": jump.at.topic,
                    "partition": jump.at.partition,
                    "stored": jump.stored,
                    "chosen": jump.chosen,
                    "policy": jump.policy,
                    "when": jump.when,
                }
                for jump in self.jumps
            ],
            "purged": self.purged,
            "storeBytes": None if self.size is None else self.size.bytes,
            "storeFreeBytes": None if self.size is None else self.size.free_bytes,
            "revision": self.revision,
            "rebuild": self.rebuild,
        }


def report(facts: Facts, now: datetime) -> StatusReport:
    """The facts of a store, with lags as they are known at ``now``."""
    sums = Counters()
    for each in facts.partitions:
        sums.add(each.counters)
    return StatusReport(
        partitions=[_partition(each, now) for each in facts.partitions],
        counters=sums,
        balanced=all(each.counters.balanced for each in facts.partitions),
        tasks=facts.tasks,
        parked_by_reason=facts.parked_by_reason,
        jumps=facts.jumps,
        purged=facts.purged,
        size=facts.size,
        revision=facts.revision,
        rebuild=facts.rebuild,
    )


def _partition(status: PartitionStatus, now: datetime) -> PartitionReport:
    lag = lag_records(status, now)
    return PartitionReport(
        topic=status.position.topic,
        partition=status.position.partition,
        next_offset=status.position.next_offset,
        end_offset=status.end_offset,
        end_seen_at=status.end_seen_at,
        lag_records=lag,
        lag_seconds=lag_seconds(status, lag),
        counters=status.counters,
        newest_event_time=status.newest_event_time,
        committed_at=status.committed_at,
        worker=status.worker,
        claimed_at=status.claimed_at,
    )


def _moment(text: str) -> datetime:
    """A stored time, whether with its zone or as 26 characters of UTC."""
    return to_datetime(text) if len(text) == 26 and text[-1].isdigit() else to_datetime(to_utc(text))


def lag_records(status: PartitionStatus, now: datetime) -> int | None:
    """Records between a partition's position and the end of its log; None where no worker has reported that in the minute before ``now``."""
    if status.end_offset is None or status.end_seen_at is None or (now - _moment(status.end_seen_at)).total_seconds() > ENDS_HOLD_S:
        return None
    position = status.position
    lag = max(0, status.end_offset - position.next_offset)
    if lag == 0 or not position.identity.startswith("file:"):
        return lag
    read = status.counters.read
    return max(1, lag * read // position.next_offset) if read and position.next_offset else None


def lag_seconds(status: PartitionStatus, lag_records: int | None) -> float | None:
    """Seconds from the newest event folded to when the end was seen."""
    if not lag_records:
        return None if lag_records is None else 0.0
    if status.newest_event_time is None or status.end_seen_at is None:
        return None
    return round(max(0.0, (_moment(status.end_seen_at) - _moment(status.newest_event_time)).total_seconds()), 3)

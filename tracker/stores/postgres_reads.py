"""What a PostgreSQL store gives to read, on a worker's connection or in a reader's snapshot."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from tracker.model.records import Position, TopicPartition
from tracker.stores.base import Counters, Jump, ParkedRecord, PartitionStatus
from tracker.stores.postgres_rows import THIS_REVISION, parked_record

_TIMES = ", ".join(f"{name} AT TIME ZONE 'UTC'" for name in ("end_seen_at", "committed_at"))
_PARTITIONS = (
    "SELECT topic, partition, next_offset, identity, read, applied, unchanged, ignored, parked, "
    f"newest_event_time AT TIME ZONE 'UTC', end_offset, {_TIMES} FROM {{0}}position ORDER BY topic, partition"
)
_PARKED = (
    'SELECT number, topic, partition, "offset", reason, detail, key, headers, value, timestamp_ms, dropped FROM {0}parked '
    "WHERE number {1} %s AND (%s::text IS NULL OR reason = %s) ORDER BY number LIMIT %s"
)


class PostgresReads(ABC):
    """The reading methods of `tracker.stores.base.StatusStore`."""

    def __init__(self, qualifier: str) -> None:
        self.qualifier = qualifier
        self.this_revision = THIS_REVISION.format(qualifier)

    @abstractmethod
    def read(self, statement: str, values: Any = None) -> list[tuple[Any, ...]]:
        """All rows of a statement; timestamps without zone come as texts of 27 characters."""

    def partitions(self) -> Sequence[PartitionStatus]:
        """Every partition that the store has a position of, by topic and partition."""
        return [
            PartitionStatus(
                position=Position(*row[:4]),
                counters=Counters(*row[4:9]),
                newest_event_time=row[9] and row[9][:26],
                end_offset=row[10],
                end_seen_at=_short(row[11]),
                committed_at=row[12] and row[12][:23] + "Z",
            )
            for row in self.read(_PARTITIONS.format(self.qualifier))
        ]

    def jumps(self) -> Sequence[Jump]:
        """Every position that an operator's choice has moved, oldest first."""
        rows = self.read(
            f"SELECT topic, partition, stored, chosen, policy, at AT TIME ZONE 'UTC' FROM {self.qualifier}jump ORDER BY number"
        )
        return [Jump(at=TopicPartition(*row[:2]), stored=row[2], chosen=row[3], policy=row[4], when=_short(row[5]) or "") for row in rows]

    def parked(self, *, after: int = 0, limit: int = 100, reason: str | None = None) -> Sequence[ParkedRecord]:
        """Parked records with a number above ``after``, ascending, at most ``limit``."""
        rows = self.read(_PARKED.format(self.qualifier, ">"), (after, reason, reason, limit))
        return [parked_record(row) for row in rows]

    def parked_record(self, number: int) -> ParkedRecord | None:
        """One parked record by its number."""
        found = self.read(_PARKED.format(self.qualifier, "="), (number, None, None, 1))
        return parked_record(found[0]) if found else None

    def task_count(self) -> int:
        """Tasks without the deleted ones."""
        ((count,),) = self.read(f"SELECT count(*) FROM {self.qualifier}task WHERE state IS NOT NULL")
        return int(count)

    def revision(self) -> int:
        """The revision of the newest commit that wrote a task; 0 before the first."""
        ((revision,),) = self.read(f"SELECT coalesce(max(revision), 0) FROM {self.qualifier}task")
        return int(revision)


def writers_key(schema: str) -> int:
    """Of the shared lock that every transaction takes that writes tasks, for itself and before it has a number: so that a reader can tell
    it from other programs' transactions (`tracker.query.postgres`). Nobody ever waits for it.
    """
    return int.from_bytes(hashlib.blake2s(f"tracker writes tasks of {schema}".encode(), digest_size=8).digest(), "big", signed=True)


def to_text(time: str) -> str | None:
    """26 characters of UTC, or nothing, as a value for a timestamptz."""
    return time + "Z" if time else None


def _short(time: str | None) -> str | None:
    """RFC 3339 with no more digits than it has: none, three or six."""
    if time is None:
        return None
    fraction = time[20:26]
    return time[:19] + ("" if fraction == "000000" else f".{fraction[:3]}" if fraction.endswith("000") else f".{fraction}") + "Z"

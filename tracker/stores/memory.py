"""The memory store: the same promises as a database, but for a crash. For tests, trials and short-lived folds."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import msgspec

from tracker.errors import PositionConflict, StateConflict, StoreMismatch
from tracker.model.limits import DEFAULT_LIMITS, Limits
from tracker.model.records import Position, Record, TopicPartition
from tracker.stores.base import (
    BEGINNING,
    OUTCOMES,
    Commit,
    Counters,
    Ended,
    Jump,
    Loaded,
    ParkedRecord,
    PartitionStatus,
    StoreSize,
    Write,
)


class MemoryStore:
    """A store in this process's memory; see `tracker.stores.base.StatusStore` for its promises."""

    def __init__(self, *, limits: Limits | None = None) -> None:
        self.limits = limits or DEFAULT_LIMITS
        self.hurry = threading.Event()
        self.name = secrets.token_hex(8)
        self.tasks: dict[str, tuple[Write, int]] = {}
        """Each task's last write, with the revision of its commit."""
        self._partitions: dict[TopicPartition, PartitionStatus] = {}
        self._parked: dict[int, ParkedRecord] = {}
        self._parked_count = 0
        self._jumps: list[Jump] = []
        self._revision = 0
        self._lock = threading.Lock()
        """Held while something is written: several projectors may share the store, each with a worker thread."""
        self.committed = threading.Condition(self._lock)
        """Notified after each commit."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing to close: what is stored stays as long as the object."""

    def require(self, limits: Limits | None) -> None:
        """Raises `StoreMismatch` unless the store was made with these limits."""
        if limits is not None and limits != self.limits:
            raise StoreMismatch(f"the store was made with {self.limits}, not {limits}: make a new one")

    def claim(self, beginnings: Iterable[Position], worker: str = "") -> Mapping[TopicPartition, Position]:
        """The stored position of each partition, seeded with the given beginning where there is none; held by ``worker`` from now on."""
        claimed = {}
        with self._lock:
            for beginning in beginnings:
                held = self._partitions.get(beginning.at)
                if held is None:
                    held = self._partitions[beginning.at] = PartitionStatus(position=beginning, counters=Counters())
                elif not held.position.identity and held.position.next_offset == beginning.next_offset:
                    held.position = beginning
                if worker:
                    held.worker, held.claimed_at = worker, _now()
                claimed[beginning.at] = held.position
        return claimed

    def load(self, task_ids: Sequence[str]) -> Mapping[str, Loaded]:
        """The states that the store has; ids that it does not have are absent."""
        held = ((task_id, self.tasks.get(task_id)) for task_id in task_ids)
        return {task_id: Loaded(found[0].registers, found[1]) for task_id, found in held if found is not None}

    def commit(self, commit: Commit) -> int:
        """Check everything, then write everything: nothing in between can fail."""
        with self._lock:
            self._check(commit)
            revision = self._write(commit)
            self.committed.notify_all()
            return revision

    def _check(self, commit: Commit) -> None:
        for advance in commit.advances:
            held = self._partitions.get(advance.expected.at)
            if held is None or held.position != advance.expected:
                raise PositionConflict(
                    f"{advance.expected.topic}, partition {advance.expected.partition}: "
                    f"the store is no longer at offset {advance.expected.next_offset}"
                )
        conflicts = [write.task_id for write in commit.writes if self._loaded_revision(write.task_id) != write.loaded_revision]
        if conflicts:
            raise StateConflict(conflicts)
        for retried in commit.retried:
            if retried.outcome not in OUTCOMES:
                raise ValueError(f"a retried record becomes applied, unchanged or ignored, not {retried.outcome}")
        numbers = {retried.number for retried in commit.retried}
        if len(numbers) < len(commit.retried) or any(r.number not in self._parked or r.at not in self._partitions for r in commit.retried):
            raise PositionConflict("a parked record is gone: another retry was faster")

    def _write(self, commit: Commit) -> int:
        self._revision += 1
        for advance in commit.advances:
            held = self._partitions[advance.expected.at]
            held.position = advance.next
            held.counters.add(advance.counters)
            held.newest_event_time = max(held.newest_event_time or "", advance.newest_event_time) or None
            held.committed_at = _now()
        self.tasks.update((write.task_id, (write, self._revision)) for write in commit.writes)
        for parked in commit.parked:
            self._parked_count += 1
            self._parked[self._parked_count] = msgspec.structs.replace(parked, number=self._parked_count)
        for retried in commit.retried:
            del self._parked[retried.number]
            counters = self._partitions[retried.at].counters
            counters.parked -= 1
            setattr(counters, retried.outcome, getattr(counters, retried.outcome) + 1)
        self._jumps.extend(commit.jumps)
        return self._revision

    def _loaded_revision(self, task_id: str) -> int | None:
        held = self.tasks.get(task_id)
        return None if held is None else held[1]

    def report_ends(self, ends: Iterable[Position], seen_at: str) -> None:
        """Remember where the logs ended at ``seen_at`` (RFC 3339)."""
        with self._lock:
            for end in ends:
                held = self._partitions.get(end.at)
                if held is not None:
                    held.end_offset, held.end_seen_at = end.next_offset, seen_at

    def partitions(self) -> Sequence[PartitionStatus]:
        """Every partition that the store has a position of, by topic and partition."""
        with self._lock:
            held = [self._partitions[at] for at in sorted(self._partitions)]
            return [msgspec.structs.replace(each, counters=msgspec.structs.replace(each.counters)) for each in held]

    def jumps(self) -> Sequence[Jump]:
        """Every position that an operator's choice has moved, oldest first."""
        return list(self._jumps)

    def parked(self, *, after: int = 0, limit: int = 100, reason: str | None = None) -> Sequence[ParkedRecord]:
        """Parked records with a number above ``after``, ascending, at most ``limit``."""
        wanted = (p for number, p in sorted(dict(self._parked).items()) if number > after and reason in (None, p.reason))
        return [parked for parked, _ in zip(wanted, range(limit), strict=False)]

    def parked_record(self, number: int) -> ParkedRecord | None:
        """One parked record by its number."""
        return self._parked.get(number)

    def drop_parked(self, numbers: Sequence[int]) -> int:
        """Delete the bytes of these records; how many had any."""
        dropped = 0
        with self._lock:
            for number in numbers:
                held = self._parked.get(number)
                if held is not None and not held.dropped:
                    at = held.record
                    bare = Record(at.topic, at.partition, at.offset, None, None, (), at.timestamp_ms)
                    self._parked[number] = msgspec.structs.replace(held, record=bare, dropped=True)
                    dropped += 1
        return dropped

    def task_count(self) -> int:
        """Tasks without the deleted ones."""
        return sum(write.columns is not None for write, _ in list(self.tasks.values()))

    def revision(self) -> int:
        """The revision of the newest commit; 0 before the first."""
        return self._revision

    def ended(self, before: str, types: Sequence[str], *, after: Ended = BEGINNING, limit: int = 1_000) -> Sequence[Ended]:
        """Tasks of these types that were completed before a time, by that and id."""
        rows = ((id, write.columns) for id, (write, _) in list(self.tasks.items()))
        found = (Ended(columns.completed, id) for id, columns in rows if columns and columns.completed and columns.type in types)
        return sorted(each for each in found if each > after and each.completed < before)[:limit]

    def purged(self, *, after: str = "", limit: int = 1_000) -> Sequence[str]:
        """Ids of the tasks of which attempts were purged, ascending."""
        return sorted(id for id, (write, _) in list(self.tasks.items()) if write.purged_at and id > after)[:limit]

    def purged_count(self) -> int:
        """How many they are."""
        return sum(write.purged_at is not None for write, _ in list(self.tasks.values()))

    def size(self) -> StoreSize | None:
        """Nothing on the disk."""
        return None

    def shrink(self, most_bytes: int) -> int:  # noqa: ARG002 - as stores have it
        """Nothing to give back."""
        return 0

    def moment(self) -> tuple[dict[str, tuple[Write, int]], int]:
        """All tasks and the revision, of one moment."""
        with self._lock:
            return dict(self.tasks), self._revision


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")  # noqa: TID251 - when it was stored

"""What a store of statuses promises; the suite in ``tracker.testing.stores`` holds every store to it.

A store is driven from one thread of its owner (the projector's worker), so its methods are plain: a commit is one blocking
transaction, and what must not block, the event loop, stays outside.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import NamedTuple, Protocol, Self

import msgspec

from tracker.model.limits import Limits
from tracker.model.records import Position, Record, TopicPartition
from tracker.model.rows import Columns


class Loaded(msgspec.Struct, gc=False):
    """A task's state as the store has it (canonical bytes), with the revision of the commit that wrote it."""

    registers: bytes
    revision: int


class Write(msgspec.Struct, gc=False):
    """A task's new state; ``loaded_revision`` is the one that it was loaded at, None if the store did not have the task."""

    task_id: str
    registers: bytes
    columns: Columns | None
    """None: the task is deleted, or purged."""
    loaded_revision: int | None
    purged_at: str | None = None
    """When attempts of it were purged, as `Columns` have times."""


class Ended(NamedTuple):
    """A task that has ended: its ``completed``, as `Columns` have times, and its id."""

    completed: str
    task_id: str


BEGINNING = Ended("", "")


class StoreSize(msgspec.Struct, frozen=True):
    """What a store takes on the disk."""

    bytes: int
    free_bytes: int
    """Of them, what is not used now: new rows go there, or `StatusStore.shrink` gives it back."""


class Counters(msgspec.Struct):
    """What became of records. ``read = applied + unchanged + ignored + parked``, always, per partition and in all."""

    read: int = 0
    applied: int = 0
    unchanged: int = 0
    ignored: int = 0
    parked: int = 0

    def add(self, other: Counters) -> None:
        """Add another's counts to these."""
        self.read += other.read
        self.applied += other.applied
        self.unchanged += other.unchanged
        self.ignored += other.ignored
        self.parked += other.parked

    @property
    def balanced(self) -> bool:
        """Whether every record read is accounted for."""
        return self.read == self.applied + self.unchanged + self.ignored + self.parked


class Advance(msgspec.Struct, kw_only=True):
    """One partition's step in a commit: from the position expected in the store to the next, with what was counted on the way."""

    expected: Position
    next: Position
    counters: Counters
    newest_event_time: str = ""
    """The greatest time of the events of this step, 26 characters of UTC; empty if there were none."""


class ParkedRecord(msgspec.Struct, kw_only=True):
    """A refused record with all that is needed to decode it again."""

    record: Record
    reason: str
    detail: str
    number: int = 0
    """The store's own number of it, from 1; 0 while it is not stored. ``parked show``, ``retry`` and ``drop`` name it by this."""
    dropped: bool = False
    """Its bytes were dropped by an operator; the count stays."""


OUTCOMES = ("applied", "unchanged", "ignored")
"""What a parked record may become that is tried again."""


class Retried(msgspec.Struct, kw_only=True):
    """A parked record that turned out to be an event after all: it leaves ``parked``, and its count moves to ``outcome``."""

    number: int
    at: TopicPartition
    outcome: str
    """The counter that it moves to, one of `OUTCOMES`; the store raises ValueError for another."""


class Jump(msgspec.Struct, kw_only=True):
    """A position that an operator's choice moved because the log had lost it."""

    at: TopicPartition
    stored: int
    chosen: int
    policy: str
    """earliest or latest."""
    when: str
    """RFC 3339, UTC."""


class Commit(msgspec.Struct, kw_only=True):
    """All that one transaction writes."""

    writes: Sequence[Write] = ()
    advances: Sequence[Advance] = ()
    parked: Sequence[ParkedRecord] = ()
    retried: Sequence[Retried] = ()
    jumps: Sequence[Jump] = ()


class PartitionStatus(msgspec.Struct, kw_only=True):
    """One partition as the store knows it. ``end_offset`` and ``end_seen_at`` (RFC 3339) are None until a worker reported them."""

    position: Position
    counters: Counters
    newest_event_time: str | None = None
    end_offset: int | None = None
    end_seen_at: str | None = None
    committed_at: str | None = None
    """When the last commit of this partition was written, RFC 3339."""
    worker: str | None = None
    """Who claimed the partition last, by `Projector`'s name for itself; None: nobody who said so."""
    claimed_at: str | None = None
    """When that was, RFC 3339."""


class StatusStore(Protocol):
    """States, positions, counters and parked records, changed together or not at all.

    Promises:

    1. ``claim`` gives the stored position of each partition; one that has none is seeded with the given beginning first, so
       that the very first commit is guarded too. ``worker`` (empty: nobody to be told of) is remembered beside each, for people to
       see who holds what: the fence is the position alone.
    2. ``commit`` writes all of a `Commit` or nothing. Every advance's (one a partition) expected ``next_offset`` and identity are compared with the stored
       ones: a mismatch raises `PositionConflict`.
    3. Every write's ``loaded_revision`` is compared with the row's: a mismatch raises `StateConflict` naming the tasks.
    4. Each commit has a revision, greater than all before, on every row that it wrote. ``commit`` returns it.
    5. ``load`` gives the states that the store has at that moment; ids it does not have are absent.
    6. A store made with other limits or by another fold version is refused on opening with `StoreMismatch`.
    7. Where a rebuild has exchanged what the store holds since the last ``claim``, ``commit`` raises `StoreReplaced` and writes nothing;
       ``claim`` takes the new content, and the limits that came with it. A store in memory is never rebuilt.
    8. What was committed survives a kill -9 (memory excepted); what was not is not there.
    """

    limits: Limits
    hurry: threading.Event
    """Set from another thread: a call that waits for another writer's transaction raises `StoreUnavailable` within a second."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def claim(self, beginnings: Iterable[Position], worker: str = "") -> Mapping[TopicPartition, Position]: ...

    def load(self, task_ids: Sequence[str]) -> Mapping[str, Loaded]: ...

    def commit(self, commit: Commit) -> int: ...

    def report_ends(self, ends: Iterable[Position], seen_at: str) -> None:
        """Remember where the logs ended, so that lag can be told without a source. Not part of the guarantee."""
        ...

    def partitions(self) -> Sequence[PartitionStatus]: ...

    def jumps(self) -> Sequence[Jump]: ...

    def parked(self, *, after: int = 0, limit: int = 100, reason: str | None = None) -> Sequence[ParkedRecord]:
        """Parked records by number, ascending, those greater than ``after``."""
        ...

    def parked_record(self, number: int) -> ParkedRecord | None: ...

    def drop_parked(self, numbers: Sequence[int]) -> int:
        """Delete the bytes of these records; the row and the count stay. Returns how many had bytes."""
        ...

    def task_count(self) -> int:
        """Tasks without the deleted ones."""
        ...

    def revision(self) -> int:
        """The revision of the newest commit; 0 before the first."""
        ...

    def ended(self, before: str, types: Sequence[str], *, after: Ended = BEGINNING, limit: int = 1_000) -> Sequence[Ended]:
        """Tasks of these types whose ``completed`` is before a time (both as `Columns` have them), in the order of `Ended`, after one."""
        ...

    def purged(self, *, after: str = "", limit: int = 1_000) -> Sequence[str]:
        """Ids of the tasks of which attempts were purged, ascending, those greater than ``after``; tasks that a later attempt has opened
        again are among them.
        """
        ...

    def purged_count(self) -> int:
        """How many they are."""
        ...

    def size(self) -> StoreSize | None:
        """What the store takes on the disk; None in memory."""
        ...

    def shrink(self, most_bytes: int) -> int:
        """Give back so much of what is not used, in one short transaction; how much it was, 0 where there is no more, or it can't be."""
        ...

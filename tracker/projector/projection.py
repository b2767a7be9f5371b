"""One batch from records to a commit: decode, load, fold, dump, commit. Plain code for the projector's worker thread.

States that were just committed stay in memory, in two generations: what a batch touches moves to the young one, and when that is
full it becomes the old one and the old one is forgotten. That happens only after a commit, so a state that is ahead of the store is
never evicted. A kept state may be stale where others write the same tasks; the row fence finds out, and the states are merged.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from time import perf_counter
from typing import TypeVar

import msgspec

from tracker.errors import PositionConflict, StateConflict, StoreUnavailable
from tracker.fold.collector import without_collector
from tracker.fold.decode import Decoder
from tracker.fold.event import Ignored, Parked, TaskEvent
from tracker.fold.reducers import apply
from tracker.fold.registers import merge_into
from tracker.fold.state import TaskState, from_bytes, to_bytes
from tracker.fold.view import columns, purged_at
from tracker.model.records import Batch, Position, Record, TopicPartition
from tracker.stores.base import Advance, Commit, Counters, Jump, ParkedRecord, StatusStore, Write

log = logging.getLogger("tracker.projector")
T = TypeVar("T")

CHUNK_RECORDS = 1_000
"""Decoded and folded in one go: one query for the states that are not in memory; the list of its events stays in the CPU's cache."""
GENERATION_BYTES = 14_000_000
"""Of a generation's states, about 6,000 usual ones; in memory each takes 4 times that."""
ENTRY_BYTES = 1_000
"""Counted for each state beside its stored bytes, so that many small ones (a deleted task has 12) are bounded too."""
FLUSH_BYTES = 64_000_000
"""A batch that has loaded so much (tasks with thousands of messages) is committed in parts, so that memory stays bounded."""
LAST_WAIT_S = 5.0
"""Between two tries of a commit while the store is away; the first waits are shorter."""

SEAMS = ("before decode", "before commit", "after commit", "before the log is told")
"""Where a crash may fall, in a batch's order; tests stop the process at each."""


def no_seam(_: str) -> None:
    """What is called at each of `SEAMS` unless somebody wants to know."""


class Entry(msgspec.Struct, gc=False):
    """One task in memory."""

    state: TaskState
    revision: int | None
    """Of the row that it was loaded from or written to; None if the store has none."""
    stored_bytes: int
    dirty: bool = False


class Abandoned(Exception):
    """The batch was given up between two steps, on request; nothing of it was written."""


class Station(msgspec.Struct):
    """Seconds spent at each station of the road."""

    decode: float = 0.0
    load: float = 0.0
    fold: float = 0.0
    dump: float = 0.0
    commit: float = 0.0

    def since(self, before: Station) -> Station:
        """What was spent after ``before``."""
        return Station(*(now - then for now, then in zip(msgspec.structs.astuple(self), msgspec.structs.astuple(before), strict=True)))


class Step(msgspec.Struct):
    """What one partition has gone since the last commit."""

    counters: Counters
    newest: str = ""


class Projection:
    """The store's states, brought forward batch by batch. One thread at a time."""

    def __init__(self, store: StatusStore, *, worker: str = "", seam: Callable[[str], None] = no_seam) -> None:
        self.store = store
        self.worker = worker
        """What the store is told who holds the partitions; empty: nobody."""
        self.stage = "idle"
        """What the thread is at, for the watch."""
        self.advanced = 0
        """Goes up with each commit, and with each chunk of records that were not folded before."""
        self._furthest: dict[TopicPartition, int] = {}
        """The greatest offset folded of each partition: what is read again after a conflict is no progress."""
        self.positions: dict[TopicPartition, Position] = {}
        """Where the store is, as far as this worker knows: what the next commit expects."""
        self.beside: dict[TopicPartition, Position] = {}
        """Stored positions of the same topics' other partitions: other workers', or of partitions that the topic has no more."""
        self.abandon = threading.Event()
        """Set from outside: give up before the next chunk, commit or try."""
        self.counted = Counters()
        """All that this worker has committed."""
        self.seconds = Station()
        self._seam = seam
        self._decode = Decoder(store.limits).decode
        self._limits = store.limits
        self._young: dict[str, Entry] = {}
        self._old: dict[str, Entry] = {}
        self._young_bytes = 0
        self._pending_bytes = 0

    def claim(self, beginnings: Iterable[Position]) -> Mapping[TopicPartition, Position]:
        """The positions to go on at; forgets the last assignment and all states in memory."""
        self.forget()
        wanted = list(beginnings)
        self.stage = "claiming partitions"
        self.positions = dict(self.patiently(lambda: self.store.claim(wanted, self.worker)))
        if self.store.limits != self._limits:  # it was rebuilt with others
            self._limits, self._decode = self.store.limits, Decoder(self.store.limits).decode
        topics = {at.topic for at in self.positions}
        stored = (each.position for each in self.patiently(self.store.partitions))
        self.beside = {
            position.at: position
            for position in stored
            if position.topic in topics and position.at not in self.positions and position.next_offset > 0
        }
        self.stage = "idle"
        return self.positions

    def forget(self) -> None:
        """Drop the states in memory, and with them what was folded but not committed."""
        self._young, self._old, self._young_bytes, self._pending_bytes = {}, {}, 0, 0

    def jump(self, to: Mapping[TopicPartition, Position], policy: str, when: str) -> None:
        """Move positions as an operator chose, and remember that in the store."""
        stored = self.positions | self.beside
        advances = [Advance(expected=stored[at], next=new, counters=Counters()) for at, new in to.items()]
        jumps = [Jump(at=at, stored=stored[at].next_offset, chosen=new.next_offset, policy=policy, when=when) for at, new in to.items()]
        self.patiently(lambda: self.store.commit(Commit(advances=advances, jumps=jumps)))
        self.advanced += 1
        self._furthest.clear()
        self.positions.update((at, new) for at, new in to.items() if at in self.positions)
        self.beside = {at: position for at, position in self.beside.items() if at not in to}

    def process(self, batch: Batch) -> Counters:
        """Fold a batch and commit it, with the positions that it goes to; returns what became of its records.

        Raises `PositionConflict` (nothing of the uncommitted rest was written, and the states in memory are dropped), `Abandoned`,
        or a `StoreError` that is not passing.
        """
        total = Counters()
        try:
            with without_collector():
                self.stage = "folding"
                self._seam("before decode")
                steps: dict[TopicPartition, Step] = {}
                parked: list[ParkedRecord] = []
                for at, records in batch.records.items():
                    for start in range(0, len(records), CHUNK_RECORDS):
                        if self.abandon.is_set():
                            raise Abandoned
                        if self._pending_bytes > FLUSH_BYTES and steps:
                            reached = {at: records[start].offset} if at in steps else {}
                            self._flush(total, steps, parked, self._reached(steps, batch, reached))
                            steps, parked = {}, []
                        step = steps.setdefault(at, Step(Counters()))
                        self._fold_chunk(records[start : start + CHUNK_RECORDS], step, parked)
                for at in batch.positions:
                    steps.setdefault(at, Step(Counters()))
                self._flush(total, steps, parked, self._reached(steps, batch, {}))
        except BaseException:
            self.forget()
            raise
        finally:
            self.stage = "idle"
        return total

    def _reached(
        self, steps: Collection[TopicPartition], batch: Batch, inside: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, Position]:
        """The position that each partition is at: the batch's end, or the offset of the first record that is still to be folded."""
        return {
            at: msgspec.structs.replace(batch.positions[at], next_offset=inside[at]) if at in inside else batch.positions[at]
            for at in steps
        }

    def _fold_chunk(self, records: Sequence[Record], step: Step, parked: list[ParkedRecord]) -> None:
        started = perf_counter()
        at, last = TopicPartition(records[0].topic, records[0].partition), records[-1].offset
        if last > self._furthest.get(at, -1):
            self._furthest[at] = last
            self.advanced += 1
        decode = self._decode
        verdicts = [decode(record) for record in records]
        decoded = perf_counter()
        self._bring({verdict.task_id for verdict in verdicts if isinstance(verdict, TaskEvent)})
        loaded = perf_counter()
        young, limits = self._young, self._limits
        applied = unchanged = ignored = 0
        newest = step.newest
        for verdict in verdicts:
            if isinstance(verdict, TaskEvent):
                entry = young[verdict.task_id]
                if apply(entry.state, verdict, limits):
                    entry.dirty = True
                    applied += 1
                else:
                    unchanged += 1
                if verdict.time > newest:  # noqa: PLR1730 - max() costs 0.06 µs more
                    newest = verdict.time
            elif isinstance(verdict, Ignored):
                ignored += 1
        refused = len(verdicts) - applied - unchanged - ignored
        if refused:
            parked.extend(
                ParkedRecord(record=record, reason=verdict.reason, detail=verdict.detail)
                for record, verdict in zip(records, verdicts, strict=True)
                if isinstance(verdict, Parked)
            )
        step.counters.add(Counters(len(verdicts), applied, unchanged, ignored, refused))
        step.newest = newest
        self.seconds.decode += decoded - started
        self.seconds.load += loaded - decoded
        self.seconds.fold += perf_counter() - loaded

    def _bring(self, task_ids: set[str]) -> None:
        """Have these tasks in the young generation: from the old one, from the store, or new."""
        young, old = self._young, self._old
        missing = []
        for task_id in task_ids - young.keys():
            entry = old.pop(task_id, None)
            if entry is None:
                missing.append(task_id)
            else:
                young[task_id] = entry
                self._young_bytes += entry.stored_bytes + ENTRY_BYTES
        if not missing:
            return
        missing.sort()  # neighbours in the store's index
        stored = self.patiently(lambda: self.store.load(missing))
        for task_id in missing:
            loaded = stored.get(task_id)
            if loaded is None:
                young[task_id] = Entry(TaskState(), None, 0)
                self._young_bytes += ENTRY_BYTES
            else:
                size = len(loaded.registers)
                young[task_id] = Entry(from_bytes(loaded.registers), loaded.revision, size)
                self._young_bytes += size + ENTRY_BYTES
                self._pending_bytes += size

    def _flush(
        self,
        total: Counters,
        steps: Mapping[TopicPartition, Step],
        parked: Sequence[ParkedRecord],
        reached: Mapping[TopicPartition, Position],
    ) -> None:
        """One transaction for all that was folded since the last."""
        started = perf_counter()
        dirty = {task_id: entry for task_id, entry in self._young.items() if entry.dirty}
        writes = {task_id: self._write(task_id, entry) for task_id, entry in dirty.items()}
        advances = [
            Advance(expected=self.positions[at], next=reached[at], counters=step.counters, newest_event_time=step.newest)
            for at, step in steps.items()
        ]
        self.seconds.dump += perf_counter() - started
        if not advances:
            return
        self.stage = "committing"
        self._seam("before commit")
        started = perf_counter()
        revision = self._commit(writes, advances, parked)
        self.seconds.commit += perf_counter() - started
        self.advanced += 1
        self.stage = "folding"
        self._seam("after commit")
        for task_id, entry in dirty.items():
            entry.revision, entry.dirty = revision, False
            size = len(writes[task_id].registers)
            self._young_bytes += size - entry.stored_bytes
            entry.stored_bytes = size
        for step in steps.values():
            total.add(step.counters)
            self.counted.add(step.counters)
        self.positions.update(reached)
        self._pending_bytes = 0
        if self._young_bytes > GENERATION_BYTES:
            self._old, self._young, self._young_bytes = self._young, {}, 0

    def _write(self, task_id: str, entry: Entry) -> Write:
        state = entry.state
        return Write(task_id, to_bytes(state, self._limits), columns(task_id, state), entry.revision, purged_at(state))

    def _commit(self, writes: dict[str, Write], advances: Sequence[Advance], parked: Sequence[ParkedRecord]) -> int:
        """Commit; where other writers were faster, merge with what they wrote."""
        while True:
            commit = Commit(writes=list(writes.values()), advances=advances, parked=parked)
            try:
                return self.patiently(lambda: self.store.commit(commit))  # noqa: B023 - called before the next turn
            except StateConflict as conflict:
                self._merge(conflict.task_ids, writes)

    def patiently(self, call: Callable[[], T]) -> T:
        """What the store answers, however long it is away (a commit whose answer was lost is refused the second time by its positions).

        Raises `Abandoned` when the batch is given up meanwhile.
        """
        wait_s = 0.1
        said = False
        stage = self.stage
        while True:
            if self.abandon.is_set():
                raise Abandoned
            try:
                answer = call()
            except StoreUnavailable as away:
                if not said:
                    log.warning("the store is away, it will be tried again: %s", away)
                said = True
                self.stage = f"{stage}, waiting for the store ({away})"
                self.abandon.wait(wait_s)
                wait_s = min(2 * wait_s, LAST_WAIT_S)
            else:
                if said:
                    self.stage = stage
                    log.info("the store is back")
                return answer

    def _merge(self, task_ids: Sequence[str], writes: dict[str, Write]) -> None:
        """Join this worker's states with those that another writer has stored meanwhile.

        Not where one of them was purged: what this batch knows of it is folded into the mark, from the log, as if it came only now.
        """
        stored = self.patiently(lambda: self.store.load(task_ids))
        for task_id in task_ids:
            entry, loaded = self._young[task_id], stored.get(task_id)
            if loaded is None:
                entry.revision = None
            else:
                other = from_bytes(loaded.registers)
                if other.purged not in (None, entry.state.purged) and entry.state.forgotten is not True:
                    raise PositionConflict(f"task {task_id!r} was purged while the batch was folded")
                entry.state = merge_into(other, entry.state, self._limits)
                entry.revision = loaded.revision
            writes[task_id] = self._write(task_id, entry)

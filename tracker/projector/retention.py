"""Retention: tasks that ended long ago are purged, in small commits like any other, so that the fences and the revisions hold for them too.

A batch is loaded, judged again on what was loaded, and written where nobody has changed it since. A worker that holds such a task in memory
finds out by the row fence when it next writes it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from time import perf_counter
from typing import get_args

import msgspec

from tracker.errors import StateConflict
from tracker.fold.registers import forgotten_attempts, merge_into, set_purged
from tracker.fold.state import from_bytes, to_bytes
from tracker.fold.view import columns, purged_at
from tracker.model.kinds import TaskType
from tracker.stores.base import Commit, Ended, PartitionStatus, StatusStore, Write

TYPES: tuple[TaskType, ...] = get_args(TaskType)
BATCH_TASKS = 250
"""Of one commit: 10 to 30 ms, which is what a worker waits that wants to commit meanwhile."""
PAUSE_RATIO = 1.0
"""After a batch, so much of its time is left to others: a purge takes half of the store's one writer at most."""
SHRINK_BYTES = 4_000_000
"""Given back to the file system after a batch: more than a batch frees, some 10 ms."""


class Purged(msgspec.Struct):
    """What a purge did, or how far it is."""

    until: datetime
    """The moment that ages are measured from: now, or what is known of a log that the store is behind of."""
    tasks: dict[TaskType, int]
    """By type."""
    freed_bytes: int = 0
    """Given back to the file system."""
    seconds: float = 0.0

    @property
    def total(self) -> int:
        """Tasks purged."""
        return sum(self.tasks.values())


def moment_known(partitions: Sequence[PartitionStatus], now: datetime) -> datetime:
    """Up to when what happened is in the store: now, or the newest event of a partition that is known to have more to read.

    What stands there may be a task's next attempt: while a store catches up, its finished tasks are no older than what it has read.
    """
    newest = [
        datetime.fromisoformat(each.newest_event_time).replace(tzinfo=UTC) if each.newest_event_time else datetime.min.replace(tzinfo=UTC)
        for each in partitions
        if each.end_offset is not None and each.end_offset > each.position.next_offset
    ]
    return min([now, *newest])


def due(
    store: StatusStore, ages_s: Mapping[TaskType, float], now: datetime, *, limit: int = BATCH_TASKS
) -> Iterator[tuple[TaskType, str, list[Ended]]]:
    """The tasks that are older than their type's age (a type without one is kept for ever), in pages: the type, the time before which
    they were completed, and them. A page is asked for when the one before it was dealt with.
    """
    until = moment_known(store.partitions(), now)
    for of_type, age_s in ages_s.items():
        before = _text(until, age_s) + "Z"
        page = store.ended(before, [of_type], limit=limit)
        while page:
            yield of_type, before, list(page)
            page = store.ended(before, [of_type], after=page[-1], limit=limit)


def count_due(store: StatusStore, ages_s: Mapping[TaskType, float], now: datetime) -> dict[TaskType, int]:
    """How many tasks `purge` would purge, by type."""
    counted = dict.fromkeys(ages_s, 0)
    for of_type, _, page in due(store, ages_s, now, limit=10_000):
        counted[of_type] += len(page)
    return counted


def purge(
    store: StatusStore,
    ages_s: Mapping[TaskType, float],
    now: datetime,
    *,
    stop: threading.Event | None = None,
    on_progress: Callable[[Purged], None] = lambda _: None,
) -> Purged:
    """Purge the tasks that have ended longer ago than their type's age in seconds, and give back the space; ends early once ``stop`` is set.

    Raises `StoreUnavailable` where another writer keeps the store longer than a commit may wait; what was committed before stays purged.
    """
    stop = stop or threading.Event()
    began = perf_counter()
    done = Purged(moment_known(store.partitions(), now), dict.fromkeys(ages_s, 0))

    def tell(since: float) -> None:
        done.seconds = perf_counter() - began
        on_progress(done)
        stop.wait(PAUSE_RATIO * (perf_counter() - since))

    started = perf_counter()
    for of_type, before, page in due(store, ages_s, now):
        done.tasks[of_type] += _purge(store, [each.task_id for each in page], before, _text(now))
        done.freed_bytes += store.shrink(SHRINK_BYTES)
        tell(started)
        if stop.is_set():
            break
        started = perf_counter()
    while not stop.is_set():
        started = perf_counter()
        freed = store.shrink(SHRINK_BYTES)
        if not freed:
            break
        done.freed_bytes += freed
        tell(started)
    done.seconds = perf_counter() - began
    return done


def _purge(store: StatusStore, task_ids: Sequence[str], before: str, at: str) -> int:
    """Purge those of them that are still what they were found to be; how many."""
    writes = []
    for task_id, loaded in store.load(task_ids).items():
        state = from_bytes(loaded.registers)
        row = columns(task_id, state)
        if row is not None and row.completed is not None and row.completed < before and set_purged(state, at):
            writes.append(Write(task_id, to_bytes(state, store.limits), None, loaded.revision, purged_at(state)))
    while writes:
        try:
            store.commit(Commit(writes=writes))
        except StateConflict as conflict:  # somebody has written them since: they are judged anew by the next purge
            writes = [write for write in writes if write.task_id not in conflict.task_ids]
        else:
            break
    return len(writes)


def carry_purged(marked: Iterable[tuple[str, bytes]], anew: StatusStore, *, ahead: bool = False) -> int:
    """Let a store that is folded from the log know what was purged in another, of which these are the marked tasks' ids and states; how
    many they are. Nobody else may write to it meanwhile.

    Each is there as it is in the other, with what later attempts have said; one that is deleted in either stays deleted. That may be done
    before, while or after the log is folded, and again. ``ahead``: the log was folded further than the other store has read it. What it says
    there of a task's later attempts can't be told from what was purged, so such a task stays as the log has it.
    """
    carried, waiting = 0, iter(marked)
    while page := dict(islice(waiting, BATCH_TASKS)):
        ours, writes = anew.load(list(page)), []
        for task_id, registers in page.items():
            state, held = from_bytes(registers), ours.get(task_id)
            if held is not None:
                mine = from_bytes(held.registers)
                if ahead and forgotten_attempts(mine) < forgotten_attempts(state) < mine.attempt:
                    continue
                state = merge_into(mine, state, anew.limits)
            kept = to_bytes(state, anew.limits)
            if held is None or kept != held.registers:
                revision = None if held is None else held.revision
                writes.append(Write(task_id, kept, columns(task_id, state), revision, purged_at(state)))
        if writes:
            anew.commit(Commit(writes=writes))
        carried += len(page)
    return carried


def _text(moment: datetime, age_s: float = 0.0) -> str:
    """So much before a moment, 26 characters of UTC; the beginning of time where that is too long ago."""
    try:
        return (moment.astimezone(UTC) - timedelta(seconds=age_s)).strftime("%Y-%m-%dT%H:%M:%S.%f").rjust(26, "0")
    except OverflowError:
        return "0001-01-01T00:00:00.000000"

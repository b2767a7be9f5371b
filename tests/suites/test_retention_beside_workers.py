"""Retention beside workers that write: who meets whom, and that nothing is lost or opened again by it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from tests.suites.retained import ALL, NOW, RECENT, batch, fold_in, life, state
from tests.suites.retained import opened as opened  # noqa: PLC0414 - a fixture
from tests.suites.retained import store as store  # noqa: PLC0414 - a fixture
from tests.unit.query_store import record as event
from tests.unit.road import run, run_through
from tracker.errors import PositionConflict
from tracker.fold.decode import Decoder
from tracker.fold.event import TaskEvent
from tracker.fold.reducers import fold
from tracker.fold.state import TaskState, from_bytes, to_bytes
from tracker.fold.view import extension, view
from tracker.model.records import Record
from tracker.projector import SEAMS, Options, Projection
from tracker.projector.retention import TYPES, purge
from tracker.sources.memory import END, PAUSE, Item, Script
from tracker.stores.base import Commit, Counters, StatusStore
from tracker.stores.memory import MemoryStore
from tracker.stores.sql import SqlStore
from tracker.testing.stores.values import AT, LOG, everything, position

RESTLESS = 60


def test_a_task_that_was_written_since_it_was_found_is_kept(store: StatusStore) -> None:
    """Of a page, the task that a worker has opened again meanwhile is left as the worker wrote it; the others are purged."""
    fold_in(store, [*life("a"), *life("b"), *life("c")])
    meet(store, before_commit=lambda: fold_in(store, [event("b", "launched", RECENT, attempt=2)]))

    assert purge(store, ALL, NOW).total == 2
    assert list(store.purged()) == ["a", "c"]
    assert extension(state(store, "b"))["state"] == "RUNNING"


def test_a_worker_that_remembers_a_purged_task_folds_its_batch_again(store: StatusStore) -> None:
    """Its commit is refused as by a lost position, nothing of it is written, and from the log the later attempt is folded into the mark."""
    fold_in(store, life("t"))
    projection = Projection(store)
    projection.claim([position()])
    projection.process(batch([event("t", "updated", RECENT, launcher="remembered")]))
    retry = batch(
        [event("t", "updated", RECENT, launcher="late"), event("t", "launched", RECENT, attempt=2), *life("new", RECENT)], begin=1
    )
    purge(store, ALL, NOW)
    before = everything(store)
    with pytest.raises(PositionConflict, match="purged"):
        projection.process(retry)
    assert everything(store) == before

    projection.claim([position()])
    assert projection.process(retry) == Counters(5, 4, 1, 0, 0)
    assert view("t", state(store, "t"))["launcher"] == ""
    assert extension(state(store, "t"))["attempt"] == 2


def test_a_worker_that_deletes_what_was_purged_meanwhile(store: StatusStore) -> None:
    """Deleted is final whoever was first: there is nothing to fold again."""
    fold_in(store, life("t"))
    projection = Projection(store)
    projection.claim([position()])
    meet(store, before_commit=lambda: purge(store, ALL, NOW))

    assert projection.process(batch([event("t", "deleted", RECENT)])).applied == 1
    assert state(store, "t").forgotten is True


async def test_a_run_goes_on_over_a_purge(store: StatusStore) -> None:
    """The whole loop: the task is purged between two batches that know it, and the end is exact, with each record counted once."""
    records = batch([*life("t"), *life("u", RECENT), event("t", "launched", RECENT, attempt=2), *life("v", RECENT)]).records[AT]
    done: list[int] = []

    def passing(seam: str) -> None:
        if seam == "before commit" and store.task_count() and not done:
            done.append(purge(store, ALL, NOW).total)

    await run([*records[:6], PAUSE, *records[6:], END], store, seam=passing, identity=LOG)

    assert done == [1]
    assert extension(state(store, "t"))["truncated"] == ["purged"]
    (partition,) = (each for each in store.partitions() if each.position.next_offset == len(records))
    assert (partition.counters.read, partition.counters.balanced) == (len(records), True)


def restless(rng: Random) -> list[Record]:
    """A log of tasks with up to four attempts each, of which the events come up to an hour late, some of them twice, and a few deletions."""
    made: list[tuple[float, Record]] = []
    for number in range(RESTLESS):
        minute = rng.uniform(0, 300)
        for attempt in range(1, rng.randint(1, 4) + 1):
            for kind in ("created", "launched", "progressed", "messaged", "completed"):
                minute += rng.expovariate(1 / 10)
                time = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)).isoformat()
                made += [(minute + rng.uniform(0, 60), event(f"t{number}", kind, time, attempt=attempt, **DATA.get(kind, {})))]
                if rng.random() < 0.1:
                    made += [(minute + rng.uniform(0, 600), made[-1][1])]
        if rng.random() < 0.1:
            made += [(minute, event(f"t{number}", "deleted"))]
    return batch([each for _, each in sorted(made, key=lambda pair: pair[0])]).records[AT]


DATA: dict[str, dict[str, Any]] = {
    "created": {"launcher": "sweep"},
    "progressed": {"percentComplete": 40},
    "messaged": {"type": "INFO", "key": "k", "localizedText": {"locale": "en", "message": "m"}},
    "completed": {"completionStatus": "SUCCESS"},
}


def assert_marks_and_later_attempts(store: StatusStore, records: list[Record]) -> None:
    """Each task is its mark, if it was purged, and the fold of all its events of later attempts; every record is counted once."""
    events = [each for each in map(Decoder().decode, records) if isinstance(each, TaskEvent)]
    for task_id, held in store.load([f"t{number}" for number in range(RESTLESS)]).items():
        found = from_bytes(held.registers)
        expected = TaskState(forgotten=found.purged or False)
        fold(expected, [each for each in events if each.task_id == task_id])
        assert to_bytes(found) == to_bytes(expected)
    assert sum(each.counters.read for each in store.partitions()) == len(records)
    assert all(each.counters.balanced for each in store.partitions())


SMALL_BATCHES = Options(max_batch_records=10, max_batch_age_s=0.0)
AT_ONCE: Mapping[Any, float] = dict.fromkeys(TYPES, 0.0)
FAR = NOW + timedelta(days=20_000)


@pytest.mark.parametrize("seed", range(4))
async def test_purges_at_any_moment_of_a_run(store: StatusStore, seed: int) -> None:
    """At random seams of a run over tasks that are tried again and again: what is left is the marks and the later attempts, whatever came late."""
    rng = Random(seed)
    records = restless(rng)
    purged = 0

    def passing(seam: str) -> None:
        nonlocal purged
        if seam in SEAMS[:3] and rng.random() < 0.3:  # those that the worker's thread passes, whose the store is
            purged += purge(store, AT_ONCE, FAR).total

    items: list[Item] = []
    for each in records:
        items += [each, PAUSE] if rng.random() < 0.2 else [each]
    await run_through(Script([*items, END]), store, seam=passing, identity=LOG, options=SMALL_BATCHES)

    assert_marks_and_later_attempts(store, records)
    assert purged > store.purged_count() > RESTLESS / 2, "tasks were opened again after a purge, and purged again"


@pytest.mark.parametrize("seed", range(2))
async def test_two_purges_beside_a_run(store: StatusStore, seed: int) -> None:
    """Each on a connection of its own, all the time: the same is left."""
    records = restless(Random(seed))
    stop = threading.Event()
    purged: list[int] = []

    def purge_all_the_time() -> None:
        with another(store) as own:
            while not stop.is_set():
                purged.append(purge(own, AT_ONCE, FAR).total)
            purged.append(purge(own, AT_ONCE, FAR).total)  # of the whole log, whenever the others were

    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(asyncio.to_thread(purge_all_the_time))
        await run([*records, END], store, identity=LOG, options=SMALL_BATCHES)
        stop.set()

    assert_marks_and_later_attempts(store, records)
    assert sum(purged) >= store.purged_count() > RESTLESS / 2


def another(store: StatusStore) -> AbstractContextManager[StatusStore]:
    """A connection of its own to the same store."""
    if isinstance(store, MemoryStore):
        return nullcontext(store)
    if isinstance(store, SqlStore):
        return SqlStore(store.path)
    from tracker.stores.postgres import PostgresStore

    assert isinstance(store, PostgresStore)
    return PostgresStore(store.address)


def meet(store: StatusStore, before_commit: Callable[[], object]) -> None:
    """Lets another writer in right before the next commit."""
    commit_of_store = store.commit

    def commit_then(what: Commit) -> int:
        store.commit = commit_of_store  # type: ignore[method-assign]
        before_commit()
        return commit_of_store(what)

    store.commit = commit_then  # type: ignore[method-assign, assignment]

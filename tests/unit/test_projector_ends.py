"""How a run of the projector ends: stops, from anywhere and at any moment, and the ends of logs."""

from __future__ import annotations

import asyncio
import gzip
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from tests.unit.road import Watched, assert_exact, projector, run
from tracker.model.records import Batch, Position, Record, TopicPartition
from tracker.projector import Options, Progress, Projector, loop
from tracker.projector import projection as projection_module
from tracker.sources.base import OnRevoked
from tracker.sources.jsonl import JsonlSource
from tracker.sources.memory import END, GAP, PAUSE, REASSIGN, Item, MemorySource, Script
from tracker.stores.base import Counters
from tracker.stores.memory import MemoryStore
from tracker.stores.open import open_store
from tracker.testing import created, seconds, to_records

AT = TopicPartition("events", 0)
FOREIGN = b'{"type":"com.example.other"}'
SMALL = Options(max_batch_records=5, max_batch_age_s=0.0)
EVENTS = to_records([created(f"t{index}", time=seconds(index)) for index in range(20)])


async def until(condition: Callable[[], object]) -> None:
    """Waits for it, 10 seconds at most."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the condition is another thread's
            await asyncio.sleep(0.005)


def next_offset(store: MemoryStore) -> int:
    """Where the first partition is."""
    return store.partitions()[0].position.next_offset


# Stopping


async def test_a_stop_ends_a_run_that_waits_for_records() -> None:
    """What was read before is in the store."""
    store = MemoryStore()
    running = projector(EVENTS, store)
    task = asyncio.create_task(running.run())
    await until(lambda: store.partitions() and next_offset(store) == 20)
    running.stop()
    totals = await asyncio.wait_for(task, 5)

    assert totals.counters == Counters(20, 20)


async def test_a_stop_before_the_run_ends_it_at_once() -> None:
    """A signal that comes while a worker is starting is not lost."""
    running = projector(EVENTS, MemoryStore())
    running.stop()
    totals = await asyncio.wait_for(running.run(), 5)

    assert totals.counters.read == 0


async def test_a_stop_after_the_run_does_nothing() -> None:
    """A second signal at the end raises nothing."""
    running = projector([*EVENTS, END], MemoryStore())
    await running.run()
    running.stop()


async def test_a_stop_may_come_from_another_thread() -> None:
    """As a signal handler or a supervisor sends it."""
    running = projector(EVENTS, MemoryStore())
    task = asyncio.create_task(running.run())
    await until(lambda: running._loop)
    threading.Thread(target=running.stop).start()
    await asyncio.wait_for(task, 5)


async def test_a_stop_lets_a_running_batch_be_committed() -> None:
    """A batch that ends within the budget is in the store, the next one is not begun."""
    entered, go_on = threading.Event(), threading.Event()

    def seam(name: str) -> None:
        if name == "before commit":
            entered.set()
            go_on.wait(10)

    store = MemoryStore()
    running = projector([*EVENTS, END], store, options=SMALL, seam=seam)
    task = asyncio.create_task(running.run())
    await until(entered.is_set)
    running.stop()
    await until(running._stopping.is_set)
    go_on.set()
    totals = await asyncio.wait_for(task, 5)

    assert totals.counters == Counters(5, 5)
    assert next_offset(store) == 5


async def test_a_stop_drops_a_batch_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that would take 50 seconds is given up between two chunks, whole; the next run reads it again."""
    monkeypatch.setattr(loop, "STOP_BUDGET_S", 0.1)
    monkeypatch.setattr(projection_module, "CHUNK_RECORDS", 1)
    store = MemoryStore()
    running = projector([*EVENTS, END], store)
    begun = threading.Event()
    plain = running.projection._fold_chunk

    def slow(*arguments: object) -> None:
        begun.set()
        threading.Event().wait(0.25)
        plain(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(running.projection, "_fold_chunk", slow)
    task = asyncio.create_task(running.run())
    await until(begun.is_set)
    stopped = perf_counter()
    running.stop()
    totals = await asyncio.wait_for(task, 5)

    assert perf_counter() - stopped < 2
    assert totals.counters.read == 0
    assert next_offset(store) == 0
    await run([*EVENTS, END], store)
    assert_exact(store, EVENTS)


@pytest.mark.parametrize("locked_at", ["claim", "commit"])
async def test_a_stop_does_not_wait_for_another_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locked_at: str) -> None:
    """While another's transaction holds the store, a stop ends the run all the same, with nothing written and nobody left in the store."""
    monkeypatch.setattr(loop, "STOP_BUDGET_S", 0.1)
    url = f"sqlite:///{tmp_path}/status.db"
    reached = threading.Event()
    with open_store(url) as store:
        other = sqlite3.connect(tmp_path / "status.db", isolation_level=None, check_same_thread=False)

        def seam(name: str) -> None:
            if name == "before commit":
                other.execute("BEGIN IMMEDIATE")
                reached.set()

        if locked_at == "claim":
            other.execute("BEGIN IMMEDIATE")
            reached.set()
        running = projector([*EVENTS, END], store, seam=seam)
        task = asyncio.create_task(running.run())
        await until(reached.is_set)
        stopped = perf_counter()
        running.stop()
        totals = await asyncio.wait_for(task, 5)
        assert perf_counter() - stopped < 3
        assert totals.counters.read == 0
        assert threading.active_count() == len([each for each in threading.enumerate() if not each.name.startswith("tracker-fold")])
        other.execute("ROLLBACK")
        other.close()

        await run([*EVENTS, END], store)
        assert_exact(store, EVENTS)


async def test_a_cancelled_run_leaves_nothing_half_done() -> None:
    """Cancelling the task that runs it is a stop too: the running batch is committed whole."""
    entered = threading.Event()

    def seam(name: str) -> None:
        if name == "before commit":
            entered.set()
            threading.Event().wait(0.05)

    store = MemoryStore()
    task = asyncio.create_task(run(EVENTS, store, options=SMALL, seam=seam))
    await until(entered.is_set)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert next_offset(store) == 5
    assert store.partitions()[0].counters == Counters(5, 5)


async def test_a_revocation_waits_for_the_running_batch() -> None:
    """When the source may give the partitions up, what was being folded is in the store."""
    in_flight: list[bool] = []
    busy = threading.Event()

    def seam(name: str) -> None:
        if name == "before commit":
            busy.set()
            threading.Event().wait(0.05)
        elif name == "before the log is told":
            busy.clear()

    def make_source(on_revoked: OnRevoked) -> MemorySource:
        async def revoked(partitions: frozenset[TopicPartition]) -> None:
            await on_revoked(partitions)
            in_flight.append(busy.is_set())

        script: list[Item] = [*EVENTS[:10], PAUSE, REASSIGN([]), PAUSE, REASSIGN([AT]), *EVENTS[10:], END]
        return MemorySource(script, on_revoked=revoked)

    store = MemoryStore()
    await Projector(make_source, store, options=SMALL, seam=seam).run()

    assert in_flight == [False]
    assert_exact(store, EVENTS)


# Ends


async def test_until_end_stops_at_the_end_of_now() -> None:
    """A log that would be waited at is left where it ended when the run began, markers included."""
    store = MemoryStore()
    script = Script([*EVENTS, GAP(3)])
    totals = await asyncio.wait_for(run(script, store, options=Options(until_end=True, max_batch_age_s=0.0)), 5)

    assert totals.counters.read == 20
    assert next_offset(store) == 23


async def test_until_end_is_over_at_once_where_all_is_stored() -> None:
    """The second run has nothing to do."""
    store = MemoryStore()
    options = Options(until_end=True, max_batch_age_s=0.0)
    await asyncio.wait_for(run(EVENTS, store, options=options), 5)
    totals = await asyncio.wait_for(run(EVENTS, store, options=options), 5)

    assert totals.counters.read == 0


async def test_the_store_knows_where_the_logs_end() -> None:
    """So that lag can be told by who has no source."""
    store = MemoryStore()
    await run([*EVENTS, GAP(4), PAUSE, END], store)
    (status,) = store.partitions()

    assert status.end_offset == 24
    assert status.end_seen_at is not None


async def test_progress_is_told_after_each_commit() -> None:
    """Counters of this run only grow, and the last ones are the totals."""
    store, told = MemoryStore(), list[Progress]()
    running = Projector(lambda _: MemorySource([*EVENTS, END]), store, options=SMALL, on_progress=told.append)
    totals = await running.run()

    assert [each.counters.read for each in told] == [5, 10, 15, 20]
    assert told[-1].counters == totals.counters


async def test_a_rotated_log_shares_no_commit_with_the_old_one() -> None:
    """Where the identity changes between two reads, the old log's batch is committed first."""

    class Rotating(MemorySource):
        async def read(self, max_records: int, max_wait_s: float) -> Batch:  # noqa: ARG002 - one at a time
            batch = await super().read(1, max_wait_s)
            for at, position in batch.positions.items():
                if position.next_offset > 10:
                    batch.positions[at] = Position(*at, position.next_offset, "rotated")
            return batch

    store = Watched()
    options = Options(max_batch_age_s=5.0)
    await Projector(lambda _: Rotating([*EVENTS, END]), store, options=options).run()

    assert [(commit.advances[0].next.next_offset, commit.advances[0].next.identity) for commit in store.commits] == [
        (10, "memory"),
        (20, "rotated"),
    ]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
async def test_until_end_reads_a_file_whose_end_is_not_known(tmp_path: Path, name: str) -> None:
    """A compressed file's end is known when it is reached: not a batch before, and a plain file's likewise."""
    path = tmp_path / name
    open_file: Callable[..., Any] = gzip.open if name.endswith(".gz") else open
    with open_file(path, "wb") as file:
        file.writelines((record.value or b"") + b"\n" for record in EVENTS)
    store = MemoryStore()
    options = Options(max_batch_records=5, max_batch_age_s=0.0, until_end=True)
    totals = await Projector(lambda _: JsonlSource([str(path)]), store, options=options).run()

    assert totals.counters.read == len(EVENTS)


async def test_states_in_memory_are_bounded_however_small_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleted tasks have a few bytes each; they too make room for others."""
    monkeypatch.setattr(projection_module, "GENERATION_BYTES", 20_000)
    deletions = [Record("events", 0, offset, None, b"t%d" % offset) for offset in range(500)]
    running = projector([*deletions, END], MemoryStore(), options=SMALL)
    await running.run()

    assert len(running.projection._young) + len(running.projection._old) <= 2 * (20 + 5)

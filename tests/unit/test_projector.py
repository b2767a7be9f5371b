"""The projector is exact: whatever happens on the road, the store has what the oracle makes of the log, each record counted once."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.unit.road import (
    Crash,
    Watched,
    assert_exact,
    counters,
    crash_at,
    documents,
    expected,
    log,
    projector,
    registers,
    run,
    run_through,
)
from tracker.errors import PositionConflict, StoreFull, StoreUnavailable
from tracker.model.records import Batch, Position, Record, TopicPartition
from tracker.projector import SEAMS, Options, Projection
from tracker.projector import projection as projection_module
from tracker.sources.memory import ABORT, END, GAP, PAUSE, REASSIGN, Item, Script
from tracker.stores import sqlite_file
from tracker.stores.base import StatusStore
from tracker.stores.memory import MemoryStore
from tracker.stores.open import open_store

AT = TopicPartition("events", 0)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StatusStore]:
    """An empty store of each kind."""
    with open_store("memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/status.db?synchronous=normal") as store:
        yield store


def batch_of(records: list[Record]) -> Batch:
    """One read's batch."""
    batch = Batch({}, {})
    for record in records:
        at = TopicPartition(record.topic, record.partition)
        batch.records.setdefault(at, []).append(record)
        batch.positions[at] = Position(record.topic, record.partition, record.offset + 1, "memory")
    return batch


def claimed(store: StatusStore, *partitions: int) -> Projection:
    """A worker's projection that holds these partitions."""
    projection = Projection(store)
    projection.claim([Position("events", partition, 0, "memory") for partition in partitions])
    return projection


@pytest.mark.parametrize("max_batch_records", [1, 2, 7, 10_000])
async def test_a_log_is_folded_as_the_oracle_folds_it(store: StatusStore, max_batch_records: int) -> None:
    """In batches of any size."""
    records = log(1)
    totals = await run(
        [*records, END], store, options=Options(max_batch_records=max_batch_records, max_batch_age_s=0.0, max_parked_ratio=0)
    )

    assert_exact(store, records)
    assert totals.counters.read == len(records)
    assert totals.counters.balanced


@pytest.mark.parametrize("seed", range(12))
async def test_marks_change_nothing(seed: int) -> None:
    """Crashes, pauses, gaps and reassignments anywhere: byte for byte the states of the uninterrupted run, each record counted once."""
    rng, records = Random(seed), log(seed)
    all_partitions = [TopicPartition("events", partition) for partition in range(3)]
    items: list[Item] = []
    for record in records:
        if rng.random() < 0.3:
            mark = rng.choice((ABORT, PAUSE, REASSIGN(rng.sample(all_partitions, rng.randint(1, 3)))))
            items.append(mark)
        items.append(record)
    script = Script([*items, REASSIGN(all_partitions), GAP(5, at=AT), END])
    store, calm = MemoryStore(), MemoryStore()
    await run_through(script, store, options=Options(max_batch_records=rng.choice((1, 3, 100)), max_batch_age_s=0.0))
    await run([*records, END], calm)

    assert_exact(store, records)
    assert registers(store, records) == registers(calm, records)
    assert script.ends[AT] == next(each.position.next_offset for each in store.partitions() if each.position.at == AT)


@pytest.mark.parametrize("nth", [1, 3])
@pytest.mark.parametrize("seam", SEAMS)
async def test_a_crash_at_any_seam_loses_and_doubles_nothing(store: StatusStore, seam: str, nth: int) -> None:
    """The next run goes on from what the store has."""
    records = log(3)
    options = Options(max_batch_records=7, max_batch_age_s=0.0)
    with pytest.raises(Crash):
        await run([*records, END], store, seam=crash_at(seam, nth), options=options)
    await run([*records, END], store, options=options)

    assert_exact(store, records)


async def test_seams_are_passed_in_order() -> None:
    """Of each batch: before decode, before and after the commit, before the log is told."""
    passed: list[str] = []
    await run([*log(4, logs=1), END], MemoryStore(), seam=passed.append)

    assert tuple(passed) == SEAMS


async def test_a_position_that_moves_without_records_is_stored() -> None:
    """Markers and compacted parts, at the beginning, at the end, and alone."""
    store = MemoryStore()
    await run([GAP(3, at=AT), *(Record("events", 0, 3, b"{}"),), GAP(4), GAP(2, at=TopicPartition("events", 1)), END], store)

    assert [(each.position.next_offset, each.counters.read) for each in store.partitions()] == [(8, 1), (2, 0)]


async def test_the_log_is_told_what_is_stored() -> None:
    """After the last commit, ``committed`` has the store's positions."""
    store, records = MemoryStore(), log(5)
    told = projector([*records, END], store)
    await told.run()

    assert told._source.positions_committed == {each.position.at: each.position for each in store.partitions()}  # type: ignore[attr-defined]


async def test_a_thief_of_positions_is_noticed() -> None:
    """Another worker commits the same partition in between: the batch is dropped, reading goes on from the stored position, nothing twice."""
    records = log(6, partitions=1)

    def steal(number: int) -> None:
        if number == 2:
            thief = claimed(watched, 0)
            begin = thief.positions[AT].next_offset
            thief.process(batch_of(records[begin : begin + 3]))

    watched = Watched(before=steal)
    await run([*records, END], watched, options=Options(max_batch_records=5, max_batch_age_s=0.0))

    assert_exact(watched, records)


async def test_a_commit_whose_answer_was_lost_counts_once() -> None:
    """The store says it is away although the commit landed: the second try is refused, and the run goes on behind the batch."""
    records = log(7)

    def lose(number: int) -> None:
        if number in (1, 3):
            raise StoreUnavailable("the answer is lost")

    store = Watched(after=lose)
    await run([*records, END], store, options=Options(max_batch_records=20, max_batch_age_s=0.0))

    assert_exact(store, records)


async def test_a_store_that_is_away_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """A commit is tried again until it passes; that is said once when it begins, and once when it is over."""
    records = log(8)

    def away(number: int) -> None:
        if number in (1, 2):
            raise StoreUnavailable("away")

    store = Watched(before=away)
    with caplog.at_level("INFO", "tracker.projector"):
        totals = await run([*records, END], store)

    assert_exact(store, records)
    assert totals.counters.read == len(records)
    assert [record.message for record in caplog.records] == ["the store is away, it will be tried again: away", "the store is back"]


async def test_a_lock_at_the_start_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Claiming waits as a commit does: another's long transaction does not end a worker."""
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT_MS", 20)
    records = log(9, logs=1)
    with open_store(f"sqlite:///{tmp_path}/status.db") as store:
        other = sqlite3.connect(tmp_path / "status.db", isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        tries = 0
        plain = store.claim

        def claim(beginnings: list[Position], worker: str = "") -> object:
            nonlocal tries
            tries += 1
            if tries == 2:
                other.execute("ROLLBACK")
            return plain(beginnings, worker)

        monkeypatch.setattr(store, "claim", claim)
        await run([*records, END], store)
        other.close()

        assert tries == 2
        assert_exact(store, records)


async def test_a_full_store_ends_the_run_with_nothing_half_written() -> None:
    """StoreFull is not waited for: the run ends with it, and a later one goes on."""
    records = log(10)

    def full(number: int) -> None:
        if number == 2:
            raise StoreFull("no space is left")

    store = Watched(before=full)
    options = Options(max_batch_records=20, max_batch_age_s=0.0)
    with pytest.raises(StoreFull):
        await run([*records, END], store, options=options)
    assert store.revision() == 1

    await run([*records, END], store, options=options)
    assert_exact(store, records)


@pytest.mark.parametrize("seed", range(3))
def test_two_workers_with_the_same_tasks_are_exact(store: StatusStore, seed: int) -> None:
    """Each holds partitions of its own and keeps states in memory; every task is in all partitions, and they take turns."""
    rng, records = Random(seed), log(seed, partitions=4)
    workers = [claimed(store, 0, 1), claimed(store, 2, 3)]
    waiting = [[record for record in records if record.partition // 2 == number] for number in range(2)]
    while any(waiting):
        number = rng.randrange(2)
        size = rng.randint(1, 9)
        batch, waiting[number] = waiting[number][:size], waiting[number][size:]
        if batch:
            workers[number].process(batch_of(batch))

    assert_exact(store, records)


def test_a_conflict_of_rows_is_joined_and_committed_again() -> None:
    """The second worker's first try is refused, its second has both workers' events."""
    records = log(11, partitions=2)
    store = Watched()
    first, second = claimed(store, 0), claimed(store, 1)
    halves = [[record for record in records if record.partition == number] for number in range(2)]
    second.process(batch_of(halves[1][:4]))
    first.process(batch_of(halves[0]))
    tries = store.tries
    second.process(batch_of(halves[1][4:]))

    assert store.tries == tries + 2
    assert documents(store, records) == expected(records)


async def test_two_runs_beside_each_other_are_exact(tmp_path: Path) -> None:
    """Two projectors in one event loop, a thread and a connection each, all tasks in both of their partitions."""
    records = log(12, logs=20, partitions=2)
    options = Options(max_batch_records=5, max_batch_age_s=0.0, max_parked_ratio=0)
    url = f"sqlite:///{tmp_path}/status.db?synchronous=normal"
    with open_store(url) as first, open_store(url) as second:
        runs = [
            run([*records, END], store, options=options, partitions=[TopicPartition("events", number)])
            for number, store in enumerate((first, second))
        ]
        await asyncio.gather(*runs)

        assert_exact(first, records)


async def test_two_owners_of_all_partitions_are_exact(tmp_path: Path) -> None:
    """Both believe they own everything: each is refused where the other was faster, and both come to the end."""
    records = log(13, logs=10)
    options = Options(max_batch_records=5, max_batch_age_s=0.0, max_parked_ratio=0)
    url = f"sqlite:///{tmp_path}/status.db?synchronous=normal"
    with open_store(url) as first, open_store(url) as second:
        totals = await asyncio.gather(*(run([*records, END], store, options=options) for store in (first, second)))

        assert_exact(first, records)
        assert sum(each.counters.read for each in totals) == len(records)


# Batches in parts


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 3 records, and a commit after each."""
    monkeypatch.setattr(projection_module, "CHUNK_RECORDS", 3)
    monkeypatch.setattr(projection_module, "FLUSH_BYTES", -1)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("seed", range(3))
async def test_a_batch_in_parts_is_exact(store: StatusStore, seed: int) -> None:
    """A batch that loads too much is committed in parts, each with the positions that it reached."""
    records = log(seed)
    half = len(records) // 2
    script = Script([*records[:half], ABORT, *records[half:], END])
    await run_through(script, store)

    assert_exact(store, records)
    assert store.revision() > len(records) // 4


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("nth", [1, 2, 4])
@pytest.mark.parametrize("seam", ["before commit", "after commit"])
async def test_a_crash_between_two_parts_loses_and_doubles_nothing(store: StatusStore, seam: str, nth: int) -> None:
    """What was committed of the batch stays, the rest is read again."""
    records = log(14)
    with pytest.raises(Crash):
        await run([*records, ABORT, END], store, seam=crash_at(seam, nth), options=Options(max_batch_records=30, max_batch_age_s=0.0))
    await run_through(Script([*records, END]), store)

    assert_exact(store, records)


@pytest.mark.usefixtures("small_parts")
def test_a_conflict_between_two_parts_keeps_what_was_committed() -> None:
    """The second part finds its position moved: the first stays, the rest is dropped and read again, and the total counts what was committed."""
    records = log(15, partitions=1)
    store = MemoryStore()
    worker, thief = claimed(store, 0), claimed(store, 0)
    worker.process(batch_of(records[:20]))
    passed: list[str] = []

    def steal(name: str) -> None:
        passed.append(name)
        if name == "before commit" and passed.count(name) == 2:
            begin = thief.claim([Position("events", 0, 0, "memory")])[AT].next_offset
            thief.process(batch_of(records[begin : begin + 2]))

    worker._seam = steal
    with pytest.raises(PositionConflict):
        worker.process(batch_of(records[20:]))
    begin = worker.claim([Position("events", 0, 0, "memory")])[AT].next_offset
    worker._seam = lambda _: None
    worker.process(batch_of(records[begin:]))

    assert_exact(store, records)
    assert worker.counted.read + thief.counted.read == len(records)


async def test_states_that_are_forgotten_are_loaded_again(store: StatusStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for no state between two batches, the result is the same."""
    monkeypatch.setattr(projection_module, "GENERATION_BYTES", 0)
    records = log(16)
    await run([*records, END], store, options=Options(max_batch_records=5, max_batch_age_s=0.0))

    assert_exact(store, records)
    assert sum(each.read for each in counters(store).values()) == len(records)

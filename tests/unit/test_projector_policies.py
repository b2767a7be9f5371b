"""What an operator has a say in: lost offsets, other logs, too many parked records, and parked records tried again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.unit.road import assert_exact, log, run
from tracker.errors import LostOffset, NotFound, SourceChanged, StateConflict, TooManyParked
from tracker.model.events import to_json
from tracker.model.records import Position, Record, TopicPartition
from tracker.projector import Options, Projector, retry_parked
from tracker.sources.jsonl import JsonlSource
from tracker.sources.memory import END, Item, records
from tracker.stores.base import Advance, Commit, Counters, Jump, ParkedRecord
from tracker.stores.memory import MemoryStore
from tracker.testing import created, launched, seconds, to_records

AT = TopicPartition("events", 0)
FOREIGN = b'{"type":"com.example.other"}'
SMALL = Options(max_batch_records=5, max_batch_age_s=0.0)
EVENTS = to_records([created(f"t{index}", time=seconds(index)) for index in range(20)])


def next_offset(store: MemoryStore) -> int:
    """Where the first partition is."""
    return store.partitions()[0].position.next_offset


async def stored_at(offset: int, identity: str = "memory") -> MemoryStore:
    """A store whose first partition is at an offset."""
    store = MemoryStore()
    begin = Position("events", 0, 0, identity)
    store.claim([begin])
    store.commit(Commit(advances=[Advance(expected=begin, next=Position("events", 0, offset, identity), counters=Counters())]))
    return store


@pytest.mark.parametrize("stored", [3, 40])
async def test_a_lost_offset_stops_the_run(stored: int) -> None:
    """Before the log's beginning or after its end: an operator must decide, and nothing is written."""
    store = await stored_at(stored)
    with pytest.raises(LostOffset, match=rf"goes on at offset {stored}, but the log has 10 to 20"):
        await run([*EVENTS[10:], END], store)

    assert (next_offset(store), store.revision()) == (stored, 1)


@pytest.mark.parametrize(("policy", "chosen", "read"), [("earliest", 10, 10), ("latest", 20, 0)])
@pytest.mark.parametrize("stored", [3, 40])
async def test_a_jump_is_recorded(stored: int, policy: str, chosen: int, read: int) -> None:
    """The policy chooses where to go on; the store remembers both offsets, the policy and when."""
    store = await stored_at(stored)
    options = Options(on_lost_offset=policy, max_batch_age_s=0.0)  # type: ignore[arg-type]
    totals = await run([*EVENTS[10:], END], store, options=options)
    (jump,) = store.jumps()

    assert jump == Jump(at=AT, stored=stored, chosen=chosen, policy=policy, when=jump.when)
    assert jump.when.endswith("Z")
    assert totals.counters.read == read
    assert next_offset(store) == 20


async def test_only_lost_partitions_jump() -> None:
    """A position that the log has stays where it is."""
    store = await stored_at(3)
    other = records([each.value for each in EVENTS], partition=1)
    await run([*EVENTS[10:], *other, END], store, options=Options(on_lost_offset="earliest"))

    assert [jump.at for jump in store.jumps()] == [AT]
    assert [each.counters.read for each in store.partitions()] == [10, 20]


async def test_another_log_stops_the_run() -> None:
    """A log of another identity under a known name: an operator must decide."""
    store = await stored_at(3, "another")
    with pytest.raises(SourceChanged) as caught:
        await run([*EVENTS, END], store)

    assert (caught.value.changed, next_offset(store)) == ((AT,), 3)


async def test_another_log_may_be_gone_on_with_at_its_end() -> None:
    """With latest nothing of the new log is read that was there before, and the jump is recorded."""
    store = await stored_at(3, "another")
    await run([*EVENTS, END], store, options=Options(on_lost_offset="latest", max_batch_age_s=0.0))

    assert [(jump.stored, jump.chosen, jump.policy) for jump in store.jumps()] == [(3, 20, "latest")]
    assert store.partitions()[0].counters.read == 0


async def test_a_rotated_file_beside_a_replaced_one_is_finished(tmp_path: Path) -> None:
    """Only the replaced file jumps: what was not yet read of the rotated one is not skipped."""
    rotated, replaced = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    lines = [to_json(created(f"t{index}", time=seconds(index))) + b"\n" for index in range(40)]
    rotated.write_bytes(b"".join(lines[:10]))
    replaced.write_bytes(b"".join(lines[10:20]))
    store = MemoryStore()
    paths = [str(rotated), str(replaced)]
    await Projector(lambda _: JsonlSource(paths), store).run()
    with rotated.open("ab") as file:
        file.writelines(lines[20:25])
    rotated.rename(tmp_path / "a.jsonl.1")
    rotated.write_bytes(b"".join(lines[25:30]))
    replaced.unlink()
    replaced.write_bytes(b"".join(lines[30:40]))
    await Projector(lambda _: JsonlSource(paths), store, options=Options(on_lost_offset="earliest")).run()

    assert [jump.at.topic for jump in store.jumps()] == [str(replaced)]
    assert store.task_count() == 40


async def test_another_log_is_read_from_its_beginning() -> None:
    """With earliest, which is recorded; a partition whose identity was unknown is left where it is."""
    store = await stored_at(3, "another")
    store.claim([Position("events", 1, 0)])
    store.commit(Commit(advances=[Advance(expected=Position("events", 1, 0), next=Position("events", 1, 6), counters=Counters())]))
    other = records([each.value for each in EVENTS], partition=1)
    await run([*EVENTS, *other, END], store, options=Options(on_lost_offset="earliest", max_batch_age_s=0.0))

    assert [(jump.at, jump.chosen) for jump in store.jumps()] == [(AT, 0)]
    assert [each.counters.read for each in store.partitions()] == [20, 14]


# Too many parked


def every(nth: int) -> list[Record]:
    """10,000 records, of which every nth is refused."""
    return records([b"{" if index % nth == nth - 1 else FOREIGN for index in range(10_000)])


async def test_too_many_parked_stop_the_run_with_the_batch_committed() -> None:
    """More than the share of the last records: exit code 3, and the batch that trips it is stored, as the message counts it."""
    store = MemoryStore()
    with pytest.raises(TooManyParked, match=r"--max-parked-ratio 0\.1 allows") as caught:
        await run([*every(9), END], store)
    counters = store.partitions()[0].counters

    assert caught.value.exit_code == 3
    assert counters.read >= 1_000
    assert str(caught.value).startswith(f"{counters.parked} of the last {counters.read} records were parked")


async def test_a_tenth_of_parked_records_is_still_let_through() -> None:
    """Ten per cent is no more than ten per cent."""
    store = MemoryStore()
    await run([*every(10), END], store)

    assert store.partitions()[0].counters.parked == 1_000


@pytest.mark.parametrize(("count", "stops"), [(999, False), (1_000, True)])
async def test_parked_records_are_judged_from_a_thousand_on(count: int, stops: bool) -> None:
    """A short log of nothing but refused records is read to its end."""
    store = MemoryStore()
    try:
        await run([*records([b"{"] * count), END], store)
    except TooManyParked:
        assert stops
    else:
        assert not stops
    assert store.partitions()[0].counters.parked == count


async def test_the_judgement_can_be_turned_off() -> None:
    """Ratio 0: every record may be parked."""
    store = MemoryStore()
    await run([*records([b"{"] * 3_000), END], store, options=Options(max_parked_ratio=0.0))

    assert store.partitions()[0].counters.parked == 3_000


async def test_only_the_last_records_are_judged() -> None:
    """A bad deploy at the end of a long good log stops the run, however long the log was."""
    store = MemoryStore()
    script: list[Item] = [*records([FOREIGN] * 20_000), *records([b"{"] * 2_000, first_offset=20_000), END]
    with pytest.raises(TooManyParked):
        await run(script, store, options=Options(max_batch_records=500))

    assert store.partitions()[0].counters.parked < 2_000


# Parked records, tried again


def parked_store(*values: bytes) -> MemoryStore:
    """A store in which these values stand parked, whatever they are."""
    store = MemoryStore()
    begin = Position("events", 0, 0, "memory")
    store.claim([begin])
    counters = Counters(read=len(values), parked=len(values))
    advance = Advance(expected=begin, next=Position("events", 0, len(values), "memory"), counters=counters)
    parked = [ParkedRecord(record=record, reason="not-json", detail="") for record in records(values)]
    store.commit(Commit(advances=[advance], parked=parked))
    return store


def test_a_retried_event_is_folded() -> None:
    """What is an event under the present rules is applied, or unchanged the second time, and leaves the list."""
    event = created("t", unique_name="x").to_json()
    store = parked_store(event, event, FOREIGN, b"{")
    totals = retry_parked(store, [1, 2, 3, 4])

    assert (totals.applied, totals.unchanged, totals.ignored, totals.still_parked) == (1, 1, 1, 1)
    assert store.partitions()[0].counters == Counters(4, 1, 1, 1, 1)
    assert [each.number for each in store.parked()] == [4]
    assert set(store.load(["t"])) == {"t"}


def test_a_retry_joins_what_another_writer_stored_meanwhile() -> None:
    """A conflict of the row is no failure: the event is folded into the newer state."""
    store = parked_store(created("t", unique_name="x").to_json())
    rival = parked_store(launched("t", time=seconds(1)).to_json())
    retry_parked(rival, [1])
    theirs = rival.tasks["t"][0]
    plain = store.commit
    conflicts = list[StateConflict]()

    def commit(commit: Commit) -> int:
        if not conflicts:
            plain(Commit(writes=[theirs]))
        try:
            return plain(commit)
        except StateConflict as conflict:
            conflicts.append(conflict)
            raise

    store.commit = commit  # type: ignore[method-assign]
    totals = retry_parked(store, [1])
    columns = store.tasks["t"][0].columns

    assert totals.applied == 1
    assert len(conflicts) == 1
    assert columns is not None
    assert (columns.unique_name, columns.state) == ("x", "RUNNING")


@pytest.mark.parametrize(("number", "message"), [(7, "there is no parked record 7"), (1, "bytes of parked record 1 were dropped")])
def test_what_is_not_there_can_not_be_retried(number: int, message: str) -> None:
    """One sentence each."""
    store = parked_store(b"{")
    store.drop_parked([1])
    with pytest.raises(NotFound, match=message):
        retry_parked(store, [number])


def test_a_log_with_refused_records_is_exact() -> None:
    """Conservation with every outcome: the sum of a mixed log's counters is its length."""
    store = MemoryStore()
    mixed = log(21, logs=30)
    asyncio.run(run([*mixed, END], store, options=Options(max_parked_ratio=0)))

    assert_exact(store, mixed)
